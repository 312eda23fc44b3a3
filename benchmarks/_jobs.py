"""Say what is measured: the peers, and the jobs that they are given."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import _data

HERE = Path(__file__).parent
ROOT = HERE.parent
PATHS: Mapping[str, Path] = {"cheap": HERE / "cheap.py", "classify": ROOT / "examples" / "classify.py"}
NUMBERS = ("ID", "SKU", "FLUX", "TWICE")
CHEAP, CLASSIFY = "cheap:cheap", "classify:classify"


@dataclass(frozen=True, slots=True)
class Peer:
    title: str
    module: str = ""
    """What must be installed."""
    script: str = ""
    option: str = "-"

    @property
    def is_floor(self) -> bool:
        return self.script == "floor_peer.py"


PEERS: Mapping[str, Peer] = {
    "muster": Peer("**muster**"),
    "inline": Peer("muster --workers 0", option="inline"),
    "pandas": Peer("pandas, three lines", "pandas", "pandas_peer.py"),
    "pool": Peer("multiprocessing.Pool over chunks", "pandas", "pool_peer.py"),
    "joblib": Peer("joblib, generator", "joblib", "joblib_peer.py"),
    "dask": Peer("Dask dataframe", "dask", "dask_peer.py"),
    "dask-one-block": Peer("Dask, blocksize=None", "dask", "dask_peer.py", "one-block"),
    "ray": Peer("Ray Data", "ray", "ray_peer.py"),
    "ray-newlines": Peer("Ray Data, newlines_in_values=True", "ray", "ray_peer.py", "newlines"),
    "polars": Peer("Polars by hand", "polars", "polars_peer.py"),
    "floor": Peer("*Arrow floor*", "pyarrow", "floor_peer.py"),
    "floor-pieces": Peer("*Arrow floor, in pieces of 16 MB*", "pyarrow", "floor_peer.py", "pieces"),
    "floor-newlines": Peer("*Arrow floor, newlines_in_values=True*", "pyarrow", "floor_peer.py", "newlines"),
}
_ALL = ("muster", "pandas", "pool", "joblib", "dask", "ray", "polars")
_QUOTED = (*_ALL, "dask-one-block", "ray-newlines", "floor-newlines")


@dataclass(frozen=True, slots=True)
class Job:
    name: str
    title: str
    make: Callable[[int], Path]
    rows: int
    target: str = CHEAP
    timed: Sequence[str] = ()
    sampled: Sequence[str] = ()
    """Peers whose memory is sampled, in one run more."""
    dtype: str = "-"
    chunk_rows: int = 100_000
    rounds: int | None = None

    @property
    def function_file(self) -> Path:
        return PATHS[self.target.partition(":")[0]]

    @property
    def numbers(self) -> str:
        return "" if self.dtype == "str" else ",".join(NUMBERS)

    def command(self, name: str, source: Path, output: Path, *, workers: int) -> list[str]:
        peer = PEERS[name]
        if peer.script:
            told = [self.target, source, output, workers, self.dtype, self.chunk_rows, peer.option]
            return [sys.executable, str(HERE / "peers" / peer.script), *map(str, told)]
        function = f"{self.function_file}:{self.target.partition(':')[2]}"
        count = 0 if peer.option == "inline" else workers
        command = [_data.MUSTER, "run", function, source, "-o", output, "--workers", count, "--fresh", "--quiet"]
        return [str(part) for part in (*command, *(("--dtype", self.dtype) if self.dtype != "-" else ()))]


def jobs(*, quick: bool, large: bool) -> list[Job]:
    """List the jobs; ``quick`` has a twentieth of the rows, to try things out."""
    part = 20 if quick else 1
    floors = ("floor", "floor-pieces")
    compared = ("muster", "pandas")
    found = [
        Job("cheap", "cheap function", _data.rows, 2_000_000 // part, timed=(*_ALL, *floors), sampled=_ALL),
        Job("classifier", "seed classifier", _data.rows, 20_000 // part, CLASSIFY, (*_ALL, "inline", "floor"),
            dtype="str", chunk_rows=1000 // part),
        Job("start-up", "start-up", _data.rows, 1000, timed=_ALL, rounds=7),
        Job("quoted", "quoted newlines", _data.quoted, 200_000 // part, timed=_QUOTED, chunk_rows=10_000),
        Job("hard", "hard quoting", _data.hard, 200_000 // part, timed=_QUOTED, chunk_rows=10_000, rounds=1),
        Job("memory-1", "memory 1x", _data.rows, 1_000_000 // part, sampled=compared),
        Job("memory-4", "memory 4x", _data.rows, 4_000_000 // part, sampled=compared),
    ]  # fmt: skip
    if large:
        rows = 10_000_000 // part
        found.append(Job("large", "cheap function", _data.rows, rows, timed=("muster", *floors), sampled=compared))
    return found
