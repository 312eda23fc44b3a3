"""What a call finds at home and not on a machine is told of, whatever it is called by: other bytes hang on it."""

import inspect
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from muster import UserCodeError
from muster._clouds.base import Access
from muster._job import Job, Options
from muster._run.runner import run
from muster._user_code.lacking import database
from muster._user_code.targets import parse_target

OF_OS = {
    "access": "os.access('table.json', os.R_OK)",
    "chdir": "os.chdir('lookup')",
    "chmod": "os.chmod('table.json', 0o600)",
    "chown": "os.chown('table.json', -1, -1)",
    "chroot": "os.path.exists('lookup') and os.chroot('lookup')" if os.getuid() else "os.path.exists('lookup')",
    "getxattr": "os.getxattr('table.json', 'user.none')",
    "lchown": "os.lchown('table.json', -1, -1)",
    "link": "os.link('table.json', 'new')",
    "listdir": "os.listdir('lookup')",
    "listxattr": "os.listxattr('table.json')",
    "lstat": "os.lstat('table.json')",
    "makedirs": "os.makedirs('lookup')",
    "mkdir": "os.mkdir('lookup')",
    "mkfifo": "os.mkfifo('table.json')",
    "mknod": "os.mknod('table.json')",
    "open": "os.open('table.json', os.O_RDONLY)",
    "pathconf": "os.pathconf('table.json', 'PC_NAME_MAX')",
    "readlink": "os.readlink('link')",
    "remove": "os.remove('table.json')",
    "removedirs": "os.removedirs('lookup/deep')",
    "removexattr": "os.removexattr('table.json', 'user.none')",
    "rename": "os.rename('table.json', 'new')",
    "renames": "os.renames('table.json', 'new')",
    "replace": "os.replace('table.json', 'new')",
    "rmdir": "os.rmdir('lookup/deep')",
    "scandir": "list(os.scandir('lookup'))",
    "setxattr": "os.setxattr('table.json', 'user.a', b'')",
    "stat": "os.stat('table.json')",
    "statvfs": "os.statvfs('lookup')",
    "symlink": "os.symlink('a', 'table.json')",
    "truncate": "os.truncate('table.json', 0)",
    "unlink": "os.unlink('table.json')",
    "utime": "os.utime('table.json')",
    "walk": "list(os.walk('lookup'))",
    "fwalk": "[where for where, *_ in os.fwalk('lookup')]",
}
"""A call of each function of ``os`` that takes a path."""

NONE_OF_THEM = ("exec", "spawn", "posix_spawn", "fsencode", "fsdecode", "fspath", "memfd_create", "fdopen", "add_dll")
"""Start a program or turn a name into another; the first are tried below, as what ``subprocess`` starts."""

