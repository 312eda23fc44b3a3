"""Where the benchmarks' data lie, how a file of them is made, and the seed's rows."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
DATA = Path(os.environ.get("MUSTER_BENCH_DATA") or HERE / ".data")
OLD = (
    *(f"rows-{count}.csv" for count in (2_000_000, 4_000_000, 10_000_000)),
    *("expected-*.csv", "quoted-*.csv", "hard-*.csv", "outputs", "home", "results-quick.json"),
)
"""What an earlier version of the benchmark kept: gigabytes, which it does not read any more."""
MUSTER = Path(sys.executable).with_name("muster")


def rows(count: int, folder: Path = DATA) -> Path:
    return made(folder / f"rows-{count}.csv", lambda path: _generate(count, path))


def made(path: Path, write: Callable[[Path], None]) -> Path:
    """Have a file, or a folder, written unless it is there: whole, or not at all."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f"unfinished-{path.name}")
        write(unfinished)
        unfinished.replace(path)
    return path


def remove_old() -> None:
    """Remove what an earlier version kept, and say so. Another benchmark that wants such rows makes them again."""
    for path in [path for pattern in OLD for path in DATA.glob(pattern)]:
        print(f"Removed {path}, which an earlier version of the benchmark kept", file=sys.stderr)
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _generate(count: int, path: Path) -> None:
    subprocess.run([MUSTER, "generate", "--rows", str(count), "-o", path], check=True, stdout=subprocess.DEVNULL)
