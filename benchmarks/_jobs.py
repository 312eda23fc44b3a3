"""The jobs that muster and its peers are given."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import _data
import _notes
import _rows
from _peers import APART, HERE, PEERS

ROOT = HERE.parent
FUNCTIONS: Mapping[str, Path] = {
    "cheap": HERE / "cheap.py",
    "classify": ROOT / "examples" / "classify.py",
    "sums": HERE / "sums.py",
    "each_group": HERE / "each_group.py",
    "counts": HERE / "counts.py",
}
NUMBERS = (
    "user",
    "amount",
    "total",
    "n",
    "nth",
    "mean",
    "ID",
    "SKU",
    "FLUX",
    "TWICE",
    "id",
    "x",
    "v",
    "y",
    *(f"c{at}" for at in range(_rows.COLUMNS_OF_WIDE)),
)
"""The columns of numbers, of all jobs: none is one of text in another."""
CHEAP, Y, CLASSIFY = "cheap:cheap", "cheap:y", "classify:classify"
SUMS, EACH_GROUP, COUNTS = "sums:pipeline", "each_group:pipeline", "counts:pipeline"
TEXT, FORMS, OTHERS = "cheap function, text", "cheap function, formats", "other jobs"
_ALL = ("muster", "pandas", "pool", "joblib", "dask", "ray", "spark", "daft", "duckdb", "polars")
_QUOTED = (*_ALL, "dask-one-block", "ray-newlines", "spark-newlines")
_FLOORS = ("floor", "floor-pieces")
_COMPARED = ("muster", "pandas")
_SHORTEST_CHUNK = 50


@dataclass(frozen=True, slots=True)
class Job:
    name: str
    title: str
    table: str
    make: Callable[[int, Path], Path]
    """Makes the input of so many rows in a folder, the same bytes each time."""
    rows: int
    target: str = CHEAP
    timed: Sequence[str] = _ALL
    once: Sequence[str] = ()
    """Those of them that are timed in the first round alone."""
    sampled: Sequence[str] = ()
    """Peers whose memory is sampled, in one run more."""
    dtype: str = "-"
    chunk_rows: int = 100_000
    writes: str = "csv"
    rounds: int | None = None

    @property
    def numbers(self) -> str:
        return "" if self.dtype == "str" else ",".join(NUMBERS)

    def command(self, name: str, source: Path, output: Path, *, workers: int) -> list[str]:
        peer = PEERS[name]
        if peer.script:
            script = f"grouped_{name}.py" if self.target in {SUMS, EACH_GROUP, COUNTS} else peer.script
            told = [self.target, source, output, workers, self.dtype, self.chunk_rows, peer.option]
            return [str(peer.python), str(HERE / "peers" / script), *map(str, told)]
        module, _, function = self.target.partition(":")
        count = 0 if peer.option == "inline" else workers
        target = f"{FUNCTIONS[module]}:{function}"
        command = [_data.MUSTER, "run", target, source, "-o", output, "--workers", count, "--fresh", "--quiet"]
        return [str(part) for part in (*command, *(("--dtype", self.dtype) if self.dtype != "-" else ()))]

    def has_apart(self, peers: Sequence[str]) -> bool:
        """Tell whether one of the peers that has a turn is of ``.venv-peers``."""
        return any(PEERS[name].python == APART for name in (*self.timed, *self.sampled) if name in peers)

    def at_most(self, rows: int) -> "Job":
        chunk_rows = max(self.chunk_rows * rows // self.rows, _SHORTEST_CHUNK)
        return self if self.rows <= rows else replace(self, rows=rows, chunk_rows=chunk_rows)


JOBS: Sequence[Job] = (
    Job("parquet", "Parquet to Parquet", FORMS, _rows.as_parquet, 5_000_000, Y, writes="parquet"),
    Job("parquet-csv", "Parquet to CSV", FORMS, _rows.as_parquet, 5_000_000, Y),
    Job("csv-parquet", "CSV to Parquet", FORMS, _rows.as_csv, 5_000_000, Y, writes="parquet"),
    Job("json", "JSON lines to JSON lines", FORMS, _rows.as_json, 500_000, Y, chunk_rows=25_000, writes="jsonl"),
    Job("plain", "plain CSV", TEXT, _data.rows, 2_000_000, timed=(*_ALL, *_FLOORS), sampled=_ALL),
    Job("quoted", "quoted text", TEXT, _rows.quoted, 3_000_000, Y, _QUOTED),
    Job("packed", "the same as .csv.gz", TEXT, _rows.packed, 3_000_000, Y, _QUOTED),
    Job("wide", "200 columns", TEXT, _rows.wide, 60_000, Y, chunk_rows=3_000),
    Job("files", "files of 100 rows", TEXT, _rows.files, 200_000, Y),
    Job("classifier", "seed classifier", OTHERS, _data.rows, 20_000, CLASSIFY, (*_ALL, "inline", "floor"),
        once=(*_ALL[3:], "floor"), dtype="str", chunk_rows=1000),
    Job("start-up", "start-up", OTHERS, _data.rows, 1000, rounds=7),
    Job("newlines", "notes of several lines", OTHERS, _notes.newlines, 200_000, timed=(*_QUOTED, "floor-newlines"),
        chunk_rows=10_000),
    Job("hard", "hard quoting", OTHERS, _notes.hard, 200_000, timed=(*_QUOTED, "floor-newlines"), chunk_rows=10_000,
        rounds=1),
    Job("agg", "sum, count, mean of 10,000 keys", OTHERS, _rows.sales, 10_000_000, SUMS,
        ("muster", "pandas", "dask", "duckdb", "polars")),
    Job("groups", "a function of each of 100,000 groups", OTHERS, _rows.visits, 2_000_000, EACH_GROUP,
        ("muster", "pandas", "dask")),
    Job("states", "which of its user's rows a row is", OTHERS, _rows.visits, 2_000_000, COUNTS,
        ("muster", "pandas", "polars")),
    Job("large", "plain CSV", OTHERS, _data.rows, 10_000_000, timed=("muster", *_FLOORS), sampled=_COMPARED),
    Job("memory-1", "memory 1x", OTHERS, _data.rows, 1_000_000, timed=(), sampled=_COMPARED),
    Job("memory-4", "memory 4x", OTHERS, _data.rows, 4_000_000, timed=(), sampled=_COMPARED),
)  # fmt: skip
