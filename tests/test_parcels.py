"""Machines that do not see this computer's files: tasks, rows and code travel."""

import gzip
import json
import tarfile
import tempfile
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import yaml

from muster import EngineError, UsageError
from muster._clouds.base import Access
from muster._files.home import home
from muster._job import Job, Options, Result, Snapshot
from muster._model import Module, Target
from muster._output.folder import WorkFolder
from muster._run.history.earlier import earlier
from muster._run.runner import run
from muster._travel.luggage import LARGEST_FILE, Luggage, pack
from muster._travel.packages import Packages, check
from muster._user_code.targets import of_function, parse_target

COUNT = 400
CODE = """
from pathlib import Path
from beside import factor

WORD = Path("word.txt").read_text()

def work(df):
    if (df["n"] == 77).any():
        raise ValueError("seventy-seven")
    df["m"] = df["n"] * factor
    df["word"] = WORD
    return df
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    code = tmp_path / "code"
    code.mkdir()
    (code / "work.py").write_text(CODE)
    (code / "beside.py").write_text("factor = 3\n")
    (tmp_path / "word.txt").write_text("café")
    (code / "word.txt").write_text("another")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def unwatched(_: Snapshot) -> None:
    pass


def frame() -> pd.DataFrame:
    return pd.DataFrame({"n": range(COUNT), "text": [f'line "{n}"\nand, more' for n in range(COUNT)]})


def lay_out(folder: Path, name: str) -> None:
    if name.endswith(".parquet"):
        frame().to_parquet(folder / name, row_group_size=90)
    elif ".jsonl" in name:
        frame().to_json(folder / name, orient="records", lines=True)
    else:
        text = frame().to_csv(index=False)
        data = text.encode()
        (folder / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)


def ran(folder: Path, job: Job, far: Access | None) -> tuple[Result, bytes, list[tuple[int, str]]]:
    result = run(job, watch=unwatched, access=far)
    rejects = Path(f"{job.output}.rejects.jsonl")
    bad = [json.loads(line) for line in rejects.read_text().splitlines()] if rejects.exists() else []
    return result, (folder / job.output).read_bytes(), [(row["row"], row["raw"]) for row in bad]


@pytest.mark.parametrize("name", ["in.csv", "in.csv.gz", "in.jsonl", "in.parquet"])
def test_rows_that_travel_give_the_same_output_and_rejects_as_rows_that_do_not_and_nothing_is_left_of_what_was_packed(
    folder: Path, far: Access, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay_out(folder, name)
    (folder / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "temporary"))
    steps = (parse_target("code/work.py:work"),)
    monkey = Options(workers=0, part_bytes=500, with_files=("word.txt",))
    _, expected, bad = ran(folder, Job(steps, (name,), "home.csv", monkey), None)
    result, found, bad_far_away = ran(folder, Job(steps, (name,), "away.csv", replace(monkey, workers=None)), far)
    assert found == expected
    assert bad_far_away == bad
    assert [row for row, _ in bad] == [77]
    assert (result.rows_in, result.bad_rows, result.machines) == (COUNT, 1, 1)
    assert list((folder / "temporary").iterdir()) == []


def test_a_run_that_ends_well_says_nothing_of_how_its_driver_ends(
    folder: Path, far: Access, capsys: pytest.CaptureFixture[str]
) -> None:
    lay_out(folder, "in.csv")
    ran(
        folder,
        Job((parse_target("code/work.py:work"),), ("in.csv",), "out.csv", Options(with_files=("word.txt",))),
        far,
    )
    assert "Traceback" not in capsys.readouterr().err


def test_a_function_by_value_travels_with_the_module_beside_it(
    folder: Path, far: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay_out(folder, "in.csv")
    (folder / "tripled.py").write_text("def triple(n):\n    return n * 3\n")
    monkeypatch.syspath_prepend(folder)

    def by_value(df: pd.DataFrame) -> pd.DataFrame:
        from tripled import triple  # type: ignore[import-not-found]  # noqa: PLC0415 (made by this test)

        return df[["n"]].assign(m=triple(df["n"]))

    _, found, _ = ran(folder, Job((of_function(by_value),), ("in.csv",), "away.csv"), far)
    assert found.decode().splitlines() == ["n,m", *(f"{n},{n * 3}" for n in range(COUNT))]


def test_bad_rows_of_a_retry_travel_and_come_back_into_their_places(folder: Path, far: Access) -> None:
    lay_out(folder, "in.csv")
    steps, options = (parse_target("code/work.py:work"),), Options(part_bytes=500, with_files=("word.txt",))
    ran(folder, Job(steps, ("in.csv",), "out.csv", replace(options, workers=0)), None)
    work = folder / "code/work.py"
    work.write_text(work.read_text().replace("77", "-77"))
    job = Job(steps, ("in.csv",), "out.csv", options)
    past = earlier(WorkFolder("out.csv", home=home()), fresh=False)
    result = run(replace(job, retry=past.run), watch=unwatched, access=far, earlier=past)
    _, expected, _ = ran(folder, Job(steps, ("in.csv",), "whole.csv", replace(options, workers=0)), None)
    assert (result.bad_rows, result.rows_in, result.machines) == (0, COUNT, 1)
    assert (folder / "out.csv").read_bytes() == expected


KILLED = """
import gc
import os
import posix
import signal
import struct
from multiprocessing.connection import Connection

