"""Measure pandas on groups: its own sums, a loop over all groups, or its own counts. Keys come in their order."""

import sys

import pandas as pd

from largest import largest

TARGET, SOURCE, OUTPUT = sys.argv[1:4]
SUMS = {"total": ("amount", "sum"), "n": ("amount", "count"), "mean": ("amount", "mean")}

rows = pd.read_csv(SOURCE)
groups = rows.groupby("user")
if TARGET.startswith("sums"):
    groups.agg(**SUMS).reset_index().to_csv(OUTPUT, index=False)
elif TARGET.startswith("counts"):
    rows.assign(nth=groups.cumcount() + 1).to_csv(OUTPUT, index=False)
else:
    pd.concat([largest(group) for _, group in groups]).to_csv(OUTPUT, index=False)
