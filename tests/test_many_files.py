"""Many small files: one task takes several, and nobody can tell by what comes of it."""

import io
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import muster as api
from conftest import MUSTER, Muster
from muster._journal.events import Kept
from muster._journal.file import replay
from muster._model import Outcome, Part, Seconds, Slots, Task
from muster._progress.actions import GiveUp, Keep, Submit
from muster._progress.progress import Progress
from muster.errors import RejectedRowsWarning, TooManyBadRowsError
from waiting import until

TEXTS = ("plain", "", "with, a comma", 'with a "quote"', "two\nlines", "ends\r\nhere", "ä", "0x10")
RAISES, KILLS = 13, 14
FUNCTION = """
import os, threading
from pathlib import Path

def label(df):
    if (df["id"] == 13).any():
        raise ValueError("unlucky")
    if (df["id"] == 14).any():
        os._exit(3)
    if Path("pace").exists():
        threading.Event().wait(float(Path("pace").read_text()))
    df.columns.name = "set by the function"
    df["twice"] = df["id"] * 2
    df["at"] = df.index
    df.loc[df["id"] % 2 == 0, "name"] = "even"
    return df
"""
MENDED = FUNCTION.replace('raise ValueError("unlucky")', "pass")


def label(df: pd.DataFrame) -> pd.DataFrame:
    """Do the same as the function above, in this process."""
    assert df.columns.name is None
    if (df["id"] == RAISES).any():
        raise ValueError("unlucky")
    df.columns.name = "set by the function"
    df["twice"] = df["id"] * 2
    df["at"] = df.index
    df.loc[df["id"] % 2 == 0, "name"] = "even"
    return df


@dataclass(frozen=True)
class Small:
    """A small file: its rows, ids that may be no numbers and texts, and how it is written."""

    rows: tuple[tuple[str, str], ...]
    has_header: bool = True
    end: str = "\n"
    is_ended: bool = True
    is_turned: bool = False
    """The columns stand in the other order."""

    @property
    def text(self) -> str:
        if not self.has_header:
            return ""
        cells = [
            ("id", "name"),
            *((one, '"' + text.replace('"', '""') + '"' if text else "") for one, text in self.rows),
        ]
        lines = [",".join(reversed(row) if self.is_turned else row) for row in cells]
        text = self.end.join(lines) + self.end
        return text if self.is_ended else text.removesuffix(self.end)

    @property
    def bad(self) -> list[int]:
        return [at for at, (one, _) in enumerate(self.rows) if not one.isdigit() or int(one) in {RAISES, KILLS}]

    def expected(self, *, bad: Sequence[int]) -> pd.DataFrame:
        """Give what pandas makes of the rows that are not bad."""
        good = [at for at in range(len(self.rows)) if at not in bad]
        texts = [self.rows[at][1] or None for at in good]
        ids = [int(self.rows[at][0]) for at in good]
        frame = pd.DataFrame({"id": pd.Series(ids, good, "int64"), "name": pd.Series(texts, good, "str")})
        made = label(frame[frame["id"] != RAISES])
        return made.rename_axis(columns=None)


ids = st.one_of(st.integers(20, 99).map(str), st.sampled_from(["bad", str(RAISES)]))
small_files = st.builds(
    Small,
    st.lists(st.tuples(ids, st.sampled_from(TEXTS)), max_size=4).map(tuple),
    has_header=st.sampled_from([True, True, True, False]),
    end=st.sampled_from(["\n", "\r\n"]),
    is_ended=st.booleans(),
    is_turned=st.sampled_from([False, False, True]),
)


def written(files: Sequence[Small], folder: Path) -> Path:
    folder.mkdir()
    for at, file in enumerate(files):
        (folder / f"{at:04}.csv").write_bytes(file.text.encode())
    return folder


