"""What every peer is told: MODULE:FUNCTION INPUT OUTPUT WORKERS DTYPE CHUNK_ROWS OPTION, in this order.

No argparse: it would be charged to the peer in the start-up job. MODULE is found through PYTHONPATH, so that the
peers' worker processes can import it too.
"""

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd


class Job(NamedTuple):
    function: "Callable[[pd.DataFrame], pd.DataFrame]"
    source: str
    output: str
    workers: int
    dtype: Any
    """``str`` to read every cell as text, or None to infer, as ``pandas.read_csv`` takes it."""
    chunk_rows: int
    option: str

    @property
    def paths(self) -> list[str]:
        """The files to read, in order: there are several where the source is a folder."""
        source = Path(self.source)
        return sorted(map(str, source.iterdir())) if source.is_dir() else [self.source]

    @property
    def reads(self) -> str:
        return _form(self.paths[0])

    @property
    def writes(self) -> str:
        return _form(self.output)


def told() -> Job:
    target, source, output, workers, dtype, chunk_rows, option = sys.argv[1:]
    module, _, name = target.partition(":")
    function = getattr(importlib.import_module(module), name)
    return Job(function, source, output, int(workers), str if dtype == "str" else None, int(chunk_rows), option)


def _form(path: str) -> str:
    """Tell ``csv``, ``parquet`` or ``jsonl``."""
    return Path(path.removesuffix(".gz")).suffix.removeprefix(".")
