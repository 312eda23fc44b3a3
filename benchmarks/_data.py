"""Where the benchmarks' data lie, how a file of them is made, and the seed's rows."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
DATA = Path(os.environ.get("MUSTER_BENCH_DATA") or HERE / ".data")
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


def _generate(count: int, path: Path) -> None:
    subprocess.run([MUSTER, "generate", "--rows", str(count), "-o", path], check=True, stdout=subprocess.DEVNULL)
