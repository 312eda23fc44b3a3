"""Measure DuckDB: its reader and writer, with batches of rows that pass through the pandas function in between.

It reads ahead on all cores while the function is called on one, and writes from the same stream: nothing is ever held
whole.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
from _job import Job, told


def read(job: Job, connection: duckdb.DuckDBPyConnection) -> pa.RecordBatchReader:
    if job.reads == "parquet":
        rows = connection.read_parquet(job.source)
    elif job.reads == "jsonl":
        rows = connection.read_json(job.source, format="newline_delimited")
    else:
        source = f"{job.source}/*.csv" if Path(job.source).is_dir() else job.source
        rows = connection.read_csv(source, all_varchar=job.dtype is str)
    return rows.to_arrow_reader(job.chunk_rows)


def worked(job: Job, batches: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        yield pa.RecordBatch.from_pandas(job.function(batch.to_pandas()), preserve_index=False)


def write(job: Job, connection: duckdb.DuckDBPyConnection, batches: Iterator[pa.RecordBatch]) -> None:
    first = next(batches)
    answer = pa.RecordBatchReader.from_batches(first.schema, itertools.chain([first], batches))
    form = {"jsonl": "json"}.get(job.writes, job.writes)
    connection.register("answer", answer)
    connection.execute(f"COPY answer TO '{job.output}' (FORMAT {form})")


if __name__ == "__main__":
    job = told()
    reading, writing = (duckdb.connect(config={"threads": job.workers}) for _ in range(2))
    write(job, writing, worked(job, read(job, reading)))