def output_of(files: Sequence[Small], *, columns: Sequence[str], is_mended: bool = False) -> bytes:
    """Write what pandas would, with the columns in the order of the first file."""
    frames = []
    for file in files:
        if file.has_header:
            rejected = [at for at in file.bad if not (is_mended and file.rows[at][0] == str(RAISES))]
            frames.append(file.expected(bad=rejected) if not is_mended else mended(file, rejected))
    frame = pd.concat(frames) if frames else pd.DataFrame()
    return frame[[*columns, "twice", "at"]].to_csv(index=False).encode()


def mended(file: Small, rejected: Sequence[int]) -> pd.DataFrame:
    lucky = {RAISES: 2 * RAISES + 1}  # odd, as the other one is
    rows = tuple((str(lucky.get(int(one), one)) if one.isdigit() else one, text) for one, text in file.rows)
    frame = Small(rows).expected(bad=rejected)
    frame.loc[frame["id"] == lucky[RAISES], ["id", "twice"]] = (RAISES, 2 * RAISES)
    return frame


def rejects_of(files: Sequence[Small]) -> list[tuple[str, int]]:
    return [(f"{at:04}.csv", row) for at, file in enumerate(files) if file.has_header for row in file.bad]


def told_rejects(path: Path) -> list[tuple[str, int]]:
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    for line in lines:
        text = (path.parent / line["file"]).read_bytes()[line["byte_offset"] :].decode()
        assert text.startswith(line["raw"]), "a row is not where its reject says"
    return [(Path(line["file"]).name, line["row"]) for line in lines]


@settings(max_examples=25, deadline=None)
@given(files=st.lists(small_files, max_size=14), batch_rows=st.sampled_from([None, None, 1, 2]))
def test_small_files_of_any_kind_give_the_bytes_of_pandas(files: list[Small], batch_rows: int | None) -> None:
    files = [Small((("1", "good"),)), *files]  # else all of them may fail alike, which ends the run
    columns = ("id", "name")
    with tempfile.TemporaryDirectory() as text:
        folder, out = written(files, Path(text, "in")), Path(text, "out.csv")
        result = api.run(
            label, folder, out, workers=0, dtype={"id": "int64", "name": "str"}, batch_rows=batch_rows, max_bad_rows=99
        )
        assert out.read_bytes() == output_of(files, columns=columns)
        assert result.rows_in == sum(len(file.rows) for file in files if file.has_header)
        assert told_rejects(Path(f"{out}.rejects.jsonl")) == rejects_of(files)


FILES = 60
"""How many files there are where all but some are alike: types are settled by a look at some 27 of them."""

VALUES = ("7", "7", "7", "8.5", "", "true", "many words", "12345678901234567890", "2026-01-02", "0x10")
"""Of a column that is of whole numbers, until another value comes."""


@dataclass(frozen=True)
class Odd:
    """A file among many: what one of its cells holds, whether it has a column more, and which of its rows are bad."""

    value: str = "7"
    has_late: bool = False
    raises: bool = False
    is_ragged: bool = False
    rows: int = 1

    def text(self, number: int) -> str:
        more, cell = (",late", ",1") if self.has_late else ("", "")
        rows = [f"{number},{self.value if row == 0 else 7}{cell}" for row in range(self.rows)]
        rows += [f"-1,7{cell}"] * self.raises + [f"{number},7{cell},too,many"] * self.is_ragged
        return "\n".join([f"number,value{more}", *rows, ""])


odd_files = st.builds(
    Odd,
    value=st.sampled_from(VALUES),
    has_late=st.sampled_from([False, False, True]),  # also where a file has no rows
    raises=st.sampled_from([False, False, True]),
    is_ragged=st.sampled_from([False, False, False, True]),
    rows=st.integers(0, 3),
)


def positive(df: pd.DataFrame) -> pd.DataFrame:
    if (df["number"] < 0).any():
        raise ValueError("negative")
    return df.assign(kind=str(df["value"].dtype), doubled=df["value"] * 2 if df["value"].dtype.kind in "if" else None)


