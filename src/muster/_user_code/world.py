"""What a function finds around it, also in a worker: the caller's arguments, environment, ``__main__`` and seeds."""

import contextlib
import hashlib
import itertools
import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Final, NamedTuple

from muster._private import secrets
from muster._private.secrets import Unseen
from muster._process.environment import elsewhere, interpreter_flags

from . import cells, loaded, main_module, surroundings

_runs: Final = itertools.count(1)
_going: Final[set[int]] = set()
"""The runs of this process that go on, in whichever threads."""
_counting: Final = threading.Lock()
_run: Final[ContextVar[int]] = ContextVar("run", default=0)
_entered: "Final[list[World]]" = []


class Seeds(NamedTuple):
    """The seeds of the generators that all code of a process shares: Python's and NumPy's."""

    python: bytes
    numpy: bytes


_OF_A_MACHINE: Final = ("TMPDIR",)
"""What a machine of this computer keeps of its own environment: its scratch folder goes when the machine does."""


class World(NamedTuple):
    """What a worker takes over from the process that began the run."""

    arguments: tuple[str, ...]
    script: main_module.MainScript
    seeds: Seeds
    run: int
    """Which run of its process this is."""
    environment: Mapping[str, str]
    variables: surroundings.Variables = surroundings.Variables()
    flags: tuple[str, ...] = ()
    """What that interpreter was started with."""
    mask: int = -1
    """Its umask: which permissions new files do not get. Negative where nobody knows."""
    zone: surroundings.Zone = surroundings.Zone()
    path: tuple[str, ...] = ()
    """Its ``sys.path``; empty where files are not shared."""
    folder: str = ""
    unseen: Unseen = Unseen()
    """Secrets of URLs and options of stores, which no environment holds."""
    sources: tuple[tuple[str, str], ...] = ()
    """The text of what was typed in a session: cells of a notebook are named like files, and lie in none."""
    mirror: str = ""
    """Where files are not shared: the folder below which those that were sent lie, each where it lies at home."""
    first_worker: int = 0
    """The number of a machine's first worker among those of all machines."""

    @classmethod
    def here(cls) -> "World":
        """Describe this process; in a worker, return the world that it was given."""
        if _entered and not _run.get():
            return _entered[-1]
        script = main_module.script_of_this_process()
        return cls(
            tuple(sys.argv),
            script,
            _seeds(),
            _run.get(),
            dict(os.environ),
            flags=interpreter_flags(),
            mask=surroundings.mask(),
            path=tuple(sys.path),
            folder=os.getcwd(),  # noqa: PTH109 (light)
            unseen=secrets.packed(),
            sources=cells.sources(),
        )

    @classmethod
    def abroad(cls, names: Sequence[str]) -> "World":
        """Describe this process for machines that do not share files.

        Of its environment go the variables that are named, and those that decide how Python behaves.
        """
        here = cls.here()
        environment = {name: here.environment[name] for name in names if name in here.environment}
        environment |= {name: value for name, value in here.environment.items() if surroundings.decides(name)}
        hidden = frozenset(here.environment.keys() - environment.keys())
        variables = surroundings.Variables(frozenset(environment), hidden)
        zone = surroundings.Zone.here()
        return here._replace(environment=environment, variables=variables, zone=zone, path=(), folder="")

    def settle(self) -> None:
        """Give that world to the workers that this process starts, added to what this process has itself."""
        secrets.take(self.unseen)
        if self.folder:
            sys.path[:] = self.path
            with contextlib.suppress(OSError):
                os.chdir(self.folder)
            of_the_machine = {name: os.environ[name] for name in _OF_A_MACHINE if name in os.environ}
            _entered.append(self._replace(environment={**self.environment, **of_the_machine}))
            return
        import tempfile

        mirror = os.path.realpath(tempfile.mkdtemp(prefix="home-"))
        script = self.script._replace(file=mirror + self.script.file if self.script.file else "")
        own = {name: value for name, value in os.environ.items() if not surroundings.decides(name)}
        environment = elsewhere(own, {**self.environment, "TZ": self.zone.there()})
        _entered.append(self._replace(environment=environment, script=script, mirror=mirror))

    def enter(self) -> None:
        """Make this process look like the one described."""
        loaded.settle()
        sys.path[:] = self.path or sys.path
        sys.argv[:] = self.arguments
        main_module.become(self.script)
        secrets.take(self.unseen)
        _entered.append(self)
        cells.know(self.sources)
        if self.mask >= 0:
            os.umask(self.mask)
        if self.mirror:
            surroundings.enter(self.variables)


def begin_anew() -> None:
    """Forget the secrets of earlier runs of this process, unless one goes on in another thread: it needs them."""
    with _counting:
        if not _entered and not _going:
            secrets.forget()


@contextlib.contextmanager
def a_run() -> Iterator[None]:
    """Give a run a number while it lasts: each run of a process has random numbers of its own."""
    number = next(_runs)
    token = _run.set(number)
    with _counting:
        _going.add(number)
    try:
        yield
    finally:
        with _counting:
            _going.discard(number)
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
    """Derive seeds from the state of this process's generators; at random where these are not even loaded."""
    python, numpy = (sys.modules.get(name) for name in ("random", "numpy.random"))
    states = (
        python.getstate() if python else os.urandom(16),
        numpy.get_state.__self__.get_state(legacy=False) if numpy else os.urandom(16),
    )
    return Seeds(*(digest(_run.get(), flat(state)) for state in states))
