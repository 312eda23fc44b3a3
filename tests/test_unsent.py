"""What a function finds on a machine that this computer's files are not on is what it finds here, or is refused."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from muster import UserCodeError
from muster._model import DataFile
from muster._show.arguments import in_python
from muster._travel.luggage import Luggage, pack
from muster._travel.unsent import check_failures, checked
from muster._user_code.data_files import changed_files, stamped, with_digest
from muster._user_code.mirror import IMPORT
from muster._user_code.targets import parse_target
from muster._user_code.with_files import named


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder of which some is sent."""
    for name in ("job/f.py", "job/.hidden", "job/beside.txt", "sent/a.txt", "kept/b.txt", "plug/in.py", "rows.csv"):
        (tmp_path / "work" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "work" / name).write_text(name)
    (tmp_path / "work" / "job" / "f.py").write_text("def f(df):\n    return df\n")
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "work" / "plug")])
    return tmp_path / "work"


@pytest.fixture
def luggage(folder: Path) -> Iterator[Luggage]:
    packed = pack([parse_target("job/f.py:f")], named=named(["sent"]), besides=[str(folder / "rows.csv")])
    yield packed
    packed.forget()


def noted(path: Path) -> DataFile:
    note = stamped(str(path))
    assert note is not None
    return with_digest(note)


@pytest.mark.parametrize(
    ("missed", "told"),
    [
        ("kept/b.txt", "'kept/b.txt' was not sent to the machines"),
        ("kept", "'kept' was not sent"),
        ("kept/", "'kept' was not sent to the machines: the function lists it there"),
        ("job/.hidden", "'job/.hidden' was not sent"),
        ("rows.csv", "--with rows.csv"),
        ("./", "the function lists it there"),
        ("sent/a.txt", "Open it by a name that begins at the working folder: 'sent/a.txt'"),
        (IMPORT + "in", "'plug/in.py' was not sent"),
        (IMPORT + "numpy", r"packages: \[numpy\]"),
    ],
)
def test_what_is_here_and_not_there_is_refused_by_the_name_to_type(
    folder: Path, luggage: Luggage, missed: str, told: str
) -> None:
    path = missed if missed.startswith(IMPORT) else f"{folder}/{missed.removeprefix('./')}"
    with pytest.raises(UserCodeError, match=told):
        checked((DataFile(path),), (), luggage=luggage)


def test_what_is_nowhere_was_sent_or_is_each_machines_own_is_let_pass(
    folder: Path, luggage: Luggage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "fonts").write_text("here")
    sent, nowhere = noted(folder / "sent" / "a.txt"), DataFile(str(folder / "nowhere.txt"))
    passed = [nowhere, DataFile(f"{folder}/sent/"), DataFile(f"{folder}/job/"), DataFile(IMPORT + "no_such_module")]
    there = DataFile(str(folder / "sent" / "a.txt"), sent.size, 1, sent.digest)
    made_there = DataFile(str(folder / "made.txt"), 3, 1, "x")
    cache = DataFile(str(tmp_path / ".cache" / "fonts"))
    assert checked((*passed, there, made_there, cache), (), luggage=luggage) == (nowhere, sent)


def test_a_file_that_is_written_after_it_was_packed_counts_as_another_one_for_a_resume(
    folder: Path, luggage: Luggage
) -> None:
    path = folder / "sent" / "a.txt"
    sent = stamped(str(path))
    assert sent is not None
    path.write_text("what no machine got")
    (named_so,) = checked((sent,), (), luggage=luggage)
    assert named_so == sent  # as it was sent, and without a digest that could be that of the new text
    assert [name for name, _ in changed_files({str(path): named_so})] == [str(path)]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("FileNotFoundError: [Errno 2] Failed to open local file 'kept/b.txt'. Detail: ...", "kept/b.txt"),
        ("FileNotFoundError: No such file or directory (os error 2): rows.csv", "rows.csv"),
        ('IOException: IO Error: No files found that match the pattern "kept/b.txt"', "kept/b.txt"),
        ("FileNotFoundError: [Errno 2] No such file or directory: 'kept/new.log'", "kept"),
    ],
)
def test_what_compiled_code_lacks_is_named_by_what_it_says(luggage: Luggage, text: str, name: str) -> None:
    with pytest.raises(UserCodeError, match=f"'{name}' was not sent"):
        check_failures(["", text], luggage=luggage)
    elsewhere = text.replace("kept", "nowhere").replace("rows", "none")
    for other in ("ValueError: 'kept/b.txt'", elsewhere, f'{elsewhere}\nTraceback\n  File "kept/b.txt"'):
        check_failures([other], luggage=luggage)


