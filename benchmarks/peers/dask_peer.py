"""Measure a Dask dataframe on its process scheduler, written as one file.

Four blocks a worker, so that every core has work also where the file is smaller than Dask's 64 MB. The option
``one-block`` reads the file in one task instead: what Dask's documentation advises for quoted newlines.
"""

from pathlib import Path

import dask
import dask.dataframe as dd
from _job import told

SMALLEST_BLOCK = 1 << 18

if __name__ == "__main__":
    job = told()
    block = max(Path(job.source).stat().st_size // (4 * job.workers), SMALLEST_BLOCK)
    dask.config.set(scheduler="processes", num_workers=job.workers)
    rows = dd.read_csv(job.source, dtype=job.dtype, blocksize=None if job.option == "one-block" else block)
    rows.map_partitions(job.function).to_csv(job.output, index=False, single_file=True)