BEYOND_ALL = 1_000_000
"""Rows that a run may stop after, more than there are: it stops at none, and each file has a task of its own."""


def ended_as(folder: Path, name: str, **options: Any) -> tuple[str, bytes, list[str]]:  # noqa: ANN401 (options of a run)
    """Run over all files; give how it ended, the output, and the bad rows."""
    out = folder / name / "out.csv"
    out.parent.mkdir()
    try:
        result = api.run(positive, folder / "in", out, workers=0, **options)
        said = f"{result.rows_in} {result.rows_out} {result.bad_rows}"
    except api.MusterError as error:
        said = f"{type(error).__name__}: {str(error).replace(str(out.parent), '')}"
    rejects = Path(f"{out}.rejects.jsonl")
    lines = rejects.read_text().splitlines() if rejects.exists() else []
    return said, out.read_bytes() if out.exists() else b"", lines


@settings(max_examples=12, deadline=None)
@given(
    odd=st.dictionaries(st.integers(1, FILES - 1), odd_files, max_size=6),
    options=st.sampled_from([{"max_bad_rows": 99}, {"max_bad_rows": 99}, {"max_bad_rows": 1}, {"strict": True}]),
)
def test_files_of_one_task_end_as_files_of_tasks_of_their_own(odd: dict[int, Odd], options: dict[str, Any]) -> None:
    """Types that widen, columns that come late, rows that cannot be read or done, and too many of these."""
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        (folder / "in").mkdir()
        for at in range(FILES):
            (folder / "in" / f"{at:04}.csv").write_text(odd.get(at, Odd()).text(at))
        together = ended_as(folder, "together", **options)
        assert ended_as(folder, "apart", limit=BEYOND_ALL, **options) == together
        if not any(one.raises or one.is_ragged for one in odd.values()):
            files = [odd.get(at, Odd()) for at in range(FILES)]
            has_late = any(one.has_late for one in files)
            lines = [line for at, one in enumerate(files) for line in one.text(at).splitlines()[1:]]
            header = "number,value,late" if has_late else "number,value"
            whole = pd.read_csv(io.StringIO("\n".join([header, *lines])))  # a line may have a cell less
            assert together[1] == positive(whole).to_csv(index=False).encode()


LINES = (
    *('{"number": 1, "value": 7}', '{"value": 7, "number": 1}', '{"number": 1, "value": 8.5}', '{"number": 1}'),
    *('{"number": 1, "value": null}', '{"number": 1, "value": true}', '{"number": 1, "value": "text"}'),
    *(
        '{"number": 1, "value": 12345678901234567890}',
        '{"number": 1, "value": [1, null]}',
        '{"number": 1, "value": NaN}',
    ),
    *('{"number": 1, "value": 7, "late": "ä"}', '{"number": -1, "value": 7}', "not JSON", "", " {}", "null", "[1]"),
    *('{"number": 1, "value": 7} {"number": 1, "value": 7}', '{"number": 1, "number": 2}', "\ufeff{}"),
)


@settings(max_examples=12, deadline=None)
@given(
    odd=st.dictionaries(st.integers(1, FILES - 1), st.lists(st.sampled_from(LINES), max_size=3), max_size=6),
    is_ended=st.booleans(),
    options=st.sampled_from([{"max_bad_rows": 99}, {"max_bad_rows": 1}]),
)
def test_files_of_lines_of_one_task_end_as_those_of_tasks_of_their_own(
    odd: dict[int, list[str]], options: dict[str, Any], *, is_ended: bool
) -> None:
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        (folder / "in").mkdir()
        for at in range(FILES):
            written = "\n".join(odd.get(at, [LINES[0], LINES[1]])) + "\n" * is_ended
            (folder / "in" / f"{at:04}.jsonl").write_text(written, encoding="utf-8")
        together = ended_as(folder, "together", **options)
        assert ended_as(folder, "apart", limit=BEYOND_ALL, **options) == together


