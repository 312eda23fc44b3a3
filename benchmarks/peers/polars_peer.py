"""Measure Polars by hand: its reader and writer on all cores, the pandas function in between on one."""

from pathlib import Path

import polars as pl
from _job import Job, told


def read(job: Job) -> pl.DataFrame:
    if job.reads == "parquet":
        return pl.read_parquet(job.source)
    if job.reads == "jsonl":
        return pl.read_ndjson(job.source)
    source = f"{job.source}/*.csv" if Path(job.source).is_dir() else job.source
    return pl.read_csv(source, infer_schema=job.dtype is not str)


def write(job: Job, rows: pl.DataFrame) -> None:
    if job.writes == "parquet":
        rows.write_parquet(job.output)
    elif job.writes == "jsonl":
        rows.write_ndjson(job.output)
    else:
        rows.write_csv(job.output)


job = told()
write(job, pl.from_pandas(job.function(read(job).to_pandas())))
