"""Measure multiprocessing.Pool: the parent reads chunks, workers call the function and render, the parent writes."""

from multiprocessing import Pool

from _chunks import Chunk, Piece, chunks, rendered, write
from _job import told

job = told()


def work(numbered: tuple[int, Chunk]) -> Piece:
    number, chunk = numbered
    return rendered(job, chunk, is_first=number == 0)


if __name__ == "__main__":
    with Pool(job.workers) as pool:
        write(job, pool.imap(work, enumerate(chunks(job))))
