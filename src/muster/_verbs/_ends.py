"""Flags of both ends of a stream."""

import argparse

from muster._streams.frames import LARGEST
from muster.errors import UsageError

from ._parser import Parser


def add_framing(verb: Parser) -> None:
    """Add how frames are told apart, and how large one may be."""
    verb.add_argument(
        "--framing",
        choices=["length", "lines"],
        default="length",
        help="length: each row behind four bytes that say its length; lines: each with a newline behind it"
        " (default: %(default)s)",
    )
    verb.add_argument(
        "--frame-bytes",
        type=positive,
        default=LARGEST,
        metavar="N",
        help="bytes that a row may have (default: %(default)s)",
    )


def add_sep(verb: Parser) -> None:
    """Add what separates cells of CSV."""
    verb.add_argument(
        "--sep", metavar="MARK", help="what separates cells of CSV (default: a tab for .tsv, else a comma)"
    )


def separator(parsed: argparse.Namespace, *, usual: str) -> str:
    """Read what separates cells, if there are any. Raises ``UsageError`` for what is no mark."""
    if parsed.sep is None or not usual:
        return usual
    if len(parsed.sep.encode()) != 1 or parsed.sep in '"\r\n':
        raise UsageError(f"--sep {parsed.sep!r}: it is one byte, such as ';', and neither a quote nor a line end.")
    return str(parsed.sep)


def positive(text: str) -> int:
    """Read a number from 1."""
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1")
    return int(text)
