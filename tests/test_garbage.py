"""How often Python looks for garbage while a run goes on, and afterwards."""

import gc
from pathlib import Path

import pandas as pd
import pytest

import muster
from muster._process.garbage import sought_rarely


def test_garbage_is_sought_as_before_once_the_last_of_several_runs_has_ended() -> None:
    usual = gc.get_threshold()
    first, second = sought_rarely(), sought_rarely()
    with first:
        assert gc.get_threshold()[0] > usual[0]
        second.__enter__()
    assert gc.get_threshold()[0] > usual[0], "the second run goes on"
    second.__exit__(None, None, None)
    assert gc.get_threshold() == usual


def test_where_nobody_looks_for_garbage_nobody_does_during_a_run() -> None:
    usual = gc.get_threshold()
    gc.set_threshold(0)
    try:
        with sought_rarely():
            assert gc.get_threshold()[0] == 0
        assert gc.get_threshold()[0] == 0
    finally:
        gc.set_threshold(*usual)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_run_leaves_the_search_for_garbage_as_it_was_and_as_it_is_where_it_calls_the_function(
    tmp_path: Path, workers: int
) -> None:
    (tmp_path / "rows.csv").write_text("a\n1\n2\n")
    usual = gc.get_threshold()
    muster.run(with_threshold, tmp_path / "rows.csv", tmp_path / "out.csv", workers=workers)
    assert gc.get_threshold() == usual
    if workers == 0:  # else processes of their own call it
        assert set(pd.read_csv(tmp_path / "out.csv")["every"]) == {usual[0]}


def with_threshold(df: pd.DataFrame) -> pd.DataFrame:
    df["every"] = gc.get_threshold()[0]
    return df
