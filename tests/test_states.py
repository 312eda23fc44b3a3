"""A step that keeps a state for each key gives what a plain loop over the whole file gives, however many work on it."""

import hashlib
import io
import json
import os
import signal
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import muster
from conftest import Muster, begun
from muster import MusterError, UsageError, UserCodeError
from muster._journal.events import KeptLater
from muster._journal.file import replay
from waiting import until

CELLS: dict[str, st.SearchStrategy[Any]] = {
    "integers": st.integers(-3, 3),
    "large": st.sampled_from([2**62, -(2**62), 2**53 + 1, 2**53, 0]),
    "floats": st.sampled_from([0.5, 0.0, -0.0, 1.0, None, 1e300]),
    "texts": st.sampled_from(["a", "é", "é", "x,y", 'q"q', "line\nbreak", "  s", "1", "01", None]),
    "booleans": st.booleans(),
    "one value": st.just("same"),
    "all different": st.integers(0, 10**9),
}


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    rows = draw(st.integers(0, 40))
    kinds = [CELLS[draw(st.sampled_from([*CELLS]))] for _ in "ab"]
    columns = [draw(st.lists(cells, min_size=rows, max_size=rows)) for cells in kinds]
    frame = pd.DataFrame({name: pd.Series(own, dtype=object) for name, own in zip("ab", columns, strict=True)})
    return frame.assign(x=range(rows))


def counted(df: pd.DataFrame, states: Any) -> pd.DataFrame:  # noqa: ANN401 (a mapping)
    """Number the rows of each key, drop every third, and give every second twice."""
    numbers = []
    for key in zip(df["a"].astype(str), df["b"].astype(str), strict=True):
        states[key] += 1
        numbers.append(states[key])
    result = df.assign(n=numbers)
    result = result[result["n"] % 3 != 0]
    return result.loc[result.index.repeat(1 + (result["n"] % 2 == 0))]


class Zero(dict[Any, int]):
    """The states of a plain loop."""

    def __missing__(self, key: object) -> int:
        return 0


