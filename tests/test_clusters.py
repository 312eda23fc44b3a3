"""Clusters by name on a cloud of no machines: made, resized, looked at, renewed, borrowed, called up and ended."""

import dataclasses
import fcntl
import threading
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random

import pandas as pd
import pytest

import muster
from muster._clouds.asked import asked_now
from muster._clouds.base import Seen, Wanted, nobody_works
from muster._clouds.clusters import Cluster, names
from muster._clouds.fake.machines import FakeMachines
from muster._journal.runs import known
from muster._run.history.past import Past
from muster._run.staffing.lent import lent
from muster._show.tables import machines_in_columns
from muster._verbs import down
from muster._verbs._results import sums_of
from muster._watch.report import report
from muster._watch.sums.run import RunView
from muster.errors import EngineError, UsageError
from muster.testing import FakeCloud, FakeEngine

LEASE = 900.0


@pytest.fixture
def cloud() -> Iterator[FakeCloud]:
    with FakeCloud(price=0.5) as made:
        yield made


def living(cluster: Cluster) -> list[str]:
    return [machine.name for machine in cluster.status().machines]


def up(cluster: Cluster, machines: int, workers: int | None = 1, lease: float | None = None) -> list[str]:
    return [machine.name for machine in cluster.up(machines, workers=workers, lease=lease, on="fake").machines]


# Up and down


def test_a_cluster_is_made_resized_shown_and_ended_and_each_verb_may_be_repeated(cloud: FakeCloud) -> None:
    cluster = Cluster("one")
    for _ in range(2):
        assert up(cluster, 2) == ["machine 1", "machine 2"]
    assert names() == ["one"]
    status = cluster.status()
    assert (status.name, status.on, status.held_by, status.silent) == ("one", "fake", None, {})
    assert [(one.is_head, one.workers, one.lease, one.left) for one in status.machines] == [
        (True, 1, LEASE, LEASE),
        (False, 1, LEASE, LEASE),
    ]
    shown = machines_in_columns(status)
    assert "one: 2 machines, 2 workers, on fake, $1 an hour" in shown
    assert shown.count("$0.5 an hour") == 2
    unpriced = dataclasses.replace(status.machines[1], price=0.0)
    shown = machines_in_columns(dataclasses.replace(status, machines=(status.machines[0], unpriced)))
    assert ("at least $0.5 an hour" in shown, "unknown" in shown) == (True, True)
    for size in (5, 1, 3):
        assert len(up(cluster, size)) == size
    assert cluster.down() == [f"machine {number}: 1 process ended, and its files are removed" for number in (1, 2, 3)]
    assert (cluster.down(), names(), cloud.living()) == (None, [], [])
    with pytest.raises(UsageError, match=r"There is no cluster 'one'\. There are: none"):
        cluster.status()


def test_what_is_not_said_stays_as_it_is(cloud: FakeCloud) -> None:
    cluster = Cluster("one")
    up(cluster, 2, workers=3, lease=60)
    grown = cluster.up(3, on=None)
    assert (grown.on, [(one.workers, one.lease) for one in grown.machines]) == ("fake", [(3, 60)] * 3)
    assert [one.workers for one in cluster.up(1, workers=2, on=None).machines] == [2]
    assert cloud.living() == ["machine 1"]


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ((0, 1, None, "fake"), "at least 1 machine"),
        ((1, 0, None, "fake"), "at least 1 machine with 1 worker"),
        ((1, 1, 0, "fake"), "more than 0 seconds"),
        ((1, 1, 0.5, "fake"), "Type --lease 1s at the least"),
        ((1, 1, 1, "local"), "Type --lease 2s at the least"),
        ((1, 1, 4, "hosts.yml"), "Type --lease 5s at the least"),
        ((1, 1, 1e12, "fake"), "Type --lease 8760h, which is a year, at the most"),
        ((1, 1, None, "mars"), "there is no such cloud"),
    ],
)
def test_what_cannot_be_wanted_is_refused_and_leaves_nothing(
    cloud: FakeCloud, home: Path, asked: tuple[int, int, float | None, str], why: str
) -> None:
    machines, workers, lease, on = asked
    with pytest.raises(UsageError, match=why):
        Cluster("one").up(machines, workers=workers, lease=lease, on=on)
    assert (cloud.living(), list(home.iterdir())) == ([], [])


