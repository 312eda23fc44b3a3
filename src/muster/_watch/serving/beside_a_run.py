"""Serve the page in a process beside a run: a second set of libraries and a busy page cost the run nothing."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from threading import Thread
from typing import Final

from muster._job import Snapshot

from .server import check_installed

_SERVE: Final = """
import sys
from muster._watch.serving.server import serve
from muster.errors import UsageError
try:
    serve(None, port=int(sys.argv[1]), with_parent=True)
except UsageError as error:
    print(error, flush=True)
"""
_WHERE: Final = "Watch at "


class RunPage:
    """The page of a run that goes on; where it is served is known a little later."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self.address = ""
        """What the server printed: where it serves the page, or why it does not."""
        self.run = ""
        """The run whose page it is, once somebody was told where it is served."""
        self._has_told = False

    def told(self, snapshot: Snapshot) -> Snapshot:
        """Put where to watch into a snapshot's note, once, when it is known."""
        if self._has_told or not self.address or not snapshot.run or snapshot.note:
            return snapshot
        self._has_told = True
        is_served = _WHERE in self.address
        self.run = snapshot.run if is_served else ""
        return replace(snapshot, note=f"{self.address}runs/{snapshot.run}" if is_served else f"No page: {self.address}")

    def farewell(self) -> str:
        """Say, as the page ends with the run, how to see it again."""
        return (
            f"The page ends with the run. To see it again: muster watch {self.run}, or as one file:"
            f" muster report {self.run} -o report.html"
        )


@contextlib.contextmanager
def beside(port: int) -> Iterator[RunPage]:
    """Serve for as long as the context lasts, and until the page has been told the end.

    Raises ``UsageError`` where the page's libraries are not installed.
    """
    check_installed()
    page = RunPage()
    with subprocess.Popen(  # noqa: S603 (this interpreter, with arguments of our own)
        [sys.executable, "-P", "-c", _SERVE, str(port)],
        stdin=subprocess.PIPE,  # its end tells the server that this process is no more, however it ended
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is for the run
    ) as server:

        def listen() -> None:
            page.address = server.stdout.readline().strip() if server.stdout else ""

        listener = Thread(target=listen, daemon=True)
        listener.start()
        yield page
