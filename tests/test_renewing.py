"""Renewals: what fails is told once and by name, whatever it is, and that it works again; and they go on."""

import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue

import pytest

from muster._clouds.base import ENDED, Renewals
from muster._clouds.over_ssh.machines import noticed, renewal
from muster._clouds.over_ssh.touching import answers_of_each, run_on_each
from muster._clouds.renewing import News, renewing
from muster._journal import events
from muster._progress.progress import Progress
from muster._run.asking.questions import as_muster_error
from muster._run.asking.transient import has_no_room
from muster._run.telling.attendance import Attendance
from muster._run.telling.observer import Observer
from muster.errors import EngineError
from muster.testing import FakeClock
from waiting import until

REFUSED = "it refuses the key. Mend it. [Permission denied (publickey).]"
SILENT = "it does not answer. Is it up? [timed out after 3 s]"


def renewed(*machines: str, **failed: str) -> Renewals:
    return Renewals(machines, 20.0, failed)


def test_a_failure_is_told_once_by_name_and_so_is_its_end() -> None:
    news = News()
    assert news.of(renewed("one", "two")) == ()
    (told,) = news.of(renewed("one", two=SILENT))
    assert told == (
        "the lease of machine two could not be renewed: it does not answer. Is it up? [timed out after 3 s] The machine"
        " ends 20 s after the last renewal; this is tried again till then"
    )
    assert news.of(renewed("one", two=SILENT.replace("3 s", "4 s"))) == ()
    assert news.of(renewed("one", two="it does not answer: nobody knows its name. [ssh: so it is]")) == ()
    (told,) = news.of(renewed("one", two=REFUSED))
    assert "it refuses the key" in told
    assert news.of(renewed("one", "two")) == ("the lease of machine two is renewed again",)
    assert news.of(renewed("one", "two")) == ()
    assert news.of(renewed("one", two=ENDED)) == ("machine two has ended: its lease is no longer there",)
    assert news.of(renewed("one", two=ENDED)) == ()
    assert news.of(renewed("one")) == ()  # it was dismissed


class Cloud:
    """Renews as it is told, one after another; the last for ever."""

    def __init__(self, *renewals: Callable[[], Renewals]) -> None:
        self._renewals = list(renewals)

    def renew(self) -> Renewals:
        return (self._renewals.pop(0) if len(self._renewals) > 1 else self._renewals[0])()


def raise_(error: Exception) -> Renewals:
    raise error


@pytest.mark.parametrize(
    "error", [OSError("no room"), EngineError("no room"), KeyError("no room"), ValueError("no room")]
)
def test_whatever_a_renewal_raises_is_told_and_the_next_one_comes(error: Exception) -> None:
    took: SimpleQueue[Renewals] = SimpleQueue()
    cloud = Cloud(lambda: raise_(error), lambda: raise_(error), lambda: renewed("one"))
    with renewing(cloud, lease=lambda: 0.1, told=took.put):  # type: ignore[arg-type]  # of a cloud, nothing else is used
        until(lambda: took.qsize() >= 3)
    news = [took.get().news for _ in range(3)]
    assert [len(texts) for texts in news] == [1, 0, 1]
    assert "leases could not be renewed: " in news[0][0]
    assert "no room" in news[0][0]
    assert news[2] == ("leases are renewed again",)


def test_machines_that_may_be_taken_away_are_asked_as_often_as_their_cloud_says_though_no_lease_needs_it() -> None:
    took: SimpleQueue[Renewals] = SimpleQueue()
    cloud = Cloud(lambda: replace(renewed("one"), again=0.01))
    with renewing(cloud, lease=lambda: 3600.0, told=took.put):  # type: ignore[arg-type]  # likewise
        until(lambda: took.qsize() >= 3)


def test_a_lease_that_cannot_be_read_for_a_moment_ends_no_renewing() -> None:
    took: SimpleQueue[Renewals] = SimpleQueue()
    leases: Iterator[float | Exception] = iter([0.1, OSError("gone"), ValueError("half written")])

    def lease() -> float:
        now = next(leases, 0.1)
        if isinstance(now, Exception):
            raise now
        return now

    with renewing(Cloud(lambda: renewed("one")), lease=lease, told=took.put):  # type: ignore[arg-type]  # likewise
        until(lambda: took.qsize() >= 4)


def test_what_keeps_a_host_from_a_command_is_made_out_of_what_ssh_says(tmp_path: Path) -> None:
    (tmp_path / "lease").touch()
    os.utime(tmp_path / "lease", (0, 0))
    ills = {
        "well": ("echo noise; " + renewal(str(tmp_path)), ""),
        "ended": ("echo noise >&2; " + renewal(str(tmp_path / "none")), ENDED),
        "key": ("echo 'root@a: Permission denied (publickey).' >&2; exit 255", "it refuses the key."),
        "silent": ("exec sleep 100", "it does not answer."),
        "disk": ("echo \"touch: cannot touch 'x': Read-only file system\" >&2; exit 1", "its disk is read-only."),
        "noisy": ("echo 'of the house' >&2; true", ""),
    }
    why = run_on_each({name: ["sh", "-c", shell] for name, (shell, _) in ills.items()}, seconds=3)
    for name, (_, told) in ills.items():
        assert why[name].startswith(told), (name, why[name])
        assert bool(why[name]) == bool(told)
    assert (tmp_path / "lease").stat().st_mtime > 0


