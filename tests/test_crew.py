"""Several engines serve one run, and machines of one run differ: on fakes, whose time is simulated."""

import errno
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random
from select import select
from typing import Any

import pytest

import muster
from muster._engines.base import Done, Engine, Failed, Joined, Left, Lost, Message
from muster._engines.cores.engine import CoresEngine
from muster._engines.crew import Crew
from muster._job import Job, Options, Result, Snapshot
from muster._model import Outcome, Part, Seconds, Slots, Target
from muster._progress.actions import Submit
from muster._progress.progress import Progress
from muster._run.runner import run
from muster._run.tasks.setbacks import Setbacks
from muster._run.telling.observer import Observer
from muster._worker.task import TaskBody
from muster.errors import EngineError
from muster.testing import FakeClock, FakeEngine
from test_progress import line_of_parts, outcome_of, progress_over, slots, submitted

ROWS = 3_000
FULL = OSError(errno.ENOSPC, "No space left on device")


def run_on(folder: Path, engine: Engine) -> tuple[Result, list[str]]:
    if not (folder / "rows.csv").exists():
        (folder / "functions.py").write_text("def double(df):\n    return df.assign(m=2 * df['n'])\n")
        (folder / "rows.csv").write_text("n\n" + "".join(f"{n}\n" for n in range(ROWS)))
    notes: list[str] = []

    def watch(snapshot: Snapshot) -> None:
        notes.append(snapshot.note)

    target = Target("file", str(folder / "functions.py"), "double")
    options = Options(workers=4, part_bytes=100)
    job = Job((target,), (str(folder / "rows.csv"),), str(folder / "out.csv"), options)
    return run(job, watch=watch, make_engine=lambda _: engine), notes


def assert_is_whole(folder: Path) -> None:
    assert (folder / "out.csv").read_text() == "n,m\n" + "".join(f"{n},{2 * n}\n" for n in range(ROWS))


def fake(seed: int, *, fails_after: int | None = None) -> FakeEngine:
    return FakeEngine(TaskBody, workers=2, chance=Random(seed), fails_after=fails_after)  # noqa: S311 (no secret)


@pytest.mark.parametrize("seed", range(4))
def test_a_run_on_two_engines_of_which_one_fails_in_the_middle_ends_with_the_right_bytes(
    tmp_path: Path, seed: int
) -> None:
    result, notes = run_on(tmp_path, Crew(home=fake(seed), away=fake(seed + 1, fails_after=8 + seed)))
    assert (result.rows_out, result.bad_rows, result.machines) == (ROWS, 0, 2)
    assert_is_whole(tmp_path)
    assert sum("the run goes on without away: The cluster is gone" in note for note in notes) == 1


def test_a_run_whose_last_engine_fails_stops_resumable_and_goes_on_with_others(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="The cluster is gone"):
        run_on(tmp_path, Crew(a=fake(1, fails_after=9), b=fake(2, fails_after=20)))
    assert not (tmp_path / "out.csv").exists()
    result, _ = run_on(tmp_path, Crew(a=fake(3)))
    assert result.resumed_parts
    assert_is_whole(tmp_path)


def test_processes_and_a_fake_serve_one_run_together(tmp_path: Path) -> None:
    clock = FakeClock()
    crew = Crew(cores=CoresEngine(TaskBody, workers=1), fake=FakeEngine(TaskBody, workers=1, clock=clock))
    result, _ = run_on(tmp_path, crew)
    assert result.rows_out == ROWS
    assert_is_whole(tmp_path)


def test_an_engine_that_comes_later_is_briefed_and_its_machines_have_names_of_their_own() -> None:
    crew = Crew(a=FakeEngine(_Echo))
    crew.brief(b"known")
    crew.add(FakeEngine(_Echo), name="b")
    assert sorted(crew.slots()) == ["a-machine 1", "b-machine 1"]
    joined = {message.worker for message in crew.messages() if isinstance(message, Joined)}
    assert joined == {"a-1", "a-2", "b-1", "b-2"}
    crew.submit(1, "briefed", machine="b-machine 1")
    while Done(1, b"known") not in (messages := crew.messages()):
        assert select([crew], [], [], 0)[0], messages
    crew.close()


