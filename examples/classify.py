# The seed system's classifier, as a data scientist would have written it: it knows nothing of muster.
#
#   muster generate --rows 20000 -o rows.csv
#   muster run examples/classify.py:classify rows.csv -o classified.csv --dtype str

import hashlib
import random

import pandas as pd

LABELS = ("A", "B", "C", "D")


def classify_row(row: pd.Series) -> str:
    digest = hashlib.sha256()
    for _ in range(10):
        digest.update(str(row).encode())
    dice = random.Random(repr(row))  # noqa: S311 (a label, no secret)
    return LABELS[int(dice.uniform(0, len(LABELS)))] + digest.hexdigest()[:4]


def classify(df: pd.DataFrame) -> pd.DataFrame:
    df["CLASSIFICATION"] = df.apply(classify_row, axis=1)
    return df
