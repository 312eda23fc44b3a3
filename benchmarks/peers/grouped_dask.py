"""Measure Dask on groups: its own sums, or ``groupby().apply``. What comes back is sorted by its keys at last."""

import sys

import dask
import dask.dataframe as dd
import pandas as pd

from largest import largest

if __name__ == "__main__":
    target, source, output, workers, *_ = sys.argv[1:]
    dask.config.set(scheduler="processes", num_workers=int(workers))
    groups = dd.read_csv(source).groupby("user")
    if target.startswith("sums"):
        made = groups.agg({"amount": ["sum", "count", "mean"]}).compute()
        made.columns = ["total", "n", "mean"]
        made = made.sort_index().reset_index()
    else:
        like = pd.read_csv(source, nrows=1)
        made = groups[[*like]].apply(largest, meta=like).compute().reset_index(drop=True).sort_values("user")
    made.to_csv(output, index=False)
