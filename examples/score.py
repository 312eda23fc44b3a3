# Score every row with a scikit-learn model. A class is built once in each worker: the model loads once, not per batch.
#
#   python examples/score.py          trains a small model on generated rows, then scores all of them on all cores
#   muster run examples/score.py:Score rows.csv -o scored.csv       once score-model.joblib is there

from pathlib import Path

import joblib
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import muster

MODEL = Path("score-model.joblib")
FEATURES = ["SKU", "FLUX"]


class Score:
    def __init__(self) -> None:
        self.model = joblib.load(MODEL)

    def __call__(self, df: pd.DataFrame) -> pd.DataFrame:
        df["SCORE"] = self.model.predict_proba(df[FEATURES])[:, 1]
        return df


def train(rows: str) -> None:
    sample = pd.read_csv(rows, nrows=2_000)
    is_hot = sample["SKU"] * sample["FLUX"] > sample["SKU"].median() / 2
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(sample[FEATURES], is_hot)
    joblib.dump(model, MODEL)


if __name__ == "__main__":
    muster.generate(20_000, "rows.csv")
    train("rows.csv")
    result = muster.run(Score, "rows.csv", "scored.csv")
    print(f"{result.rows_out:,} rows scored in {result.seconds} s, see {result.output}")
