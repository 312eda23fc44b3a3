"""``muster retry``: after the function is mended, the output is the one that a whole run would write."""

import gzip
import json
import os
import re
import resource
import shutil
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import muster
from conftest import Muster
from journals import kept
from muster._output.folder import WorkFolder

COUNT: Final = 60
OUTPUTS: Final = (
    *("out.csv", "out.tsv", "out.jsonl", "out.parquet", "out.csv.gz", "out.jsonl.zst", "csv/", "parquet/"),
)
INPUTS: Final = ("in.csv", "in.tsv", "in.jsonl", "in.parquet", "in.csv.gz", "two/")
FUNCTION: Final = """
import json, pathlib
import pandas as pd
import pytest
PLAN = json.loads((pathlib.Path(__file__).parent / "plan.json").read_text())

def f(df):
    if bad := sorted(set(df["n"]) & set(PLAN["fails"])):
        raise ValueError(f"{bad[0]} is bad")
    frame = df.loc[df.index.repeat([PLAN["times"].get(str(n), 1) for n in df["n"]])]
    frame = frame.assign(m=[n + 0.5 if n in PLAN["halves"] else n * 2 for n in frame["n"]])
    if PLAN["wide"] and set(frame["n"]) & set(PLAN["wide"]):
        frame = frame.assign(extra=[f"w{n}" if n in PLAN["wide"] else None for n in frame["n"]])
    return frame
"""


@dataclass(frozen=True)
class Plan:
    """Which rows the function fails on, how often it gives each, and what it makes of some."""

    fails: frozenset[int]
    times: dict[str, int] = field(default_factory=dict)
    halves: frozenset[int] = frozenset()
    wide: frozenset[int] = frozenset()

    def write(self, folder: Path) -> None:
        said = {name: sorted(rows) for name in ("fails", "halves", "wide") if (rows := getattr(self, name)) is not None}
        (folder / "f.py").write_text(FUNCTION)
        (folder / "plan.json").write_text(json.dumps({**said, "times": self.times}))


def rows_in(folder: Path, name: str, *, unreadable: Sequence[int] = ()) -> Path:
    """Write numbered rows in a format; in text, some with a cell too many."""
    frame = pd.DataFrame({"n": range(COUNT), "text": [f"row {n}" * (n % 5) for n in range(COUNT)]})
    path = folder / name
    if name == "two/":
        path.mkdir()
        half = COUNT // 2
        frame[:half].to_csv(path / "a.csv", index=False)
        frame[half:].to_csv(path / "b.csv", index=False)
    elif name.endswith(".parquet"):
        frame.to_parquet(path, row_group_size=23)
    elif name.endswith(".jsonl"):
        frame.to_json(path, orient="records", lines=True)
    else:
        lines = frame.to_csv(index=False, sep="\t" if ".tsv" in name else ",").splitlines()
        lines = [line + (",,,\t\t\t" if at - 1 in unreadable else "") for at, line in enumerate(lines)]
        data = "\n".join([*lines, ""]).encode()
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def content(output: Path) -> dict[str, bytes]:
    """Read an output, a file or a folder, and its rejects."""
    files = sorted(output.iterdir()) if output.is_dir() else [output]
    rejects = output.with_name(output.name + ".rejects.jsonl")
    found = {path.name if output.is_dir() else "": path.read_bytes() for path in files}
    return found | ({"rejects": rejects.read_bytes()} if rejects.exists() else {})


def quietly(call: Callable[[], muster.Result]) -> muster.Result:
    with warnings.catch_warnings(action="ignore", category=UserWarning):
        return call()


