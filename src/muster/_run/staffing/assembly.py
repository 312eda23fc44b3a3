"""Put worker bodies and engines together: which engine carries which body."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from muster._engines.base import Engine
from muster._engines.cores.engine import CoresEngine
from muster._engines.cores.starter import end_ahead
from muster._engines.inline import InlineEngine
from muster._engines.prints import Print, labelled, to_standard_error, unlabelled
from muster._job import Job
from muster._model import Briefing, Source
from muster._process.cores import count_cores
from muster._user_code.shared_objects import files_of
from muster._user_code.with_files import named
from muster._user_code.world import World
from muster.errors import EngineError

from .bodies import make_body, make_body_far_away, make_body_of_a_process

if TYPE_CHECKING:
    from muster._clouds.base import Access
    from muster._travel.luggage import Luggage

_BYTES_A_WORKER: Final = 1 << 10
"""Of input: for fewer a worker has no row to do, and it takes a tenth of a second to start."""

_MUCH: Final = 1 << 20
"""What a file counts as whose size nobody knows."""


def workers_for(sources: Iterable[Source], *, chosen: int | None) -> int:
    """Take what the user chose; else all cores, but not more than there is work for."""
    if chosen is not None:
        return chosen
    size = sum(source.size if source.size or source.in_ranges else _MUCH for source in sources)
    return min(count_cores(), max(1, size // _BYTES_A_WORKER))


def engine_of_a_machine(workers: int, printed: Print = to_standard_error) -> CoresEngine:
    """Make the engine of a machine that sees this computer's files; what workers print is told."""
    return CoresEngine(make_body_of_a_process, workers=workers, preload=["muster._worker.task"], printed=printed)


def to_the_terminal(text: str) -> None:
    """Print to standard error, which is nobody's data."""
    to_standard_error("", text.encode(errors="surrogateescape"))


def engine_of_this_computer(workers: int, printed: Callable[[str], None] = to_the_terminal) -> Engine:
    """Choose the engine: none of the cores' processes where 0 workers are asked for.

    ``printed`` is told what workers print, in whole lines, which begin with whose they are where there are several.
    """
    if workers:
        return engine_of_a_machine(workers, (labelled if workers > 1 else unlabelled)(printed))
    end_ahead()
    return InlineEngine(make_body)


def engine_far_away(workers: int, printed: Print) -> CoresEngine:
    """Make the engine of a machine that does not see this computer's files; what workers print is told."""
    return CoresEngine(make_body_far_away, workers=workers, preload=["muster._travel.body"], printed=printed)


def engine_of_a_cluster(
    access: "Access", *, env: Sequence[str] = (), printed: Callable[[str], None] = to_the_terminal
) -> Engine:
    """Connect to a cluster's Ray, which is loaded only here; or take the engine that a cluster without Ray makes.

    Where machines do not see this computer's files, ``env`` names the environment variables that go there.
    Raises ``UsageError`` for one that is not set, ``EngineError`` where it is not said how to reach the cluster.
    """
    if access.make_engine is not None:
        made: Engine = access.make_engine(access.workers)
        return made
    if access.is_pretended:
        return engine_of_a_machine(access.workers, labelled(printed))
    if not access.address:
        raise EngineError(
            f"The cluster {access.name!r} is there, but whoever made it does not say where its Ray is: the address is"
            " empty. A cloud that is plugged in gives one in its access()."
        )
    from muster._engines.on_ray.engine import RayEngine

    return RayEngine(
        engine_of_a_machine if access.shares_files else engine_far_away,
        address=access.address,
        environment=access.environment,
        python=access.python,
        through=access.through,
        world=World.here() if access.shares_files else World.abroad(env),
        name=access.name,
        printed=labelled(printed),
    )


MakeEngine = Callable[[int], Engine]


class Means(NamedTuple):
    """What a run is done with, where the caller knows: else by processes of this computer, made for this run."""

    make_engine: MakeEngine | None = None
    """Gives the engine of this computer, which has as many workers as it is asked for."""
    access: "Callable[[], Access] | None" = None
    """Calls up the cluster."""
    engine: Engine | None = None
    """Does the tasks in place of this computer, with workers of its own."""


THIS_COMPUTER: Final = Means()


def parcelled(engine: Engine, *, job: Job, parts: Path, note: Callable[[str], None]) -> Engine:
    """Have an engine send workers what they need of this computer's files; ``note`` is told what is left out."""
    from muster._travel.luggage import pack
    from muster._travel.parcels import FarEngine, ParcelEngine

    def packed(briefing: Briefing) -> "Luggage":
        besides = [*(source.path for source in briefing.sources), job.output, f"{job.output}.rejects.jsonl"]
        script, chosen = World.here().script.file, named(job.options.with_files)
        return pack(
            job.steps,
            named=chosen,
            modules=briefing.modules,
            script=script,
            besides=besides,
            held=files_of(job.steps),
        )

    return ParcelEngine(cast("FarEngine", engine), parts=parts, pack=packed, note=note)
