"""Which bytes of the input are looked at to settle the types of its columns."""

import dataclasses
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Final

from muster._model import Part, Source

from ._questions import Observe

_SAMPLES: Final = 32
"""How many parts are looked at, however many there are; each is some 16 KiB, so a look takes milliseconds."""
_QUESTIONS: Final = 2
"""How many questions ask about a file, for as many workers to look at the same time: of a wide file each column costs
more than its cells do, in every question anew."""


def samples(
    parts: Sequence[Part], sources: Sequence[Source], orders: Sequence[tuple[str, ...]], how: Observe
) -> list[Observe]:
    """Choose stretches that span the input, its first and last part among them; ``how`` to look at them."""
    parts = [part for part in parts if not part.fault]
    step = max(1, -(-len(parts) // _SAMPLES))
    chosen = {*range(0, len(parts), step), len(parts) - 1} if parts else set()
    places = (_place_of(parts[at], sources) for at in sorted(chosen))
    return [
        dataclasses.replace(how, path=path, stretches=tuple(stretches), order=orders[file])
        for (file, path), places_of_file in groupby(places, key=itemgetter(0))
        for stretches in _shared_out([stretch for _, stretch in places_of_file])
    ]


def _shared_out(stretches: Sequence[tuple[int, int]]) -> Iterator[Sequence[tuple[int, int]]]:
    size = -(-len(stretches) // _QUESTIONS)
    return (stretches[at : at + size] for at in range(0, len(stretches), size))


def observation(part: Part, sources: Sequence[Source], orders: Sequence[tuple[str, ...]], how: Observe) -> Observe:
    """Ask about every cell of one part; ``how`` to look at them."""
    (file, path), stretch = _place_of(part, sources)
    return dataclasses.replace(how, path=path, stretches=(stretch,), order=orders[file])


def _place_of(part: Part, sources: Sequence[Source]) -> tuple[tuple[int, str], tuple[int, int]]:
    path, origin = (part.local_copy.path, part.local_copy.origin) if part.local_copy else (sources[part.file].path, 0)
    return (part.file, path), (part.start - origin, part.stop - origin)