def test_a_crew_whose_machines_are_all_drained_says_that_nobody_is_left() -> None:
    crew = Crew(a=FakeEngine(_Echo, workers=1), b=FakeEngine(_Echo, workers=1))
    crew.slots()
    crew.submit(1, "x", machine="a-machine 1")
    crew.drain("a-machine 1")
    crew.drain("b-machine 1")
    heard: list[Message] = []
    while len([message for message in heard if isinstance(message, Left)]) < 2:
        heard += crew.messages()
    assert Done(1, "x") in heard
    assert select([crew], [], [], 0)[0]
    with closing(crew), pytest.raises(EngineError, match="Every machine of the run has been put aside"):
        crew.messages()
    assert {message.worker for message in heard if isinstance(message, Left)} == {"a-1", "b-1"}


def test_a_machine_is_drained_also_before_anybody_has_asked_for_slots() -> None:
    crew = Crew(a=FakeEngine(_Echo, workers=1), b=FakeEngine(_Echo, workers=1))
    crew.drain("a-machine 1")
    crew.drain("nobody's machine")
    assert [*crew.slots()] == ["b-machine 1"]
    heard = [message for _ in range(5) for message in crew.messages()]
    assert [message.worker for message in heard if isinstance(message, Left)] == ["a-1"]
    crew.close()


def test_a_machine_takes_requests_also_before_anybody_has_asked_for_slots() -> None:
    crew = Crew(a=FakeEngine(_Echo, workers=1), b=FakeEngine(_Echo, workers=1))
    crew.submit(1, "x", machine="b-machine 1")
    heard: list[Message] = []
    while not (answers := [message for message in heard if isinstance(message, Done | Lost)]):
        heard += crew.messages()
    assert answers == [Done(1, "x")]
    assert answers[0].worker == "b-1"
    crew.close()


@pytest.mark.parametrize("name", ["a", "", "c-d"])
def test_the_machines_of_two_engines_are_never_called_the_same(name: str) -> None:
    crew = Crew(a=FakeEngine(_Echo, workers=1))
    with closing(FakeEngine(_Echo, workers=1)) as other, pytest.raises(ValueError, match=f"cannot be called '{name}'"):
        crew.add(other, name=name)
    assert [*crew.slots()] == ["a-machine 1"]
    crew.close()


class _NoRoom(FakeEngine):
    """What comes from its machines cannot be kept on this computer."""

    def messages(self) -> list[Message]:
        raise FULL


def test_what_is_wrong_with_this_computer_ends_the_run_whichever_engine_finds_it() -> None:
    crew = Crew(a=FakeEngine(_Echo), b=_NoRoom(_Echo))
    with closing(crew), pytest.raises(OSError, match="No space left"):
        crew.messages()


class _Starts(FakeEngine):
    """An engine whose worker has not joined yet."""

    def _bear(self, name: str, machine: str) -> None:
        pass


def test_an_engine_that_is_drained_while_another_starts_leaves_the_crew_waiting_for_that() -> None:
    crew = Crew(a=FakeEngine(_Echo, workers=1), b=_Starts(_Echo, workers=1))
    crew.slots()
    crew.drain("a-machine 1")
    heard = [message for _ in range(5) for message in crew.messages()]
    assert [message.worker for message in heard if isinstance(message, Left)] == ["a-1"]
    crew.close()


def test_the_last_engine_is_closed_with_its_crew_also_where_it_has_failed() -> None:
    engine = FakeEngine(_Echo, fails_after=0)
    crew = Crew(a=engine)
    with closing(crew):
        assert all(isinstance(message, Joined) for message in crew.messages())
        with pytest.raises(EngineError, match="The cluster is gone"):
            crew.messages()
    assert engine.fileno() < 0


