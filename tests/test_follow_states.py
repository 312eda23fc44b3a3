"""Steps that keep states, on files that are followed: parts put together are what one run over the files gives."""

import json
import operator
import pickle
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import Muster
from followed import append, follow_in_turn, following, joined, kill_a_child, manifest, rows_out, stopped, text_of
from muster._formats.keys import hashes, lanes
from muster._worker.states import States, TrackedStates, kept, restored
from test_follow_killed import forked
from waiting import until

STEPS = '''
import os
import pandas as pd

class Seen:
    """The state of a key."""
    def __init__(self):
        self.count, self.total = 0, 0

class Totals:
    def __call__(self, df, states):
        totals = []
        for key, n in zip(df["k"].fillna("none"), df["n"]):
            if n == 13:
                states[key].total = -1_000_000
                raise ValueError("thirteen")
            if key == "deadly":
                os._exit(7)
            seen = states[key]
            seen.count, seen.total = seen.count + 1, seen.total + n
            totals.append(seen.total)
            if n % 50 == 49:
                del states[key]
        kept = df.assign(total=totals)[df["n"] % 3 != 0]
        return kept.loc[kept.index.repeat(1 + kept["n"] % 2)]

    def at_end(self, states):
        ended = pd.DataFrame([(key, seen.count, "end", seen.total) for key, seen in states.items()])
        states.clear()
        return ended.set_axis(["k", "n", "text", "total"], axis=1) if len(ended) else ended

def running(df, states):
    totals = []
    for key, n in zip(df["k"], df["n"]):
        states[key].total += n
        totals.append(states[key].total)
    return df.assign(total=totals)

def first(df):
    return df["k"].str[0]

def numbered(df):
    return df.assign(at=df.index)

class Packs:
    """Puts rows together by tens, as a buffer does: one state for all."""
    def __call__(self, df, states):
        rows = [*states[None], *df["n"]]
        full = len(rows) // 10 * 10
        states[None] = rows[full:]
        return pd.DataFrame({"sum": [sum(rows[at : at + 10]) for at in range(0, full, 10)]})

    def at_end(self, states):
        rest, states[None] = states[None], []
        return pd.DataFrame({"sum": [sum(rest)]} if rest else {})
'''
PIPELINES = {
    "keys": ".key_by('k').map_batches(Totals, state=Seen)",
    "keys between steps": ".map_batches(numbered).key_by(['k']).map_batches(Totals, state=Seen).map_batches(numbered)",
    "a function": ".key_by(first).map_batches(Totals, state=Seen)",
    "running": ".key_by('k').map_batches(running, state=Seen)",
    "packs": ".map_batches(Packs, state=list)",
    "two": ".map_batches(numbered).key_by('k').map_batches(Totals, state=Seen).map_batches(Packs, state=list)",
}


class Plain(dict[int, list[int]]):
    """What a step changes in a run over files."""

    def __missing__(self, key: int) -> list[int]:
        return self.setdefault(key, [])


OPERATIONS: dict[str, Callable[[Any, int], object]] = {
    "asks": lambda states, key: states[key].append(key),
    "gets": lambda states, key: (states.get(key) or []).append(7),
    "sets": lambda states, key: states.__setitem__(key, [key]),
    "removes": lambda states, key: states.pop(key, None),
    "removes the last": lambda states, _: states and states.popitem(),
    "sets by default": lambda states, key: states.setdefault(key, []).append(3),
    "updates": lambda states, key: states.update({key: [1], key + 1: [2]}),
    "unites": lambda states, key: operator.ior(states, {key: [5]}),  # type: ignore[no-untyped-call]
    "clears": lambda states, key: key or states.clear(),
    "goes through all": lambda states, _: [state.append(9) for state in states.values()],
    "goes through pairs": lambda states, _: [state.append(8) for _, state in states.items()],
    "makes a dictionary": lambda states, _: [state.append(6) for state in dict(states).values()],
    "unpacks": lambda states, _: [state.append(4) for state in {**states}.values()],
    "copies": lambda states, _: [state.append(2) for state in states.copy().values()],
}