def test_a_notice_is_printed_where_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "lease").touch()
    (tmp_path / "given").write_text("113\n")
    notices = {"given": "given", "none": "not there"}
    lines = {name: ["sh", "-c", renewal(str(tmp_path), str(tmp_path / file))] for name, file in notices.items()}
    lines["ended"] = ["sh", "-c", renewal(str(tmp_path / "none"), str(tmp_path / "given"))]
    answers = answers_of_each(lines, seconds=30)
    assert {name: answer.ill for name, answer in answers.items()} == {"given": "", "none": "", "ended": ENDED}
    seconds = {name: noticed(f"Welcome!\n{answer.said}") for name, answer in answers.items()}
    assert seconds == {"given": 113.0, "none": None, "ended": None}
    assert noticed("Welcome!\n") is None


def test_a_run_journals_what_fails_and_remarks_on_each_of_it() -> None:
    renewals: SimpleQueue[Renewals] = SimpleQueue()
    written: list[events.Event] = []
    observer = Observer(written.append, prices={}, renewals=renewals)
    renewals.put(Renewals(("one",), 20.0, {"two": SILENT}, news=("two fails", "three fails")))
    observer.look(Progress(workers=1, max_bad_rows=0), rows_total=None, idle=lambda: 0)
    assert [observer.remark() for _ in range(3)] == ["two fails", "three fails", ""]
    assert [one.text for one in written if isinstance(one, events.UserTold)] == ["two fails", "three fails"]
    assert events.Renewed(("one",), 20.0) in written


def test_a_machine_that_comes_later_costs_from_then_on_and_is_journaled_with_its_price_once() -> None:
    renewals: SimpleQueue[Renewals] = SimpleQueue()
    written: list[events.Event] = []
    clock = FakeClock()
    observer = Observer(written.append, prices={"one": 3.6}, renewals=renewals, clock=lambda: clock.seconds)
    for seconds in (1000.0, 2000.0):
        clock.reach(seconds)
        renewals.put(Renewals(("one", "two"), 20.0, prices={"one": 3.6, "two": 36.0}))
        observer.look(Progress(workers=1, max_bad_rows=0), rows_total=None, idle=lambda: 0)
    assert [one.prices for one in written if isinstance(one, events.Renewed)] == [{"two": 36.0}, {}]
    assert observer.there.dollars == pytest.approx(2.0 + 10.0)


def test_a_machine_that_is_made_anew_under_its_name_costs_its_boot_and_its_own_price() -> None:
    clock = FakeClock()
    there = Attendance({"m1": 3.6, "m2": 3.6}, lambda: clock.seconds)
    both = {"m1": 3.6, "m2": 3.6}
    there.joined("1", "m1")
    there.joined("2", "m2")
    assert there.came(("m1", "m2"), both) == {}
    clock.reach(1000.0)
    there.left("2")  # its machine has ended
    for seconds in (1000.0, 1500.0):
        clock.reach(seconds)
        assert there.came(("m1",), both) == {}
    assert there.dollars == pytest.approx(1.5 + 1.0)
    clock.reach(2000.0)
    assert there.came(("m1", "m2"), both) == {"m2": 3.6}  # it boots, and has no worker yet
    clock.reach(3000.0)
    there.joined("3", "m2")
    assert there.came(("m1", "m2"), both) == {}
    assert there.dollars == pytest.approx(3.0 + 2.0)
    there.left("3")
    assert there.came(("m1", "m2"), {"m1": 3.6, "m2": 36.0}) == {"m2": 36.0}
    clock.reach(4000.0)
    assert there.dollars == pytest.approx(4.0 + 12.0)


def test_a_machine_that_is_dismissed_costs_no_more_though_its_lease_is_renewed_once_again() -> None:
    clock = FakeClock()
    there = Attendance({"m1": 3.6}, lambda: clock.seconds)
    there.joined("1", "m1")
    there.came(("m1",), {"m1": 3.6})
    clock.reach(1000.0)
    there.left("1")
    assert there.came(("m1",), {"m1": 3.6}) == {}
    clock.reach(2000.0)
    assert there.dollars == pytest.approx(1.0)


def test_a_disk_without_room_is_known_by_number_and_by_words_and_told_with_the_machine() -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    assert has_no_room(full)
    assert has_no_room(OSError(errno.EDQUOT, "Disk quota exceeded"))
    assert has_no_room(OSError("cannot write: No space left on device"))
    assert not has_no_room(OSError(errno.EACCES, "Permission denied"))
    assert not has_no_room(ValueError("No space left on device"))
    assert "A worker on host2 could not read or write: " in str(as_muster_error(full, "host2"))