def test_a_name_that_cannot_be_one_is_refused() -> None:
    for name in ("no/name", "", ".hidden", "n" * 42):
        with pytest.raises(UsageError, match="cannot name a cluster"):
            Cluster(name)


def test_a_cluster_stays_with_its_cloud_while_machines_live_there(cloud: FakeCloud) -> None:
    cluster = Cluster("one")
    up(cluster, 1)
    with FakeCloud(name="other") as other:
        with pytest.raises(UsageError, match=r"'one' is on fake, not on other. First type muster down one"):
            cluster.up(1, on="other")
        cloud.kill("machine 1")
        assert cluster.up(1, on="other").on == "other"
        assert (cloud.living(), other.living()) == ([], ["machine 1"])


def test_machines_boot_slowly_and_are_renewed_and_paid_meanwhile() -> None:
    with FakeCloud(boots_in=lambda number: 50.0 * number, price=3.6) as cloud:
        cluster = Cluster("one")
        assert len(up(cluster, 4, lease=30)) == 4
        assert cloud.clock.seconds == 200
        assert cloud.dollars() == pytest.approx(4 * 200 * 0.001)
        cloud.pass_by(100)
        assert cloud.living() == []
        assert cloud.dollars() == pytest.approx(4 * 230 * 0.001)


def test_a_machine_that_never_boots_is_ended_and_named_and_the_others_work() -> None:
    with FakeCloud(boots_in=lambda number: None if number == 2 else 20, patience=100) as cloud:
        cluster = Cluster("one")
        with pytest.raises(EngineError, match=r"machine 2: it did not boot within 100 s"):
            up(cluster, 3)
        assert living(cluster) == cloud.living() == ["machine 1", "machine 3"]
        assert sorted(up(cluster, 3)) == ["machine 1", "machine 2", "machine 3"]


def test_where_the_head_does_not_boot_nothing_is_left_and_nothing_is_remembered(home: Path) -> None:
    with FakeCloud(boots_in=lambda number: None if number == 1 else 1) as cloud:
        with pytest.raises(EngineError, match="machine 1: it did not boot"):
            up(Cluster("one"), 3)
        assert (cloud.living(), names(), list((home / "clusters").iterdir())) == ([], [], [])


def test_more_machines_than_there_are_are_refused_and_those_that_work_stay() -> None:
    with FakeCloud(at_most=3) as cloud:
        cluster = Cluster("one")
        up(cluster, 2)
        with pytest.raises(EngineError, match=r"machine 4: There is room for 3 machines on fake"):
            up(cluster, 4)
        assert cloud.living() == living(cluster) == ["machine 1", "machine 2", "machine 3"]


# Leases


def test_machines_that_nobody_renews_end_with_their_lease_and_the_cluster_can_be_made_again(cloud: FakeCloud) -> None:
    cluster = Cluster("one")
    up(cluster, 2, lease=60)
    cloud.pass_by(59)
    assert [one.left for one in cluster.status().machines] == [1.0, 1.0]
    cloud.pass_by(2)
    assert (cloud.living(), cluster.status().machines, cluster.status().silent) == ([], (), {})
    with (
        pytest.raises(EngineError, match=r"No machine of cluster 'one' lives any more: .* muster up one"),
        cluster.borrow(),
    ):
        pass
    assert up(cluster, 2) == ["machine 1", "machine 2"]


def test_who_borrows_a_cluster_renews_it(cloud: FakeCloud) -> None:
    cluster = Cluster("one")
    up(cluster, 2, lease=60)
    for _ in range(3):
        cloud.pass_by(50)
        with cluster.borrow() as access:
            assert (access.name, access.workers) == ("one", 2)
            assert access.prices == {"machine 1": 0.5, "machine 2": 0.5}
            assert access.renewals.get(timeout=60).machines == ("machine 1", "machine 2")
    cloud.pass_by(61)
    assert cloud.living() == []


