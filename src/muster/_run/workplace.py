"""Who does the tasks of a run: the engine of this computer, or that of a cluster in its place."""

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

from muster._engines.around import AtHome, LoadingAhead
from muster._engines.base import Engine
from muster._user_code.questions import BuildBriefed

from .asking.questions import Asker
from .beginning.begun import Begun
from .staffing.assembly import engine_of_a_cluster, parcelled
from .staffing.keepers import InTheFolder, Keeper, OnMachines
from .staffing.this_computer import ThisComputer
from .telling.attendance import Attendance
from .telling.teller import Say, Teller

if TYPE_CHECKING:
    from muster._clouds.base import Access
    from muster._travel.parcels import ParcelEngine


class Workplace(Protocol):
    """Who does the tasks of a run."""

    @property
    def engine(self) -> Engine:
        """Give the engine that has the tasks."""

    @property
    def is_far(self) -> bool:
        """Tell whether its machines see none of this computer's files, and have disks of their own."""

    @property
    def access(self) -> "Access | None":
        """Say what cluster it is."""

    @property
    def builders(self) -> int:
        """Count the workers of this computer that build the steps before the first task."""

    def brief(self, briefing: bytes) -> None:
        """Brief all workers of the run."""

    def begin(self) -> None:
        """Have no question for this computer for a while: the first tasks are with workers."""

    def near_the_end(self) -> None:
        """Expect questions to this computer again: the last tasks are with workers."""

    def workers(self, there: Attendance) -> int:
        """Count the workers, also those that are awaited."""

    def had(self, there: Attendance) -> tuple[int, int]:
        """Tell how many workers and machines had part in the run at a time."""

    def asker(self, teller: Teller, usual: Asker) -> Asker:
        """Say who is asked to put the output together."""

    def keeper(self, teller: Teller, usual: Asker) -> Keeper:
        """Say who keeps the rows between two stages."""

    def at_home(self) -> "Workplace":
        """Give the workplace of a stage that reads what lies in the work folder alone."""


@dataclass(frozen=True, slots=True)
class Here:
    """The processes of this computer do the tasks: they are there from the beginning, for as long as the run takes."""

    home: ThisComputer
    count: int
    is_far: bool = False
    access: "Access | None" = None

    @property
    def engine(self) -> Engine:
        """Give the engine of this computer."""
        return self.home.engine()

    @property
    def builders(self) -> int:
        """Count the workers that build the steps: all, as all will do tasks."""
        return max(self.count, 1)

    def brief(self, briefing: bytes) -> None:
        """Brief them."""
        self.home.brief(briefing)

    def begin(self) -> None:
        """Stay."""

    def near_the_end(self) -> None:
        """Stay."""

    def workers(self, there: Attendance) -> int:
        """Count them: they are as many as they were."""
        del there
        return self.count

    def had(self, there: Attendance) -> tuple[int, int]:
        """Tell that all had part, on one machine unless an engine says that it has more; a given one has its own."""
        return there.most_workers if self.home.is_given else self.count, max(there.most_machines, 1)

    def asker(self, teller: Teller, usual: Asker) -> Asker:
        """Have them put the output together, too."""
        del teller
        return usual

    def keeper(self, teller: Teller, usual: Asker) -> Keeper:
        """Keep rows in the work folder."""
        del teller
        return InTheFolder(usual.ask)

    def at_home(self) -> Workplace:
        """Give this one."""
        return self


@dataclass(frozen=True, slots=True)
class OnGivenEngine(Here):
    """An engine that a caller gives does the tasks: how many workers it has, nobody knows before they have joined."""

    def workers(self, there: Attendance) -> int:
        """Count those that have joined; before the first, guess that they are as many as this computer's."""
        return there.most_workers or self.count

    @property
    def builders(self) -> int:
        """Have one build the steps before the first task: whether there are others is not known yet."""
        return 1


