"""The other side of a parcel: it is opened into files, so that the one worker body does there what it does at home."""

import os
import pickle
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from muster._engines.base import Body
from muster._formats._reader import forget_readers
from muster._model import Briefing, Code, Outcome, Spool
from muster._packages import check
from muster._parcels import Parcel, Returned, Sent, compressed, decompressed
from muster._standard import forgive
from muster._task import Worker, use_one_core


class ParcelBody:
    """The worker body on a machine of its own: it opens parcels for the one worker body, and packs what that wrote."""

    def __init__(self) -> None:
        """Make a folder for parcels and code."""
        self._folder = Path(tempfile.mkdtemp(prefix="muster-"))
        self._worker = Worker()
        self._briefings = 0
        self._formats: tuple[str, ...] = ()
        self._is_staged = False
        self._unchecked: dict[str, str] = {}
        self._idle_since: float | None = None

    def brief(self, briefing: bytes) -> None:
        """Unpack the code, go to its folder, and brief the worker with the targets as they are found there."""
        sent: Sent = pickle.loads(briefing)  # noqa: S301 (from the muster process that runs the job)
        self._briefings += 1
        code = self._folder / f"code-{self._briefings}"
        steps = sent.bundle.unpack(code)
        os.chdir(code / "0")
        sys.path.insert(0, str(code / "0"))
        known: Briefing = pickle.loads(sent.briefing)  # noqa: S301 (likewise)
        self._formats = tuple(source.format for source in known.sources)
        self._unchecked = dict(known.packages)
        here = replace(known, steps=steps, folder=str(self._folder / Path(known.folder).name), grown="", code=Code())
        self._is_staged = bool(known.staging)
        self._worker.brief(pickle.dumps(here))

    def end(self) -> None:
        """Release the user's functions, and remove the folder."""
        self._worker.end()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __call__(self, request: Any) -> object:  # noqa: ANN401 (a parcel, or any question with an answer)
        """Do the task of a parcel, or answer a question. Raises ``EngineError`` where packages differ from home's."""
        check(self._unchecked)
        self._unchecked = {}
        if not isinstance(request, Parcel):
            return self._worker(request)
        began = time.perf_counter()
        opened = self._folder / "stretch"
        task = request.task
        if request.stretch is not None:
            opened.write_bytes(decompressed(request.stretch, request.size))
            origin = task.lo if self._formats[task.file] == "parquet" else task.start
            task = replace(task, spool=Spool(str(opened), origin))
        try:
            outcome: Outcome = self._worker(task)  # type: ignore[assignment]  # a task is answered with an outcome
            pieces = self._pieces_of(outcome)
        finally:
            forget_readers()
            opened.unlink(missing_ok=True)
        waiting, self._idle_since = began - (self._idle_since or began), time.perf_counter()
        total = self._idle_since - began
        seconds = replace(outcome.seconds, total=total, transfer=total - outcome.seconds.total, waiting=waiting)
        return Returned(replace(outcome, task=request.task, seconds=seconds), pieces)

    def _pieces_of(self, outcome: Outcome) -> dict[str, tuple[bytes, int]]:
        pieces = {}
        for piece in (None if self._is_staged else outcome.output, outcome.rejects):
            if piece is not None:
                path = self._folder / piece.name
                data = path.read_bytes()
                pieces[piece.name] = (compressed(data), len(data))
                path.unlink()
        return pieces


def make_body() -> Body:
    """Make the worker body on a machine that does not see this computer's files."""
    use_one_core()
    forgive()
    return ParcelBody()
