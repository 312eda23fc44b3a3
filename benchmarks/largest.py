# The function of the job "groups", which every peer calls with all rows of each user.

import pandas as pd


def largest(df: pd.DataFrame) -> pd.DataFrame:
    return df.iloc[[df["amount"].to_numpy().argmax()]]
