"""What lives on hosts of muster's, asked of the hosts alone: no record of ours is needed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from muster._clouds.base import Census, Existing
from muster._clouds.program import program

from .inventory import Host
from .listing import facts
from .playbook import play
from .played import HostFailure


def census(hosts: Sequence[Host], *, below: Path) -> Census:
    """Ask each host which machines live there, of whichever cluster of the user that SSH logs in as."""
    each = {host.name: {"python": host.python} for host in hosts}
    answers, played = play("census", hosts, told={"program": program("census")}, each=each, below=below).answers()
    prices = {host.name: host.price for host in hosts}
    existing = [
        _existing(name, one, price=price) for name, price in prices.items() for one in _listed(answers.get(name, {}))
    ]
    return Census(tuple(existing), _unseen(played.failures))


def _listed(answer: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    listed = answer.get("machines")
    return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []


def _existing(name: str, told: Mapping[str, Any], *, price: float | None) -> Existing:
    words = {word: str(told.get(word, "")) for word in ("cluster", "owner", "home", "since")}
    numbers = {word: float(number) for word, number in facts(told).items() if word in {"lease", "left"}}
    return Existing(name, **words, **numbers, price=price)  # type: ignore[arg-type]  # words and numbers have their own names


def _unseen(failures: Mapping[str, HostFailure]) -> dict[str, str]:
    return {name: f"it did not answer: {failure.said}" for name, failure in failures.items()}