def test_keep_renews_tells_what_fails_and_ends_when_no_machine_lives(cloud: FakeCloud) -> None:
    cluster = Cluster("one")
    up(cluster, 2)
    cloud.pass_by(LEASE / 2)
    told: list[str] = []

    def hear(text: str) -> None:
        told.append(text)

    cloud.kill("machine 1")
    cluster.keep(hear)
    assert told == [
        "machine machine 1 has ended: its lease is no longer there",
        "machine machine 2 has ended: its lease is no longer there",
        "no machine of cluster 'one' lives any more",
    ]


def test_a_machine_that_is_to_be_taken_away_is_told_once_and_its_place_is_filled_by_the_next_up(
    cloud: FakeCloud,
) -> None:
    cluster = Cluster("one")
    up(cluster, 2)
    cloud.interrupt("machine 2", notice=120)
    cloud.pass_by(20)
    with cluster.borrow() as access:
        renewed = access.renewals.get(timeout=60)
    assert renewed.notices == {"machine 2": 100.0}
    assert renewed.news == (
        "machine machine 2 will be taken away in 100 s by whoever made it; its tasks are then done elsewhere",
    )
    cloud.pass_by(100)
    status = cluster.status()
    assert [one.name for one in status.machines] == ["machine 1"]
    assert status.silent == {"machine 2": "it has ended: it was taken away"}
    assert len(up(cluster, 2)) == 2


# Machines that do not answer


def test_a_machine_that_is_silent_when_it_is_to_end_is_known_until_it_answers(cloud: FakeCloud) -> None:
    cluster = Cluster("one")
    up(cluster, 2)
    cloud.silence("machine 2")
    assert cluster.status().silent == {"machine 2": "it did not answer: it does not answer."}
    with pytest.raises(EngineError, match=r"Not all machines could be seen to end:\n  machine 2: it does not answer"):
        up(cluster, 1)
    assert living(cluster) == ["machine 1"]
    assert cluster.status().silent["machine 2"].startswith("it was to end, and did not answer")
    cloud.mend("machine 2")
    assert cluster.status().silent == {"machine 2": "it was to end, and lives"}
    cloud.silence("machine 2")
    with pytest.raises(EngineError, match="within its lease of 900 s"):
        cluster.down()
    assert (names(), cloud.living()) == (["one"], ["machine 2"])
    cloud.mend("machine 2")
    assert cluster.down() is not None
    assert (names(), cloud.living()) == ([], [])


def test_a_machine_that_was_silent_until_its_lease_was_over_is_forgotten(cloud: FakeCloud) -> None:
    cluster = Cluster("one")
    up(cluster, 2)
    cloud.silence("machine 2")
    with pytest.raises(EngineError):
        cluster.down()
    cloud.pass_by(LEASE + 1)
    assert cluster.down() is not None
    assert names() == []


def test_where_no_machine_answers_a_run_hears_of_each(cloud: FakeCloud) -> None:
    cluster = Cluster("one")
    up(cluster, 2)
    for name in cloud.living():
        cloud.silence(name)
    with (
        pytest.raises(
            EngineError, match=r"No machine of cluster 'one' can be worked on.\n  machine 1: it did not answer"
        ),
        cluster.borrow(),
    ):
        pass


# Two at a time


@pytest.mark.usefixtures("cloud")
def test_one_works_on_a_cluster_at_a_time_and_nothing_starts_anew_below_it() -> None:
    cluster = Cluster("one")
    up(cluster, 2)
    with cluster.borrow():
        assert cluster.status().held_by
        with pytest.raises(UsageError, match=r"is working for another run \(process \d+\)"), Cluster("one").borrow():
            pass
        with pytest.raises(UsageError, match="a run works on them"):
            up(Cluster("one"), 2, workers=2)
        assert len(up(Cluster("one"), 3)) == 3  # which disturbs nobody
        assert [one.workers for one in cluster.status().machines] == [1, 1, 1]
    assert cluster.status().held_by is None
    assert len(up(cluster, 1, workers=2)) == 1