SESSIONS = 3
"""How often a stream is begun: each but the last is killed."""


def written(folder: Path, pipeline: str, *, every: float = 0.0) -> None:
    (folder / "in").mkdir(exist_ok=True)
    (folder / "steps.py").write_text(STEPS)
    (folder / "pipeline.py").write_text(
        f"import muster\nfrom steps import *\npipeline = muster.follow_csv('in/', every={every}){pipeline}"
        ".write_csv('out/')\n"
    )


def oracle(folder: Path, muster_: Muster, pipeline: str) -> str:
    """Do the same over the files as they are now, in one go."""
    (folder / "once.py").write_text(
        f"import muster\nfrom steps import *\npipeline = muster.read_csv('in/'){pipeline}.write_csv('once.csv')\n"
    )
    ended = muster_("run", "once.py", "--workers", "0", "--fresh", "--quiet")
    assert ended.code in {0, 4}, ended.err
    return (folder / "once.csv").read_text()


def rows(dice: random.Random, begin: int, count: int) -> str:
    """Make rows of a few keys that come often and of many that come rarely; the text of some has two lines."""
    lines = []
    for n in range(begin, begin + count):
        key = dice.choice(["a", "b", f"c{dice.randrange(400)}", "é", ""])
        lines.append(f'{key},{n},"row\n{n}"\n' if n % 7 == 0 else f"{key},{n},row\n")
    return "".join(lines)


@pytest.mark.parametrize(
    ("pipeline", "workers"), [("keys", 2), ("keys between steps", 0), ("a function", 2), ("two", 2)]
)
def test_killed_at_any_moment_parts_are_what_one_run_gives(
    tmp_path: Path, muster: Muster, pipeline: str, workers: int
) -> None:
    """Rows are appended while muster, or a worker, is killed; what is left is drained."""
    seed = random.randrange(1 << 32)  # noqa: S311 (moments, no secrets)
    dice = random.Random(seed)  # noqa: S311 (likewise)
    written(tmp_path, PIPELINES[pipeline])
    path, count, seen = tmp_path / "in" / "a.csv", 0, dict[Path, bytes]()
    path.write_text("k,n,text\n")
    for kill in range(SESSIONS):
        with following(tmp_path, "--workers", str(workers), "--quiet") as process:
            for _ in range(dice.randrange(1, 4)):
                before, more = len(manifest(tmp_path)), dice.randrange(20, 300)
                append(path, rows(dice, count, more))
                count += more
                if dice.random() < 0.8:
                    until(lambda before=before: len(manifest(tmp_path)) > before or process.poll() is not None, 60)  # type: ignore[misc]
                if workers and dice.random() < 0.5:
                    kill_a_child(process.pid, dice)
            if kill == SESSIONS - 1:
                code, _, err = stopped(tmp_path, process)
                assert code in {0, 4}, (err, seed)
            elif dice.random() < 0.3:
                process.send_signal(signal.SIGINT)
                process.communicate()
            else:
                process.kill()
                process.communicate()
        for part in (tmp_path / "out").glob("part-*"):
            assert seen.setdefault(part, part.read_bytes()) == part.read_bytes(), f"seed {seed}: {part} has changed"
    assert joined(tmp_path) == oracle(tmp_path, muster, PIPELINES[pipeline]), f"seed {seed}"
    assert rejected(tmp_path / "out.rejects.jsonl") == rejected(tmp_path / "once.csv.rejects.jsonl"), f"seed {seed}"


def rejected(path: Path) -> list[tuple[int, str]]:
    lines = path.read_text().splitlines() if path.exists() else []
    return [(one["row"], one["raw"]) for one in map(json.loads, lines)]


def log_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in (folder / "out.muster").glob("states-*"))