OTHERS = (
    *("os.open('table.json', os.O_RDWR)", "os.open('table.json', os.O_CREAT | os.O_EXCL | os.O_WRONLY)"),
    *("open('table.json')", "open('table.json', 'r+')", "open('table.json', 'x')", "open('table.json', 'a+').read()"),
    *("io.FileIO('table.json', 'r+')", "open('lookup/new', 'w')", "open('lookup/new', 'a')", "os.mkdir('lookup/new')"),
    *("Path('table.json').is_file()", "Path('table.json').touch(exist_ok=False)", "Path('table.json').unlink()"),
    *("Path('lookup').mkdir()", "Path('lookup/new').mkdir()", "Path('link').readlink()", "list(Path('.').glob('*'))"),
    *("Path('lookup').rename('new')", "Path('link').is_symlink()", "Path('table.json').chmod(0o600)"),
    *("shutil.which('./table.json')", "shutil.move('table.json', 'new')", "shutil.copy('table.json', 'new')"),
    *("shutil.disk_usage('lookup')", "shutil.rmtree('lookup')", "shutil.copytree('lookup', 'new')"),
    *("tempfile.mkdtemp(dir='lookup')", "tempfile.mkstemp(dir='lookup')", "tempfile.TemporaryFile(dir='lookup')"),
    "sqlite3.connect('x.db').execute('select a from q').fetchall()",
    "sqlite3.connect(Path('x.db')).execute('select a from q').fetchall()",
    "sqlite3.connect('file:x.db?mode=ro', uri=True).execute('select a from q').fetchall()",
    "sqlite3.connect('file:./x%2edb', uri=True).execute('select a from q').fetchall()",
    *("dbm.dumb.open('dumb', 'c').keys()", "list(shelve.open('dumb'))", "dbm.open('dumb', 'c').keys()"),
    *("numpy.memmap('table.json', 'u1', 'r+')[0]", "numpy.fromfile('table.json', 'u1')"),
    *(
        "ctypes.CDLL('./lib.so')._name",
        "subprocess.run(['./tool']).returncode",
        "os.posix_spawn('./tool', ['tool'], {})",
    ),
    *("subprocess.run('true', cwd='lookup').returncode", "subprocess.run('ls', stdin=open('table.json')).returncode"),
    *("zipimport.zipimporter('mods.zip').archive", "zipimport.zipimporter(path='mods.zip').archive"),
    "sys.path.insert(0, 'lookup') or importlib.util.find_spec('a_module_there') is not None",
    "sys.path.insert(0, 'mods.zip') or importlib.util.find_spec('zipped') is not None",
    "sys.path.insert(0, 'lookup') or importlib.import_module('a_module_there').__name__",
    "importlib.util.spec_from_file_location('a', 'lookup/a_module_there.py').loader.get_code('a') is None",
    *("runpy.run_path('lookup/a_module_there.py')['__name__']", "configparser.ConfigParser().read('table.json')"),
    *("os.mkdir('lookup', dir_fd=HERE)", "os.readlink('link', dir_fd=HERE)", "os.remove('table.json', dir_fd=HERE)"),
    *("os.open('table.json', os.O_RDONLY, dir_fd=HERE)", "os.stat('table.json', dir_fd=HERE)", "os.listdir(HERE)"),
    *(
        "os.rename('table.json', 'new', src_dir_fd=HERE)",
        "os.stat(path='table.json')",
        "os.access(path='link', mode=0)",
    ),
    "os.path.exists('table.json') or open('table.json', 'w').close()",
    "tried(lambda: open('table.json').read()) or open('table.json', 'w').close()",
)
MAKE_NO_DIFFERENCE = (
    *("open('table.json', 'w').close()", "open('table.json', 'w+').close()", "open('table.json', 'a').close()"),
    *("os.makedirs('lookup', exist_ok=True)", "Path('lookup').mkdir(exist_ok=True)", "os.path.exists('nowhere')"),
    *("Path('lookup/deep').mkdir(parents=True, exist_ok=True)", "os.makedirs('lookup/deep', exist_ok=True)"),
    *("Path('table.json').touch()", "Path('table.json').unlink(missing_ok=True)", "sqlite3.connect(':memory:') and 1"),
    *(
        "open('new', 'w').close() or os.replace('new', 'table.json')",
        "sqlite3.connect('file::memory:', uri=True) and 1",
    ),
    *("tempfile.mkdtemp() and 1", "sqlite3.connect('new.db').execute('create table q(a)') and 1", "os.mkdir('new')"),
    *("open('table.json', 'w').close() or os.remove('table.json')", "dbm.dumb.open('new', 'c').keys()"),
    *("os.open in os.supports_dir_fd, os.stat in os.supports_follow_symlinks, os.chdir in os.supports_fd",),
)

TRIED = """
import configparser, ctypes, dbm, dbm.dumb, importlib, importlib.util, io, json, os, runpy, shelve, shutil, sqlite3
import subprocess, sys, tempfile, zipimport
from pathlib import Path
import numpy
from muster._user_code.listening import Ear
from muster._user_code.mirror import Mirror, install

home, here, calls = sys.argv[1], Path(sys.argv[2]), json.load(sys.stdin)
plain, chdir, makedirs, copytree, path = open, os.chdir, os.makedirs, shutil.copytree, list(sys.path)

def tried(call):
    try:
        return call()
    except Exception as error:
        return type(error).__name__

def outcome(call, folder):
    chdir(folder)
    sys.path[:] = path
    sys.modules.pop("a_module_there", None)
    HERE = os.open(".", os.O_RDONLY)
    found = tried(lambda: eval(call, {**globals(), "HERE": HERE}))
    os.close(HERE)
    if isinstance(found, list) and found and isinstance(found[0], os.DirEntry):
        found = len(found)
    return str(found) if isinstance(found, str | bool | list | tuple) else "done"

at_home = []
for number, call in enumerate(calls):
    copytree(home, here / f"h{number}", symlinks=True)
    at_home.append(outcome(call, here / f"h{number}"))
root = os.path.realpath(here / "root")
makedirs(root)
ear = Ear()
ear.is_far = True
sys.path_importer_cache.clear()
install(Mirror(root, ("/nowhere",)), ear.miss)
for number, call in enumerate(calls):
    (here / "root" / str(number)).mkdir()
    with ear.listening():
        there = outcome(call, f"{root}/{number}")
    read, _ = ear.tell(besides=(), folder="/nowhere", modules=sys.modules)
    missed = [file.path.removeprefix(f"{root}/{number}").strip("/") for file in read if file.path.startswith(root)]
    print(json.dumps([call, at_home[number], there, missed]))
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder of which a machine was sent nothing."""
    folder = tmp_path_factory.mktemp("lacking") / "home"
    (folder / "lookup" / "deep").mkdir(parents=True)
    (folder / "table.json").write_text("[a]\n")
    (folder / "table.json").chmod(0o755)
    (folder / "tool").write_text("#!/bin/sh\n")
    (folder / "tool").chmod(0o755)
    (folder / "lookup" / "a_module_there.py").write_text("")
    (folder / "link").symlink_to("table.json")
    with sqlite3.connect(folder / "x.db") as database_there:
        database_there.execute("create table q(a)")
        database_there.execute("insert into q values (42)")
    with zipfile.ZipFile(folder / "mods.zip", "w") as archive:
        archive.writestr("zipped.py", "")
    shutil.copy(next(Path(one) for one in _libraries()), folder / "lib.so")
    subprocess.run(
        [sys.executable, "-c", "import dbm.dumb; dbm.dumb.open('dumb', 'n')['a'] = 'b'"], check=True, cwd=folder
    )
    return folder


