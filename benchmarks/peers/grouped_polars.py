"""Measure Polars on groups: its own sums of a file that it scans, in the order of the keys; or its own counts."""

import sys

import polars as pl

TARGET, SOURCE, OUTPUT = sys.argv[1:4]

amount = pl.col("amount")
rows = pl.scan_csv(SOURCE)
if TARGET.startswith("sums"):
    made = rows.group_by("user").agg(total=amount.sum(), n=amount.count(), mean=amount.mean()).sort("user")
else:
    made = rows.with_columns(nth=pl.int_range(1, pl.len() + 1).over("user"))
made.sink_csv(OUTPUT)
