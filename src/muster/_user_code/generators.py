"""Random numbers: every batch gets a stream of its own, derived from a generator's state and the batch's first row.

Otherwise all workers would draw the same numbers: a generator that was sent to them, or that each made of the same
seed, is in the same state everywhere. And numbers would depend on which worker has had which batches before.
"""

import random
from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np

from .reach import reached
from .world import Seeds, digest, flat


class _Stream(Protocol):
    """A generator of one kind, and the state that it was in when it was found."""

    state: Any

    def sow(self, seed: bytes) -> None: ...

    def sow_quickly(self, seed: int, rest: bytes) -> None:
        """Sow 32 bits, which take a tenth of the time; or ``rest``, where a generator takes no less."""

    def restore(self) -> None: ...


class _Python:
    def __init__(self, generator: random.Random) -> None:
        self._generator = generator
        self.state: Any = generator.getstate()

    def sow(self, seed: bytes) -> None:
        self._generator.seed(int.from_bytes(seed))

    def sow_quickly(self, seed: int, rest: bytes) -> None:
        del rest
        self._generator.seed(seed)

    def restore(self) -> None:
        self._generator.setstate(self.state)


class _Legacy:
    """NumPy's ``RandomState``, of which there is one that ``numpy.random.rand`` and its like share."""

    def __init__(self, generator: np.random.RandomState) -> None:
        self._generator = generator
        self.state: Any = generator.get_state(legacy=False)

    def sow(self, seed: bytes) -> None:
        if self.state["bit_generator"] == "MT19937":
            self._generator.seed(_words(seed))
            return
        bits = getattr(np.random, self.state["bit_generator"])(np.random.SeedSequence(_words(seed)))
        self._generator.set_state(np.random.RandomState(bits).get_state(legacy=False))

    def sow_quickly(self, seed: int, rest: bytes) -> None:
        if self.state["bit_generator"] == "MT19937":
            self._generator.seed(seed)
        else:
            self.sow(digest(rest, seed))

    def restore(self) -> None:
        self._generator.set_state(self.state)


class _NumPy:
    """NumPy's ``Generator``. What it spawns is derived from its ``SeedSequence``, so that is replaced, too."""

    def __init__(self, generator: np.random.Generator) -> None:
        self._bits: Any = generator.bit_generator
        self._before = self._bits.__getstate__()
        self.state = self._bits.state

    def sow(self, seed: bytes) -> None:
        fresh = type(self._bits)(np.random.SeedSequence(_words(seed)))
        self._bits.__setstate__(fresh.__getstate__())

    def sow_quickly(self, seed: int, rest: bytes) -> None:
        self.sow(digest(rest, seed))

    def restore(self) -> None:
        self._bits.__setstate__(self._before)


class Generators:
    """The generators that functions can reach, the shared ones among them."""

    def __init__(self, seeds: Seeds, run: int) -> None:
        """Seed the shared generators; ``run`` is which run of its process this is."""
        self._run = run
        self._before = _shared()
        for stream, seed in zip(self._before, seeds, strict=True):
            stream.sow(seed)
        self._streams: dict[int, tuple[_Stream, bytes]] = {}

    def find(self, functions: Iterable[object]) -> None:
        """Find the generators that functions can reach, and the shared ones, which loading may have seeded."""
        own = [(id(generator), _stream_of(generator)) for generator in reached(functions, _is_generator)]
        for key, stream in (*enumerate(_shared()), *own):
            if key not in self._streams:
                self._streams[key] = stream, digest(self._run, flat(stream.state))
        self._quick = [(stream.sow_quickly, base) for stream, base in self._streams.values()]

    def begin(self, *place: int) -> None:
        """Set all of them to the state that belongs to a batch, by the number of its file and of its first row."""
        for stream, base in self._streams.values():
            stream.sow(digest(base, place))

    def begin_group(self, place: int) -> None:
        """Set all of them to the state that belongs to a group, by its place: in as little time as that can be done.

        Up to 2**32 rows, no two groups of a run have the same seed.
        """
        high, low = divmod(place, 1 << 32)
        for sow_quickly, base in self._quick:
            rest = digest(base, high) if high else base
            sow_quickly(_shuffled(low ^ int.from_bytes(rest[:4])), rest)

    def restore(self) -> None:
        """Restore the state in which they were found."""
        for stream, _ in self._streams.values():
            stream.restore()
        for stream in self._before:
            stream.restore()


def _shared() -> tuple[_Stream, _Stream]:
    return _Python(random.seed.__self__), _Legacy(np.random.get_state.__self__)  # type: ignore[attr-defined]


def _is_generator(value: object) -> bool:
    """Tell whether something is a generator whose state can be set."""
    kind = type(value)
    return issubclass(kind, np.random.Generator | np.random.RandomState) or (
        issubclass(kind, random.Random) and not issubclass(kind, random.SystemRandom)
    )


def _stream_of(generator: random.Random | np.random.RandomState | np.random.Generator) -> _Stream:
    if isinstance(generator, random.Random):
        return _Python(generator)
    return _Legacy(generator) if isinstance(generator, np.random.RandomState) else _NumPy(generator)


def _shuffled(number: int) -> int:
    """Give each number of 32 bits another one, far from those of its neighbours: the hash ``lowbias32``."""
    number = (number ^ (number >> 16)) * 0x7FEB352D & 0xFFFFFFFF
    number = (number ^ (number >> 15)) * 0x846CA68B & 0xFFFFFFFF
    return number ^ (number >> 16)


def _words(seed: bytes) -> "np.ndarray[Any, np.dtype[np.uint32]]":
    """Give the 256 bits of a seed as words of 32, as NumPy takes them."""
    return np.frombuffer(seed, ">u4").astype(np.uint32)
