"""Measure joblib: a generator of chunks in, a generator of rendered text out, at most four chunks ahead."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from _job import told
from joblib import Parallel, delayed

if TYPE_CHECKING:
    from collections.abc import Callable


def render(function: "Callable[[pd.DataFrame], pd.DataFrame]", chunk: pd.DataFrame) -> str:
    is_first = bool(chunk.index[0] == 0)
    return function(chunk).to_csv(index=False, header=is_first)


if __name__ == "__main__":
    job = told()
    chunks = pd.read_csv(job.source, dtype=job.dtype, chunksize=job.chunk_rows)
    parallel = Parallel(n_jobs=job.workers, return_as="generator")
    with Path(job.output).open("w", newline="") as output:
        output.writelines(parallel(delayed(render)(job.function, chunk) for chunk in chunks))
