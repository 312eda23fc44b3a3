"""Who watches a run is told what is new, and not too often."""

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from muster._job import Snapshot
from muster._show.calm import calmed


@dataclass
class Watched:
    """A watcher, and the time that it goes by."""

    now: float = 100.0
    told: list[tuple[float, Snapshot]] = field(default_factory=list)

    def __call__(self, snapshot: Snapshot) -> None:
        self.told.append((self.now, snapshot))


AT_WORK = Snapshot("working", rows_total=100)


def test_what_is_as_before_is_not_told_again_though_time_goes_on() -> None:
    watched = Watched()
    with calmed(watched, clock=lambda: watched.now) as tell:
        for second in range(10):
            watched.now += 1
            tell(replace(AT_WORK, worker_seconds=float(second)))
    assert len(watched.told) == 1


steps = st.tuples(
    st.sampled_from([0.0, 0.01, 0.1, 0.3]),
    st.sampled_from(["starting", "working"]),
    st.integers(0, 3),
    st.sampled_from(["", "", "", "a machine is gone"]),
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # other work on the machine slows it down
@given(st.lists(steps))
def test_notes_and_phases_are_told_at_once_the_rest_seldom_and_the_last_state_always(
    given_: list[tuple[float, str, int, str]],
) -> None:
    watched, sent = Watched(), []
    with calmed(watched, clock=lambda: watched.now) as tell:
        for pause, phase, rows, note in given_:
            watched.now += pause
            sent.append(Snapshot(phase, rows_done=rows, note=note))
            tell(sent[-1])
    assert [one.note for _, one in watched.told if one.note] == [one.note for one in sent if one.note]
    for (before, one), (at, other) in zip(watched.told[:-1], watched.told[1:-1], strict=False):
        assert other.note or one.phase != other.phase or at - before >= 0.25
        assert other.note or replace(one, note="") != other
    if sent:
        assert replace(watched.told[-1][1], note="") == replace(sent[-1], note="")


def test_nobody_is_told_where_nobody_watches() -> None:
    with calmed(None) as tell:
        tell(AT_WORK)


def test_what_a_watcher_raises_comes_through() -> None:
    def refuse(_: Snapshot) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), calmed(refuse) as tell:
        tell(AT_WORK)
