"""A function that tells what it sees around it: the same on every engine, but for where it is."""

import locale
import os
import stat
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import pandas as pd


def f(df: pd.DataFrame) -> pd.DataFrame:
    return df.assign(**{name: str(value) for name, value in seen().items()})


def seen() -> dict[str, Any]:
    here = Path.cwd()
    handle, name = tempfile.mkstemp()
    os.close(handle)
    Path(name).unlink()
    Path("made").write_text("x")
    mode = stat.S_IMODE(Path("made").stat().st_mode)
    Path("made").unlink()
    return {
        "relative": Path("notes/a.txt").read_text(),
        "absolute": Path(os.environ["NOTES"]).read_text(),
        "listed": sorted(os.listdir("notes")),  # noqa: PTH208 (both ways are tried)
        "walked": sorted(path.name for path in Path("notes").rglob("*")),
        "beside": (Path(__file__).parent / "beside.txt").read_text(),
        "size": Path("notes/a.txt").stat().st_size,
        "modified": int(Path("notes/a.txt").stat().st_mtime),
        "absent": Path("absent.txt").exists(),
        "depth": os.path.relpath(__file__, here),
        "arguments": [argument.rpartition("/")[2] for argument in sys.argv],
        "main": os.path.relpath(str(sys.modules["__main__"].__file__), here),
        "modules": [os.path.relpath(place, here) for place in sys.path if "elsewhere" in place or "code" in place],
        "sent": os.environ.get("SENT"),
        "unset": os.environ.get("UNSET"),
        "threads": os.environ["OMP_NUM_THREADS"],
        "hash": hash("text"),
        "zone": time.localtime(1_700_000_000).tm_hour,
        "name": time.strftime("%Z", time.localtime(1_700_000_000)),
        "language": os.environ.get("LANG"),
        "encoding": [locale.getpreferredencoding(do_setlocale=False), sys.getfilesystemencoding()],
        "utf8": sys.flags.utf8_mode,
        "optimized": sys.flags.optimize,
        "warned": [one[0] for one in warnings.filters if one[2] is BytesWarning],
        "mask": oct(mode),
        "input": sys.stdin.read(),
        "recursion": sys.getrecursionlimit(),
    }