def test_an_engine_that_fails_takes_its_requests_and_lanes_with_it_and_the_others_keep_theirs() -> None:
    crew = Crew(a=FakeEngine(_Echo, workers=1, fails_after=1), b=FakeEngine(_Echo, workers=1))
    crew.slots()
    for ticket, machine in enumerate(["a-machine 1", "b-machine 1"] * 2):
        crew.submit(ticket, "x", machine=machine, lane=ticket)
    heard: list[Message] = []
    while len([message for message in heard if isinstance(message, Done | Lost)]) < 4:
        heard += crew.messages()
    assert [(lost.ticket, lost.lane) for lost in heard if isinstance(lost, Lost)] == [(2, 2)]
    assert {done.ticket for done in heard if isinstance(done, Done)} == {0, 1, 3}
    assert [(left.worker, left.lanes) for left in heard if isinstance(left, Left)] == [("a-1", (0, 2))]
    assert [*crew.slots()] == ["b-machine 1"]
    while select([crew], [], [], 0)[0]:
        assert not crew.messages()
    crew.submit(9, "x", machine="a-machine 1")
    assert select([crew], [], [], 0)[0]
    assert Lost(9, "its machine is gone", began=False) in crew.messages()
    crew.close()


# What comes late


def test_an_answer_to_a_task_that_somebody_else_has_changes_nothing() -> None:
    progress = progress_over(line_of_parts(2))
    first, second = submitted(progress.submit(slots(2, 0)))
    progress.lost(first.number, "its machine is gone", began=False)
    (again,) = submitted(progress.submit(slots(1, 0)))
    assert progress.done(first.number, outcome_of(first)) == []
    assert progress.lost(first.number, "it died", began=True) == []
    progress.failed(first.number)
    assert progress.running == {again.number, second.number}
    assert progress.rows_done == 0
    for task in (again, second):
        progress.done(task.number, outcome_of(task))
    assert progress.is_done
    assert progress.rows_done == 2


def test_what_is_cancelled_is_done_again_and_nobody_is_to_blame() -> None:
    progress = progress_over(line_of_parts(2))
    progress.work_on(frozenset({"a", "b"}))
    actions = progress.submit({"a": Slots(1, 0), "b": Slots(1, 0)})
    on = {action.machine: action.task for action in actions if isinstance(action, Submit)}
    assert progress.put_aside("a")
    assert progress.cancel("a") == [on["a"].number]
    assert progress.cancel("a") == []
    progress.lost(on["a"].number, "it was cancelled", began=True)
    (again,) = (
        action for action in progress.submit({"a": Slots(2, 0), "b": Slots(1, 0)}) if isinstance(action, Submit)
    )
    assert (again.task.first, again.machine, again.fresh) == (on["a"].first, "b", False)


# Machines that nobody can use


class Full:
    """A run on machines with disks of their own, all of which fill."""

    def __init__(self, *machines: str) -> None:
        self.aside: list[str] = []
        self.progress = progress_over(line_of_parts(8), workers=len(machines))
        observer = Observer(lambda _: None, prices={})
        for machine in machines:
            observer.hear(Joined(f"{machine}-1", machine))
        self.progress.work_on(observer.there.machines)
        self.setbacks = Setbacks(
            observer,
            has_own_disks=True,
            put_aside=lambda machine, _: self.aside.append(machine),
            tell=self.aside.append,
        )
        actions = self.progress.submit({machine: Slots(2, 0) for machine in machines})
        self.tasks = [action for action in actions if isinstance(action, Submit)]

    def fill(self, machine: str) -> None:
        for action in self.tasks:
            if action.machine == machine:
                self.setbacks.failed(self.progress, Failed(action.task.number, FULL, f"{machine}-1"))


def test_two_machines_whose_disks_fill_at_once_end_the_run_in_words() -> None:
    full = Full("a", "b")
    full.fill("a")
    assert full.aside == ["a"]
    with pytest.raises(EngineError, match=r"worker on b could not read or write.*No space left.*What was done is kept"):
        full.fill("b")


def test_a_machine_whose_disk_is_not_full_does_what_the_others_cannot() -> None:
    full = Full("a", "b", "c")
    full.fill("a")
    full.fill("b")
    assert full.aside == ["a", "b"]
    again = full.progress.submit({machine: Slots(9, 0) for machine in "abc"})
    assert {action.machine for action in again if isinstance(action, Submit)} == {"c"}


def test_the_last_machine_that_is_fit_is_not_blamed_for_tasks_that_one_put_aside_did() -> None:
    full = Full("a", "b")
    assert full.progress.put_aside("a")
    assert not full.progress.put_aside("b")
    assert full.progress.unfit == {"a"}


# The pace of machines


