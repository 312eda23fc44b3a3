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
from muster._engines.on_ray.keeping import Supplied, kept_folder
from muster._formats.excerpts import SectionEnd, ends_of
from muster._formats.lanes import CutLane
from muster._formats.reader import forget_readers
from muster._model import Briefing, Code, DataFile, Exchange, LocalCopy, Outcome, Target
from muster._process.stdio import forgive
from muster._user_code.mirror import Mirror, install
from muster._user_code.world import World
from muster._worker.task import TaskBody, use_one_core
from muster.errors import MusterError

from .codec import compressed, decompressed
from .packages import check
from .parcels import Parcel, Returned, Sent, Unanswered


class ParcelBody:
    """The worker body on a machine of its own: it opens parcels for the one worker body, and packs what that wrote."""

    def __init__(self) -> None:
        """Make a folder for parcels, beside what was sent: with that it goes where this worker is killed."""
        self._mirror = Mirror(World.here().mirror)
        self._folder = Path(tempfile.mkdtemp(prefix="parcels-", dir=Path(self._mirror.root).parent))
        self._parts = self._folder / "parts"
        self._parts.mkdir()
        self._body = TaskBody()
        self._formats: tuple[str, ...] = ()
        self._kept = kept_folder(self._mirror.root)
        self._log: Path | None = None
        """The copy of the log of states, once there is one."""
        self._is_staged = self._stays = False
        self._unchecked: dict[str, str] = {}
        self._idle_since: float | None = None

    def brief(self, briefing: bytes) -> None:
        """Go to where the working folder of home is here, and brief the worker with the targets as they are found."""
        sent: Sent = pickle.loads(briefing)  # noqa: S301 (from the muster process that runs the job)
        self._see(sent)
        known: Briefing = pickle.loads(sent.briefing)  # noqa: S301 (likewise)
        self._formats = tuple(source.format for source in known.sources)
        self._unchecked = dict(known.packages)
        steps = tuple(map(self._found_here, known.steps))
        folder = str(self._parts / Path(known.folder).name)
        here = replace(known, steps=steps, folder=folder, code=Code(), exchange=self._with_states(known.exchange))
        self._is_staged = bool(known.staging)
        self._stays = known.exchange is not None and known.exchange.goes_on
        self._body.brief(pickle.dumps(here))

    def _with_states(self, exchange: Exchange | None) -> Exchange | None:
        """Have states be read from this machine's copy of their log; that of another log is not needed any more."""
        if exchange is None or exchange.stored is None or not exchange.stored.path:
            return exchange
        log = self._kept / Path(exchange.stored.path).name
        if log != self._log:
            if self._log is not None:
                self._log.unlink(missing_ok=True)
            self._log = log
        return exchange._replace(stored=replace(exchange.stored, path=str(log)))

    def _found_here(self, step: Target) -> Target:
        """Name a step's file, and those of the large objects that it holds, as they are called here."""
        root = self._mirror.root
        place = root + step.place if step.kind == "file" else step.place
        carried = replace(step.carried, file=step.carried.file and root + step.carried.file)
        given = replace(step.arguments.carried, file=step.arguments.carried.file and root + step.arguments.carried.file)
        return replace(step, place=place, carried=carried, arguments=replace(step.arguments, carried=given))

    def _see(self, sent: Sent) -> None:
        """See what was sent where it is at home, and modules in the order of home's; once, as a function may move."""
        if self._mirror.sent:
            return
        self._mirror = self._mirror._replace(sent=sent.sent)
        self._body.ear.is_far = True
        os.chdir(self._mirror.root + sent.folder)
        before, behind = ([self._mirror.root + place for place in places] for places in sent.path)
        sys.path[:] = [*before, *sys.path, *behind]
        install(self._mirror, self._body.ear.miss)

    def is_spent(self, request: Any) -> bool:  # noqa: ANN401 (likewise)
        """Tell whether a fresh process should take the place of this one."""
        request = request.request if isinstance(request, Supplied) else request
        return self._body.is_spent(request.task if isinstance(request, Parcel) else request)

    def end(self) -> None:
        """Release the user's functions, and remove the folder."""
        self._body.end()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __call__(self, request: Any) -> object:  # noqa: ANN401 (a parcel, or any question with an answer)
        """Do the task of a parcel, or answer a question. Raises ``EngineError`` where packages differ from home's."""
        check(self._unchecked)
        self._unchecked = {}
        supply = ""
        if isinstance(request, Supplied):
            request, supply = request
        if isinstance(request, CutLane):
            return self._body(request._replace(blocks=(supply,)))
        if not isinstance(request, Parcel):
            return self._body(request)
        began = time.perf_counter()
        opened = self._folder / "stretch"
        task = request.task
        if request.stretch is not None:
            opened.write_bytes(decompressed(request.stretch, request.size))
            origin = task.lo if self._formats[task.file] == "parquet" else task.start
            task = task._replace(local_copy=LocalCopy(str(opened), origin))
        elif supply:
            task = task._replace(local_copy=LocalCopy(supply, 0))
        if request.states is not None and self._log is not None:
            request.states.lay_out(self._log)
        try:
            outcome: Outcome = self._body(task)  # type: ignore[assignment]  # a task is answered with an outcome
            outcome, foreign = self._with_names_of_home(outcome)
            ends = self._keep(outcome) if self._stays else ()
            pieces = self._pieces_of(outcome)
        except MusterError as error:
            return Unanswered(error, *self._sorted(self._body.files()[0]))
        finally:
            forget_readers()
            opened.unlink(missing_ok=True)
        waiting, self._idle_since = began - (self._idle_since or began), time.perf_counter()
        total = self._idle_since - began
        seconds = outcome.seconds._replace(total=total, transfer=total - outcome.seconds.total, waiting=waiting)
        return Returned(outcome._replace(task=request.task, seconds=seconds), pieces, foreign, ends)

    def _keep(self, outcome: Outcome) -> tuple[SectionEnd, ...]:
        """Leave a block where it stays when this process ends; tell what stands at its end."""
        if outcome.output is None:
            return ()
        kept = shutil.move(self._parts / outcome.output.name, self._kept / outcome.output.name)
        return ends_of(str(kept))

    def _with_names_of_home(self, outcome: Outcome) -> tuple[Outcome, tuple[DataFile, ...]]:
        """Name the files of an outcome as home does; take out those that are this machine's own."""
        if not outcome.read_files and not outcome.written_files:
            return outcome, ()
        read, foreign = self._sorted(outcome.read_files)
        written = tuple(map(self._mirror.at_home, outcome.written_files))
        return outcome._replace(read_files=read, written_files=written), foreign

    def _sorted(self, files: tuple[DataFile, ...]) -> tuple[tuple[DataFile, ...], tuple[DataFile, ...]]:
        """Sort files by whether they were sent, or looked for in vain, by their names at home; or are the machine's."""
        named = [(file._replace(path=self._mirror.at_home(file.path)), file.path) for file in files]
        foreign = tuple(file for file, path in named if file.path == path and file.size >= 0)
        return tuple(file for file, path in named if file.path != path or file.size < 0), foreign

    def _pieces_of(self, outcome: Outcome) -> dict[str, tuple[bytes, int]]:
        pieces = {}
        rows = None if self._is_staged or self._stays else outcome.output
        for piece in (rows, outcome.rejects, outcome.states):
            if piece is not None:
                path = self._parts / piece.name
                data = path.read_bytes()
                pieces[piece.name] = (compressed(data), len(data))
                path.unlink()
        return pieces


def make_body() -> Body:
    """Make the worker body on a machine that does not see this computer's files."""
    use_one_core()
    forgive()
    return ParcelBody()
