"""One run, from its first look at the inputs to the output that all can see: one phase after the other."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from muster._engines.base import Engine, Message
from muster._files.home import home
from muster._files.temporary import sweep_temporary
from muster._files.too_long import refusing_too_long
from muster._job import Job, Result, Snapshot
from muster._journal.runs import archive
from muster._output.folder import WorkFolder
from muster._private.secrets import set_options, shown
from muster._process.garbage import sought_rarely
from muster._user_code.arguments import hide_secrets
from muster._user_code.shared_objects import with_files_of_large_objects
from muster._words import text_of

from .asking.questions import Asker, in_our_words
from .beginning.begun import Begun
from .beginning.busy import begin_once_free, skipped
from .beginning.holding import Holding
from .beginning.loading import describe
from .beginning.recognition import Recognised, recognise
from .beginning.run import Run
from .history import unchanged
from .history.earlier import check_same_rows, check_stands
from .history.past import Past
from .history.resume import fingerprint
from .staffing.assembly import MakeEngine, engine_of_this_computer, to_the_terminal
from .staffing.lent import goes_elsewhere, machines_for
from .staffing.this_computer import ThisComputer
from .telling.faults import keeping_faults
from .telling.observer import Observer
from .telling.record import Recorder
from .telling.teller import Say, Teller, Watch
from .telling.under_way import UnderWay
from .working import Working
from .workplace import Elsewhere, Here, OnGivenEngine, Workplace

if TYPE_CHECKING:
    from muster._clouds.base import Access


def run(  # noqa: PLR0913 (what is asked, and who is told)
    job: Job,
    *,
    watch: Watch,
    remark: Callable[[str], None] = lambda _: None,
    make_engine: MakeEngine | None = None,
    printed: Say = to_the_terminal,
    access: "Access | Callable[[], Access] | None" = None,
    engine: Engine | None = None,
    earlier: Past | None = None,
    warnings: Sequence[str] = (),
) -> Result:
    """Run a job to its end. Raises ``MusterError``; what was done until then is kept for the next attempt.

    A job that retries bad rows is given the ``earlier`` run whose rows they are. ``remark`` is told why the results
    may be wrong: the ``warnings``, before the function is called, and more once all is done; ``printed``, what workers
    print. ``access`` is to a cluster that is there, or calls one up; without it the job's options say whether one is
    borrowed or called up.
    """
    set_options(job.options.storage_options)
    for step in job.steps:
        hide_secrets(step.arguments)
    job = dataclasses.replace(job, inputs=tuple(map(shown, job.inputs)), output=shown(job.output))
    with in_our_words(), sought_rarely() if job.options.workers != 0 else contextlib.nullcontext():
        work = WorkFolder(job.output, home=home(), is_of_stream=job.follow is not None)
        begin = functools.partial(Run.begin, job, work=work, earlier=earlier, warnings=warnings)
        with refusing_too_long():
            known = begin_once_free(
                begin,
                work=work,
                choice=job.options.if_running,
                tell=lambda text: watch(Snapshot("starting", note=text)),
            )
        if known is None:
            return skipped(job.output)
        with Holding(work) as holding, keeping_faults(work.fault), contextlib.ExitStack() as ending:
            past = Past.read(work.journal, fresh=job.options.fresh)
            holding.is_of_use = past.is_of_use or work.inbox.exists()
            given = _Given(
                watch=watch,
                remark=remark,
                printed=printed,
                make_engine=make_engine,
                access=access,
                engine=engine,
            )
            ready = _ready(_with_large_objects_in_files(known, ending), holding, given, ending)
            join = functools.partial(_workplace, given=given, ending=ending)
            return _carry_out(ready, past, join=join)


class _Given(NamedTuple):
    """Who is told, and with what the run is done."""

    watch: Watch
    remark: Say
    printed: Say
    make_engine: MakeEngine | None
    access: "Access | Callable[[], Access] | None"
    engine: Engine | None


def _with_large_objects_in_files(run: Run, ending: contextlib.ExitStack) -> Run:
    """Share large objects of the steps with workers; without workers, functions are called as they are."""
    if run.job.options.workers == 0:
        return run
    steps = ending.enter_context(with_files_of_large_objects(run.job.steps))
    return dataclasses.replace(run, job=dataclasses.replace(run.job, steps=steps))


def _ready(run: Run, holding: Holding, given: _Given, ending: contextlib.ExitStack) -> Begun:
    """Have this computer's workers start, and say whom they are to be heard by."""
    record = Recorder()
    under_way = UnderWay([source.name for source in run.sources], limit=run.job.options.timeout)
    observer = Observer(record.write, prices={}, under_way=under_way)
    teller = Teller(given.watch, given.remark, record=record, observer=observer, workers=run.workers)
    teller.say("starting")
    here = _home(run, given)
    ending.callback(here.close)
    sweep_temporary()  # while workers start
    is_here = given.access is None and not goes_elsewhere(run.job.options)
    hear = teller.hear if is_here else _pay_no_heed
    asker = Asker(here.engine, workers=run.workers, tick=teller.tick, hear=hear)
    return Begun(run, holding, teller, here, asker)


