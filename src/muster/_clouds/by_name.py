"""Which cloud ``--on`` names: one of these names, or a YAML file of hosts or of what machines of AWS shall be."""

import importlib.util
from pathlib import Path
from typing import Final

from muster.errors import UsageError

from .asked import AWS_NOTE, asked_now
from .base import Cloud
from .plugged import PLUGGED

LOCAL: Final = "local"
AWS: Final = "aws"
_FILES: Final = (".yml", ".yaml")
_NEEDED_FOR_AWS: Final = ("pulumi", "pulumi_aws", "botocore", "semver")
_NEEDED: Final = ("ray", "yaml", "ansible_runner", "cryptography")


def absolute(on: str) -> str:
    """Write what was typed so that it names the same cloud from wherever it is read."""
    return on if on in {LOCAL, AWS} or on in PLUGGED else str(Path(on).absolute())


def cloud_of(on: str, folder: Path) -> Cloud:
    """Make the cloud of a cluster. Raises ``UsageError`` where there is none of that name, or a package is missing."""
    if on in PLUGGED:
        return PLUGGED[on](folder)
    if on not in {LOCAL, AWS} and not on.endswith(_FILES):
        raise UsageError(
            f"--on {on}: there is no such cloud. Machines are made on local or aws, or are hosts of a YAML file."
        )
    if missing := [name for name in _NEEDED if importlib.util.find_spec(name) is None]:
        raise UsageError(
            f"Clusters need {', '.join(missing)}, not installed here. Type: pip install 'muster-run[cluster]'"
        )
    if on == AWS or (on != LOCAL and _is_of_aws(Path(on), folder)):
        return _aws(folder, None if on == AWS else Path(on))
    asked_now().check_unused(on)
    if on == LOCAL:
        from .local import LocalCloud  # noqa: PLC0415 (a cluster of hosts needs none of it)

        return LocalCloud(folder)
    from .hosts import HostsCloud  # noqa: PLC0415 (likewise)

    return HostsCloud(folder, Path(on))


def _is_of_aws(file: Path, folder: Path) -> bool:
    """Tell whether a file is about AWS; where it is gone, the folder of the cluster tells."""
    from .hosts_file import parsed  # noqa: PLC0415 (likewise)

    if not file.is_file():
        return (folder / AWS_NOTE).exists()
    told = parsed(file)
    return isinstance(told, dict) and AWS in told


def _aws(folder: Path, file: Path | None) -> Cloud:
    if missing := [name for name in _NEEDED_FOR_AWS if importlib.util.find_spec(name) is None]:
        raise UsageError(f"AWS needs {', '.join(missing)}, not installed here. Type: pip install 'muster-run[aws]'")
    from .aws.cloud import AwsCloud

    return AwsCloud(folder, file, asked=asked_now())
