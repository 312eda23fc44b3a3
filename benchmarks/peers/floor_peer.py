"""Measure the Arrow floor: read, convert, call, write, each step alone on one thread, without start-up.

Prints the seconds of each step as JSON; the benchmark divides their sum by the number of cores, as if the work were
perfectly spread. The whole file is one table; with the option ``pieces`` it is cut into pieces of 16 MB, which is
kinder to the caches and so a lower floor (cut at line ends: not for quoted newlines). The option ``newlines`` is for
those.
"""

import csv
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import BinaryIO

import pyarrow as pa
from _job import Job, told
from pyarrow import csv as arrow_csv

PIECE_BYTES = 16 << 20


def sources(job: Job, names: list[str]) -> Iterator[tuple[BinaryIO | pa.BufferReader, arrow_csv.ReadOptions]]:
    if job.option != "pieces":
        with Path(job.source).open("rb") as file:
            yield file, arrow_csv.ReadOptions(use_threads=False)
        return
    with Path(job.source).open("rb") as file:
        file.readline()
        while piece := file.read(PIECE_BYTES):
            whole = piece + file.readline()
            yield pa.BufferReader(whole), arrow_csv.ReadOptions(use_threads=False, column_names=names)


def names_of(path: str) -> list[str]:
    with Path(path).open(newline="") as file:
        return next(csv.reader(file))


def work(job: Job, seconds: Counter[str]) -> None:
    names = names_of(job.source)
    types = dict.fromkeys(names, pa.string()) if job.dtype is str else None
    parsing = arrow_csv.ParseOptions(newlines_in_values=job.option == "newlines")
    converting = arrow_csv.ConvertOptions(column_types=types)
    is_first = True
    began = perf_counter()

    def lap(step: str) -> None:
        nonlocal began
        now = perf_counter()
        seconds[step] += now - began
        began = now

    with Path(job.output).open("wb") as output:
        for source, reading in sources(job, names):
            table = arrow_csv.read_csv(source, reading, parsing, converting)
            lap("read")
            frame = table.to_pandas(use_threads=False)
            lap("convert")
            frame = job.function(frame)
            lap("function")
            done = pa.Table.from_pandas(frame, preserve_index=False, nthreads=1)
            arrow_csv.write_csv(done, output, arrow_csv.WriteOptions(include_header=is_first))
            lap("write")
            is_first = False


if __name__ == "__main__":
    pa.set_cpu_count(1)
    steps: Counter[str] = Counter()
    work(told(), steps)
    print(json.dumps(steps))
