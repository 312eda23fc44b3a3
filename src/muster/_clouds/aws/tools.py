"""The two programs that make machines on AWS: the ``pulumi`` command, and its plugin for AWS. Where they lie; fetching.

They are large, so nothing fetches them unless the user asks for it. Neither is loaded here: this only looks.
"""

import importlib.metadata
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from muster import _words
from muster.errors import EngineError, UsageError

COMMAND: Final = "pulumi"
_PLUGIN: Final = "pulumi-resource-aws"
_COMMAND_BYTES: Final = 500_000_000
"""About what it takes on the disk."""

_PLUGIN_BYTES: Final = 900_000_000
"""Likewise."""

_SETTING: Final = "PULUMI_HOME"
FETCH: Final = "muster setup aws --fetch"
EXTRA: Final = "pip install 'muster-run[aws]'"
_NEEDED: Final = ("pulumi", "pulumi_aws", "botocore", "semver")


@dataclass(frozen=True, slots=True)
class Tool:
    """One of the two programs: which version is needed, and where it lies or would be put."""

    name: str
    version: str
    path: Path | None
    """``None`` where it is not there."""
    place: Path
    """The folder into which it is fetched."""
    size: int
    """How many bytes it takes there, at the most."""


def check_installed() -> None:
    """Raise ``UsageError`` where a package of the extra is missing."""
    if missing := [name for name in _NEEDED if importlib.util.find_spec(name) is None]:
        raise UsageError(f"AWS needs {', '.join(missing)}, not installed here. Type: {EXTRA}")


def home() -> Path:
    """Tell where Pulumi keeps what it has fetched: its own folder, so that another use of it shares that."""
    return Path(os.environ.get(_SETTING) or Path.home() / ".pulumi")


def command() -> Tool:
    """Look for the command: in PATH, then where it is put."""
    version = importlib.metadata.version("pulumi")
    place = home() / "versions" / version
    found = shutil.which(COMMAND)
    kept = [place / "bin" / COMMAND, home() / "bin" / COMMAND]
    path = Path(found) if found else next((one for one in kept if os.access(one, os.X_OK)), None)
    return Tool(COMMAND, version, path, place, _COMMAND_BYTES)


def plugin() -> Tool:
    """Look for the plugin: in PATH, where any version will do; else that of the package."""
    version = _plugin_version()
    place = home() / "plugins" / f"resource-aws-v{version}"
    found = shutil.which(_PLUGIN)
    kept = place / _PLUGIN
    return Tool(
        _PLUGIN, version, Path(found) if found else kept if os.access(kept, os.X_OK) else None, place, _PLUGIN_BYTES
    )


def found_command() -> Path:
    """Find the command, for who needs both. Raises ``EngineError`` where one is missing, with what to type then."""
    check_installed()
    first, second = command(), plugin()
    if first.path is not None and (second.path is not None or is_attached(second)):
        return first.path
    missing = " and ".join(tool.name for tool in (first, second) if tool.path is None)
    raise EngineError(
        f"Machines on AWS are made by {missing}, not installed here. Type: {FETCH}. It tells sizes first."
    )


def fetch() -> list[Tool]:
    """Fetch what is missing; tell what that was. Raises ``EngineError`` where the network or the disk refuses."""
    missing = [tool for tool in (command(), plugin()) if tool.path is None]
    if missing:
        check_room(missing)
    for tool in missing:
        _fetch_command(tool) if tool.name == COMMAND else _fetch_plugin(tool)
    return missing


def check_room(missing: list[Tool]) -> None:
    """Raise ``EngineError`` where the disk has too little room."""
    folder = home()
    there = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    needed, free = sum(tool.size for tool in missing), shutil.disk_usage(there).free
    if free < needed:
        raise EngineError(
            f"{', '.join(tool.name for tool in missing)} may take {_words.size(needed)} in {str(folder)!r}, and"
            f" {_words.size(free)} are free there. Make room, or set {_SETTING} to a folder on another disk; then type"
            f" again: {FETCH}"
        )


def _fetch_command(tool: Tool) -> None:
    from pulumi import automation
    from semver import VersionInfo

    try:
        automation.PulumiCommand.install(root=str(tool.place), version=VersionInfo.parse(tool.version))
    except subprocess.CalledProcessError as error:
        raise _refused(tool, error.output.decode(errors="replace").strip().rpartition("\n")[2]) from error
    except OSError as error:  # of the network, too
        raise _refused(tool, _words.text_of(error)) from error


def _fetch_plugin(tool: Tool) -> None:
    words = [str(command().path), "plugin", "install", "resource", "aws", f"v{tool.version}"]
    environment = {**os.environ, _SETTING: str(home()), "PULUMI_SKIP_UPDATE_CHECK": "true"}
    done = subprocess.run(  # noqa: S603 (the command that was found)
        words, env=environment, stdin=subprocess.DEVNULL, stdout=sys.stderr, stderr=subprocess.PIPE, check=False
    )
    said = done.stderr.decode(errors="replace").strip()
    if done.returncode or plugin().path is None:
        raise _refused(tool, said.rpartition("\n")[2] or f"{' '.join(words)} ended with {done.returncode}")


def _refused(tool: Tool, why: str) -> EngineError:
    return EngineError(
        f"{tool.name} {tool.version} could not be fetched to {str(tool.place)!r}: {why}. Check the way to the internet"
        f" (get.pulumi.com and github.com), and type again: {FETCH}. Or install it yourself, so that {tool.name} is in"
        " PATH."
    )


def _plugin_version() -> str:
    """Read which plugin the installed package is made for, without loading its megabytes."""
    folder = Path(str(importlib.util.find_spec("pulumi_aws").origin)).parent  # type: ignore[union-attr] # it is there
    return str(json.loads((folder / "pulumi-plugin.json").read_text())["version"])


def is_attached(tool: Tool) -> bool:
    """Tell whether the engine is told where a plugin is served already, as those who work on one do."""
    attached = os.environ.get("PULUMI_DEBUG_PROVIDERS", "").split(",")
    return tool.name == _PLUGIN and any(one.startswith("aws:") for one in attached)
