"""The seed's classifier as its clock sees it: 3.83 ms a row, none of which costs a processor."""

import time

import pandas as pd

ROW_SECONDS = 3.83e-3


def classify(df: pd.DataFrame) -> pd.DataFrame:
    time.sleep(ROW_SECONDS * len(df))
    df["CLASSIFICATION"] = "slept"
    return df