def test_a_machines_own_file_counts_only_where_it_is_the_same_as_here(folder: Path, luggage: Luggage) -> None:
    same = noted(folder / "kept" / "b.txt")
    assert checked((), (same, DataFile("/tmp/of-the-machine", 3, 1, "x")), luggage=luggage) == ()  # noqa: S108 (of a machine)
    with pytest.raises(UserCodeError, match="reads a file of that name there, which is another one"):
        checked((), (DataFile(same.path, same.size, same.modified, "x"),), luggage=luggage)
    with pytest.raises(UserCodeError, match="there is no such file on this computer"):
        checked((), (DataFile("/data/of-the-machine.csv", 3, 1, "x"),), luggage=luggage)


def test_errors_name_the_argument_in_python(folder: Path, luggage: Luggage) -> None:
    with pytest.raises(UserCodeError) as raised:
        checked((DataFile(str(folder / "kept" / "b.txt")),), (), luggage=luggage)
    assert in_python(str(raised.value)).endswith("with_files=['kept/b.txt']")


MIRRORED = """
import glob, json, os, sqlite3, sys
from pathlib import Path
from muster._user_code.mirror import Mirror, install
root, home = sys.argv[1:]
missed = []
install(Mirror(root, (home, home + "/sent")), missed.append)
import numpy
numpy.save(home + "/made.npy", numpy.arange(3))
os.mkdir(home + "/sent/new")
os.rename(home + "/sent/a.txt", home + "/sent/new/b.txt")
changed = [Path(home, "sent/new/b.txt").read_text(), os.access(path=home + "/sent/new", mode=os.X_OK)]
changed += [os.path.getsize(home + "/sent/new/b.txt"), os.statvfs(home + "/sent").f_bsize > 0]
os.replace(src=home + "/sent/new/b.txt", dst=home + "/sent/a.txt")
os.removedirs(home + "/sent/new")
print(json.dumps({
    "read": open(home + "/sent/a.txt").read() + Path(home, "sent", "a.txt").read_text(),
    "bytes": open(os.fsencode(home + "/sent/a.txt"), "rb").read().decode(),
    "listed": os.listdir(home + "/sent") + [name[-5:] for name in glob.glob(home + "/**/*.txt", recursive=True)],
    "exists": [os.path.exists(home + "/sent/a.txt"), os.path.isdir(home + "/sent"), Path(home, "none").exists()],
    "written": sorted(os.listdir(root + home)),
    "loaded": int(numpy.load(home + "/made.npy").sum()),
    "missed": [one.removeprefix(root) for one in missed],
    "elsewhere": os.path.exists(sys.executable),
    "changed": changed,
}))
"""


def test_absolute_names_of_home_lead_to_what_was_sent(tmp_path: Path) -> None:
    root, home = tmp_path / "root", "/nowhere/at/home"
    (root / "nowhere/at/home/sent").mkdir(parents=True)
    (root / "nowhere/at/home/sent/a.txt").write_text("a")
    done = subprocess.run(
        [sys.executable, "-c", MIRRORED, str(root), home], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "read": "aa",
        "bytes": "a",
        "listed": ["a.txt", "a.txt"],
        "exists": [True, True, False],
        "written": ["made.npy", "sent"],
        "loaded": 3,
        "missed": ["/nowhere/at/home/none"],
        "elsewhere": True,
        "changed": ["a", True, 1, True],
    }


BY_NAME = """
import json, sys
from pathlib import Path
from muster._model import Carried
from muster._user_code.shared_objects import restored
from muster._user_code.mirror import Mirror, install
missed = []
install(Mirror(sys.argv[1]), missed.append)
reference = b"cnosuchmod\\nf\\n."
Path("laid").write_bytes(reference)
for carried in (Carried(reference), Carried(file="laid", spans=((0, len(reference)),))):
    try:
        restored(carried)
    except ModuleNotFoundError as error:
        missed.append(error.name)
print(json.dumps(missed))
"""


def test_a_module_that_a_pickle_refers_to_by_its_name_and_that_was_not_sent_is_told_of(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BY_NAME, str(tmp_path)], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [f"{IMPORT}nosuchmod", "nosuchmod"] * 2