def test_killed_before_any_operation_on_a_file_states_go_on_where_they_were(tmp_path: Path, muster: Muster) -> None:
    """Three times in turn rows come, and the process that does them dies at some point, or drains them."""
    written(tmp_path, PIPELINES["running"])
    path, seed = tmp_path / "in" / "a.csv", random.randrange(1 << 32)  # noqa: S311 (moments, no secrets)
    dice, begin = random.Random(seed), 0  # noqa: S311 (likewise)
    path.write_text("k,n,text\n")
    for _ in range(3):
        append(path, "".join(f"{key},{begin + at},row\n" for at, key in enumerate("abcab")))
        begin += 5
        forked(tmp_path, dies_before=dice.randrange(5, 60))
    code, _ = forked(tmp_path)
    assert code in {0, 4}, f"seed {seed}"
    assert joined(tmp_path) == oracle(tmp_path, muster, PIPELINES["running"]), f"seed {seed}"


def test_what_at_end_leaves_is_what_the_stream_goes_on_with_and_now_does_not_call_it(tmp_path: Path) -> None:
    written(tmp_path, PIPELINES["packs"])
    first = "n\n" + "".join(f"{n}\n" for n in range(12))
    with following(tmp_path, "--workers", "0", "--quiet") as process:
        append(tmp_path / "in" / "a.csv", first)
        until(lambda: rows_out(tmp_path) == 1)
        process.send_signal(signal.SIGINT)
        process.communicate()
    assert joined(tmp_path) == "sum\n45\n"
    for _ in range(2):  # the second time nothing has come since, so there is nothing to end
        with following(tmp_path, "--workers", "0", "--quiet") as process:
            assert stopped(tmp_path, process)[0] == 0
    assert joined(tmp_path) == f"sum\n45\n{10 + 11}\n"
    assert follow_in_turn(tmp_path, "".join(f"{n}\n" for n in range(12, 23)))[0] == 0
    assert joined(tmp_path) == f"sum\n45\n{10 + 11}\n{sum(range(12, 22))}\n22\n"


DEADLY = """
import os

def running(df, states):
    totals = []
    for key, n in zip(df["k"], df["n"]):
        if key == "deadly" and n == 2:
            os._exit(7)
        states[key] += [n]
        totals.append(sum(states[key]))
        assert all(sum(state) > 0 for state in states.values())
    return df.assign(total=totals)
"""


def beside(key: str, *, count: int) -> list[str]:
    """Choose keys that share a lane with another."""
    names = [key, *(f"c{at}" for at in range(400 * count))]
    (own, *others) = lanes(hashes([(pa.chunked_array([names]), "")])).tolist()
    return [name for name, lane in zip(names[1:], others, strict=True) if lane == own][:count]


def test_a_key_that_ends_its_worker_is_rejected_and_leaves_the_states_of_others_alone(tmp_path: Path) -> None:
    """Its lane is cut by keys, and the step goes through all states, also those of tasks that have other keys."""
    written(tmp_path, ".key_by('k').map_batches(running, state=list)")
    (tmp_path / "steps.py").write_text(DEADLY)
    keys = ["deadly", *beside("deadly", count=6)]
    texts = ["".join(f"{key},{n}\n" for key in keys) for n in (1, 2, 3)]
    code, err = follow_in_turn(tmp_path, "k,n\n" + texts[0], *texts[1:], flags=("--workers", "2"))
    assert code == 4, err
    assert [json.loads(line)["key"] for line in (tmp_path / "out.rejects.jsonl").read_text().splitlines()] == [
        '"deadly"'
    ]
    totals = {1: 1, 2: 3, 3: 6}
    expected = [f"{key},{n},{4 if (key, n) == ('deadly', 3) else totals[n]}" for n in totals for key in keys]
    assert joined(tmp_path).splitlines()[1:] == [row for row in expected if not row.startswith("deadly,2,")]
    journal = [json.loads(line) for line in text_of(tmp_path / "out.muster" / "journal.jsonl").splitlines()]
    *_, stood = (one for one in journal if one["event"] == "streamed")
    assert stood["keys"] == len(keys), "counted by tasks of which each has some keys of the lane, too"
    assert stood["state_bytes"] == sum(path.stat().st_size for path in (tmp_path / "out.muster").glob("states-*"))
    tried = {one["file"] for one in journal if one["event"] == "retried"}
    assert tried == {"stage 2 of 3"}, "rows that are no file's"


