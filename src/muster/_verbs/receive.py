"""``muster receive``: rows that come over TCP, kept in files."""

import argparse
import json
import sys

from muster._api.given import check_is_a_file
from muster._process import stdio
from muster._words.numbers import plural

from . import _ends, _flags
from ._parser import Parser


def add(verb: Parser) -> None:
    verb.set_defaults(
        call=call,
        what_now="What was acknowledged is safe in {output}.muster/. Type the same command again to go on.",
    )
    verb.description = (
        "Listen for rows over TCP, and keep them in a file, which appears once all is there: after Ctrl-C, --once or"
        " --rows. What is acknowledged is on the disk; typed again after a crash, the command goes on, and rows that"
        " muster send sends again are taken once. Plain senders, such as those of the seed system, are taken at their"
        " rows. More: muster help streams"
    )
    verb.examples = (
        (
            "muster receive -o rows.csv --once",
            "take what comes to port 9999 of this computer, until a stream has ended",
        ),
        ("muster receive -o in/rows.csv.gz --rotate 100MB,1h", "for ever: in/rows-000001.csv.gz and so on"),
    )
    add = verb.add_argument
    add(
        "--listen",
        default="",
        metavar="HOST:PORT",
        help="where; either may be left out, and port 0 is any free one (default: 127.0.0.1:9999)",
    )
    add("-o", "--output", required=True, metavar="FILE", help="a .csv, .tsv or .jsonl file, or one with .gz or .zst")
    add(
        "--rotate",
        type=_rotation,
        metavar="100MB|1h",
        help="make numbered files, each full once it has so many bytes before it is packed, or after so much time"
        " (default: one file)",
    )
    add("--once", action="store_true", help="end when a sender has said that its stream has ended")
    add(
        "--rows",
        type=_ends.positive,
        metavar="N",
        help="end once there are at least so many rows (default: never)",
    )
    _ends.add_framing(verb)
    _ends.add_sep(verb)
    add("--no-header", action="store_true", help="the first row of a connection is no header")
    add("--connections", type=_ends.positive, default=5000, metavar="N", help="at a time (default: %(default)s)")
    add(
        "--idle",
        type=_flags.seconds,
        default=600.0,
        metavar="10m",
        help="close a connection from which nothing came for so long (default: 10m)",
    )
    add("--tls-cert", metavar="FILE", help="a certificate in PEM; then all connections use TLS (default: none)")
    add("--tls-key", metavar="FILE", help="its key (default: none)")
    add("--token", metavar="FILE", help="a file with a token; only senders that show it are taken (default: none)")
    _flags.add_json(verb)


def _rotation(text: str) -> object:
    from muster._streams.rotation import Rotation

    try:
        return Rotation.of(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def call(parsed: argparse.Namespace) -> int:
    """Return the exit code."""
    from muster._streams.endpoints import SINK_PORT, Endpoint, read_token, receivers_tls
    from muster._streams.listening import Listening
    from muster._streams.received import Received
    from muster._streams.receiver import Receiver

    check_is_a_file(parsed.output, what="a CSV file")
    endpoint = Endpoint.of(parsed.listen, port=SINK_PORT, flag="--listen")
    tls = receivers_tls(parsed.tls_cert, parsed.tls_key)
    token = read_token(parsed.token, endpoint=endpoint, is_sealed=tls is not None) if parsed.token else ""
    received = Received(parsed.output, parsed.rotate)
    listening = Listening(
        endpoint,
        parsed.framing,
        parsed.frame_bytes,
        delimiter=_ends.separator(parsed, usual=received.naming.delimiter),
        has_header=received.naming.has_header and not parsed.no_header,
        connections=parsed.connections,
        idle=parsed.idle,
        tls=tls,
        token=token,
        once=parsed.once,
        rows=parsed.rows,
    )
    if not (endpoint.is_here or token):
        _say(
            f"Whoever reaches {endpoint} can send rows. To take those of some senders alone: --token, with --tls-cert."
        )
    received.take()
    try:
        Receiver(received, listening, say=_say).run(lambda where: _tell(where, parsed))
        rows, files = received.state.rows, received.finish()
    finally:
        received.release()
    parsed.what_now = ""
    if parsed.json:
        stdio.say(json.dumps({"rows": rows, "files": files}))
    else:
        print(f"{plural(rows, 'row')} received{''.join(f'; {file}' for file in files)}")
    return 0


def _tell(where: str, parsed: argparse.Namespace) -> None:
    print(f"Listening on {where}, for {parsed.output}, until Ctrl-C.", flush=True)


def _say(text: str) -> None:
    print(f"muster: {text}", file=sys.stderr, flush=True)
