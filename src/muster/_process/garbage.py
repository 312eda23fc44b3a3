"""How often Python looks for garbage that only a look at all objects finds: what refers to itself."""

import contextlib
import gc
import threading
from collections.abc import Iterator
from typing import Final

_EVERY: Final = 50_000
"""By how many objects more there are than at the last look the next one is due. Python's 700 is less than what the
tasks of a few hundred workers hold: then it looks again and again at objects that live, for a tenth of the time."""

_lock = threading.Lock()
_usual: list[tuple[int, int, int]] = []
"""How often it was before; once for each run that goes on now, as several may at a time."""


@contextlib.contextmanager
def sought_rarely() -> Iterator[None]:
    """Have garbage looked for rarely for as long as this lasts: not where a user's function is called meanwhile.

    What is no part of a cycle goes at once, as ever. Where nobody looks at all, nobody does.
    """
    with _lock:
        first, *others = usual = _usual[0] if _usual else gc.get_threshold()
        _usual.append(usual)
        gc.set_threshold(max(first, _EVERY) if first else 0, *others)
    try:
        yield
    finally:
        with _lock:
            _usual.pop()
            if not _usual:
                gc.set_threshold(*usual)
