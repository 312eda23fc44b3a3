"""A source or a sink that the user has written: its methods are called, and what they raise is put into words."""

import contextlib
import threading
from typing import Any, Final

from muster._user_code.origins import user_traceback
from muster._words import bare
from muster._words.quoted import named
from muster.errors import MusterError, UserCodeError

_FIRST_PAUSE: Final = 0.1
"""Seconds: a server that starts anew is there soon."""

_LONGEST_PAUSE: Final = 5.0
"""Seconds: so rows go on soon when it is there again after hours."""

_KEPT: Final = "What was done until then is kept, and no row is lost. Mend it, and type the same command again"


class AwayError(ConnectionError):
    """The other end cannot be reached just now; the message says which, and why."""


class OwnCode:
    """A source or a sink of the user's own. One thread calls it."""

    def __init__(self, end: object, name: str) -> None:
        """Call nothing yet."""
        self.name = name
        self._end = end
        self._is_open = False
        self._pause = _FIRST_PAUSE

    def call(self, method: str, *given: object) -> Any:  # noqa: ANN401 (what the user's method gives)
        """Call a method. Raises ``AwayError`` where the other end is away, ``UserCodeError`` for other errors of it."""
        if method == "open":
            self._is_open = True  # in part, also where that fails
        try:
            return getattr(self._end, method)(*given)
        except (MusterError, AwayError):
            raise  # of a source or a sink of ours, which has words
        except (ConnectionError, TimeoutError) as error:
            raise AwayError(f"{self.name}: {method} raised {bare(named(error))}") from error
        except (Exception, SystemExit) as error:  # nothing of the other end is to end the command without a word
            shown = ", ".join(map(repr, given))
            raise UserCodeError(
                f"{self.name}: {method}({shown}) raised {bare(named(error))}. {_KEPT}.",
                user_traceback(error, function=getattr(self._end, method)),
            ) from error

    def fault(self, what: str, cure: str) -> UserCodeError:
        """Say what it has done that it may not, and how it is mended."""
        return UserCodeError(f"{self.name}: {what}. {cure} {_KEPT}.")

    def close(self) -> None:
        """Close it, where it is open; what that raises says nothing of rows."""
        if self._is_open:
            self._is_open = False
            with contextlib.suppress(Exception):  # whatever it raises: it is closed, or was away
                self._end.close()  # type: ignore[attr-defined]

    def beyond(self) -> int:
        """Count the rows that a source has and has not given, where it can tell."""
        return self._counted("behind")

    def skipped(self) -> int:
        """Count the rows that were gone before a source could give them, where it can tell."""
        return self._counted("skipped")

    def _counted(self, method: str) -> int:
        return int(self.call(method)) if callable(getattr(self._end, method, None)) else 0

    @property
    def is_open(self) -> bool:
        """Tell whether it was opened and not closed since."""
        return self._is_open

    def is_there(self) -> None:
        """Know that the other end has answered."""
        self._pause = _FIRST_PAUSE

    def wait(self, until: threading.Event) -> None:
        """Let a moment pass before the other end is tried again: each longer than the one before."""
        until.wait(self._pause)
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
