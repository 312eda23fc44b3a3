"""Remove the environments that hosts were given, and say of each host what went and what stayed."""

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, Final

from .played import Played

_ENVIRONMENTS: Final = ".muster/environments"


def environment_of(python: str) -> str:
    """Name the environment that an interpreter of a host belongs to; empty for the host's own."""
    return str(PurePosixPath(python).parents[1]) if f"/{_ENVIRONMENTS}/" in python else ""


def told(answers: Mapping[str, Mapping[str, Any]], played: Played) -> Iterator[str]:
    """Say what became of the environments of each host."""
    for name, answer in answers.items():
        removed = ", ".join(answer["removed"]) or "none"
        yield f"{name}: environments removed: {removed}"
        for kept, who in answer["kept"].items():
            yield f"{name}: environment {kept} is kept: {who} works with it"
    for name, failure in played.failures.items():
        yield f"{name}: its environments in ~/{_ENVIRONMENTS} could not be removed: {failure.said}"
