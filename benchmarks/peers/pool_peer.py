"""Measure multiprocessing.Pool: the parent reads chunks, workers call the function and render, the parent writes.

Workers give back text, not frames: rendering is the dearest step, and frames would be pickled twice.
"""

from multiprocessing import Pool
from pathlib import Path

import pandas as pd
from _job import told

job = told()


def render(chunk: pd.DataFrame) -> str:
    is_first = bool(chunk.index[0] == 0)
    return job.function(chunk).to_csv(index=False, header=is_first)


if __name__ == "__main__":
    chunks = pd.read_csv(job.source, dtype=job.dtype, chunksize=job.chunk_rows)
    with Pool(job.workers) as pool, Path(job.output).open("w", newline="") as output:
        output.writelines(pool.imap(render, chunks))
