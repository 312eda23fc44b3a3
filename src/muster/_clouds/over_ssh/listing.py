"""What hosts tell of their machines, and why those that cannot be listed cannot."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from muster._clouds.base import Machine, Seen
from muster._clouds.there.inspection import ENDED

from .played import HostFailure
from .record import StartedHost

_NUMBERS = ("lease", "left", "busy", "memory", "disk")


def seen(
    named: Mapping[str, StartedHost],
    answers: Mapping[str, Mapping[str, Any]],
    failures: Mapping[str, HostFailure],
    *,
    started: Sequence[str],
) -> Seen:
    """List the machines that live, of those that were ``started``, the head first; the others were to end."""
    living = [
        _machine(name, named[name], answers[name], is_head=at == 0)
        for at, name in enumerate(started)
        if answers.get(name) and ENDED not in answers[name]
    ]
    return Seen(tuple(living), dict(_silent(named, answers, failures, started=started)))


def _machine(name: str, one: StartedHost, answer: Mapping[str, Any], *, is_head: bool) -> Machine:
    return Machine(
        name, one.host.outside, one.workers, is_head, versions=one.versions, price=one.host.price, **facts(answer)
    )


def facts(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Take the numbers that a host tells of its machine, whatever else it says."""
    return {name: answer[name] for name in _NUMBERS if isinstance(answer.get(name), int | float)}


def _silent(
    named: Mapping[str, StartedHost],
    answers: Mapping[str, Mapping[str, Any]],
    failures: Mapping[str, HostFailure],
    *,
    started: Sequence[str],
) -> Iterator[tuple[str, str]]:
    """Say of each machine that cannot be listed what is the matter."""
    for name in named:
        answer = answers.get(name, {})
        before = "" if name in started else "it was to end, and "
        if name in failures:
            yield name, f"{before or 'it '}did not answer: {failures[name].said}"
        elif ENDED in answer and not before:
            yield name, f"it has ended: {answer[ENDED]}"
        elif answer and ENDED not in answer and before:
            yield name, f"{before}lives: the next muster up or muster down ends it, or its lease does"
