"""``muster send``: rows of files, sent over TCP."""

import argparse
import json
import sys
import time
from typing import TYPE_CHECKING, Final

from muster._api.generate import HEADER, lines
from muster._formats.sources import find_sources
from muster._process import stdio
from muster._words.numbers import count, pace, plural
from muster.errors import MusterError, UsageError

from . import _ends, _flags
from ._parser import Parser

if TYPE_CHECKING:
    from muster._streams.outgoing import Outgoing

_EVERY: Final = 0.25
"""Seconds: how often people see a change of a line."""

_EVERY_LINE: Final = 10.0
"""Seconds between two words on progress: on a terminal, and where each is a line."""


def add(verb: Parser) -> None:
    verb.set_defaults(
        call=call,
        acknowledged=0,
        what_now="Rows acknowledged so far: {acknowledged:,}. Type the same command again to go on.",
    )
    verb.description = (
        "Send the rows of files of CSV or JSON lines over TCP, to muster receive or another receiver. What was not"
        " acknowledged is sent again where a connection breaks, and typed again the command goes on. More: muster help"
        " streams"
    )
    verb.examples = (
        ("muster send orders.csv --to 127.0.0.1:9999", "send a file to muster receive on this computer"),
        ("muster send --rows 1000000 --rate 20000 --to 127.0.0.1:9999", "send made rows, 20,000 of them a second"),
    )
    add = verb.add_argument
    add("inputs", metavar="INPUT", nargs="*", help="files, globs, folders, or URLs that fsspec knows (s3://...)")
    add("--to", required=True, metavar="HOST:PORT", help="where (default of the port: 8888)")
    add(
        "--rows", type=_ends.positive, metavar="N", help="send so many rows of muster generate instead (default: files)"
    )
    add("--rate", type=float, metavar="R", help="rows a second (default: as many as go)")
    add(
        "--stream",
        metavar="NAME",
        help="what the receiver knows the rows by; files may grow (default: made of the files)",
    )
    add(
        "--plain",
        action="store_true",
        help="the receiver knows no hello: nothing is acknowledged, and a broken connection begins from the first row",
    )
    _ends.add_framing(verb)
    _ends.add_sep(verb)
    add("--tls", action="store_true", help="use TLS, and trust whom this computer trusts")
    add("--tls-ca", metavar="FILE", help="use TLS, and trust the certificates of this file in PEM (default: none)")
    add("--token", metavar="FILE", help="a file with the token that the receiver wants (default: none)")
    add(
        "--give-up-after",
        type=_flags.seconds,
        default=300.0,
        metavar="5m",
        help="how long to try again without any progress (default: 5m)",
    )
    _flags.add_json(verb)


def call(parsed: argparse.Namespace) -> int:
    """Return the exit code."""
    from muster._streams.endpoints import SOURCE_PORT, Endpoint, read_token, senders_tls
    from muster._streams.sender import Destination, Sender

    endpoint = Endpoint.of(parsed.to, port=SOURCE_PORT, flag="--to")
    tls = senders_tls(parsed.tls_ca, is_wanted=parsed.tls)
    if parsed.rate is not None and not parsed.rate > 0:
        raise UsageError(f"--rate {parsed.rate:g}: it is more than 0.")
    if parsed.token and parsed.plain:
        raise UsageError("--token and --plain: a token is shown in the hello, and --plain says none. Leave one out.")
    destination = Destination(
        endpoint,
        parsed.framing,
        parsed.frame_bytes,
        is_plain=parsed.plain,
        rate=parsed.rate or float("inf"),
        tls=tls,
        token=read_token(parsed.token, endpoint=endpoint, is_sealed=tls is not None) if parsed.token else "",
        patience=parsed.give_up_after,
    )
    rows = _rows(parsed)
    rows.stream = parsed.stream or rows.stream
    progress = _Progress(parsed)
    sender = Sender(rows, destination, say=progress.say, tell=progress.tell)
    try:
        sender.run()
    except MusterError:
        progress.say(f"{plural(sender.sent, 'row')} sent{_acknowledged(parsed)}")
        raise
    if left := getattr(rows, "left_behind", ""):
        progress.say(f"the last line of {left!r} has no line end yet: it is left for the next time.")
    if parsed.json:
        told = {"rows": sender.sent, "acknowledged": None if parsed.plain else sender.safe, "stream": rows.stream}
        stdio.say(json.dumps(told))
    else:
        progress.clear()
        print(f"{plural(sender.sent, 'row')} sent{_acknowledged(parsed)}")
    return 0


def _acknowledged(parsed: argparse.Namespace) -> str:
    return "; this receiver acknowledges none" if parsed.plain else f"; {count(parsed.acknowledged)} acknowledged"


def _rows(parsed: argparse.Namespace) -> "Outgoing":
    from muster._streams.outgoing import FileRows, MadeRows

    if (parsed.rows is None) == (not parsed.inputs):
        raise UsageError("Name files to send, or a number of made rows with --rows, and not both.")
    if parsed.rows is not None:
        return MadeRows(parsed.rows, header=HEADER, lines=lines)
    sources = find_sources(parsed.inputs, tell=lambda text: print(f"muster: {text}", file=sys.stderr))
    is_csv = sources[0].format == "csv"
    usual = "\t" if ".tsv" in sources[0].name.lower() else ","
    delimiter = _ends.separator(parsed, usual=usual if is_csv else "")
    return FileRows(sources, delimiter=delimiter, may_grow=parsed.stream is not None)


class _Progress:
    """Says now and then how far it is."""

    def __init__(self, parsed: argparse.Namespace) -> None:
        self._parsed = parsed
        self._is_live = sys.stderr.isatty()
        self._at = self._began = time.monotonic()
        self._width = 0

    def tell(self, sent: int, safe: int) -> None:
        """Hear how many rows are sent, and acknowledged."""
        self._parsed.acknowledged = safe
        now = time.monotonic()
        if now - self._at < (_EVERY if self._is_live else _EVERY_LINE):
            return
        self._at = now
        rate = pace(sent / max(now - self._began, _EVERY))
        text = f"{plural(sent, 'row')} sent, {rate} a second{_acknowledged(self._parsed)}"
        if self._is_live:
            print(f"\r{text:{self._width}}", end="", file=sys.stderr, flush=True)
            self._width = len(text)
        else:
            print(f"muster: {text}", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Remove the line on a terminal."""
        if self._width:
            print(f"\r{'':{self._width}}\r", end="", file=sys.stderr, flush=True)
            self._width = 0

    def say(self, text: str) -> None:
        """Say something on a line of its own."""
        self.clear()
        print(f"muster: {text}", file=sys.stderr, flush=True)
