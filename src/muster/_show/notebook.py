"""A run in a notebook: one display, which is updated in place and needs no widgets."""

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Any, Final

from muster._job import Result, Snapshot

_AT_MOST_EVERY: Final = 0.5
"""Seconds between two updates: each is a message that the notebook may keep."""


def is_here() -> bool:
    """Tell whether this process is a kernel of IPython, whose front end replaces what it has displayed.

    IPython in a terminal would print each update below the last. IPython is not imported: a kernel has it.
    """
    if "IPython" not in sys.modules:
        return False
    return getattr(sys.modules["IPython"].get_ipython(), "kernel", None) is not None


@contextlib.contextmanager
def cell() -> Iterator["Cell"]:
    """Show a run below the cell that began it, and leave one line there, however it ends."""
    shown = Cell()
    try:
        yield shown
    except BaseException:
        shown.stop()
        raise


class Quiet:
    """Shows what workers print, and nothing else."""

    def watch(self, snapshot: Snapshot) -> None:
        """Show nothing."""

    def remark(self, text: str) -> None:
        """Say nothing."""

    warn = remark  # muster.run issues a warning of Python instead

    def printed(self, text: str) -> None:
        """Show what workers print as output of the cell, which need not be an error."""
        sys.stdout.write(text)

    def aside(self) -> contextlib.AbstractContextManager[None]:
        """Do nothing: no question is asked in a notebook."""
        return contextlib.nullcontext()

    def finish(self, result: Result) -> None:
        """Say nothing."""


class Cell(Quiet):
    """What a notebook shows of a run."""

    def __init__(self) -> None:
        self._display: Any = None
        self._drawn_at = 0.0
        self._last: Snapshot | None = None

    def watch(self, snapshot: Snapshot) -> None:
        """Draw how far it is, unless that was done just now; print a note."""
        if snapshot.note:
            self.remark(snapshot.note)
        self._last = snapshot
        if time.monotonic() - self._drawn_at >= _AT_MOST_EVERY:
            self._draw(str(snapshot), snapshot._repr_html_())

    def remark(self, text: str) -> None:
        """Print a line in the cell."""
        print(f"muster: {text}", file=sys.stderr, flush=True)  # noqa: T201 (a note, as elsewhere)

    def finish(self, result: Result) -> None:
        """Leave a line that says what came of it; where that is a cell's last value, IPython shows the rest."""
        self._close(str(result))

    def stop(self) -> None:
        """Leave a line that says how far it came; why it stopped is an exception, which IPython shows."""
        if self._last is not None:
            total = f" of {self._last.rows_total:,}" if self._last.rows_total is not None else ""
            self._close(f"stopped after {self._last.rows_done:,}{total} rows")

    def _close(self, text: str) -> None:
        from muster._words import html

        self._draw(text, html.note(text))

    def _draw(self, text: str, markup: str) -> None:
        from IPython.display import display

        self._drawn_at = time.monotonic()
        bundle: Any = {"text/plain": text, "text/html": markup}
        if self._display is None:
            show: Any = display  # it has no types
            self._display = show(bundle, raw=True, display_id=True)
        else:
            self._display.update(bundle, raw=True)
