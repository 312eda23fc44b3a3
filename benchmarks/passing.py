"""A function that gives its rows back as they are: all that a run then does is to carry them there and back."""

import pandas as pd


def same(df: pd.DataFrame) -> pd.DataFrame:
    return df
