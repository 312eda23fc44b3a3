"""Measure Polars on groups: its own sums of a file that it scans, in the order of the keys."""

import sys

import polars as pl

SOURCE, OUTPUT = sys.argv[2:4]

amount = pl.col("amount")
groups = pl.scan_csv(SOURCE).group_by("user")
groups.agg(total=amount.sum(), n=amount.count(), mean=amount.mean()).sort("user").sink_csv(OUTPUT)
