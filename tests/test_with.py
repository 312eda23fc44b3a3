"""The same command gives the same bytes on machines that do not see this computer's files, or is refused in words."""

import json
import os
import sys
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest

from conftest import Muster
from muster import EngineError, Snapshot, UserCodeError
from muster._clouds.base import Access
from muster._engines.on_ray.freight import CHUNK, Cargo
from muster._engines.on_ray.sending import Sending
from muster._engines.on_ray.store import Store
from muster._job import Job, Options
from muster._run.runner import run
from muster._travel.luggage import Luggage, pack
from muster._user_code.targets import parse_target
from muster._user_code.with_files import named
from waiting import until

ROWS = 60
MANY = ("rows.csv", "-o", "out.csv", "--workers", "1", "--batch-rows", "50", "--strict")
"""A run that keeps some rows before it stops."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a command is typed: rows, a function in a folder below, and a file of the same name in both."""
    for name, text in {
        "table.json": "here",
        "job/table.json": "beside",
        "lookup/a.txt": "a",
        "lookup/deep/b.txt": "b",
        "rows.csv": "n\n" + "".join(f"{n}\n" for n in range(ROWS)),
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, expression: str, *, before: str = "") -> None:
    """Write a function whose column says what the expression is."""
    (folder / "job" / "f.py").write_text(
        f"import glob, os\nfrom pathlib import Path\n{before}\ndef f(df):\n    return df.assign(is_={expression})\n"
    )
    sys.modules.pop("f", None)


def unwatched(_: Snapshot) -> None:
    pass


def out(access: Access | None, name: str, *with_files: str) -> str:
    workers = None if access else 1
    options = Options(workers=workers, with_files=with_files, fresh=True)
    run(Job((parse_target("job/f.py:f"),), ("rows.csv",), name, options), watch=unwatched, access=access)
    return Path(name).read_text()


READS = {
    'Path("table.json").read_text()': "table.json",
    '"".join(open(name).read() for name in sorted(glob.glob("lookup/**/*.txt", recursive=True)))': "lookup",
    'Path("table.json").exists()': "table.json",
    "open(TABLE).read() + str(os.path.getsize(TABLE)) + str(os.listdir(os.path.dirname(LOOKUP)))": "lookup",
}


@pytest.mark.parametrize("expression", READS)
def test_what_is_read_at_home_is_refused_where_it_was_not_sent_and_never_read_from_elsewhere(
    folder: Path, far: Access, expression: str
) -> None:
    (folder / "elsewhere").mkdir()
    write(folder, expression, before=absolute(folder))
    lacking = READS[expression]
    with pytest.raises(UserCodeError, match=rf"'{lacking}' was not sent to the machines: .* --with {lacking}$"):
        out(far, "far.csv")


def test_what_was_sent_is_read_as_at_home(folder: Path, far: Access) -> None:
    write(folder, f"str([{', '.join(READS)}])", before=absolute(folder))
    assert out(far, "far.csv", "lookup", "table.json") == out(None, "home.csv", "lookup", "table.json")


def absolute(folder: Path) -> str:
    return f"TABLE, LOOKUP = {str(folder / 'table.json')!r}, {str(folder / 'lookup/a.txt')!r}"


def test_compiled_code_that_lacks_a_file_is_told_of_and_so_is_what_is_written_there(folder: Path, far: Access) -> None:
    write(folder, "pq.read_table('more.parquet').num_rows", before="import pyarrow.parquet as pq")
    pd.DataFrame({"a": [1, 2]}).to_parquet("more.parquet")
    with pytest.raises(UserCodeError, match=r"'more.parquet' was not sent to the machines: .* --with more.parquet$"):
        out(far, "far.csv")
    write(folder, "Path('seen.log').write_text('x')")
    notes: list[str] = []
    job = Job((parse_target("job/f.py:f"),), ("rows.csv",), "far.csv", Options(fresh=True))
    run(job, watch=lambda snapshot: notes.append(snapshot.note), access=far)
    assert "the function writes 'seen.log' on machines, where it ends with the run" in notes