ENDING = """
import os
import pandas as pd

class First:
    def __call__(self, df, states):
        for key in df["k"]:
            states[key] += 1
        return df[:0]

    def at_end(self, states):
        rows = [(key, n) for key in [*states] for n in range(states.pop(key))]
        return pd.DataFrame(rows, columns=["k", "n"]) if rows else pd.DataFrame()

class Second(First):
    def __call__(self, df, states):
        if WHERE == "call" and "deadly" in [*df["k"]]:
            os._exit(7)
        return super().__call__(df, states)

    def at_end(self, states):
        if WHERE == "at_end" and "deadly" in states:
            os._exit(7)
        return super().at_end(states)
"""


@pytest.mark.parametrize("where", ["call", "at_end"])
def test_a_lane_that_ends_its_worker_as_the_stream_ends_stops_it_and_the_next_stop_has_all(
    tmp_path: Path, where: str
) -> None:
    """No row that the first step gives at the end can be set aside, as at_end of the second gets all of the lane."""
    first = ".key_by('k').map_batches(First, state=int)" if where == "call" else ""
    written(tmp_path, first + ".key_by('k').map_batches(Second, state=int)")
    keys = ["deadly", *beside("deadly", count=2)]
    (tmp_path / "steps.py").write_text(f"WHERE = {where!r}\n{ENDING}")
    with following(tmp_path, "--workers", "1", "--quiet") as process:
        append(tmp_path / "in" / "a.csv", "k,n\n" + "".join(f"{key},1\n" for key in keys))
        until(lambda: '"committed"' in text_of(tmp_path / "out.muster" / "journal.jsonl"))
        code, _, err = stopped(tmp_path, process)
    assert code == 1
    assert "no row can be set aside" in err
    assert not (tmp_path / "out.rejects.jsonl").exists()
    (tmp_path / "steps.py").write_text(f"WHERE = 'nowhere'\n{ENDING}")
    with following(tmp_path, "--workers", "0", "--quiet", "--accept-changes") as process:
        code, _, err = stopped(tmp_path, process)
    assert code == 0, err
    assert sorted(joined(tmp_path).splitlines()[1:]) == sorted(f"{key},0" for key in keys)


def test_many_epochs_leave_a_log_that_is_no_larger_than_the_states_need(tmp_path: Path) -> None:
    (tmp_path / "steps.py").write_text(
        "def step(df, states):\n"
        "    for key in df['n'] % 50:\n"
        "        states[key] = str(key) * 10_000\n"
        "    return df[:0]\n"
    )
    sizes = []
    (tmp_path / "in").mkdir()
    (tmp_path / "pipeline.py").write_text(
        "import muster\nfrom steps import *\n"
        "pipeline = muster.follow_csv('in/', every=0).key_by('n').map_batches(step, state=str).write_csv('out/')\n"
    )
    path, journal = tmp_path / "in" / "a.csv", tmp_path / "out.muster" / "journal.jsonl"
    path.write_text("n\n")
    with following(tmp_path, "--workers", "0", "--quiet") as process:
        for epoch in range(12):
            append(path, "".join(f"{n}\n" for n in range(50)))
            until(lambda epoch=epoch: text_of(journal).count('"committed"') > epoch or process.poll() is not None)  # type: ignore[misc]
            sizes.append(log_bytes(tmp_path))
        assert stopped(tmp_path, process)[0] == 0
    assert max(sizes) <= 8 * sizes[0], sizes  # and twelve times as many bytes were written
    assert len(list((tmp_path / "out.muster").glob("states-*"))) == 1


MEETING = """
import os
from pathlib import Path
from waiting import until

def meet(df):
    Path(f"pid-{os.getpid()}").touch()
    until(lambda: len([*Path.cwd().glob("pid-*")]) == 2)
    return df
"""


