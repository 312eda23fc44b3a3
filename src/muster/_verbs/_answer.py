"""What a user asked to see, on standard output."""

from muster._process import stdio
from muster.errors import EngineError


def tell(text: str) -> None:
    """Print what the user asked for; as with ``| head``, whoever reads it may have had enough."""
    try:
        stdio.say(text)
    except BrokenPipeError:
        pass
    except OSError as error:
        raise EngineError(
            f"Cannot print to standard output: {error.strerror}. Send it elsewhere, and type the same command again."
        ) from error
