"""What a step's rows depend on, as far as this process can tell."""

from typing import NamedTuple

from muster._model import DataFile, Fact, Target

from . import arguments
from .state import differing, outdated
from .targets import is_own


class Described(NamedTuple):
    """What a target turned out to be: the step's name, and what its rows depend on."""

    name: str
    facts: tuple[Fact, ...]
    set_there: tuple[Fact, ...] = ()
    """Globals that the caller's program has set in modules that were imported anew here."""
    outdated: tuple[str, ...] = ()
    """What the caller has imported from files that were written since."""
    files: tuple[DataFile, ...] = ()
    """The user's code here, as it is now."""


def described(target: Target, loaded: object) -> Described:
    """Describe a step as it is now. ``loaded`` is its function or class, not built yet.

    What travels by value is described where it comes from: there all of it has its name.
    """
    from .facts import facts_of
    from .versions import versions

    if target.kind != "pickle":
        now = Described(target.name, facts_of(loaded))
    elif is_own(target) or not any(fact.module for fact in target.facts):
        now = Described(target.name, target.facts)
    else:
        now = _compared(target, facts_of(loaded))
    return now._replace(facts=(*now.facts, *arguments.facts_of(loaded, target), *versions()))


def _compared(target: Target, here: tuple[Fact, ...]) -> Described:
    """Say what the caller knows of a step; but code that workers import anew is what it is now."""
    renewed = {fact.what: fact for fact in here if fact.module and not fact.name}
    facts = tuple(renewed.get(fact.what, fact) for fact in target.facts)
    return Described(target.name, facts, differing(target.facts, here), outdated(target.facts, here))
