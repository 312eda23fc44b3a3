"""What a function finds around it, also in a worker: the caller's arguments, ``__main__`` and seeds."""

import contextlib
import hashlib
import itertools
import os
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, Final, NamedTuple

from muster import _main

_runs: Final = itertools.count(1)
_run: Final[ContextVar[int]] = ContextVar("run", default=0)
_entered: "Final[list[World]]" = []


class Seeds(NamedTuple):
    """What the generators begin with that all code of a process shares: Python's own, and NumPy's."""

    python: bytes
    numpy: bytes


class World(NamedTuple):
    """What a worker takes over from the process that began the run."""

    arguments: tuple[str, ...]
    script: _main.Script
    seeds: Seeds
    run: int
    """Which run of its process this is."""

    @classmethod
    def here(cls) -> "World":
        """Take it from this process, or be the one that this process was given."""
        if _entered and not _run.get():
            return _entered[-1]
        return cls(tuple(sys.argv), _main.script_of_this_process(), _seeds(), _run.get())

    def enter(self) -> None:
        """Have this process be like that one."""
        sys.argv[:] = self.arguments
        _main.become(self.script)
        _entered.append(self)


@contextlib.contextmanager
def a_run() -> Iterator[None]:
    """Give a run its number for as long as it lasts; none has the random numbers of another."""
    token = _run.set(next(_runs))
    try:
        yield
    finally:
        _run.reset(token)


def digest(*parts: object) -> bytes:
    """Make a seed of all of these, which have a text that is the same in every process."""
    return hashlib.sha256(repr(parts).encode()).digest()


def flat(state: Any) -> Any:  # noqa: ANN401 (what a generator says of itself)
    """Write a generator's state with plain values only, for its text to be the same in every process."""
    if isinstance(state, dict):
        return [(name, flat(part)) for name, part in sorted(state.items())]
    return state.tolist() if hasattr(state, "tolist") else state


def _seeds() -> Seeds:
    """Derive seeds from how this process has seeded its generators; from chance where they are not even loaded."""
    python, numpy = (sys.modules.get(name) for name in ("random", "numpy.random"))
    states = (
        python.getstate() if python else os.urandom(16),
        numpy.get_state.__self__.get_state(legacy=False) if numpy else os.urandom(16),
    )
    return Seeds(*(digest(_run.get(), flat(state)) for state in states))