def killed_once(df):
    try:
        posix.mkfifo(MARK)  # at home, and unheard: of two that make a folder, the later has looked for it in vain
    except FileExistsError:
        return df
    for pipe in [one for one in gc.get_objects() if isinstance(one, Connection)]:
        os.write(pipe.fileno(), struct.pack("!i", 8_000_000) + bytes(4096))
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_worker_that_is_killed_while_it_returns_8_mb_costs_its_task_alone(folder: Path, far: Access) -> None:
    lay_out(folder, "in.csv")
    (folder / "code" / "killed.py").write_text(f"MARK = {str(folder / 'mark')!r}\n{KILLED}")
    job = Job((parse_target("code/killed.py:killed_once"),), ("in.csv",), "away.csv", Options(part_bytes=500))
    result, _, _ = ran(folder, job, far)
    assert (folder / "mark").exists()
    assert (result.rows_out, result.bad_rows) == (COUNT, 0)
    assert pd.read_csv("away.csv").equals(frame())


COUNTED = """
import os

class Counted:
    def __init__(self):
        os.environ["MADE"] = str(int(os.environ.get("MADE", 0)) + 1)

    def __call__(self, df):
        return df.assign(made=os.environ["MADE"], other=df["n"] / 3 if (df["n"] > 350).any() else df["n"])
"""


@pytest.mark.parametrize("last", [399, 399.5], ids=["results of another type", "a type that turns out too narrow"])
def test_a_class_is_built_once_in_each_far_worker_however_often_it_is_briefed(
    folder: Path, far: Access, last: float
) -> None:
    (folder / "in.csv").write_text("n\n" + "".join(f"{n}\n" for n in [*range(COUNT - 1), last]))
    (folder / "code" / "counted.py").write_text(COUNTED)
    job = Job((parse_target("code/counted.py:Counted"),), ("in.csv",), "away.csv", Options(part_bytes=100))
    ran(folder, job, far)
    rows = pd.read_csv("away.csv")
    assert len(rows) == COUNT
    assert set(rows["made"]) == {1}


# The code that travels


def packed_files(luggage: Luggage) -> set[str]:
    """Name the files that go along, by their places at home."""
    try:
        names = set[str]()
        for cargo, source in zip(luggage.freight.cargos, luggage.freight.sources, strict=True):
            names.update(cargo.places)
            if cargo.is_archive:
                with tarfile.open(source) as archive:
                    names.update(f"/{entry.name}" for entry in archive if entry.isfile())
        return names
    finally:
        luggage.forget()


def test_code_goes_along_and_what_is_none_stays_at_home(folder: Path) -> None:
    code = folder / "code"
    for name in (".hidden", "input.csv", "__pycache__/work.pyc", "out.csv.muster/journal.jsonl", ".venv/lib.py"):
        (code / name).parent.mkdir(exist_ok=True)
        (code / name).write_text("x")
    with (code / "large.bin").open("wb") as file:
        file.truncate(LARGEST_FILE + 1)
    luggage = pack([Target("file", str(code / "work.py"), "work")], besides=[str(code / "input.csv")])
    assert packed_files(luggage) == {str(code / name) for name in ("work.py", "beside.py", "word.txt")}
    assert luggage.left_out == (str(code / "large.bin"),)


def test_a_folder_that_is_too_much_for_code_is_refused_clearly(folder: Path) -> None:
    for number in range(5):
        with (folder / "code" / f"{number}.bin").open("wb") as file:
            file.truncate(LARGEST_FILE)
    with pytest.raises(UsageError, match="Give the function a folder of its own"):
        pack([Target("file", str(folder / "code" / "work.py"), "work")])
    module = Module(str(folder / "code" / "beside.py"), str(folder / "code"))
    assert packed_files(pack([Target("module", "beside", "work")], modules=[module])) == {module.place}


def test_a_package_of_another_version_stops_the_run_with_its_name() -> None:
    check({"pandas": pd.__version__})
    with pytest.raises(EngineError, match=r"pandas is .* there, and 0\.1 here; nowhere is not installed there"):
        check({"pandas": "0.1", "nowhere": "2"})


def test_the_packages_of_a_function_are_those_that_it_imports(folder: Path) -> None:
    (folder / "code" / "other.py").write_text("import yaml\n\ndef work(df):\n    return df\n")
    found = Packages((parse_target("code/other.py:work"),)).answer()
    assert found["PyYAML"] == yaml.__version__
    assert "pandas" in found