def test_one_changes_a_cluster_at_a_time_and_others_may_look_and_work(cloud: FakeCloud, home: Path) -> None:
    cluster = Cluster("one")
    up(cluster, 1)
    with (home / "clusters" / "one" / "changing").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # as another command would
        for change in (lambda: up(Cluster("one"), 2), Cluster("one").down):
            with pytest.raises(UsageError, match="Another command is changing cluster 'one'"):
                change()
        assert living(cluster) == cloud.living() == ["machine 1"]
        with cluster.borrow():
            pass
    assert cluster.down() is not None


@pytest.mark.parametrize("machines", [2, 1])
def test_a_command_lets_no_other_one_change_the_cluster_until_it_is_done(machines: int) -> None:
    tried: list[int] = []

    def boots_in(number: int) -> float:
        for change in (Cluster("one").down, lambda: Cluster("one").up(machines, on="tried")):
            with pytest.raises(UsageError, match="Another command is changing cluster 'one'"):
                change()
        tried.append(number)
        return 0.0

    with FakeCloud(name="tried", boots_in=boots_in) as cloud:
        cluster = Cluster("one")
        cluster.up(machines, workers=1, on="tried")
        cluster.up(3, on="tried")
        assert (tried, len(cloud.living())) == ([1, 2, 3], 3)
        assert cluster.down() is not None
        assert cloud.living() == []


def test_who_only_looks_at_a_cluster_keeps_nobody_from_working_on_it(cloud: FakeCloud, home: Path) -> None:
    up(Cluster("looked-at"), 1)
    with (home / "clusters" / "looked-at" / "held").open("a+") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        threading.Timer(0.1, fcntl.flock, (looking, fcntl.LOCK_UN)).start()
        with Cluster("looked-at").borrow():
            assert cloud.living() == ["machine 1"]


def test_clusters_side_by_side_do_not_touch_each_other(cloud: FakeCloud) -> None:
    chance = Random(7)  # noqa: S311 (it shuffles, and keeps no secret)
    sizes: dict[str, int] = {}
    for _ in range(100):
        name = chance.choice("abc")
        if chance.random() < 0.2:
            Cluster(name).down()
            sizes.pop(name, None)
        else:
            sizes[name] = chance.randint(1, 4)
            up(Cluster(name), sizes[name])
        assert {one: len(living(Cluster(one))) for one in names()} == sizes
        found = [one.cluster for one in cloud.census().existing]
        assert {one: found.count(one) for one in found} == sizes