ROWS = st.frozensets(st.integers(0, COUNT - 1), max_size=12)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    fails=ROWS,
    mended=ROWS,
    times=st.dictionaries(st.integers(0, COUNT - 1).map(str), st.integers(0, 3), max_size=8),
    halves=ROWS,
    wide=ROWS,
    unreadable=st.frozensets(st.integers(0, COUNT - 1), max_size=3),
    given=st.sampled_from(INPUTS),
    output=st.sampled_from(OUTPUTS),
    part_bytes=st.sampled_from([40, 150, 10_000]),
    batch_rows=st.sampled_from([None, None, 7]),
)
def test_output_and_rejects_are_those_of_a_whole_run_of_the_function_as_it_is_now(  # noqa: PLR0913, PLR0917 (what may differ)
    fails: frozenset[int],
    mended: frozenset[int],
    times: dict[str, int],
    halves: frozenset[int],
    wide: frozenset[int],
    unreadable: frozenset[int],
    given: str,
    output: str,
    part_bytes: int,
    batch_rows: int | None,
) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        rows = rows_in(folder, given, unreadable=sorted(unreadable))
        options: dict[str, Any] = {"workers": 0, "max_bad_rows": COUNT, "part_bytes": part_bytes}
        options["batch_rows"] = batch_rows
        target, place = f"{folder}/f.py:f", folder / output
        plan = Plan(fails | {7}, times, halves, wide)
        whole = folder / "whole" / output
        whole.parent.mkdir()

        def run(to: Path) -> muster.Result:
            name = f"{to}/" if output.endswith("/") else str(to)
            given_path = f"{rows}/" if given == "two/" else str(rows)
            return quietly(lambda: muster.run(target, given_path, name, **options))

        plan.write(folder)
        before = run(place)
        for still in (fails & mended, frozenset[int]()):
            if not before.bad_rows:
                break
            Plan(still, times, halves, wide).write(folder)
            before = quietly(lambda: muster.retry(f"{place}/" if output.endswith("/") else place))
            after = run(whole)
            assert content(place) == content(whole)
            assert (before.rows_in, before.rows_out, before.bad_rows) == (after.rows_in, after.rows_out, after.bad_rows)
        assert not list(folder.glob("*.muster"))


# One mended function


ROWS_BAD: Final = (3, 4, 20, COUNT - 1)


@dataclass(frozen=True)
class Place:
    """A folder with rows and a function that fails on some of them, and how both are run."""

    folder: Path

    def function(self, *, fails: Sequence[int] = (), more: str = "") -> None:
        Plan(frozenset(fails)).write(self.folder)
        (self.folder / "f.py").write_text(FUNCTION + more)

    def run(self, output: str = "out.csv", **options: Any) -> muster.Result:  # noqa: ANN401 (any option)
        to = f"{self.folder}/{output}"
        chosen: dict[str, Any] = {"workers": 0, "max_bad_rows": COUNT, "part_bytes": 100, **options}
        return quietly(lambda: muster.run(f"{self.folder}/f.py:f", self.folder / "in.csv", to, **chosen))

    def retry(self, output: str = "out.csv", **options: Any) -> muster.Result:  # noqa: ANN401 (any option)
        return quietly(lambda: muster.retry(f"{self.folder}/{output}", **options))

    def content(self, output: str = "out.csv") -> dict[str, bytes]:
        return content(self.folder / output)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    rows_in(tmp_path, "in.csv")
    made = Place(tmp_path)
    made.function(fails=ROWS_BAD)
    return made


def mended(place: Place, output: str = "out.csv") -> dict[str, bytes]:
    """Mend the function, and give what a whole run of it writes."""
    place.function()
    (place.folder / "whole").mkdir()
    place.run(f"whole/{output}")
    return place.content(f"whole/{output}")


def test_the_command_line_names_it_tells_its_counts_and_lists_it_among_the_runs(place: Place, muster: Muster) -> None:
    ran = muster("run", "f.py:f", "in.csv", "-o", "out.csv", "--workers", "0", "--max-bad-rows", "9")
    assert ran.code == 4
    assert "then type: muster retry out.csv" in ran.err
    place.function(fails=[20])
    some = muster("retry", "out.csv", "--json")
    assert some.code == 4
    assert (some.json["retried"], some.json["mended"], some.json["bad_rows"]) == (4, 3, 1)
    place.function()
    rest = muster("retry", "out.csv", "--json")
    assert (rest.code, rest.json["retried"], rest.json["mended"], rest.json["rows_out"]) == (0, 1, 1, COUNT)
    assert "1 of 1 bad row succeeded" in rest.err
    none = muster("retry", "out.csv")
    assert none.code == 2
    assert "nothing to retry" in none.err
    assert muster("runs").out.count("finished") == 3


def test_a_retry_beside_another_run_is_refused_whatever_the_run_itself_was_told(
    place: Place, muster: Muster, home: Path
) -> None:
    hourly = ("run", "f.py:f", "in.csv", "-o", "out.csv", "--workers", "0", "--max-bad-rows", "9")
    assert muster(*hourly, "--if-running", "skip").code == 4
    place.function()
    work = WorkFolder(str(place.folder / "out.csv"), home=home)
    work.take()
    try:
        refused = muster("retry", "out.csv", "--json")
    finally:
        work.release()
    assert (refused.code, refused.json.get("skipped")) == (2, None), refused
    assert muster("retry", "out.csv").code == 0


