"""What the benchmark says of its goals: only right answers can meet them, and none that was measured vanishes."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
Peer = dict[str, Any]
Told = Callable[..., dict[str, str]]
NOT_MET, NOT_COMPARED = "**not met**", "not compared"


def peer(*seconds: float, state: str = "right", megabytes: int = 0) -> Peer:
    memory = {"memory": {"own": megabytes * 1_000_000, "worker": megabytes * 1_000_000}} if megabytes else {}
    return {"seconds": list(seconds), "state": state, **memory}


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    """Tell of each goal what was measured, and whether that is enough."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    goals = importlib.import_module("_goals").goals

    def tell(**jobs: dict[str, Peer]) -> dict[str, str]:
        about = {"machine": {"cores": 2}}
        lines = goals(
            {"jobs": {name.replace("_", "-"): about | {"title": name, "peers": one} for name, one in jobs.items()}}
        )
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in list(lines)[2:]]
        return {what: f"{measured}: {verdict}" for what, _, measured, verdict in rows}

    return tell


def test_right_answers_in_time_meet_their_goals_and_late_ones_do_not(told: Told) -> None:
    right = {"muster": peer(1, 2), "pandas": peer(7, 14), "polars": peer(2, 4), "pool": peer(6, 12)}
    assert told(plain=right) == {
        "plain CSV: the fastest of pandas, pool, joblib, dask, ray: pool": "6.00x: met",
        "plain: Polars by hand": "2.00x: met",
    }
    late = {**right, "muster": peer(3, 6)}
    assert {one.rpartition(": ")[2] for one in told(plain=late).values()} == {NOT_MET}
    floors = told(large={"muster": peer(1.25), "floor": peer(1), "floor-pieces": peer(1)})
    assert floors["10M rows: muster against the Arrow floor of one table"] == "1.25x: met"
    assert floors["10M rows: muster against the Arrow floor of pieces"] == f"1.25x: {NOT_MET}"


@pytest.mark.parametrize("state", ["wrong", "raised"])
def test_no_answer_of_musters_meets_a_goal_unless_it_is_right(state: str, told: Told) -> None:
    mine = peer(0.1, state=state)
    peers = {"pandas": peer(9), "polars": peer(9), "pool": peer(9), "floor": peer(9), "floor-pieces": peer(9)}
    measured = told(
        **{name: {"muster": mine, **peers} for name in ("plain", "quoted", "wide", "json", "large", "start_up")},
        classifier={"muster": mine, "inline": peer(2, state=state), "pool": peer(9, state=state)},
    )
    assert {one.rpartition(": ")[2] for one in measured.values()} == {NOT_MET}
    assert len(measured) == 14
    assert measured["quoted: Polars by hand"] == f"muster: {state}: {NOT_MET}"


def test_muster_without_workers_has_to_be_right_too(told: Told) -> None:
    measured = told(classifier={"muster": peer(1), "inline": peer(2, state="wrong")})
    assert measured == {
        "classifier: of perfect scaling to 2 workers": f"muster --workers 0: wrong: {NOT_MET}",
    }


def test_nothing_is_compared_with_a_peer_whose_answer_is_wrong(told: Told) -> None:
    wrong = peer(9, state="wrong")
    assert told(plain={"muster": peer(1), "polars": wrong, "pandas": wrong}) == {
        "plain CSV: the fastest of pandas, pool, joblib, dask, ray: pandas": (
            f"pandas, three lines: wrong: {NOT_COMPARED}"
        ),
        "plain: Polars by hand": f"Polars by hand: wrong: {NOT_COMPARED}",
    }
    assert told(plain={"muster": peer(1), "polars": peer(state="not installed")}) == {}


@pytest.mark.parametrize(
    ("last", "sizes"),
    [
        (peer(megabytes=52), "50 MB, 51 MB, 52 MB: met"),
        (peer(megabytes=90), f"50 MB, 51 MB, 90 MB: {NOT_MET}"),
        (peer(state="raised"), f"50 MB, 51 MB, raised: {NOT_MET}"),
        (peer(state="wrong", megabytes=52), f"50 MB, 51 MB, wrong: {NOT_MET}"),
        (None, f"50 MB, 51 MB, not measured: {NOT_MET}"),
    ],
)
def test_memory_is_flat_over_three_sizes_and_not_over_two(last: Peer | None, sizes: str, told: Told) -> None:
    jobs = {"memory_1": {"muster": peer(megabytes=50)}, "memory_4": {"muster": peer(megabytes=51)}}
    found = told(**jobs, **({"large": {"muster": last}} if last else {}))
    assert found == {f"memory at 1x, 4x and 10x the rows: {one}": sizes for one in ("own process", "largest worker")}
