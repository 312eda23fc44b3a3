"""Count rows by key with Bytewax, as a flow of its own: each row comes out with how many of its key have come."""

import os
from pathlib import Path

import bytewax.operators as op
from bytewax.connectors.files import FileSink, FileSource
from bytewax.dataflow import Dataflow

HEADER = "key,more"


def keyed(lines: list[str]) -> list[tuple[str, str]]:
    return [(line.partition(",")[0], line) for line in lines if line != HEADER]


def counted(count: int | None, line: str) -> tuple[int, str]:
    count = (count or 0) + 1
    return count, f"{line},{count}"


flow = Dataflow("counts")
lines = op.input("in", flow, FileSource(Path(os.environ["BENCH_INPUT"]), batch_size=10_000))
counts = op.stateful_map("count", op.flat_map_batch("keyed", lines, keyed), counted)
op.output("out", counts, FileSink(Path(os.environ["BENCH_OUTPUT"])))