@pytest.mark.usefixtures("place")
def test_its_options_are_those_of_the_attempt_that_came_to_the_end(muster: Muster) -> None:
    run = ("run", "f.py:f", "in.csv", "-o", "out.csv", "--workers", "0")
    assert muster(*run, "--strict").code == 1
    assert muster(*run, "--max-bad-rows", "9").code == 4
    again = muster("retry", "out.csv", "--json")
    assert (again.code, again.json["bad_rows"]) == (4, 4), again.err
    assert muster("retry", "out.csv", "--strict").code == 1
    assert muster("retry", "out.csv", "--max-bad-rows", "8").code == 4
    assert muster("retry", "out.csv").code == 4


def test_workers_put_rows_into_the_same_places(place: Place, muster: Muster) -> None:
    place.run("out.csv", workers=2)
    place.run("part/", workers=2)
    place.function()
    assert muster("retry", "out.csv", "--workers", "2").code == 0
    assert muster("retry", "part/", "--workers", "2").code == 0
    whole = mended(place)
    assert place.content() == whole
    assert place.content("part")["part-00000.csv"] == whole[""]


def test_only_bad_rows_are_called_again(place: Place) -> None:
    place.run()
    place.function(
        more="""

of_rows = f
def f(df):
    with (pathlib.Path(__file__).parent / "called").open("a") as called:
        called.write(f"{[*df.n]}\\n")
    return of_rows(df)
"""
    )
    place.retry()
    assert (place.folder / "called").read_text().split("\n")[:-1] == ["[3, 4]", "[20]", f"[{COUNT - 1}]"]


def test_another_folder_and_a_link_to_the_output_are_no_matter(
    place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.chdir(place.folder)
    quietly(lambda: muster.run("f.py:f", "in.csv", "out.csv", workers=0, max_bad_rows=9))
    place.function()
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "link.csv").symlink_to(place.folder / "out.csv")
    monkeypatch.chdir(elsewhere)
    assert muster.retry("link.csv").bad_rows == 0
    assert Path.cwd() == elsewhere
    assert place.content() == mended(place)


def test_a_function_of_a_program_is_handed_over_again(place: Place) -> None:
    def picky(df: pd.DataFrame) -> pd.DataFrame:
        if 7 in set(df["n"]):
            raise ValueError("no 7")
        return df

    output = place.folder / "out.csv"
    quietly(lambda: muster.run(picky, place.folder / "in.csv", output, workers=0))
    with pytest.raises(muster.UsageError, match="'picky' was handed over by a Python program"):
        muster.retry(output)
    assert muster.retry(output, lambda df: df).rows_out == COUNT
    assert output.read_bytes() == (place.folder / "in.csv").read_bytes()


def test_arguments_are_kept_but_for_secrets_which_are_to_be_given_again(
    place: Place, muster: Muster, home: Path
) -> None:
    function = (
        "def g(df, *, times, token):\n"
        "    if FAILS: raise ValueError('no')\n"
        "    return df.assign(t=times, s=len(token))\n"
    )
    (place.folder / "g.py").write_text(function.replace("if FAILS", "if 7 in set(df['n'])"))
    arguments = ("--arg", "times=3", "--arg", "token=s3cr3t")
    assert muster("run", "g.py:g", "in.csv", "-o", "out.csv", "--workers", "0", *arguments).code == 4
    (place.folder / "g.py").write_text(function.replace("if FAILS", "if False"))
    lacking = muster("retry", "out.csv", "--workers", "0")
    assert lacking.code == 2
    assert "--arg token=VALUE" in lacking.err
    assert muster("retry", "out.csv", "--arg", "token=s3cr3t").code == 0
    assert pd.read_csv(place.folder / "out.csv")[["t", "s"]].drop_duplicates().to_numpy().tolist() == [[3, 6]]
    assert not [path for path in home.rglob("*.jsonl") if "s3cr3t" in path.read_text()]


def test_a_pipeline_of_a_file_is_read_again(place: Place, muster: Muster) -> None:
    (place.folder / "p.py").write_text(
        "import muster\nfrom f import f\npipeline = muster.read_csv('in.csv').map_batches(f)\n"
    )
    assert muster("run", "p.py", "-o", "out.csv", "--max-bad-rows", "9", "--workers", "0").code == 4
    place.function()
    assert muster("retry", "out.csv").code == 0
    assert place.content() == mended(place)


# What it refuses


def change_input(place: Place) -> None:
    with (place.folder / "in.csv").open("a") as rows:
        rows.write("1000,x\n")


def change_output(place: Place) -> None:
    path = place.folder / "out.csv"
    path.write_bytes(path.read_bytes().replace(b"row", b"raw"))


