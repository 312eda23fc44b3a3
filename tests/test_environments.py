"""Environments on hosts, by the programs that run there: whole or not at all, kept while they are used, no longer."""

import base64
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from muster._clouds.program import program
from muster._clouds.there import host_folders
from muster._clouds.there.processes import birth_of
from waiting import until

FIRST, SECOND, THIRD = (digit * 16 for digit in "abc")
MONTHS = 60 * 24 * 3600


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """The home of a host, which is not this user's."""
    tmp_path.chmod(0o700)
    return tmp_path


def order(name: str, *requirements: str) -> str:
    with io.BytesIO() as sink:
        with zipfile.ZipFile(sink, "w") as archive:
            archive.writestr("muster/__init__.py", "")
        muster = base64.b64encode(sink.getvalue()).decode()
    folder = f"~/.muster/environments/{name}"
    return json.dumps({"folder": folder, "requirements": requirements, "muster": muster})


def begin(host: Path, name: str, verb: str, environment: Mapping[str, str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", program(name), verb],
        env={**os.environ, "HOME": str(host), **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run(host: Path, name: str, verb: str, text: str = "", **environment: str) -> "tuple[int, str, str]":
    with begin(host, name, verb, environment) as process:
        out, err = process.communicate(text, timeout=120)
    return process.returncode, out.strip(), err


def make(host: Path, name: str) -> None:
    code, out, err = run(host, "environment", "make", order(name))
    assert (code, out) == (0, str(host / ".muster" / "environments" / name / "bin" / "python")), err


def names(host: Path) -> list[str]:
    return sorted(path.name for path in (host / ".muster" / "environments").glob("*") if path.is_dir())


def use(host: Path, name: str) -> Path:
    """Have a cluster work with an environment: this test's process is its agent."""
    place = host / ".muster" / "machines" / f"other@{host_folders.this_host()}" / "1-2"
    place.mkdir(parents=True)
    (place / "agent").write_text(json.dumps({"pid": os.getpid(), "born": birth_of(os.getpid())}))
    (place / "environment").write_text(str(host / ".muster" / "environments" / name))
    (place / "owner").write_text(json.dumps({"name": "other", "who": "anna@laptop", "home": "/h", "since": "now"}))
    return place


def test_one_that_a_link_to_a_python_makes_has_the_library_of_that_python(host: Path) -> None:
    elsewhere, link = host / "elsewhere", host / "python"
    for folder in ("bin", "lib"):
        (elsewhere / folder).mkdir(parents=True)
    stdlib = Path(sysconfig.get_path("stdlib"))
    shutil.copy(Path(sys.executable).resolve(), elsewhere / "bin" / stdlib.name)
    (elsewhere / "lib" / stdlib.name).symlink_to(stdlib)
    link.symlink_to(elsewhere / "bin" / stdlib.name)
    made = subprocess.run(
        [link, "-c", program("environment"), "make"],
        env={**os.environ, "HOME": str(host)},
        input=order(FIRST),
        capture_output=True,
        text=True,
        check=True,
    )
    asked = [made.stdout.strip(), "-c", "import sys; print(sys.base_prefix)"]
    assert subprocess.run(asked, capture_output=True, text=True, check=True).stdout == f"{elsewhere}\n"


def test_one_that_is_made_works_and_nothing_in_it_names_where_it_was_made(host: Path) -> None:
    make(host, FIRST)
    found = host / ".muster" / "environments" / FIRST
    done = subprocess.run(
        [found / "bin" / "python", "-c", "import muster; print(muster.__file__)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(str(found))
    scripts = [path for path in (found / "bin").iterdir() if not path.is_symlink()]
    assert not any(b"muster-run-" in path.read_bytes() for path in (*scripts, found / "pyvenv.cfg"))


def test_one_whose_packages_cannot_be_installed_leaves_nothing(host: Path) -> None:
    code, _, err = run(host, "environment", "make", order(FIRST, "no-such-package==1"), PIP_NO_INDEX="1")
    assert code == 1
    assert "pip could not install no-such-package==1" in err
    assert not (host / ".muster").exists()


def test_one_whose_making_is_killed_is_not_there_and_what_was_begun_goes_with_the_next(host: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        index = f"http://127.0.0.1:{silent.getsockname()[1]}"
        environment = {"PIP_INDEX_URL": index, "PIP_CONFIG_FILE": os.devnull, "NO_PROXY": "*"}
        silent.settimeout(60)
        with begin(host, "environment", "make", environment) as process:
            assert process.stdin
            process.stdin.write(order(FIRST, "no-such-package==1"))
            process.stdin.close()
            asking, _ = silent.accept()  # pip waits for an answer
            os.killpg(process.pid, signal.SIGKILL)
        asking.close()
    assert FIRST not in names(host)
    assert names(host)
    make(host, SECOND)
    assert names(host) == [SECOND]


def test_purging_takes_all_but_what_other_clusters_work_with_and_says_which(host: Path) -> None:
    for name in (FIRST, SECOND):
        make(host, name)
    place = use(host, FIRST)
    code, out, _ = run(host, "environments", "purge")
    told = json.loads(out)
    assert (code, told["removed"], list(told["kept"])) == (0, [SECOND], [FIRST])
    assert "'other' of anna@laptop" in told["kept"][FIRST]
    assert names(host) == [FIRST]
    (place / "agent").unlink()
    assert json.loads(run(host, "environments", "purge")[1])["removed"] == [FIRST]
    assert not (host / ".muster" / "environments").exists()


def test_one_that_was_not_used_for_a_month_goes_when_another_is_made(host: Path) -> None:
    for name in (FIRST, SECOND):
        make(host, name)
    for name in (FIRST, SECOND):
        long_ago = time.time() - MONTHS
        os.utime(host / ".muster" / "environments" / name / "ready", (long_ago, long_ago))
    use(host, FIRST)
    make(host, THIRD)
    assert names(host) == [FIRST, THIRD]
    until(lambda: not list((host / ".muster" / "environments").glob("muster-run-*")))