def test_down_of_all_ends_each_cluster_that_answers_and_names_those_that_do_not(
    cloud: FakeCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    up(Cluster("first"), 1)
    cloud.silence("machine 1")
    up(Cluster("second"), 2)
    with pytest.raises(EngineError, match="machine 1: it does not answer"):
        down.call(Namespace(name="default", all=True, purge=False))
    assert "second: gone" in capsys.readouterr().out
    assert (names(), cloud.living()) == (["first"], ["machine 1"])
    up(Cluster("third"), 1)
    cloud.silence("machine 1")
    with pytest.raises(EngineError, match=r"(?s)first: Not all machines .*\nthird: Not all machines"):
        down.call(Namespace(name="default", all=True, purge=False))
    cloud.pass_by(LEASE + 1)
    assert down.call(Namespace(name="default", all=True, purge=False)) == 0
    assert names() == []


def test_a_head_that_does_not_answer_is_let_go_and_the_others_with_it_and_all_are_known_until_they_end(
    cloud: FakeCloud,
) -> None:
    cluster = Cluster("one")
    up(cluster, 2)
    cloud.silence("machine 1")
    with pytest.raises(EngineError, match="machine 1: it does not answer"):
        up(cluster, 2)
    assert [(one.name, one.is_head) for one in cluster.status().machines] == [
        ("machine 2", True),
        ("machine 3", False),
    ]
    assert cluster.status().silent["machine 1"].startswith("it was to end, and did not answer")
    cloud.mend("machine 1")
    assert len(up(cluster, 3)) == 3
    assert cluster.status().silent == {}
    assert sorted(cloud.living()) == sorted(living(cluster))


# Runs


def double(df: pd.DataFrame) -> pd.DataFrame:
    return df.assign(b=df["a"] * 2)


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.csv").write_text("a\n" + "".join(f"{n}\n" for n in range(1000)))
    return "a,b\n" + "".join(f"{n},{2 * n}\n" for n in range(1000))


def test_machines_that_are_called_up_for_a_run_end_with_it_and_are_paid(rows: str, tmp_path: Path) -> None:
    def engine(workers: int) -> FakeEngine:
        clouds[0].pass_by(360)
        return FakeEngine(workers=workers, machines=2)

    clouds: list[FakeCloud] = []
    with FakeCloud(price=1.0, make_engine=engine) as cloud:
        clouds.append(cloud)
        result = muster.run(double, "rows.csv", "out.csv", machines=2, on="fake")
        assert (tmp_path / "out.csv").read_text() == rows
        assert result.machines == 2
        assert (cloud.living(), names()) == ([], [])
        assert cloud.dollars() == pytest.approx(0.2)


class RentedMachines(FakeMachines):
    """Machines for which somebody is asked before, and of whose end somebody is told, as those of AWS."""

    def scale(self, wanted: Wanted, *, alone: Callable[[], None] = nobody_works) -> Seen:
        asked_now().agree("2 machines, $1 an hour")
        return super().scale(wanted, alone=alone)

    def destroy(self) -> Sequence[str]:
        asked_now().tell("2 machines ended, 0 left")
        return super().destroy()


class RentingCloud(FakeCloud):
    def of(self, folder: Path) -> FakeMachines:
        return RentedMachines(self._region, folder)


def test_who_runs_on_rented_machines_in_python_is_shown_what_they_cost_and_that_they_have_ended(
    rows: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with RentingCloud(make_engine=lambda workers: FakeEngine(workers=workers)):
        muster.run(double, "rows.csv", "out.csv", machines=2, on="fake", progress=True)
    shown = capsys.readouterr().err
    assert shown.index("2 machines, $1 an hour") < shown.index("2 machines ended, 0 left") < shown.index("out.csv:")
    assert (tmp_path / "out.csv").read_text() == rows


def fail_late(df: pd.DataFrame) -> pd.DataFrame:
    if not Path("mended").exists() and (df["a"] == 900).any():
        raise ValueError("late")
    return double(df)


def test_what_a_run_costs_is_the_sum_of_its_attempts(rows: str, tmp_path: Path) -> None:
    def costs() -> float:
        return Past.read(tmp_path / "out.csv.muster" / "journal.jsonl").tried.dollars or 0.0

    with FakeCloud(price=3.6e6):  # $1,000 a second
        up(Cluster("one"), 1)
        with pytest.raises(muster.MusterError, match="late"):
            muster.run(fail_late, "rows.csv", "out.csv", cluster="one", strict=True, part_bytes=100)
        first = costs()
        Path("mended").touch()
        began = time.monotonic()
        result = muster.run(fail_late, "rows.csv", "out.csv", cluster="one", strict=True, part_bytes=100)
        second = (result.cost or 0.0) - first
        assert (tmp_path / "out.csv").read_text() == rows
        assert result.resumed_parts > 0
        assert first > 0
        assert 0 < second <= 1000 * (time.monotonic() - began)
    (run,) = known()
    view = RunView()
    view.take_all(run.entries())
    assert view.dollars(view.time.seconds) == result.cost


def test_what_a_run_costs_is_unknown_and_not_nothing_where_nobody_knows_the_price_of_a_machine(
    rows: str, tmp_path: Path
) -> None:
    seen: list[muster.Snapshot] = []
    with FakeCloud(price=None):
        up(Cluster("one"), 1)
        assert "on fake, price unknown" in machines_in_columns(Cluster("one").status())
        result = muster.run(double, "rows.csv", "out.csv", cluster="one", watch=seen.append)
    assert (tmp_path / "out.csv").read_text() == rows
    assert (result.cost, result.as_fields()["cost"], seen[-1].dollars) == (None, None, None)
    assert ">unknown<" in result._repr_html_()
    assert sums_of([result, dataclasses.replace(result, cost=1.0)])["cost"] is None
    (run,) = known()
    view = RunView()
    view.take_all(run.entries())
    assert (view.dollars(view.time.seconds), view.roster.billing.bill.is_unknown) == (None, True)
    assert "nobody knows the price of a machine" in report(None)


def test_a_run_on_a_cluster_leaves_it_as_it_was(cloud: FakeCloud, rows: str, tmp_path: Path) -> None:
    up(Cluster("one"), 2)
    muster.run(double, "rows.csv", "out.csv", cluster="one")  # on processes of this computer
    assert (tmp_path / "out.csv").read_text() == rows
    assert living(Cluster("one")) == cloud.living() == ["machine 1", "machine 2"]
    with pytest.raises(muster.UsageError, match="There is no cluster 'on'"):
        muster.run(double, "rows.csv", "other.csv", cluster="on")


def test_a_run_that_fails_ends_the_machines_that_it_called_up(rows: str) -> None:
    def engine(workers: int) -> FakeEngine:
        return FakeEngine(workers=workers, fails_after=0)

    assert rows
    with FakeCloud(make_engine=engine) as cloud:
        with pytest.raises(muster.MusterError, match="The cluster is gone"):
            muster.run(double, "rows.csv", "out.csv", machines=2, on="fake")
        assert (cloud.living(), names()) == ([], [])


def test_machines_that_cannot_be_ended_do_not_hide_what_stopped_the_run(cloud: FakeCloud) -> None:
    def run() -> None:
        with lent(None, machines=2, on="fake") as access:
            cloud.silence("machine 2")
            raise KeyError(access.name)

    with pytest.raises(KeyError) as caught:
        run()
    (note,) = caught.value.__notes__
    assert "Nor could its machines be ended: Not all machines could be seen to end" in note
    assert cloud.living() == ["machine 2"]
    assert names() == [caught.value.args[0]]
    cloud.mend("machine 2")
    assert Cluster(caught.value.args[0]).down() is not None


def test_machines_that_cannot_be_called_up_leave_nothing_and_do_not_start_the_run(rows: str, home: Path) -> None:
    assert rows
    with FakeCloud(at_most=1) as cloud:
        with pytest.raises(muster.MusterError, match="There is room for 1 machine on"):
            muster.run(double, "rows.csv", "out.csv", machines=2, on="fake")
        assert (cloud.living(), names(), list((home / "clusters").iterdir())) == ([], [], [])
    assert not Path("out.csv").exists()


def test_a_machine_that_is_taken_away_soon_gets_no_task_where_another_does_them(
    rows: str, tmp_path: Path, home: Path
) -> None:
    drained: list[str] = []

    class Watched(FakeEngine):
        def drain(self, machine: str) -> None:
            drained.append(machine)
            super().drain(machine)

    with FakeCloud(make_engine=lambda workers: Watched(workers=workers, machines=2)) as cloud:
        up(Cluster("one"), 2)
        cloud.interrupt("machine 2", notice=100)
        muster.run(double, "rows.csv", "out.csv", cluster="one", part_bytes=20)
        assert drained == ["machine 2"]
        assert (tmp_path / "out.csv").read_text() == rows
        (journal,) = (home / "runs").iterdir()
        assert "machine machine 2 will be taken away in 100 s" in journal.read_text()
        cloud.interrupt("machine 1", notice=50)  # machine 2 is the last that can work, and does
        muster.run(double, "rows.csv", "again.csv", cluster="one", part_bytes=20)
        assert drained == ["machine 2", "machine 1"]
        assert (tmp_path / "again.csv").read_text() == rows


def test_a_machine_that_kills_every_task_is_put_aside_and_named_and_costs_no_row(
    rows: str, tmp_path: Path, home: Path
) -> None:
    def engine(workers: int) -> FakeEngine:
        return FakeEngine(workers=workers, machines=3, kills_on=lambda machine, _: machine == "machine 2")

    with FakeCloud(make_engine=engine) as cloud:
        result = muster.run(double, "rows.csv", "out.csv", machines=3, on="fake", part_bytes=100)
        assert cloud.living() == []
    assert (tmp_path / "out.csv").read_text() == rows
    assert result.bad_rows == 0
    (journal,) = (home / "runs").iterdir()
    assert "machine machine 2 is put aside: tasks fail there that others do" in journal.read_text()