REFUSED: Final[dict[str, tuple[Callable[[Place], object], str]]] = {
    "input": (change_input, r"the input '.*in\.csv' has changed"),
    "output": (change_output, r"out\.csv' is not what run .* wrote"),
    "no output": (lambda place: (place.folder / "out.csv").unlink(), r"out\.csv' is not what run .* wrote"),
    "no rejects": (lambda place: (place.folder / "out.csv.rejects.jsonl").unlink(), r"rejects\.jsonl' is not what run"),
    "rejects": (
        lambda place: (place.folder / "out.csv.rejects.jsonl").write_text(""),
        r"rejects\.jsonl' is not what run",
    ),
    "no input": (lambda place: (place.folder / "in.csv").unlink(), r"in\.csv"),
    "no function": (lambda place: (place.folder / "f.py").unlink(), r"No file .*f\.py"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_no_longer_fits_is_refused_and_nothing_is_written(place: Place, case: str) -> None:
    place.run()
    place.function()
    change, said = REFUSED[case]
    change(place)
    before = {path.name: path.read_bytes() for path in place.folder.iterdir() if path.is_file()}
    with pytest.raises(muster.UsageError, match=said):
        place.retry()
    assert {path.name: path.read_bytes() for path in place.folder.iterdir() if path.is_file()} == before
    assert not (place.folder / "out.csv.muster").exists()


def test_an_output_that_nobody_knows_is_told_with_those_that_are_known(place: Place) -> None:
    place.run()
    with pytest.raises(muster.UsageError, match=r"No run is known .*other\.csv.*out\.csv \(4 bad rows\)"):
        place.retry("other.csv")


def test_options_that_would_change_rows_are_refused(place: Place) -> None:
    place.run()
    with pytest.raises(muster.UsageError, match="A retry has no option dtype"):
        place.retry("out.csv", dtype="str")


def test_an_output_that_is_replaced_meanwhile_is_left_as_it_is(place: Place) -> None:
    place.run()
    meddling = "(pathlib.Path(__file__).parent / 'out.csv').write_text('mine')"
    place.function(more=f"\n\nof_rows = f\ndef f(df):\n    {meddling}\n    return of_rows(df)\n")
    with pytest.raises(muster.UsageError, match="is not what run"):
        place.retry()
    assert (place.folder / "out.csv").read_text() == "mine"


# Killed anywhere


def stopped_where_files_are_full(place: Place, size: int) -> str:
    """Retry in a process whose files take so many bytes at most; tell what stopped it."""
    reading, writing = os.pipe()
    if not os.fork():
        said = "nothing"
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
            place.retry()
        except muster.MusterError as error:
            said = str(error)
        finally:
            os.write(writing, said.encode())
            os._exit(0)
    os.close(writing)
    with open(reading, encoding="utf-8") as pipe:  # noqa: PTH123 (a descriptor)
        said = pipe.read()
    os.wait()
    return said


def test_a_retry_that_a_full_disk_stops_while_it_takes_rows_over_leaves_what_it_has(place: Place) -> None:
    place.run()
    place.function()
    work, size = place.folder / "out.csv.muster", 1_000
    while not kept(work / "journal.jsonl"):
        size += 500  # until the file that is full is the journal, in the middle of what is taken over
        shutil.rmtree(work, ignore_errors=True)
        assert re.search("File too large|No space left", stopped_where_files_are_full(place, size))
    assert place.retry().bad_rows == 0
    assert place.content() == mended(place)


def killed_at(place: Place, output: str, moment: int) -> bool:
    """Retry in a process that is killed when it touches files for the so-many-th time; tell whether it was."""
    if child := os.fork():
        return os.waitpid(child, 0)[1] != 0
    left = moment

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        touches = event in {"os.rename", "os.remove", "os.link", "os.truncate", "os.rmdir"}
        if touches and str(place.folder) in f"{arguments[0]} {arguments[-1] if len(arguments) < 3 else arguments[1]}":
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)

    try:
        sys.addaudithook(hook)
        place.retry(output)
    finally:
        os._exit(0)


@pytest.mark.parametrize("output", ["out.csv", "part/", "out.parquet"])
def test_killed_anywhere_the_same_again_comes_to_the_same_end(place: Place, output: str) -> None:
    place.run(output)
    before = place.content(output.rstrip("/"))
    earlier = place.folder / "earlier"
    shutil.copytree(place.folder, earlier, symlinks=True)
    place.function(fails=[20])
    (place.folder / "whole").mkdir()
    place.run(f"whole/{output}")
    expected = place.content(f"whole/{output.rstrip('/')}")
    moment, deaths = 0, 0
    while True:
        moment += 1
        died = killed_at(place, output, moment)
        deaths += died
        if not died:
            break
    assert deaths > 4
    assert place.content(output.rstrip("/")) == expected
    assert before != expected