def test_a_step_behind_one_with_states_is_called_on_all_workers_in_an_epoch_that_is_small(tmp_path: Path) -> None:
    written(tmp_path, ".key_by('k').map_batches(running, state=Seen).map_batches(meet)")
    with (tmp_path / "steps.py").open("a") as file:
        file.write(f"import sys\nsys.path.append({str(Path(__file__).parent)!r})\n{MEETING}")
    lines = "".join(f"k{n % 9},{n}\n" for n in range(4096))
    code, err = follow_in_turn(tmp_path, "k,n\n" + lines, flags=("--workers", "2"))
    assert code == 0, err
    assert rows_out(tmp_path) == 4096


def test_a_step_with_states_that_fails_on_a_whole_later_epoch_stops_the_stream(tmp_path: Path) -> None:
    written(tmp_path, PIPELINES["keys"])
    good, bad = "".join(f"a,{n},x\n" for n in range(1, 4)), "a,13,x\n" * 30
    code, err = follow_in_turn(tmp_path, "k,n,text\n" + good, bad)
    assert code == 1
    assert "in the same way: ValueError: thirteen" in err
    path = tmp_path / "in" / "a.csv"
    assert (tmp_path / "out.muster" / "spool").exists()
    (tmp_path / "steps.py").write_text(STEPS.replace("if n == 13", "if n == 14"))
    code, err = follow_in_turn(tmp_path, "a,4,x\n", flags=("--workers", "0", "--accept-changes"))
    assert code == 0, err
    assert path.exists()
    assert f"a,4,x,{6 + 30 * 13 + 4}" in joined(tmp_path)


def test_what_a_stream_with_states_cannot_have_is_refused_in_words(tmp_path: Path, muster: Muster) -> None:
    written(tmp_path, ".group_by('k').map_groups(numbered)")
    assert "A stream has no groups but those of windows: nobody knows when all rows" in muster("run", "pipeline.py").err
    written(tmp_path, ".key_by('k').map_batches(Locked, state=int)")
    with (tmp_path / "steps.py").open("a") as file:
        file.write(
            "class Locked:\n    def __call__(self, df, states):\n"
            "        states[1] = __import__('threading').Lock()\n        return df\n"
        )
    code, err = follow_in_turn(tmp_path, "k,n,text\na,1,x\n")
    assert code == 1
    assert "cannot be written down" in err
    assert not (tmp_path / "out" / "part-00000000.csv").exists()


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_records_of_states_add_up_to_what_a_step_has_made_of_them(data: st.DataObject) -> None:
    """What is done to states is written down as changes; read again, it is the same dictionary in the same order."""
    states: States = TrackedStates(list)
    again = dict[int, list[int]]()
    once = Plain()
    keys = st.integers(0, 4)
    for _ in range(data.draw(st.integers(0, 4))):
        for _ in range(data.draw(st.integers(0, 8))):
            what, key = data.draw(st.sampled_from([*OPERATIONS, "fails"])), data.draw(keys)
            if what == "fails":  # after having done something; then they go back
                copy = kept(states, step="step")
                OPERATIONS[data.draw(st.sampled_from([*OPERATIONS]))](states, key)
                states = restored(copy, states)
                continue
            OPERATIONS[what](states, key)
            OPERATIONS[what](once, key)
        assert isinstance(states, TrackedStates)
        changed, gone = pickle.loads(pickle.dumps(states.changed()))  # noqa: S301 (as written just now)
        states.changes.clear()
        for key in gone:
            again.pop(key, None)
        again |= changed
        assert [*again.items()] == [*once.items()] == [*dict.items(states)]


def test_a_key_that_is_looked_for_in_vain_leaves_nothing_to_be_written_down() -> None:
    states = TrackedStates(int)
    assert states.get("a") is states.pop("a", None) is None
    assert not states.changes
    assert states["a"] == 0
    assert states.changes
    states.changes.clear()
    del states["a"]
    assert states.changes


def test_states_that_went_back_hold_no_key_of_the_call_that_failed() -> None:
    states = TrackedStates(int)
    copy = kept(states, step="step")
    states["bad"] += 1
    again = restored(copy, states)
    assert isinstance(again, TrackedStates)
    assert again.changed() == ({}, [])
    assert not again