def simulate(*, slowness: Callable[[str], float], workers: int = 8, parts: int = 4_000) -> tuple[float, Counter[str]]:
    """Do a job on machines of two workers each; tell how long it took, and how much each machine was given at most."""
    engine = FakeEngine(
        _Echo,
        workers=workers,
        machines=workers // 2,
        seconds=lambda task: (task.stop - task.start) / 100_000,
        slowness=slowness,
    )
    progress = Progress(workers=workers, max_bad_rows=0)
    progress.add_parts([Part(0, at * 4_000, (at + 1) * 4_000, at, 1) for at in range(parts)])
    progress.no_more_parts()
    largest: Counter[str] = Counter()
    machine_of: dict[str, str] = {}
    while not progress.is_done:
        for action in progress.submit(engine.slots()):
            assert isinstance(action, Submit)
            task = action.task
            largest[action.machine] = max(largest[action.machine], task.stop - task.start)
            engine.submit(task.number, task, machine=action.machine)
        for message in engine.messages():
            if isinstance(message, Joined):
                machine_of[message.worker] = message.machine
                progress.work_on(frozenset(machine_of.values()))
            elif isinstance(message, Done):
                machine = machine_of[message.worker]
                task = message.answer
                took = (task.stop - task.start) / 100_000 * slowness(machine)
                progress.done(task.number, Outcome(task, task.rows, 0, seconds=Seconds(total=took)), machine=machine)
            assert not isinstance(message, Lost | Left)
    return engine.clock.seconds, largest


class _Echo:
    def brief(self, briefing: bytes) -> None:
        self.briefing = briefing

    def end(self) -> None:
        pass

    def __call__(self, request: Any) -> object:  # noqa: ANN401 (a task, or what it shall tell)
        return self.briefing if request == "briefed" else request


def test_a_machine_that_is_ten_times_slower_gets_tasks_of_its_own_size_and_holds_nobody_up() -> None:
    took, largest = simulate(slowness=lambda machine: 10.0 if machine == "machine 2" else 1.0)
    work = 4_000 * 4_000 / 100_000
    assert largest["machine 2"] <= largest["machine 1"] / 3
    assert took <= 1.15 * work / (6 + 2 / 10)


def test_machines_that_are_alike_share_alike() -> None:
    took, largest = simulate(slowness=lambda _: 1.0)
    assert len(set(largest.values())) == 1
    assert took <= 1.05 * 4_000 * 4_000 / 100_000 / 8


def test_a_fake_engine_can_be_plugged_into_a_run_of_a_user(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("n\n1\n2\n3\n")
    engine = FakeEngine(workers=3, machines=3)
    result = muster.run(lambda df: df + 1, tmp_path / "in.csv", tmp_path / "out.csv", engine=engine)
    assert (tmp_path / "out.csv").read_text() == "n\n2\n3\n4\n"
    assert result.rows_out == 3


@pytest.mark.parametrize("count", [1, 100])
def test_a_run_has_the_workers_of_the_engine_that_is_given_and_not_those_of_this_computer(
    tmp_path: Path, count: int
) -> None:
    (tmp_path / "in.csv").write_text("n\n" + "".join(f"{n}\n" for n in range(ROWS)))
    told: list[Snapshot] = []
    result = muster.run(
        lambda df: df,
        tmp_path / "in.csv",
        tmp_path / "out.csv",
        engine=FakeEngine(workers=count),
        workers=8,
        part_bytes=50,
        watch=told.append,
    )
    assert {one.workers for one in told if one.phase == "working" and one.rows_done} == {count} == {result.workers}


def test_a_run_after_one_on_a_fake_engine_reads_the_function_anew(tmp_path: Path) -> None:
    function, source, output = tmp_path / "f.py", tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("n\n1\n2\n3\n")
    dying = iter([True])
    for number, engine in enumerate((FakeEngine(workers=3, kills=lambda _: next(dying, False)), None)):
        function.write_text(f"def f(df):\n    return df + {number:+d}\n")
        result = muster.run(f"{function}:f", source, output, workers=0, engine=engine, fresh=True)
        assert result.rows_out == 3
    assert output.read_text() == "n\n2\n3\n4\n"
    assert next(dying, None) is None
