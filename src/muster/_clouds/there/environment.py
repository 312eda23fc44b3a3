"""What a host has, and an environment there that has what this computer has: run on hosts, by a Python of theirs.

It needs nothing but Python's standard library. ``look`` prints as JSON what there is, and touches nothing; ``make``
adds to it. Both read JSON from standard input. An environment lies in a folder of its own, named after what it must
hold, and takes from the interpreter that makes it whatever that has in the right version: so only what differs is
installed.
"""

import base64
import contextlib
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import io
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import time
import venv
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from muster._private.files import own_folder, private

from . import environments, host_folders

_INSTALL_SECONDS: Final = 1800
"""Half an hour: a gigabyte of packages over a slow line."""


def look(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Tell what this host has of ``packages``, ``None`` for one that is not there, and the ``place`` of a ``cluster``.

    ``taken`` says who else has a cluster of that name here, none of ``ours``; ``obstacle`` why there can be no place.
    """
    home, place = Path.home(), host_folders.of_clusters(asked["cluster"])
    return {
        "place": str(place),
        "boot": _boot(),
        "taken": host_folders.taken(place, asked["ours"]),
        "obstacle": host_folders.obstacle(),
        "free": min(shutil.disk_usage(home).free, shutil.disk_usage("/tmp").free),  # noqa: S108 (Ray works there)
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "packages": {name: version_of(name) for name in asked["packages"]},
        "muster": digest_of_muster(),
        "addresses": addresses(),
        "time": time.time(),
    }


def _boot() -> str:
    """Name this start of this host's system, which no other shares; empty elsewhere than on Linux."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""


def addresses() -> list[str]:
    """List under which addresses this host shows itself to others; nothing is sent to find out."""
    found = []
    for family, others in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((others, 9))
            found.append(probe.getsockname()[0])
    with contextlib.suppress(OSError):
        found.append(socket.gethostbyname(socket.gethostname()))
    return found


def version_of(name: str) -> str | None:
    """Tell the version of a package; ``None`` when it is not installed."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(name)
    return None


def digest_of_muster() -> str:
    """Fingerprint the muster that would be imported here; empty when there is none."""
    # Where this runs alone, the parts of muster that it brings have that name: they are not the one that is meant.
    found = next((spec for finder in sys.meta_path if (spec := finder.find_spec("muster", None))), None)
    if found is None or not found.origin:
        return ""
    digest = hashlib.sha256()
    for path in files_of(Path(found.origin).parent):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def files_of(package: Path) -> list[Path]:
    """List the files of a package, without what Python makes of them."""
    return sorted(path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def make(order: Mapping[str, Any]) -> str:
    """Make the environment that is ordered, unless it is there; tell its interpreter. Exits with what went wrong."""
    name = Path(order["folder"]).expanduser()
    own_folder(own_folder(name.parent.parent) / name.parent.name)
    os.umask(0o077)
    try:
        with _alone(name):
            if not (name / environments.READY).exists():
                shutil.rmtree(name, ignore_errors=True)  # an earlier muster has made it by half
                environments.make(name, lambda begun: _fill(begun, order))
        environments.use(name)
    finally:
        environments.tidy()
    return str(name / "bin" / "python")


@contextlib.contextmanager
def _alone(name: Path) -> Iterator[None]:
    """Let one host at a time make an environment, of those that share a home."""
    with open(name.with_name(f"{name.name}.lock"), "w", opener=private) as lock:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.lockf(lock, fcntl.LOCK_EX)
        yield


def _fill(begun: Path, order: Mapping[str, Any]) -> None:
    # Through a link, such as those that uv makes, an environment would look for Python's library beside the link.
    sys._base_executable = os.path.realpath(getattr(sys, "_base_executable", sys.executable))  # type: ignore[attr-defined]  # noqa: SLF001
    has_pip = importlib.util.find_spec("pip") is not None
    venv.EnvBuilder(symlinks=True, with_pip=not has_pip, prompt=Path(order["folder"]).name).create(begun)
    site = next(begun.glob("lib/python*/site-packages"))
    inherited = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    lines = [f"import site; site.addsitedir({path!r})\n" for path in inherited]
    (site / "inherited.pth").write_text("".join(lines))
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(order["muster"]))) as archive:
        archive.extractall(site)
    if order["requirements"]:
        _install(begun / "bin" / "python", order["requirements"])


def _install(python: Path, requirements: Iterable[str]) -> None:
    options = ["--quiet", "--no-input", "--disable-pip-version-check", "--retries", "1", "--no-warn-conflicts"]
    done = subprocess.run(  # noqa: S603 (pip, with exact versions)
        [python, "-m", "pip", "install", *options, *requirements],
        env={**os.environ, "PYTHONNOUSERSITE": "1"},
        capture_output=True,
        text=True,
        timeout=_INSTALL_SECONDS,
        check=False,
    )
    if done.returncode:
        told = (done.stderr or done.stdout).strip().splitlines() or ["pip said nothing"]
        sys.exit(f"pip could not install {', '.join(requirements)}: {told[-1].removeprefix('ERROR: ')}")


def main() -> None:
    """Do what the command line says."""
    given = json.load(sys.stdin)
    try:
        sys.stdout.write((json.dumps(look(given)) if sys.argv[1] == "look" else make(given)) + "\n")
    except (OSError, subprocess.SubprocessError) as error:
        sys.exit(f"no environment could be made: {error}")


if __name__ == "__main__":
    main()
