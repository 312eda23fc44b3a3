"""Which cloud ``--on`` names: one of these names, or a YAML file of hosts or of what machines of AWS shall be."""

import importlib.util
from pathlib import Path
from typing import Final

from muster._words.near import with_guess
from muster.errors import UsageError

from .asked import AWS_NOTE, HOSTS_NOTE, asked_now
from .base import Cloud
from .fake.gone import GoneMachines
from .hosts_file import parsed
from .plugged import AWS, CLAIMED, FILES, LOCAL, PLUGGED, PRETENDED_NOTE, RECORD

_NEEDED: Final = ("ray", "yaml", "ansible_runner", "cryptography")


def absolute(on: str) -> str:
    """Write what was typed so that it names the same cloud from wherever it is read."""
    return on if on in {LOCAL, AWS} or on in PLUGGED else str(Path(on).absolute())


def cloud_of(on: str, folder: Path) -> Cloud:
    """Make the cloud that a command names. Raises ``UsageError`` where there is none, or a package is missing."""
    if on in PLUGGED:
        return PLUGGED[on](folder)
    if on not in {LOCAL, AWS} and not on.endswith(FILES):
        typed = Path(on).name if Path(on).parent == Path.cwd() else on
        raise UsageError(
            f"--on {with_guess(typed, (LOCAL, AWS))}: there is no such cloud. There are: {LOCAL} (this computer),"
            f" {AWS}, and YAML files that name hosts or say how machines of AWS shall be, such as hosts.yml."
        )
    _check_installed()
    if on == AWS or (on != LOCAL and _is_of_aws(Path(on))):
        return _aws(folder, None if on == AWS else Path(on))
    asked_now().check_unused(on)
    if on == LOCAL:
        from .local import LocalCloud

        return LocalCloud(folder)
    return _hosts(folder, Path(on))


def known_cloud(on: str, folder: Path) -> Cloud:
    """Make the cloud of a cluster that is there, as its own notes have it.

    Its file may have changed since, or be half written: whatever it says by now, what was made must be found and ended.
    """
    is_file = on.endswith(FILES)
    if (folder / AWS_NOTE).exists():  # looked for first: its machines are hosts besides, with both notes
        return _aws(folder, Path(on) if is_file else None)
    if is_file and (folder / HOSTS_NOTE).exists():
        return _hosts(folder, Path(on))
    if on not in PLUGGED and on not in {LOCAL, AWS} and not is_file:
        return _gone(on, folder)
    return cloud_of(on, folder)


def _gone(on: str, folder: Path) -> Cloud:
    """Stand in for a cloud that another process alone knew. Raises ``UsageError`` where it may have been a real one."""
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if PRETENDED_NOTE not in there and not there <= {RECORD, *CLAIMED}:
        raise UsageError(
            f"Cluster {folder.name!r} is on {on!r}, a cloud that only the program knows that made it: end it there. If"
            f" nothing of it lives any more, remove {str(folder)!r} to forget it."
        )
    return GoneMachines(on, folder)


def _check_installed() -> None:
    if missing := [name for name in _NEEDED if importlib.util.find_spec(name) is None]:
        raise UsageError(
            f"Clusters need {', '.join(missing)}, not installed here. Type: pip install 'muster-run[cluster]'"
        )


def _is_of_aws(file: Path) -> bool:
    if not file.is_file():
        return False
    told = parsed(file)
    return isinstance(told, dict) and AWS in told


def _hosts(folder: Path, file: Path) -> Cloud:
    _check_installed()
    from .hosts import HostsCloud

    asked_now().check_unused(str(file))
    return HostsCloud(folder, file)


def _aws(folder: Path, file: Path | None) -> Cloud:
    _check_installed()
    from .aws.tools import check_installed

    check_installed()
    from .aws.cloud import AwsCloud

    return AwsCloud(folder, file, asked=asked_now())