def _home(run: Run, given: _Given) -> ThisComputer:
    """Choose the engine of this computer; one that a caller gives cannot be made again, so it is not let go."""
    if given.engine is not None:
        engine = given.engine
        return ThisComputer(lambda: engine, is_given=True)
    if given.make_engine is not None:
        return ThisComputer(functools.partial(given.make_engine, run.workers), is_given=True)
    make = functools.partial(engine_of_this_computer, run.workers, printed=given.printed)
    return ThisComputer(make, is_given=False)


def _pay_no_heed(message: Message) -> None:
    """Ignore the workers of this computer where others do the tasks."""


def _workplace(begun: Begun, *, given: _Given, ending: contextlib.ExitStack) -> Workplace:
    """Say who does the tasks: a cluster, where the job asks for one."""
    access = given.access() if callable(given.access) else given.access
    access = access or ending.enter_context(machines_for(begun.run.job.options, say=begun.teller.say))
    if access is None:
        here = (Here if given.engine is None else OnGivenEngine)(begun.home, begun.run.workers)
        begun.teller.workers = here.workers(begun.teller.observer.there)
        return here
    return Elsewhere.of(begun, access, printed=given.printed, ending=ending)


def _carry_out(begun: Begun, past: Past, *, join: Callable[[Begun], Workplace]) -> Result:
    """Do what is not done yet: nothing where an earlier run, or the ``past`` of this one, has done all."""
    run, work = begun.run, begun.run.work
    if run.job.follow is not None:
        from .streams.following import follow

        return follow(begun, past, join=join)
    if past.surveyed is None and run.earlier is None:
        begun.asker.begin(run.inputs.first_questions())
    described, loading = describe(run.job, begun.asker)
    recognised = recognise(
        run, past, fingerprint(run.job, run.sources, described), put_away=functools.partial(_put_away, begun)
    )
    _check_retry(run, recognised)
    if not recognised.gives_up:
        begun.holding.is_of_use = recognised.past.is_of_use
    begun.teller.run_id = recognised.run
    result = recognised.past.result(work.visible()) if recognised.past.finished else None
    if result is not None:
        begun.teller.say(note="an earlier attempt had finished; its output is as it was written")
    else:
        made = unchanged.Recipe(run.job, recognised.fingerprint, run.seen, run.sources)
        before = _before(run, recognised, made)
        if before.result is not None:
            work.remove()
            return before.result
        begun.teller.warn(run.warnings)
        working = Working(begun, recognised, made, join(begun), notes=[*recognised.remarks(described)])
        result = working.work(loading, why_anew=before.note)
    _archive(begun, recognised.run, has_rejects=result.bad_rows > 0)
    work.remove()
    return result


def _check_retry(run: Run, recognised: Recognised) -> None:
    """Raise ``UsageError`` where a retry cannot begin: the output, or the input, is not what it was."""
    past = recognised.past
    if run.earlier is not None and not past.mending.is_laid_out and not past.finished:
        check_same_rows(run.earlier, recognised.fingerprint)
        check_stands(run.earlier, run.work)


def _before(run: Run, recognised: Recognised, made: unchanged.Recipe) -> unchanged.Verdict:
    """Tell what an earlier run came to that had finished, if this one would give the same."""
    if recognised.past.run or run.earlier or run.job.options.fresh:
        return unchanged.Verdict()
    return unchanged.answer(made, visible=run.work.visible())


def _put_away(begun: Begun, past: Past) -> None:
    _archive(begun, past.run, has_rejects=past.finished is not None and past.finished.result["bad_rows"] > 0)


def _archive(begun: Begun, run: str, *, has_rejects: bool) -> None:
    """Keep the journal of a run that has finished where those of all runs are."""
    try:
        archive(begun.run.work.journal, run, has_rejects=has_rejects)
    except OSError as error:
        begun.teller.say(note=f"the journal of run {run} could not be kept: {text_of(error)}")
