"""The flags of machines that are rented: which, where, and whether to ask first."""

import argparse
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from muster._clouds.asked import Asked, asking_for
from muster.errors import UsageError

from ._consent import consents, is_asked


def add(verb: argparse.ArgumentParser) -> None:
    """Add them."""
    add = verb.add_argument
    add("--region", default="", metavar="REGION", help="of AWS, such as eu-central-1 (default: that of AWS' own tools)")
    add(
        "--instance-type",
        type=_types,
        default=(),
        metavar="TYPE,...",
        help="types of AWS' machines, in order of preference (default: as it is, or m7i.large, m6i.large, m5.large)",
    )
    add("--spot", action="store_true", help="rent spot machines of AWS, and others where there are none")
    add(
        "--at-least",
        type=int,
        metavar="N",
        help="of AWS' machines: be content with N where no more can be had (default: all)",
    )
    add("--yes", action="store_true", help="rent machines without a question; it is asked on a terminal alone")


def _types(text: str) -> tuple[str, ...]:
    if not (types := tuple(filter(None, text.split(",")))):
        raise argparse.ArgumentTypeError("it names no type; type for example --instance-type m7i.large")
    return types


def asking(
    parsed: argparse.Namespace,
    *,
    say: Callable[[str], None],
    aside: Callable[[], AbstractContextManager[None]] = nullcontext,
    workers: int | None = None,
) -> AbstractContextManager[None]:
    """Have the flags count while a command works; ``say`` shows what would be made, ``aside`` leaves room to ask."""

    def agree(preview: str) -> None:
        if parsed.yes or not is_asked():
            say(preview)
            return
        with aside():
            is_wanted = consents(f"{preview} Make this?", yes=False)
        if not is_wanted:
            raise UsageError("Nothing was made, as you said. Type the command again to be asked again.")

    return asking_for(
        Asked(
            region=parsed.region,
            types=parsed.instance_type,
            is_spot=parsed.spot,
            at_least=parsed.at_least,
            workers=workers,
            agree=agree,
        )
    )


def tell(text: str) -> None:
    """Show it beside the results."""
    print(f"muster: {text}", file=sys.stderr, flush=True)
