# The cheap function of the benchmark: two new columns, about 0.1 µs a row. Every peer runs this same file.

import pandas as pd


def cheap(df: pd.DataFrame) -> pd.DataFrame:
    df["TWICE"] = df["SKU"] * 2 + df["FLUX"]
    df["SHORT"] = df["MANUFACTURER_NAME"].str[:4]
    return df