def _libraries() -> list[str]:
    import _ctypes  # noqa: PLC0415 (any library will do)

    return [str(_ctypes.__file__)]


@pytest.fixture(scope="module")
def told(home: Path) -> dict[str, tuple[str, str, list[str]]]:
    """What each call gives at home, on a machine, and what is told of it."""
    calls = [*OF_OS.values(), *OTHERS, *MAKE_NO_DIFFERENCE]
    done = subprocess.run(
        [sys.executable, "-c", TRIED, str(home), str(home.parent)],
        input=json.dumps(calls),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    return {call: (at_home, there, missed) for call, at_home, there, missed in found}


@pytest.mark.parametrize("call", [*OF_OS.values(), *OTHERS])
def test_what_hangs_on_a_file_of_homes_is_told_of(
    home: Path, told: dict[str, tuple[str, str, list[str]]], call: str
) -> None:
    at_home, there, missed = told[call]
    assert [name for name in missed if os.path.lexists(home / name)], f"{at_home} at home, and {there} there"


@pytest.mark.parametrize("call", MAKE_NO_DIFFERENCE)
def test_what_is_the_same_without_the_file_is_not_told_of(
    home: Path, told: dict[str, tuple[str, str, list[str]]], call: str
) -> None:
    at_home, there, missed = told[call]
    assert (there, [name for name in missed if name and os.path.lexists(home / name)]) == (at_home, [])


def test_each_function_of_os_that_takes_a_path_is_tried() -> None:
    taking = set()
    for name, function in vars(os).items():
        if callable(function) and not inspect.isclass(function) and name[0] != "_":
            try:
                parameters = set(inspect.signature(function).parameters)
            except (TypeError, ValueError):
                continue
            if parameters & {"path", "src", "dst", "file", "filename", "top", "name"}:
                taking.add(name)
    taking -= {"copy_file_range", "splice", "confstr", "sysconf", "fpathconf", "putenv", "unsetenv"}  # no path
    assert {name for name in taking if not name.startswith(NONE_OF_THEM)} <= set(OF_OS)


SILENT = {
    "sqlite3.connect('x.db').execute('select count(*) from sqlite_master').fetchone()[0]": "x.db",
    "os.path.exists('table.json') or Path('table.json').write_text('made') > 9": "table.json",
}
"""What a function goes on after, with other bytes, and what it did not find."""


@pytest.mark.parametrize("expression", SILENT)
def test_a_run_whose_function_goes_on_without_a_file_of_homes_is_refused_until_it_is_sent(
    home: Path, tmp_path: Path, far: Access, monkeypatch: pytest.MonkeyPatch, expression: str
) -> None:
    work = tmp_path / "work"
    shutil.copytree(home, work, symlinks=True)
    (work / "job").mkdir()
    (work / "in.csv").write_text("n\n1\n2\n")
    (work / "job" / "f.py").write_text(
        f"import os, sqlite3\nfrom pathlib import Path\ndef f(df):\n    return df.assign(is_={expression})\n"
    )
    monkeypatch.chdir(work)

    def out(access: Access | None, *with_files: str) -> str:
        sys.modules.pop("f", None)
        options = Options(workers=None if access else 1, with_files=with_files, fresh=True)
        job = Job((parse_target("job/f.py:f"),), ("in.csv",), "out.csv", options)
        run(job, watch=lambda _: None, access=access)
        return Path("out.csv").read_text()

    lacking = SILENT[expression]
    with pytest.raises(UserCodeError, match=rf"'{lacking}' was not sent to the machines: .* --with {lacking}$"):
        out(far)
    assert out(far, lacking) == out(None)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("x.db", "x.db"),
        (b"x.db", "x.db"),
        (Path("x.db"), "x.db"),
        ("file:x.db?mode=ro&cache=shared", "x.db"),
        ("file:a%20b.db#there", "a b.db"),
        ("file:///data/x.db", "/data/x.db"),
        ("file://localhost/data/x.db", "/data/x.db"),
        ("file:m?mode=memory&cache=shared", ""),
        ("file::memory:?cache=shared", ""),
        (":memory:", ""),
        ("", ""),
    ],
)
def test_the_file_of_a_database_is_named_by_its_path_or_uri(given: object, name: str) -> None:
    assert database(given) == name
