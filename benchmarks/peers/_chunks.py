"""A file as chunks for Pool and joblib: read by the parent, worked on and rendered by workers, joined by the parent.

Workers give back text, not frames: rendering is the dearest step, and frames would be pickled twice. Of many files a
worker is told the path, and reads it itself.
"""

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
from _job import Job
from pyarrow import parquet

Chunk = pd.DataFrame | str
Piece = str | pa.Table


def chunks(job: Job) -> Iterator[Chunk]:
    if len(job.paths) > 1:
        return iter(job.paths)
    if job.reads == "parquet":
        batches = parquet.ParquetFile(job.source).iter_batches(job.chunk_rows)
        return (batch.to_pandas() for batch in batches)
    if job.reads == "jsonl":
        return iter(pd.read_json(job.source, lines=True, chunksize=job.chunk_rows))
    return iter(pd.read_csv(job.source, dtype=job.dtype, chunksize=job.chunk_rows))


def rendered(job: Job, chunk: Chunk, *, is_first: bool) -> Piece:
    done = job.function(pd.read_csv(chunk) if isinstance(chunk, str) else chunk)
    if job.writes == "parquet":
        return pa.Table.from_pandas(done, preserve_index=False)
    if job.writes == "jsonl":
        return str(done.to_json(orient="records", lines=True))
    return done.to_csv(index=False, header=is_first)


def write(job: Job, pieces: Iterable[Piece]) -> None:
    if job.writes == "parquet":
        rest = iter(pieces)
        first = next(rest)
        with parquet.ParquetWriter(job.output, first.schema) as writer:
            for table in itertools.chain([first], rest):
                writer.write_table(table)
    else:
        with Path(job.output).open("w", newline="", encoding="utf-8") as output:
            output.writelines(pieces)