@dataclass(frozen=True, slots=True)
class BesideMachines(Here):
    """The processes of this computer do the tasks of a stage, while those of the others are for a cluster.

    It is the cluster's workers and machines that the run is said to have.
    """

    @property
    def engine(self) -> Engine:
        """Give the engine of this computer, which says nothing of its workers."""
        return AtHome(self.home.engine())


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A cluster does the tasks. Its workers come and go; those of this computer answer questions."""

    engine: Engine
    home: ThisComputer
    access: "Access"
    has_work_at_the_end: bool
    """Whether this computer's workers put the output together."""
    is_staged: bool
    """Whether the workers of the cluster do, in the store where the output is."""
    workers_at_home: int = 1
    asks_home_again: bool = False
    """Whether this computer's workers have part in each epoch of a stream, as they have where steps keep states."""

    @classmethod
    def of(cls, begun: Begun, access: "Access", *, printed: Say, ending: contextlib.ExitStack) -> "Elsewhere":
        """Connect to a cluster; ``ending`` ends its workers, and forgets what was packed for them."""
        run, teller = begun.run, begun.teller
        teller.observer.begin_on(access.prices, access.renewals)
        engine = engine_of_a_cluster(access, env=run.job.options.env, printed=printed)
        if not access.shares_files:
            engine = parcelled(engine, job=run.job, parts=run.work.parts, note=teller.note)
        if run.job.follow is not None:  # few rows at a time: who gets none of the first would load with later ones
            engine = LoadingAhead(engine, BuildBriefed())
        ending.callback(engine.close)
        teller.workers = access.workers
        if not run.job.exchanges:  # else rows lie in files between stages, and a store keeps none of them
            run.work.use_staging()
        is_staged = bool(run.work.staging)
        has_work_at_the_end = run.output_builder.volume_bytes is not None and not is_staged
        return cls(engine, begun.home, access, has_work_at_the_end, is_staged, run.workers)

    @property
    def is_far(self) -> bool:
        """Tell whether its machines see none of this computer's files."""
        return not self.access.shares_files

    @property
    def builders(self) -> int:
        """Have nobody of this computer build the steps."""
        return 0

    def brief(self, briefing: bytes) -> None:
        """Brief the cluster's workers, and for the questions of the end those of this computer."""
        self.home.brief(briefing)
        self.engine.brief(briefing)

    def begin(self) -> None:
        """Let this computer's workers go, where nobody asks them anything while the cluster works."""
        if not self.asks_home_again:
            self.home.let_go()

    def near_the_end(self) -> None:
        """Have this computer's workers load again while the last tasks are done, if they have part in the end."""
        if self.has_work_at_the_end:
            self.home.begin_early()

    def workers(self, there: Attendance) -> int:
        """Count those that are awaited, or as many as ever were there."""
        return max(self.access.workers, there.most_workers)

    def had(self, there: Attendance) -> tuple[int, int]:
        """Tell how many there were when they were most."""
        return there.most_workers, there.most_machines

    def asker(self, teller: Teller, usual: Asker) -> Asker:
        """Have the cluster put the output together where it lies, if that is where its workers can write."""
        if not self.is_staged:
            return usual
        return self._asker(teller)

    def _asker(self, teller: Teller) -> Asker:
        workers = teller.observer.there.most_workers
        return Asker(lambda: self.engine, workers=workers, tick=teller.tick, hear=teller.hear)

    def keeper(self, teller: Teller, usual: Asker) -> Keeper:
        """Keep rows in the work folder where machines see it, and else on machines."""
        if not self.is_far:
            return InTheFolder(usual.ask)
        engine = self.engine.within if isinstance(self.engine, LoadingAhead) else self.engine
        return OnMachines(cast("ParcelEngine", engine).away, self._asker(teller).ask)

    def at_home(self) -> Workplace:
        """Have this computer do what needs the work folder, where machines do not see it."""
        return BesideMachines(self.home, self.workers_at_home) if self.is_far else self
