"""Warnings of the user's function: each is shown once, however many workers and batches meet it, and counted.

Python shows one again once anybody has touched the filters, as pandas and others do in each batch.
"""

import contextlib
import fcntl
import hashlib
import os
import warnings
from collections import Counter
from pathlib import Path
from typing import Any, Final

from muster._model import Warned

_SIZE: Final = 16
"""Bytes: so many warnings that two have one digest never come together."""

_MOST: Final = 1000
"""How many a worker remembers: where each row has a text of its own, all that come after these are shown."""

_LONGEST: Final = 200
"""Characters of a text that is counted."""


class Once:
    """Shows each (text, category, place) once, in all processes that are forked from the one that made this."""

    def __init__(self) -> None:
        """Make the file that they share: in memory, so that a full disk keeps no worker from its start."""
        self._shared = os.memfd_create("muster-warned")
        self._seen: set[bytes] = set()
        self._texts: dict[tuple[str, type[Warning], str, int], str] = {}
        self._untold: Counter[str] = Counter()
        self._show: Any = warnings.showwarning

    def install(self) -> None:
        """Have it asked about every warning of this process that is to be shown."""
        global _installed
        self._show, warnings.showwarning, _installed = warnings.showwarning, self, self

    def __call__(  # noqa: PLR0913, PLR0917 (as Python calls it)
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: Any = None,  # noqa: ANN401 (likewise)
        line: str | None = None,
    ) -> None:
        """Show a warning that no worker has shown, and those that the user has asked for every time."""
        if _is_asked_for_always(str(message), category, filename, lineno):
            self._show(message, category, filename, lineno, file, line)
            return
        place = str(message), category, filename, lineno
        if place not in self._texts:
            said = repr((str(message), category.__qualname__, filename, lineno))
            key = hashlib.blake2b(said.encode(errors="surrogatepass"), digest_size=_SIZE).digest()
            if self._is_new(key):
                self._show(message, category, filename, lineno, file, line)
            if key in self._seen:
                self._texts[place] = f"{category.__name__} at {Path(filename).name}:{lineno}: {_first_line(message)}"
        if text := self._texts.get(place):
            self._untold[text] += 1
        with warnings.catch_warnings():  # which has Python forget that it has shown this one: the next is to be counted
            pass

    def taken(self) -> tuple[Warned, ...]:
        """Tell once how often each was raised."""
        told, self._untold = self._untold, Counter()
        return tuple(Warned(text, count) for text, count in told.items())

    def _is_new(self, key: bytes) -> bool:
        if key in self._seen:
            return False
        if len(self._seen) >= _MOST:
            return True
        self._seen.add(key)
        with contextlib.suppress(OSError):  # somebody has closed it: then each worker shows its first
            return self._is_first(key)
        return True

    def _is_first(self, key: bytes) -> bool:
        """Note a key, unless another worker has; those that look at the same time wait for each other."""
        descriptor = self._shared
        fcntl.lockf(descriptor, fcntl.LOCK_EX)
        try:
            noted = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
            if key in (noted[at : at + _SIZE] for at in range(0, len(noted), _SIZE)):
                return False
            os.pwrite(descriptor, key, len(noted))
            return True
        finally:
            fcntl.lockf(descriptor, fcntl.LOCK_UN)


_installed: Once | None = None


def taken() -> tuple[Warned, ...]:
    """Tell once how often each warning was raised in this process, if it is a worker of its own."""
    return _installed.taken() if _installed else ()


def _first_line(message: Warning | str) -> str:
    text = str(message).strip().partition("\n")[0]
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _is_asked_for_always(text: str, category: type[Warning], filename: str, lineno: int) -> bool:
    for action, message, kind, module, number in warnings.filters:
        is_of_place = number in {0, lineno} and (module is None or _fits(module, Path(filename).stem))
        if is_of_place and issubclass(category, kind) and _fits(message, text):
            return action in {"always", "all"}
    return False


def _fits(pattern: Any, text: str) -> bool:  # noqa: ANN401 (as filters have it: an expression, a text or nothing)
    return pattern is None or bool(pattern == text if isinstance(pattern, str) else pattern.match(text))
