"""Which cloud ``--on`` names: one of these names, or a YAML file."""

import importlib.util
from pathlib import Path
from typing import Final

from muster.errors import UsageError

from .base import Cloud
from .plugged import PLUGGED

LOCAL: Final = "local"
_FILES: Final = (".yml", ".yaml")
_NEEDED: Final = ("ray", "yaml", "ansible_runner", "cryptography")


def absolute(on: str) -> str:
    """Write what was typed so that it names the same cloud from wherever it is read."""
    return on if on == LOCAL or on in PLUGGED else str(Path(on).absolute())


def cloud_of(on: str, folder: Path) -> Cloud:
    """Make the cloud of a cluster. Raises ``UsageError`` where there is none of that name, or a package is missing."""
    if on in PLUGGED:
        return PLUGGED[on](folder)
    if on != LOCAL and not on.endswith(_FILES):
        raise UsageError(f"--on {on}: there is no such cloud. Machines are made on local, or are hosts of a YAML file.")
    if missing := [name for name in _NEEDED if importlib.util.find_spec(name) is None]:
        raise UsageError(
            f"Clusters need {', '.join(missing)}, not installed here. Type: pip install 'muster-run[cluster]'"
        )
    if on == LOCAL:
        from .local import LocalCloud  # noqa: PLC0415 (a cluster of hosts needs none of it)

        return LocalCloud(folder)
    from .hosts import HostsCloud  # noqa: PLC0415 (likewise)

    return HostsCloud(folder, Path(on))
