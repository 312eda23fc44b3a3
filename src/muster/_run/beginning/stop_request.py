"""A request that a run end: a file in its work folder, which ``muster stop`` makes."""

from pathlib import Path
from typing import Final

from muster._private.files import keep

STOP: Final = "stop"


class StopRequest:
    """The request of one run."""

    def __init__(self, folder: Path) -> None:
        """Know its work folder."""
        self._path = folder / STOP

    def make(self) -> None:
        """Ask the run to end."""
        keep(self._path, b"")

    def is_there(self) -> bool:
        """Tell whether somebody has asked."""
        return self._path.exists()

    def forget(self) -> None:
        """Begin without a request."""
        self._path.unlink(missing_ok=True)