@settings(max_examples=30)
@given(
    frame=frames(),
    columns=st.sampled_from(["a", ["a", "b"], None]),
    step_before=st.booleans(),
    part_bytes=st.sampled_from([None, 60, 400]),
    batch_rows=st.sampled_from([None, 1, 7]),
    cut=st.integers(0, 40),
)
def test_states_come_out_as_in_a_plain_loop_over_the_whole_input(  # noqa: PLR0913, PLR0917 (what may differ)
    frame: pd.DataFrame,
    columns: str | list[str] | None,
    step_before: bool,  # noqa: FBT001 (hypothesis gives it by name)
    part_bytes: int | None,
    batch_rows: int | None,
    cut: int,
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        names = [f"{folder}/{name}" for name in ("1.csv", "2.csv")]
        text = frame.to_csv(index=False)
        frame.iloc[:cut].to_csv(names[0], index=False)
        frame.iloc[cut:].to_csv(names[1], index=False)
        expected = counted(pd.read_csv(io.StringIO(text)), Zero())
        pipeline = muster.read_csv(names)
        pipeline = pipeline.map_batches(lambda df: df) if step_before else pipeline
        pipeline = pipeline.key_by(columns).map_batches(counted, state=int).write_csv(f"{folder}/out.csv")
        result = pipeline.run(workers=0, part_bytes=part_bytes, batch_rows=batch_rows)
        assert (result.rows_in, result.bad_rows) == (len(frame), 0)
        if len(frame):
            assert Path(folder, "out.csv").read_text() == expected.to_csv(index=False)


@pytest.fixture
def clicks(tmp_path: Path) -> Path:
    """Write rows of 120 users, one of whom has a third of all."""
    rng = np.random.default_rng(5)
    rows = 2000
    user = np.where(rng.random(rows) < 1 / 3, 7, rng.integers(0, 120, rows))
    frame = pd.DataFrame({"user": user, "seconds": rng.integers(0, 100, rows)})
    frame.to_csv(tmp_path / "in.csv", index=False)
    return tmp_path / "in.csv"


class Totals:
    """Gives each row the total of its user so far, and at the end the total of each."""

    def __init__(self, factor: int) -> None:
        self.factor = factor

    def __call__(self, df: pd.DataFrame, states: Any) -> pd.DataFrame:  # noqa: ANN401 (a mapping)
        totals = []
        for user, seconds in zip(df["user"], df["seconds"], strict=True):
            states[user] += seconds * self.factor
            totals.append(states[user])
        return df.assign(total=totals)

    def at_end(self, states: dict[int, int]) -> pd.DataFrame:
        return pd.DataFrame({"user": [*states], "seconds": -1, "total": [*states.values()]})


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_the_output_is_the_same_bytes_with_any_number_of_workers(clicks: Path, suffix: str) -> None:
    output = clicks.parent / f"out{suffix}"
    digests = set[str]()
    for workers, part_bytes in ((0, None), (1, 2_000), (2, 2_000), (4, None)):
        if part_bytes is None or suffix == ".csv":
            pipeline = muster.read_csv(clicks).key_by("user").map_batches(Totals, state=int, args={"factor": 2})
            written = pipeline.write_csv(output) if suffix == ".csv" else pipeline.write_parquet(output)
            written.run(workers=workers, part_bytes=part_bytes, fresh=True)
            digests.add(hashlib.sha256(output.read_bytes()).hexdigest())
    assert len(digests) == 1
    read = pd.read_csv(output) if suffix == ".csv" else pd.read_parquet(output)
    frame = pd.read_csv(clicks)
    pd.testing.assert_frame_equal(
        read[:2000], frame.assign(total=frame.groupby("user")["seconds"].cumsum() * 2), check_dtype=False
    )
    ends = read[2000:].set_index("user")["total"].sort_index()
    assert ends.to_dict() == (frame.groupby("user")["seconds"].sum() * 2).to_dict()


def test_states_between_other_steps_and_groups(clicks: Path) -> None:
    source = muster.read_csv(clicks).map_batches(lambda df: df[df["seconds"] > 9].assign(ten=df["user"] // 10))
    source = source.key_by("ten").map_batches(numbered_by_ten, state=int).map_batches(lambda df: df.assign(i=df.index))
    pipeline = source.group_by("user").map_groups(lambda df: df.tail(1))
    pipeline.write_csv(clicks.parent / "out.csv").run(workers=2, part_bytes=2_000)
    frame = pd.read_csv(clicks)
    frame = frame[frame["seconds"] > 9].assign(ten=frame["user"] // 10).reset_index(drop=True)
    frame = frame.assign(n=frame.groupby("ten").cumcount() + 1, i=frame.index)
    expected = pd.concat(group.tail(1) for _, group in frame.groupby("user", sort=False))
    assert (clicks.parent / "out.csv").read_text() == expected.to_csv(index=False)


def numbered_by_ten(df: pd.DataFrame, states: Any) -> pd.DataFrame:  # noqa: ANN401 (a mapping)
    before = df["ten"].map(states.__getitem__)
    result = df.assign(n=before + df.groupby("ten").cumcount() + 1)
    states.update(result.groupby("ten")["n"].last().to_dict())
    return result


class Buffer:
    """Keeps rows until there are ten, as the seed's row buffer does."""

    def __call__(self, df: pd.DataFrame, states: Any) -> pd.DataFrame:  # noqa: ANN401 (a mapping)
        rows = [*states[None], *df["seconds"]]
        full = len(rows) // 10 * 10
        states[None] = rows[full:]
        return pd.DataFrame({"rows": [str(rows[at : at + 10]) for at in range(0, full, 10)]})

    def at_end(self, states: Any) -> pd.DataFrame:  # noqa: ANN401 (a mapping)
        return pd.DataFrame({"rows": [str(states[None])]} if states[None] else {})


@pytest.mark.parametrize(("workers", "batch_rows"), [(0, None), (2, 37)])
def test_one_state_for_all_rows_gets_them_in_order_and_gives_in_order(
    clicks: Path, workers: int, batch_rows: int | None
) -> None:
    frame = pd.read_csv(clicks).iloc[:1993]
    frame.to_csv(clicks, index=False)
    pipeline = muster.read_csv(clicks).map_batches(Buffer, state=list).write_csv(clicks.parent / "out.csv")
    pipeline.run(workers=workers, batch_rows=batch_rows, part_bytes=500)
    seconds = frame["seconds"].tolist()
    expected = pd.DataFrame({"rows": [str(seconds[at : at + 10]) for at in range(0, 1993, 10)]})
    assert (clicks.parent / "out.csv").read_text() == expected.to_csv(index=False)


def half_way(df: pd.DataFrame, states: Any) -> pd.DataFrame:  # noqa: ANN401 (a mapping)
    """Fail on some rows, when the states have been changed by all rows before and by this one, too."""
    totals = []
    for row, user, seconds in zip(df.index, df["user"], df["seconds"], strict=True):
        states[user].append(seconds)
        if row in {3, 4, 700, 1999}:
            raise ValueError(f"unlucky {seconds}")
        totals.append(sum(states[user]))
    return df.assign(total=totals)


@pytest.mark.parametrize(("workers", "batch_rows"), [(0, None), (2, 10)])
@pytest.mark.parametrize("columns", ["user", None])
def test_a_row_that_fails_is_rejected_alone_and_leaves_nothing_in_the_states(
    clicks: Path, workers: int, batch_rows: int | None, columns: str | None
) -> None:
    pipeline = muster.read_csv(clicks).key_by(columns).map_batches(half_way, state=list)
    with pytest.warns(muster.RejectedRowsWarning):
        result = pipeline.write_csv(clicks.parent / "out.csv").run(workers=workers, batch_rows=batch_rows)
    frame = pd.read_csv(clicks)
    good = frame.drop([3, 4, 700, 1999])
    expected = good.assign(total=good.groupby("user")["seconds"].cumsum())
    assert (clicks.parent / "out.csv").read_text() == expected.to_csv(index=False)
    rejects = [json.loads(line) for line in (clicks.parent / "out.csv.rejects.jsonl").read_text().splitlines()]
    assert result.bad_rows == len(rejects) == 4
    assert {(one["file"], one["row"]) for one in rejects} == {(str(clicks), row) for row in (3, 4, 700, 1999)}
    for one in rejects:
        row = frame.loc[one["row"]]
        assert (one["step"], one["error"]) == ("half_way", f"ValueError: unlucky {row['seconds']}")
        assert one.get("key") == (str(row["user"]) if columns else None)
        assert f"'user': {row['user']}, " in one["raw"]
    with pytest.raises(UsageError, match="went on without a row that was rejected"):
        muster.retry(clicks.parent / "out.csv")


def through(source: Path, step: Callable[..., Any] | str, **options: Any) -> muster.Result:  # noqa: ANN401 (of a run)
    pipeline = muster.read_csv(source).key_by("user").map_batches(step, state=options.pop("state", int))
    return pipeline.write_csv(source.parent / "out.csv").run(**{"workers": 0, "fresh": True, **options})


def test_states_that_cannot_be_copied_are_no_matter_until_a_row_fails(clicks: Path) -> None:
    def locked(df: pd.DataFrame, states: Any) -> pd.DataFrame:  # noqa: ANN401 (a mapping)
        assert all(states[user] for user in df["user"])
        if (df.index == fails_at).any():
            raise ValueError("unlucky")
        return df

    fails_at = -1
    assert through(clicks, locked, state=threading.Lock).bad_rows == 0
    fails_at = 1000
    with pytest.raises(UserCodeError, match="states cannot be copied"):
        through(clicks, locked, state=threading.Lock)


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (lambda df, states: df.assign(n=len(states)).reset_index(drop=True), "none of the rows that it got"),
        (lambda df, states: df.assign(n=len(states)).set_index(df["user"].astype(str)), "an index of the type"),
        (lambda df, states: df[["no such column", *states]], "fails on all"),
        (lambda df: df, "has to take two"),
    ],
)
def test_what_no_step_with_states_may_do_is_refused_in_words(clicks: Path, step: Callable[..., Any], said: str) -> None:
    with pytest.raises((UserCodeError, UsageError), match=said):
        through(clicks, step)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda it: it.key_by("usr").map_batches(counted, state=int), "Did you mean 'user'"),
        (lambda it: it.key_by([]).map_batches(counted, state=int), "key_by.*one or more names"),
        (lambda it: it.key_by(3).map_batches(counted, state=int), "key_by.*a function that makes a key"),
        (lambda it: it.key_by("user").map_batches(counted, state=0), "state=0 cannot be called"),
        (lambda it: it.key_by("user").map_batches(counted, state=int, args={"n": 1}), "no parameter 'n'"),
    ],
)
def test_keys_and_states_that_are_none_are_refused_in_words(
    clicks: Path, make: Callable[[muster.Pipeline], muster.Pipeline], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        make(muster.read_csv(clicks)).write_csv(clicks.parent / "out.csv").run(workers=0)


def test_a_key_that_ends_its_worker_is_rejected_alone_but_one_state_for_all_stops_the_run(clicks: Path) -> None:
    (clicks.parent / "deadly.py").write_text(
        "import os\ndef deadly(df, states):\n    if (df['user'] == 9).any():\n        os._exit(1)\n"
        "    states[0] += 1\n    return df\n"
    )
    target, frame = f"{clicks.parent}/deadly.py:deadly", pd.read_csv(clicks)
    with pytest.warns(muster.RejectedRowsWarning):
        result = through(clicks, target, workers=2)
    assert result.bad_rows == (frame["user"] == 9).sum()
    expected = frame[frame["user"] != 9]
    assert (clicks.parent / "out.csv").read_text() == expected.to_csv(index=False)
    with pytest.raises(UserCodeError, match="none of them can be set aside"):
        muster.read_csv(clicks).map_batches(target, state=int).write_csv(clicks.parent / "o.csv").run(workers=1)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_row_that_takes_too_long_leaves_nothing_in_the_states_and_costs_its_key_where_it_ends_its_worker(
    clicks: Path, workers: int
) -> None:
    def slow(df: pd.DataFrame, states: Any) -> pd.DataFrame:  # noqa: ANN401 (a mapping)
        totals = []
        for at, user, seconds in zip(df.index, df["user"], df["seconds"], strict=True):
            states[user] += seconds
            if at == row:
                threading.Event().wait()
            totals.append(states[user])
        return df.assign(total=totals)

    frame = pd.read_csv(clicks)
    row = frame["user"].tolist().index(next(user for user in frame["user"] if user != 7))
    gone = [*frame.index[frame["user"] == frame["user"][row]]] if workers else [row]
    with pytest.warns(muster.RejectedRowsWarning):
        result = through(clicks, slow, workers=workers, timeout=1, batch_rows=10)
    good = frame.drop(gone)
    expected = good.assign(total=good.groupby("user")["seconds"].cumsum())
    assert (clicks.parent / "out.csv").read_text() == expected.to_csv(index=False)
    rejects = [json.loads(line) for line in (clicks.parent / "out.csv.rejects.jsonl").read_text().splitlines()]
    assert [one["row"] for one in rejects] == gone
    assert result.bad_rows == len(gone)
    assert all("longer than" in one["error"] for one in rejects)


def test_a_class_is_built_once_in_each_worker_whichever_lanes_it_has(clicks: Path) -> None:
    folder = clicks.parent / "built"
    folder.mkdir()

    class Built:
        def __init__(self) -> None:
            with (folder / str(os.getpid())).open("a") as file:
                file.write("built\n")
            self.lanes = 0

        def __call__(self, df: pd.DataFrame, states: dict[int, int]) -> pd.DataFrame:
            self.lanes += not states
            states[0] += 1
            return df.assign(process=os.getpid(), lanes=self.lanes)

    through(clicks, Built, workers=2, part_bytes=2_000)
    read = pd.read_csv(clicks.parent / "out.csv")
    built = {int(path.name): path.read_text().count("built") for path in folder.iterdir()}
    assert set(built.values()) == {1}
    assert {*read["process"]} <= {*built}
    lanes = read.groupby("process")["lanes"].nunique()
    assert (lanes > 1).all()  # and the same object has had one after the other


def test_without_a_row_the_step_tells_the_columns_alone(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("user,seconds\n")
    pipeline = muster.read_csv(tmp_path / "in.csv").key_by("user").map_batches(Totals, state=int, args={"factor": 1})
    assert pipeline.write_csv(tmp_path / "out.csv").run(workers=0).rows_out == 0
    assert (tmp_path / "out.csv").read_text() == "user,seconds,total\n"


APP = """
import os
import time
import muster

def slow(df, states):
    time.sleep(0.02)
    with open("handled", "a") as handled:
        handled.write("".join(f"{os.getpid()}\\n" for user in df["user"]))
    for user in df["user"]:
        states[user] += 1
    return df.assign(n=df["user"].map(states.get))

pipeline = muster.read_csv("in.csv").key_by("user").map_batches(slow, state=int).write_csv("out.csv")
"""


def rows_of_lanes_done(journal: Path) -> list[int]:
    """Count the rows of each task of lanes that is done."""
    events = [entry.event for entry in replay(journal)]
    return [event.outcome.rows_in for event in events if isinstance(event, KeptLater)]


def test_a_run_that_is_killed_goes_on_behind_the_lanes_that_are_done(clicks: Path, muster: Muster) -> None:
    folder = clicks.parent
    (folder / "app.py").write_text(APP)
    journal = folder / "out.csv.muster" / "journal.jsonl"
    with begun(folder, "run", "app.py", "--workers", "2") as process:
        until(lambda: len(rows_of_lanes_done(journal)) >= 2)
        process.send_signal(signal.SIGKILL)
    before = sum(rows_of_lanes_done(journal))
    until(lambda: not any(psutil.pid_exists(int(pid)) for pid in set((folder / "handled").read_text().split())))
    (folder / "handled").unlink()
    done = muster("run", "app.py", "--workers", "2")
    assert done.code == 0, done.err
    frame = pd.read_csv(clicks)
    assert (folder / "handled").read_text().count("\n") == len(frame) - before < len(frame)
    expected = frame.assign(n=frame.groupby("user")["user"].transform("size"))
    assert (folder / "out.csv").read_text() == expected.to_csv(index=False)


def test_another_state_is_another_job_for_an_unfinished_run(clicks: Path) -> None:
    def failing(df: pd.DataFrame, states: Any) -> pd.DataFrame:  # noqa: ANN401 (a mapping)
        assert states[1] >= 0
        return df if (df["user"] != 9).all() else df[["no"]]

    with pytest.raises(MusterError):
        through(clicks, failing, max_bad_rows=0)
    with pytest.raises(MusterError, match="the state of 'failing'"):
        through(clicks, failing, max_bad_rows=0, fresh=False, state=float)
