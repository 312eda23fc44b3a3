"""Send globals that the caller's program has set in the user's modules to workers, which import these anew."""

import importlib
import pickle
import sys
from collections.abc import Iterable

from muster._model import Fact, Global
from muster._words import bare
from muster.errors import UsageError


def differing(there: Iterable[Fact], here: Iterable[Fact]) -> tuple[Fact, ...]:
    """List the facts of the caller about globals that this process finds otherwise."""
    values = {(fact.module, fact.name): fact.value for fact in here if fact.name}
    return tuple(fact for fact in there if fact.name and values.get((fact.module, fact.name)) != fact.value)


def outdated(there: Iterable[Fact], here: Iterable[Fact]) -> tuple[str, ...]:
    """Name functions and classes that this process finds otherwise: their file was written since it was imported."""
    values = {fact.what: fact.value for fact in here if not fact.name}
    return tuple(
        fact.what for fact in there if fact.module and not fact.name and values.get(fact.what, fact.value) != fact.value
    )


def packed(facts: Iterable[Fact]) -> tuple[Global, ...]:
    """Pack globals of this process for workers. Raises ``UsageError`` for one that cannot be sent, by its name."""
    return tuple(_packed(fact) for fact in facts)


def _packed(fact: Fact) -> Global:
    from .carry import pickled

    try:
        return Global(fact.module, fact.name, pickled(vars(sys.modules[fact.module])[fact.name]))
    except Exception as error:
        raise UsageError(
            f"{fact.what} was set after its module was imported, so workers have to be given it, and it cannot be sent:"
            f" {bare(error)}. Set it where the module itself does, or make it inside the function; workers=0 needs"
            " neither."
        ) from error


def restore(state: Iterable[Global]) -> None:
    """Set globals in this process as they are in the caller's."""
    for global_ in state:
        setattr(importlib.import_module(global_.module), global_.name, pickle.loads(global_.pickle))  # noqa: S301 (from the caller)
