"""Tasks are sized so that all workers end together: close to the best that any order of tasks could reach."""

import json
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from conftest import Muster
from makespans import Hand, Labour, ideal, makespan

SLEPT = 3.83e-3
"""Seconds that a row of the seed's classifier took."""


def fleet(machines: int, each: int, *, gap: float = 0.0, loads: float = 0.0) -> list[Hand]:
    """Say that machines join one after the other, ``gap`` seconds apart, and the workers of each side by side."""
    return [Hand(f"m{at}", at * gap, loads) for at in range(machines) for _ in range(each)]


def steady(rows: int, *, seconds: float = SLEPT, part: int = 129) -> Labour:
    """Say that rows stand in parts of as many, and that each takes as long."""
    return Labour([part] * (rows // part), lambda _: seconds)


SHAPES = {
    "112 workers at once": (fleet(16, 7), steady(100_000), 0.95),
    "112 workers that join over 6 s and load": (fleet(16, 7, gap=0.4, loads=1.0), steady(100_000), 0.95),
    "112 workers that join over 16 s and load": (fleet(16, 7, gap=1.0, loads=1.0), steady(100_000), 0.93),
    "56 workers": (fleet(8, 7, gap=0.6, loads=1.0), steady(100_000), 0.95),
    "64 parts of slow rows for 112 workers": (fleet(16, 7), Labour([10] * 64, lambda _: 1.0), 0.9),
    "a part for 8 workers": (fleet(1, 8), Labour([80], lambda _: 0.5), 0.9),
    "uneven machines": (
        [Hand(f"m{at}", slowness=1 + at / 2) for at in range(16) for _ in range(7)],
        steady(100_000),
        0.95,
    ),
    "slow rows at the end": (
        fleet(16, 7),
        Labour([129] * 775, lambda row: SLEPT * (5 if row > 90_000 else 1)),
        0.9,
    ),
    "batches of 50 rows": (fleet(16, 7), Labour([150] * 666, lambda _: SLEPT, batch_rows=50), 0.93),
    "a machine that loads half a minute": (
        [*fleet(2, 4), Hand("late", joins=5.0, loads=30.0)],
        steady(8_256, seconds=1e-2),
        0.85,
    ),
    "a cheap function on two cores": (fleet(1, 2), Labour([129] * 8_000, lambda _: 5e-7, dispatch=5e-4), 0.95),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_fleet_takes_hardly_longer_than_the_best_that_can_be(shape: str) -> None:
    hands, labour, least = SHAPES[shape]
    assert ideal(hands, labour.seconds) / makespan(hands, labour).seconds >= least


@st.composite
def fleets(draw: st.DrawFn) -> list[Hand]:
    hands: list[Hand] = []
    for at in range(draw(st.integers(1, 12))):
        joins, loads = draw(st.floats(0, 8)), draw(st.sampled_from([0.0, 0.0, 0.5, 20.0]))
        slowness = draw(st.sampled_from([1.0, 1.0, 2.0, 4.0]))
        hands += [Hand(f"m{at}", joins, loads, slowness)] * draw(st.integers(1, 8))
    return hands


@st.composite
def labours(draw: st.DrawFn) -> Labour:
    batch = draw(st.sampled_from([None, None, 5, 20]))
    part = draw(st.sampled_from([1, 10, 40])) if batch is None else batch * draw(st.integers(1, 8))
    parts = draw(st.integers(1, 60))
    seconds, slow, since = (
        draw(st.sampled_from([1e-5, 1e-3, 2e-2])),
        draw(st.sampled_from([1, 5])),
        draw(st.floats(0, 1)),
    )
    last = int(parts * part * since)
    return Labour([part] * parts, lambda row: seconds * (slow if row >= last else 1), batch_rows=batch)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(hands=fleets(), labour=labours())
def test_whatever_the_fleet_and_the_rows_nobody_is_waited_for_long(hands: list[Hand], labour: Labour) -> None:
    calls = sum(labour.rows) / (labour.batch_rows or 1)
    assume(calls >= 4 * len(hands))  # else those that load may have it all
    best, slowest = ideal(hands, labour.seconds), max(hand.slowness for hand in hands)
    ran = makespan(hands, labour)
    # What cannot be cut runs to its end where it began. Nobody is taken for late while none has done a task.
    first = min(hand.joins + hand.loads + 4 * hand.slowness * labour.longest for hand in hands)
    assert ran.seconds <= 1.5 * max(best, first) + 4 * slowest * labour.longest + 3
    assert sum(ran.of.values()) == ran.tasks


CUT = """
import os, time

def slow(df):
    os.makedirs(f"by-{os.getpid()}", exist_ok=True)
    time.sleep(0.02 * len(df))
    df["half"] = df["n"] / 2
    return df[df["n"] % 5 != 0]
"""


@pytest.mark.parametrize("batch", [None, 3])
@pytest.mark.parametrize(
    ("given", "made"), [("csv", "csv"), ("csv.gz", "jsonl"), ("jsonl", "csv"), ("parquet", "parquet")]
)
def test_rows_of_one_part_are_shared_by_workers_and_come_out_the_same(
    tmp_path: Path, muster: Muster, given: str, made: str, batch: int | None
) -> None:
    (tmp_path / "f.py").write_text(CUT)
    frame = pd.DataFrame({"n": range(40), "text": [f"a\nb,{n}" for n in range(40)]})
    source = tmp_path / f"in.{given}"
    if given == "parquet":
        frame.to_parquet(source)
    elif given == "jsonl":
        frame.to_json(source, orient="records", lines=True)
    else:
        frame.to_csv(source, index=False)
    batches = ("--batch-rows", str(batch)) if batch else ()
    for name, workers in (("alone", "0"), ("shared", "4")):
        end = muster("run", "f.py:slow", source, "-o", f"{name}.{made}", "--workers", workers, *batches, "--json")
        assert end.code == 0, end.err
        assert json.loads(end.out.splitlines()[-1])["rows_in"] == 40
    assert len(list(tmp_path.glob("by-*"))) > 2  # the one that is alone is one of them
    assert (tmp_path / f"alone.{made}").read_bytes() == (tmp_path / f"shared.{made}").read_bytes()


def test_a_row_that_cannot_be_decoded_is_placed_by_its_byte_and_line_whoever_shares_its_part(
    tmp_path: Path, muster: Muster
) -> None:
    (tmp_path / "f.py").write_text("def same(df):\n    return df\n")
    rows = [f"{n},x\n".encode() for n in range(20)]
    rows[17] = b"17,\xff\n"
    (tmp_path / "in.csv").write_bytes(b"n,text\n" + b"".join(rows))
    at = len(b"n,text\n" + b"".join(rows[:17])) + 3
    end = muster("run", "f.py:same", "in.csv", "-o", "out.csv", "--workers", "4")
    assert end.code == 4
    (reject,) = map(json.loads, (tmp_path / "out.csv.rejects.jsonl").read_text().splitlines())
    assert f"byte {at}, line 19" in reject["error"]
