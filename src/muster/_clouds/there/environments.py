"""The environments that were made on a host, and how long they stay: hosts run it, and what equips them does.

One lies in ``~/.muster/environments`` under its name as soon as it is whole. It stays while a cluster works with it,
and for a month after it was last used. ``purge`` removes all that no cluster works with, and prints as JSON
which these are, and which are kept and why.
"""

import contextlib
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from muster._files.temporary import Temporary, sweep

from . import host_folders

READY: Final = "ready"
_USING: Final = "environment"
_LOCK: Final = ".lock"
_UNUSED_SECONDS: Final = 30 * 24 * 3600.0
"""A month: who runs a job each month finds it, and a host does not fill up."""

_CLOCKS_DIFFER_SECONDS: Final = 300.0
"""Of hosts that share a folder: an environment is kept for too long rather than removed too early."""


def folder() -> Path:
    """Tell where environments lie."""
    return Path.home() / ".muster" / "environments"


def make(name: Path, fill: Callable[[Path], None]) -> None:
    """Have an environment filled under a name of chance, and give it its own when it is whole.

    What is in it may name the folder, as scripts do: they get the new name. Whatever ends this, nothing half-made has
    the right name, and what was begun is removed: now, or by whoever comes next.
    """
    begun = Temporary(name.parent)
    try:
        fill(begun.path)
        _rename_in_scripts(begun.path, name)
        (begun.path / READY).touch()
        with contextlib.suppress(OSError):  # another one was quicker
            begun.path.rename(name)
    finally:
        begun.remove()


def _rename_in_scripts(begun: Path, name: Path) -> None:
    before, after = os.fsencode(begun), os.fsencode(name)
    for script in (begun / "pyvenv.cfg", *(begun / "bin").iterdir()):
        if not script.is_symlink() and script.is_file():
            text = script.read_bytes()
            if before in text:
                script.write_bytes(text.replace(before, after))


def use(name: Path) -> None:
    """Note that an environment is used now, and remove those that nobody has used for long."""
    with contextlib.suppress(OSError):
        (name / READY).touch()
    old = [other for other in _all(name.parent) if time.time() - _last_use(other) > _UNUSED_SECONDS]
    for other in set(old) - {name, *_used()}:
        _remove(other)


def purge() -> "dict[str, list[str] | dict[str, str]]":
    """Remove all environments that no cluster works with; name them, and say of the others who does."""
    place, used = folder(), _used()
    unused = [one for one in _all(place) if one not in used]
    for one in unused:
        _remove(one)
    tidy()
    return {"removed": [one.name for one in unused], "kept": {one.name: who for one, who in sorted(used.items())}}


def tidy() -> None:
    """Remove what nobody needs who makes no environment just now, and the folders that are empty."""
    place = folder()
    sweep(place)
    for lock in place.glob(f"*{_LOCK}"):
        if not lock.with_suffix("").exists():
            lock.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # some are left, or clusters are
        place.rmdir()
        place.parent.rmdir()


def _all(place: Path) -> list[Path]:
    """List the environments that have their names, and not those that are being made."""
    return sorted(one for one in place.glob("*") if re.fullmatch("[0-9a-f]{16}", one.name) and one.is_dir())


def _last_use(environment: Path) -> float:
    """Tell when one was used last; long ago, where an earlier muster has made it by half."""
    try:
        return (environment / READY).stat().st_mtime
    except OSError:
        return 0.0


def _remove(environment: Path) -> None:
    """Remove one; what says that it is whole goes first."""
    with contextlib.suppress(OSError):
        (environment / READY).unlink()
    shutil.rmtree(environment, ignore_errors=True)


def _used() -> dict[Path, str]:
    """List the environments that clusters work with, here or on a host that has the same home; and which do."""
    used = {}
    for note in (Path.home() / ".muster" / "machines").glob(f"*/*/{_USING}"):
        place = note.parent
        is_here = place.parent.name.partition("@")[2] == host_folders.this_host()
        if host_folders.agent_of(place) is not None if is_here else _is_leased(place):
            with contextlib.suppress(OSError):
                if name := note.read_text():
                    used[Path(name)] = _name_of(place)
    return used


def _is_leased(place: Path) -> bool:
    """Tell whether the machine of another host may live: its processes are not to be seen from here."""
    with contextlib.suppress(OSError, ValueError):
        lease = place / "lease"
        return time.time() - lease.stat().st_mtime < float(lease.read_text()) + _CLOCKS_DIFFER_SECONDS
    return False


def _name_of(place: Path) -> str:
    owner = host_folders.owner_of(place)
    return f"the cluster in {str(place)!r}" if owner is None else str(owner)


def main() -> None:
    """Do what the command line says."""
    try:
        sys.stdout.write(json.dumps(purge()) + "\n")
    except OSError as error:
        sys.exit(f"environments could not be removed: {error}")


if __name__ == "__main__":
    main()
