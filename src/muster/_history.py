"""The journals of finished runs, kept in MUSTER_HOME: the last hundred."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from muster._journal import replay

_KEPT: Final = 100


def home() -> Path:
    """Find muster's own folder: ``MUSTER_HOME``, or ``~/.muster``."""
    return Path(os.environ.get("MUSTER_HOME") or Path.home() / ".muster")


def archive(journal: Path, run: str) -> None:
    """Move a finished run's journal there, and forget the oldest over a hundred."""
    folder = home() / "runs"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.move(journal, folder / f"{run}.jsonl")
    for old in sorted(folder.glob("*.jsonl"))[:-_KEPT]:
        old.unlink(missing_ok=True)


def runs() -> Iterator[dict[str, Any]]:
    """Yield what is known of each finished run, newest first: ``run at target inputs`` and the fields of ``--json``."""
    for path in sorted((home() / "runs").glob("*.jsonl"), reverse=True):
        events = {event["event"]: event for event in replay(path)}
        if "started" in events and "finished" in events:
            started, finished = events["started"], events["finished"]
            yield {
                "run": started["run"],
                "at": started["at"],
                "target": started["job"]["steps"],
                "inputs": started["job"]["inputs"],
                **finished["result"],
            }
