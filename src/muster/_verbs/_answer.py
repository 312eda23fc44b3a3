"""Answers of commands, on standard output."""

from muster._process import stdio
from muster.errors import EngineError


def tell(text: str) -> None:
    """Print an answer. That nobody reads to its end, as ``| head`` does not, is no error. Raises ``EngineError``."""
    try:
        stdio.say(text)
    except BrokenPipeError:
        pass
    except OSError as error:
        raise EngineError(
            f"Cannot print to standard output: {error.strerror}. Send it elsewhere, and type the same command again."
        ) from error