def test_modules_travel_from_wherever_python_finds_them(
    folder: Path, far: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in {
        "first/one.py": "VALUE = 'first'",
        "second/one.py": "VALUE = 'second'",
        "second/late.py": "import later\nVALUE = later.VALUE",
        "second/later.py": "VALUE = 'late'",
        "first/space/a.py": "VALUE = 'a'",
        "second/space/b.py": "VALUE = 'b'",
        "installed/pack/__init__.py": "VALUE = open(__file__.replace('__init__.py', 'data.txt')).read()",
        "installed/pack/data.txt": "data",
    }.items():
        (folder / "elsewhere" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "elsewhere" / name).write_text(text)
    with zipfile.ZipFile(folder / "elsewhere" / "modules.zip", "w") as archive:
        archive.writestr("zipped.py", "VALUE = 'zipped'")
    before = [str(folder / "elsewhere" / name) for name in ("first", "second", "modules.zip")]
    monkeypatch.setattr(sys, "path", [*before, *sys.path, str(folder / "elsewhere" / "installed")])
    expression = "'/'.join([one.VALUE, space.a.VALUE, space.b.VALUE, pack.VALUE, zipped.VALUE, late()])"
    late = "def late():\n    from late import VALUE\n    return VALUE"
    write(folder, expression, before=f"import one, space.a, space.b, pack, zipped\n{late}")
    found = out(far, "far.csv")
    assert found == out(None, "home.csv")
    assert found.splitlines()[1] == "0,first/a/b/data/zipped/late"


def test_what_was_sent_is_compared_at_a_resume_and_naming_more_is_no_change(muster: Muster, folder: Path) -> None:
    (folder / "job" / "g.py").write_text(
        "import os\ndef g(df):\n    if os.path.exists('stop') and (df.n == 650).any():\n        raise ValueError\n"
        "    return df\n"
    )
    (folder / "stop").touch()
    command = ["run", "job/g.py:g", *MANY]
    (folder / "rows.csv").write_text("n\n" + "".join(f"{n}\n" for n in range(1000)))
    missing = muster(*command, "--with", "nothing.bin")
    assert (missing.code, "--with nothing.bin: there is no such file" in missing.err) == (2, True)
    assert muster(*command, "--with", "lookup/").code == 1
    (folder / "stop").unlink()
    (folder / "lookup" / "deep" / "c.txt").write_text("c")
    (folder / "lookup" / "a.txt").write_text("changed")
    refused = muster(*command, "--with", "lookup/", "--with", "table.json")
    assert refused.code == 2
    assert "lookup/ has other files; lookup/a.txt was written again" in refused.err
    (folder / "lookup" / "deep" / "c.txt").unlink()
    (folder / "lookup" / "a.txt").write_text("a")
    assert muster(*command, "--with", "lookup/", "--with", "table.json").code == 0


def test_a_run_of_another_function_of_the_same_name_is_no_resume(muster: Muster, folder: Path) -> None:
    for name in "ab":
        code = f"def f(df):\n    if {name!r} == 'a' and (df.n == 650).any():\n        raise ValueError\n    return df"
        (folder / "job" / f"{name}.py").write_text(code)
    (folder / "rows.csv").write_text("n\n" + "".join(f"{n}\n" for n in range(1000)))
    assert muster("run", "job/a.py:f", *MANY).code == 1
    refused = muster("run", "job/b.py:f", *MANY)
    assert refused.code == 2
    assert "the function 'f' of a.py is no longer used; the function 'f' of b.py is new" in refused.err


# What each machine is sent


def kept_by_machines(far: Access) -> Path:
    """Name the folder where the machine of these tests keeps what it was sent."""
    record = Path(far.environment["RAY_AUTH_TOKEN_PATH"]).with_name("local.json")
    return next(Path(json.loads(record.read_text())["scratch"]).rglob("muster-sent"))


def test_a_line_that_breaks_costs_no_chunk_twice_and_memory_is_that_of_a_few(folder: Path, far: Access) -> None:
    chunks = 60
    with (folder / "model.bin").open("wb") as file:
        file.truncate(chunks * CHUNK - 7)
    write(folder, 'os.path.getsize("model.bin")')
    told: list[str] = []

    def parts() -> list[Path]:
        return list(kept_by_machines(far).glob("*.part"))

    def break_it(snapshot: Snapshot) -> None:
        if snapshot.note.startswith("sending"):
            until(lambda: sum(part.stat().st_size for part in parts()) >= 3 * CHUNK)
            for child in psutil.Process().children(recursive=True):
                with suppress(psutil.NoSuchProcess):  # it has just ended
                    if "muster._engines.on_ray.driver" in " ".join(child.cmdline()):
                        child.kill()

    def listen(snapshot: Snapshot) -> None:
        told.extend([snapshot.note] if snapshot.note.startswith("sending") else [])

    job = Job((parse_target("job/f.py:f"),), ("rows.csv",), "far.csv", Options(with_files=("model.bin",)))
    with pytest.raises(EngineError, match="head is gone"):
        run(job, watch=break_it, access=far)
    (part,) = parts()
    left = chunks - part.stat().st_size // CHUNK  # zeros that have not arrived are no zeros that are there
    assert 0 < left <= chunks - 3
    for one in (job, replace(job, options=replace(job.options, fresh=True))):
        memory = psutil.Process().memory_info().rss
        run(one, watch=listen, access=far)
        assert psutil.Process().memory_info().rss < memory + 20 * CHUNK
    assert told == [f"sending model.bin ({(left * CHUNK - 7) / 1e6:,.0f} MB) to 1 machine"]


class Machines:
    """Machines that are sent things, without what is between."""

    def __init__(self, luggage: Luggage, folder: Path) -> None:
        self.messages: list[tuple[Any, ...]] = []
        self.sending = Sending(luggage.freight, self.messages.append, lambda _: None)
        self.stores: dict[int, Store] = {}
        self.carried: list[tuple[int, int]] = []
        self.folder = folder

    def join(self, number: int) -> None:
        place = self.folder / f"m{number}"
        self.stores[number] = Store(str(place / "mirror"), below=place)
        (place / "mirror").mkdir(parents=True)
        self.sending.begin(number)

    def work(self) -> None:
        """Do what is to be done, in order."""
        while self.messages:
            verb, *told = self.messages.pop(0)
            getattr(self, verb)(*told)

    def expect(self, number: int, cargos: Sequence[Cargo]) -> None:
        self.sending.on_lacks(number, self.stores[number].expect(cargos))

    def carry(self, numbers: Sequence[int], cargo: int, chunk: int, data: bytes) -> None:
        self.carried.append((cargo, chunk))
        for number in numbers:
            self.stores[number].take(cargo, chunk, data)
            self.sending.on_took(number, cargo, chunk)

    def lay_out(self, number: int) -> None:
        self.stores[number].lay_out()


def test_each_chunk_goes_over_the_line_once_and_a_machine_that_comes_later_gets_all(folder: Path) -> None:
    (folder / "model.bin").write_bytes(os.urandom(12 * CHUNK + 1))
    write(folder, "1")
    luggage = pack([parse_target("job/f.py:f")], named=named(["model.bin", "lookup"]))
    machines = Machines(luggage, folder)
    machines.join(1)
    machines.join(2)
    machines.work()
    chunks = sum(len(cargo.chunks) for cargo in luggage.freight.cargos)
    assert chunks <= len(machines.carried) <= chunks + 8  # those under way before the second machine had answered
    machines.carried.clear()
    machines.join(3)
    machines.work()
    assert len(machines.carried) == chunks
    luggage.forget()
    for number in machines.stores:
        mirror = Path(f"{folder}/m{number}/mirror{folder}")
        for name in ("model.bin", "lookup/a.txt", "lookup/deep/b.txt", "job/f.py"):
            assert (mirror / name).read_bytes() == (folder / name).read_bytes()
