"""What the page and the report need besides muster itself."""

import contextlib
from collections.abc import Iterator

from muster.errors import UsageError


@contextlib.contextmanager
def needing(what: str) -> Iterator[None]:
    """Say what to install where a package is missing. Raises ``UsageError``."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "muster":
            raise
        raise UsageError(
            f"{what} needs {error.name}, which is not installed here. Type: pip install 'muster-run[watch]'"
        ) from error
