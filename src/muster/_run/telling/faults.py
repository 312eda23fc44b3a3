"""A fault of muster's own: its traceback is kept in a file, so that there is something to report."""

import contextlib
import platform
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

from muster._private.files import private
from muster._private.secrets import scrubbed
from muster._user_code.origins import is_users
from muster._version import __version__
from muster.errors import FaultError, MusterError


@contextlib.contextmanager
def keeping_faults(path: Path) -> Iterator[None]:
    """Have a file keep the traceback of what muster never raises on purpose; the error's message names the file."""
    try:
        yield
    except FaultError as fault:
        if _keep(path, fault.details):
            fault.args = (f"{fault} Its traceback is in {str(path)!r}.",)
        raise
    except (MusterError, OSError):
        raise
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        if any(is_users(frame.filename) for frame in frames):  # as of somebody who watches the run
            raise
        if _keep(path, "".join(traceback.format_exception(error))):
            error.add_note(f"This traceback is kept in {str(path)!r}.")
        raise


def _keep(path: Path, details: str) -> bool:
    """Append a traceback to a file, without what nobody may see; tell whether there was room for it."""
    where = f"muster {__version__}, Python {platform.python_version()}, {time.strftime('%Y-%m-%d %H:%M:%S')}"
    try:
        with open(path, "a", encoding="utf-8", errors="backslashreplace", opener=private) as file:
            file.write(f"{where}\n{scrubbed(details)}\n")
    except OSError:
        return False
    return True