def some_files(count: int, *, seed: int = 1, raising: int = 3) -> list[Small]:
    """Make files of all kinds, of which so many have a row on which the function raises, or that cannot be read."""
    chance = Random(seed)  # noqa: S311 (an example)
    files = []
    for at in range(count):
        rows = [
            (str(100 + chance.randrange(900)), chance.choice(TEXTS)) for _ in range(chance.choice([0, 1, 1, 2, 30]))
        ]
        if at % (count // max(raising, 1)) == count // 5 and raising:
            rows.insert(len(rows) // 2, (chance.choice([str(RAISES), "bad"]), "rejected"))
        end, is_turned = chance.choice(["\n", "\r\n"]), at > 0 and chance.random() < 0.1
        files.append(Small(tuple(rows), at == 0 or chance.random() > 0.05, end, chance.random() > 0.3, is_turned))
    return files


COMMAND = ("run", "fn.py:label", "in", "--dtype", "id=int64,name=str")


@pytest.mark.parametrize("workers", ["0", "1", "2"])
def test_any_number_of_workers_gives_the_bytes_of_pandas(muster: Muster, tmp_path: Path, workers: str) -> None:
    files = some_files(240)
    (tmp_path / "fn.py").write_text(FUNCTION)
    written(files, tmp_path / "in")
    ended = muster(*COMMAND, "-o", "out.csv", "--workers", workers, "--json")
    assert ended.code == 4, ended.err
    assert (tmp_path / "out.csv").read_bytes() == output_of(files, columns=("id", "name"))
    assert told_rejects(tmp_path / "out.csv.rejects.jsonl") == rejects_of(files)
    assert ended.json["bad_rows"] == len(rejects_of(files)) > 1


def test_a_run_that_is_killed_among_many_files_goes_on_and_gives_the_bytes_of_pandas(
    muster: Muster, tmp_path: Path
) -> None:
    files = some_files(180)
    (tmp_path / "fn.py").write_text(FUNCTION)
    (tmp_path / "pace").write_text("0.005")
    written(files, tmp_path / "in")
    journal = tmp_path / "out.csv.muster" / "journal.jsonl"

    def kept() -> list[int]:
        events = [entry.event for entry in replay(journal)] if journal.exists() else []
        tasks = [event.outcome.task for event in events if isinstance(event, Kept)]
        return [task.last - task.first for task in tasks]

    command = [*MUSTER, *COMMAND, "-o", "out.csv", "--workers", "2", "--quiet"]
    for most in (1, 60):
        process = subprocess.Popen(command, cwd=tmp_path)
        until(lambda: sum(kept()) > most)  # noqa: B023 (it is called at once)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert max(kept()) > 1, "no task was of several files"
    ended = muster(*COMMAND, "-o", "out.csv", "--workers", "2", "--json")
    assert ended.code == 4, ended.err
    assert ended.json["resumed_parts"] > 60
    assert (tmp_path / "out.csv").read_bytes() == output_of(files, columns=("id", "name"))
    assert told_rejects(tmp_path / "out.csv.rejects.jsonl") == rejects_of(files)


@pytest.mark.parametrize("output", ["out.csv", "out.csv.gz", "out/", "out.parquet"])
def test_a_retry_mends_the_rows_of_many_files(muster: Muster, tmp_path: Path, output: str) -> None:
    files = some_files(200)
    (tmp_path / "fn.py").write_text(FUNCTION)
    written(files, tmp_path / "in")
    assert muster(*COMMAND, "-o", output, "--workers", "0").code == 4
    (tmp_path / "fn.py").write_text(MENDED)
    ended = muster("retry", output, "--workers", "0", "--json")
    still = [place for place in rejects_of(files) if is_unreadable(files, place)]
    assert ended.code == (4 if still else 0), ended.err
    read = pd.read_parquet if output.endswith("parquet") else pd.read_csv
    paths = sorted((tmp_path / output).glob("*.csv")) if output.endswith("/") else [tmp_path / output]
    found = pd.concat([read(path) for path in paths]).to_csv(index=False).encode()
    expected = output_of(files, columns=("id", "name"), is_mended=True)
    (tmp_path / "expected.csv").write_bytes(expected)
    assert found == pd.read_csv(tmp_path / "expected.csv").to_csv(index=False).encode()


def is_unreadable(files: Sequence[Small], place: tuple[str, int]) -> bool:
    name, row = place
    return not files[int(name.partition(".")[0])].rows[row][0].isdigit()


def test_a_row_that_kills_its_worker_costs_that_row_alone(muster: Muster, tmp_path: Path) -> None:
    files = some_files(150, raising=0)
    deadly = files[77]
    files[77] = Small((*deadly.rows, (str(KILLS), "deadly"), ("15", "behind")), end=deadly.end)
    (tmp_path / "fn.py").write_text(FUNCTION)
    written(files, tmp_path / "in")
    ended = muster(*COMMAND, "-o", "out.csv", "--workers", "2", "--json")
    assert ended.code == 4, ended.err
    assert told_rejects(tmp_path / "out.csv.rejects.jsonl") == [("0077.csv", len(deadly.rows))]
    assert (tmp_path / "out.csv").read_bytes() == output_of(files, columns=("id", "name"))


@pytest.mark.parametrize("kind", ["csv.gz", "jsonl", "parquet"])
def test_small_files_of_other_formats_are_put_together_as_pandas_puts_them(
    muster: Muster, tmp_path: Path, kind: str
) -> None:
    (tmp_path / "in").mkdir()
    frames = [pd.DataFrame({"id": range(at, at + at % 4), "name": "text"}) for at in range(1, 90)]
    for at, frame in enumerate(frames):
        path = tmp_path / "in" / f"{at:04}.{kind}"
        if kind == "parquet":
            frame.to_parquet(path)
        elif kind == "jsonl":
            frame.to_json(path, orient="records", lines=True)
        else:
            frame.to_csv(path, index=False)
    (tmp_path / "fn.py").write_text("def keep(df):\n    df['at'] = df.index\n    return df\n")
    expected = pd.concat([frame.assign(at=frame.index) for frame in frames]).to_csv(index=False)
    for workers in ("0", "2"):
        ended = muster("run", "fn.py:keep", "in", "-o", f"{workers}.csv", "--workers", workers)
        assert ended.code == 0, ended.err
        assert (tmp_path / f"{workers}.csv").read_text() == expected


def files_of_one_row(count: int) -> list[Part]:
    return [Part(file, 0, 8, 0, 1) for file in range(count)]


def submitted(progress: Progress) -> Task:
    (action,) = progress.submit({"": Slots(1, 0)})
    assert isinstance(action, Submit)
    return action.task


def done(task: Task) -> Outcome:
    return Outcome(task, task.rows, 0, seconds=Seconds(total=0.001))


def test_one_task_takes_files_together_once_a_row_is_known_to_be_good() -> None:
    progress = Progress(workers=1, max_bad_rows=0, most_files=4)
    progress.add_parts(files_of_one_row(20))
    first = submitted(progress)
    assert (first.last, first.members) == (1, ())
    progress.done(first.number, done(first))
    second = submitted(progress)
    assert [member.file for member in second.members] == [1, 2, 3, 4]
    assert [member.number for member in second.members] == [second.number + at for at in range(4)]
    assert (second.first, second.last, second.rows) == (1, 5, 4)


def test_files_of_a_task_that_killed_its_worker_are_done_one_by_one() -> None:
    progress = Progress(workers=1, max_bad_rows=0, most_files=4)
    progress.add_parts(files_of_one_row(20))
    first = submitted(progress)
    progress.done(first.number, done(first))
    killed = submitted(progress)
    assert progress.lost(killed.number, "it died", began=True) == []
    assert [submitted(progress).file for _ in range(4)] == [1, 2, 3, 4]


def test_a_file_among_hundreds_that_kills_its_worker_is_found_in_two_cuts() -> None:
    progress, deadly, deaths, tasks = Progress(workers=1, max_bad_rows=9, most_files=256), 300, 0, 0
    progress.add_parts(files_of_one_row(600))
    progress.no_more_parts()
    while not progress.is_done and deaths < 50:
        task = submitted(progress)
        files = {member.file for member in task.members or (task,)}
        tasks += 1
        if deadly not in files:
            progress.done(task.number, *map(done, task.members or (task,)))
        elif task.condemned:
            progress.done(task.number, done(task)._replace(bad_rows=1))
        else:
            deaths += 1
            progress.lost(task.number, "it died", began=True)
    assert progress.rows_done == 600
    assert deaths <= 2 + 3  # of two cuts; and of the file alone, which is tried again before it counts as bad
    assert tasks < 100


def test_files_of_two_volumes_are_never_in_one_task() -> None:
    progress = Progress(workers=1, max_bad_rows=0, most_files=100, volume=24)
    progress.add_parts(files_of_one_row(40))
    progress.no_more_parts()
    while not progress.is_done:
        task = submitted(progress)
        assert task.first // 3 == (task.last - 1) // 3
        progress.done(task.number, done(task))


def test_files_behind_one_that_had_too_many_bad_rows_are_done_later() -> None:
    progress = Progress(workers=1, max_bad_rows=5, most_files=4)
    progress.add_parts(files_of_one_row(9))
    first = submitted(progress)
    progress.done(first.number, done(first))
    task = submitted(progress)
    assert len(task.members) == 4
    progress.done(task.number, done(task.members[0]))
    rest = submitted(progress)
    assert (rest.members or (rest,))[0].file == 2


def test_the_file_that_stops_a_run_is_named_and_none_behind_it_is_kept() -> None:
    progress = Progress(workers=1, max_bad_rows=0, most_files=4)
    progress.add_parts(files_of_one_row(9))
    first = submitted(progress)
    progress.done(first.number, done(first))
    one, other, *rest = submitted(progress).members
    bad = done(other)._replace(bad_rows=1, first_error="why")
    actions = progress.done(one.number, done(one), bad, *map(done, rest))
    assert actions[-1] == GiveUp(1, "why", bad)
    assert sum(isinstance(action, Keep) for action in actions) == 1
    assert progress.rows_done == 2


def test_a_file_that_was_cut_short_for_too_many_bad_rows_is_done_again_once_more_may_be(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    kinds = {0: {"bad": 8}, 1: {"bad": 1, "float": 1}, 2: {"bad": 3}}
    for number in range(9):
        rows = [kind for kind, count in kinds.get(number, {}).items() for _ in range(count)] + ["good"] * 50
        text = "k,x\n" + "".join(f"{kind},{at}\n" for at, kind in enumerate(rows))
        (tmp_path / "in" / f"{number}.csv").write_text(text)

    def process(frame: pd.DataFrame) -> pd.DataFrame:
        if (frame["k"] == "bad").any():
            raise ValueError
        # what the first file gave is dropped, and with it the rows that had used up what may be bad
        return frame.assign(x=frame["x"] * 1.0) if (frame["k"] == "float").any() else frame

    def run(allowed: int, output: str) -> api.Result:
        return api.run(process, tmp_path / "in/*.csv", tmp_path / output, workers=0, max_bad_rows=allowed)

    with pytest.raises(TooManyBadRowsError):
        run(10, "out.csv")
    with pytest.warns(RejectedRowsWarning):
        results = [run(100, output) for output in ("out.csv", "whole.csv")]
    assert [(result.rows_out, result.bad_rows) for result in results] == [(451, 12)] * 2
    for name in ("{}.csv", "{}.csv.rejects.jsonl"):
        assert len({(tmp_path / name.format(output)).read_bytes() for output in ("out", "whole")}) == 1
