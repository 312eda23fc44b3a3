"""What hosts must have: this computer's Python, its muster, and the packages that muster and the user need."""

import base64
import functools
import hashlib
import importlib.metadata
import io
import json
import re
import sys
import time
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from muster._clouds.there import environment
from muster.errors import UsageError

_DISTRIBUTION: Final = "muster-run"
"""What muster is called in the index of packages; 'muster' is somebody else's."""

_ALWAYS: Final = (_DISTRIBUTION, "ray")
_FOLDER: Final = "~/.muster/environments"
RAY_WITH_IPV6: Final = "2.53"
_LEAST_DISK: Final = 256 << 20
"""An environment that is there already needs room for logs and sockets; one that is made says itself what it lacks."""

_CLOCKS_APART: Final = 12 * 3600
"""In seconds: certificates count from a day before they are made."""


def packages(named: Sequence[str]) -> dict[str, str]:
    """Pin what muster, Ray and the packages that are named need, to the versions here, by name.

    Raises ``UsageError`` for a package that is not installed here.
    """
    for name in named:
        if environment.version_of(name) is None:
            raise UsageError(
                f"packages: {name!r} is not installed here, so hosts cannot have the same version. Install it here, or"
                " leave it out."
            )
    found = dict(_closure((*_ALWAYS, *named)))
    del found[_DISTRIBUTION]
    return dict(sorted(found.items()))


def _closure(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield packages, and those that they require and that are there, with their versions."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    waiting, known = list(names), set()
    while waiting:
        name = canonicalize_name(waiting.pop())
        version = environment.version_of(name)
        if name in known or version is None:
            continue
        known.add(name)
        yield name, version
        required = map(Requirement, importlib.metadata.requires(name) or ())
        waiting += [one.name for one in required if one.marker is None or one.marker.evaluate({"extra": ""})]


def ray_knows_ipv6() -> bool:
    """Tell whether the Ray that is here, and so on hosts, works with IPv6 addresses."""
    return _release(importlib.metadata.version("ray")) >= _release(RAY_WITH_IPV6)


def _release(version: str) -> list[int]:
    return list(map(int, re.findall(r"\d+", version)[:2]))


def obstacles(found: Mapping[str, Any]) -> Iterator[str]:
    """Say what keeps a host from being used, and what nothing can be installed against."""
    if not str(found["platform"]).startswith("Linux "):
        yield f"its system is {found['platform']}, and machines are made of Linux hosts alone"
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    if ".".join(found["python"].split(".")[:2]) != here:
        yield f"Python is {found['python']} there, and {here} here; name another with python:"
    yield from filter(None, (found["obstacle"], found["taken"]))
    if abs(behind := time.time() - found["time"]) > _CLOCKS_APART:
        yield (
            f"the clock there is {abs(behind) / 3600:.0f} hours {'behind' if behind > 0 else 'ahead of'} the one here,"
            " so certificates would not count there; set it"
        )
    if found["free"] < _LEAST_DISK:
        yield f"its disk is full: {found['free'] >> 20} MiB are left there, and {_LEAST_DISK >> 20} are needed"


def named_twice(looked: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Say which names are those of one host, which would do twice the work: one place, in one start of one system."""
    before: dict[tuple[str, str], str] = {}
    for name, found in sorted(looked.items()):
        other = before.setdefault((found["place"], found["boot"]), name) if found["boot"] else name
        if other != name:
            yield (
                f"{other!r} and {name!r} are one host. Take one out of the file; for more workers there, write workers:"
            )


def order(found: Mapping[str, Any], wanted: Mapping[str, str], *, python: str) -> dict[str, Any] | None:
    """Say what must be installed on a host where something differs; ``None`` where nothing does."""
    differing = [f"{name}=={version}" for name, version in wanted.items() if found["packages"][name] != version]
    if not differing and found["muster"] == environment.digest_of_muster():
        return None
    content = json.dumps([differing, python, found["platform"], environment.digest_of_muster()])
    folder = f"{_FOLDER}/{hashlib.sha256(content.encode()).hexdigest()[:16]}"
    return {"folder": folder, "requirements": differing, "muster": _archive()}


@functools.cache
def _archive() -> str:
    """Pack the muster of this computer, with what tells its version."""
    sink, package = io.BytesIO(), Path(environment.__file__).parents[2]
    distribution = importlib.metadata.distribution(_DISTRIBUTION)
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in environment.files_of(package):
            archive.write(path, path.relative_to(package.parent))
        archive.writestr(
            f"muster_run-{distribution.version}.dist-info/METADATA", distribution.read_text("METADATA") or ""
        )
    return base64.b64encode(sink.getvalue()).decode()
