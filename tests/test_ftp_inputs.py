"""Inputs on an FTP server, whose URLs hold a host and a password that its paths do not have."""

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import Muster, begun, started
from ftp import Ftp, serving
from waiting import until

BIG = b"name\n" + b"".join(b"%d\n" % at for at in range(60_000))


@pytest.fixture
def ftp() -> Iterator[Ftp]:
    with serving() as found:
        found.files = {
            "/in/a.csv": (b"name\na\n", "20010909014640"),
            "/in/b.csv": (b"name\nb\n", "20010909014640"),
            "/in/deep/c[1].csv": (b"name\nc\n", "20010909014640"),
            "/in/_SUCCESS": (b"", "20010909014640"),
            "/big.csv": (BIG, "20010909014640"),
            "/big.csv.gz": (gzip.compress(BIG), "20010909014640"),
        }
        yield found


@pytest.fixture(autouse=True)
def functions(tmp_path: Path) -> None:
    (tmp_path / "f.py").write_text(
        "import pathlib, time\n"
        "def same(df):\n    return df\n"
        "def wait(df):\n"
        "    pathlib.Path('begun').touch()\n"
        "    while not pathlib.Path('changed').exists(): time.sleep(0.02)\n"
        "    return df\n"
    )


def url(ftp: Ftp, path: str) -> str:
    return f"ftp://anna:PASSWD77@127.0.0.1:{ftp.port}/{path}"


def test_files_folders_and_patterns_are_read_by_workers(ftp: Ftp, tmp_path: Path, muster: Muster, home: Path) -> None:
    expected = {
        "in/": b"name\na\nb\nc\n",
        "in/*.csv": b"name\na\nb\n",
        "in/deep/c[1].csv": b"name\nc\n",
        "big.csv": BIG,
        "big.csv.gz": BIG,
    }
    for path, rows in expected.items():
        ended = muster("run", "f.py:same", url(ftp, path), "-o", "o.csv", "--workers", "2", "--dtype", "str")
        assert ended.code == 0, ended.err
        assert (tmp_path / "o.csv").read_bytes() == rows
        assert "PASSWD77" not in ended.err + ended.out
        assert "nothing tells when" not in ended.err
    assert not [path for path in home.rglob("*") if path.is_file() and b"PASSWD77" in path.read_bytes()]


def test_a_wrong_password_is_not_told(ftp: Ftp, muster: Muster) -> None:
    ftp.login = ("anna", "another")
    ended = muster("run", "f.py:same", url(ftp, "in/"), "-o", "o.csv")
    assert ended.code == 3
    assert "530" in ended.err
    assert "PASSWD77" not in ended.err
    assert "Traceback" not in ended.err


def test_a_file_that_was_written_again_in_the_meantime_is_noticed(ftp: Ftp, tmp_path: Path) -> None:
    command = ("run", "f.py:wait", url(ftp, "big.csv"), "-o", "o.csv", "--workers", "1")
    with started(tmp_path, *command, start=begun) as run:
        until((tmp_path / "begun").exists)
        ftp.files["/big.csv"] = (BIG, "20010909014641")
        (tmp_path / "changed").touch()
        _, said = run.communicate(timeout=60)
    assert run.returncode == 1
    assert "has changed" in said
