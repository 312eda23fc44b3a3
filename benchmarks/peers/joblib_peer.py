"""Measure joblib: a generator of chunks in, a generator of rendered pieces out, at most four chunks ahead."""

from _chunks import chunks, rendered, write
from _job import told
from joblib import Parallel, delayed

if __name__ == "__main__":
    job = told()
    parallel = Parallel(n_jobs=job.workers, return_as="generator")
    write(
        job,
        parallel(delayed(rendered)(job, chunk, is_first=number == 0) for number, chunk in enumerate(chunks(job))),
    )
