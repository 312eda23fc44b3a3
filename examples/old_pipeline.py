# A pipeline as it stands in many a cron job, and the one call that replaces it: same function, same bytes.
#
#   python examples/old_pipeline.py

from pathlib import Path

import pandas as pd

import muster


def label(df: pd.DataFrame) -> pd.DataFrame:
    df["VALUE"] = df["SKU"] * df["FLUX"]
    df["BAND"] = pd.cut(df["VALUE"], [-1, 1_000, 10_000, 1e9], labels=["low", "middle", "high"])
    return df[df["BAND"] != "low"]


def old(source: str, output: str) -> None:
    first = True
    for chunk in pd.read_csv(source, chunksize=5_000):
        label(chunk).to_csv(output, mode="w" if first else "a", header=first, index=False)
        first = False


def new(source: str, output: str) -> None:
    muster.run(label, source, output)


if __name__ == "__main__":
    muster.generate(30_000, "rows.csv")
    old("rows.csv", "old.csv")
    new("rows.csv", "new.csv")
    same = Path("old.csv").read_bytes() == Path("new.csv").read_bytes()
    print("The same bytes." if same else "They differ!")
