"""The flags of machines that are rented: which, where, and whether to ask first."""

import argparse
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from muster._clouds.asked import RentalFlags, asking_for
from muster.errors import UsageError

from . import _flags
from ._consent import consents, is_asked


def add(verb: argparse.ArgumentParser) -> None:
    """Add them."""
    add = verb.add_argument
    add("--region", default="", metavar="REGION", help="of AWS, such as eu-central-1 (default: that of AWS' own tools)")
    add(
        "--instance-type",
        type=types,
        default=(),
        metavar="TYPE,...",
        help="types of AWS' machines, in order of preference (default: as it is, or m7i.large, m6i.large, m5.large)",
    )
    add(
        "--spot",
        action=argparse.BooleanOptionalAction,
        help="rent spot machines of AWS, and others where there are none (default: as it is, or --no-spot)",
    )
    add(
        "--at-least",
        type=int,
        metavar="N",
        help="of AWS' machines: be content with N where no more can be had (default: all)",
    )
    add(
        "--ready-within",
        type=_flags.seconds,
        metavar="10m",
        help="of AWS' machines: end those that are not made, booted and started by then (default: 10m)",
    )
    add("--yes", action="store_true", help="rent machines without a question; it is asked on a terminal alone")


def types(text: str) -> tuple[str, ...]:
    """Read a list of types of machine."""
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
    """Have the flags count while a command works; ``say`` shows what would be made, and what has ended.

    ``aside`` leaves room to ask.
    """

    def agree(preview: str) -> None:
        if parsed.yes or not is_asked():
            say(preview)
            return
        with aside():
            check_consent(parsed, f"{preview} Make this?")

    return asking_for(
        RentalFlags(
            region=parsed.region,
            types=parsed.instance_type,
            is_spot=parsed.spot,
            at_least=parsed.at_least,
            workers=workers,
            ready_within=parsed.ready_within,
            agree=agree,
            tell=say,
        )
    )


def check_consent(parsed: argparse.Namespace, question: str) -> None:
    """Ask before machines are made. Raises ``UsageError`` where the user does not want them."""
    try:
        is_wanted = consents(question, yes=parsed.yes)
    except KeyboardInterrupt:
        parsed.what_now = "No machine was made: type the same command again to be asked again."
        raise
    if not is_wanted:
        raise UsageError("Nothing was made, as you said. Type the command again to be asked again.")


def tell(text: str) -> None:
    """Show it beside the results."""
    print(f"muster: {text}", file=sys.stderr, flush=True)
