"""Measure a Dask dataframe on its process scheduler. A CSV is written as one file, all else as a folder of files.

Four blocks a worker, so that every core has work also where the file is smaller than Dask's 64 MB. The option
``one-block`` reads the file in one task instead: what Dask's documentation advises for quoted newlines and gzip.
"""

from pathlib import Path

import dask
import dask.dataframe as dd
from _job import Job, told

SMALLEST_BLOCK = 1 << 18


def read(job: Job) -> dd.DataFrame:
    if job.reads == "parquet":
        return dd.read_parquet(job.source)
    block = max(Path(job.paths[0]).stat().st_size // (4 * job.workers), SMALLEST_BLOCK)
    blocksize = None if job.option == "one-block" else block
    if job.reads == "jsonl":
        return dd.read_json(job.source, lines=True, blocksize=blocksize)
    source = f"{job.source}/*.csv" if Path(job.source).is_dir() else job.source
    return dd.read_csv(source, dtype=job.dtype, blocksize=blocksize)


def write(job: Job, rows: dd.DataFrame) -> None:
    if job.writes == "parquet":
        rows.to_parquet(job.output, write_index=False)
    elif job.writes == "jsonl":
        rows.to_json(job.output, orient="records", lines=True)
    else:
        rows.to_csv(job.output, index=False, single_file=True)


if __name__ == "__main__":
    job = told()
    dask.config.set(scheduler="processes", num_workers=job.workers)
    write(job, read(job).map_partitions(job.function))
