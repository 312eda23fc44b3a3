"""``muster watch``: a live page of the runs."""

import argparse

from . import _flags
from ._parser import Parser


def add(verb: Parser) -> None:
    verb.set_defaults(call=call)
    verb.description = (
        "Serve a live page of this user's runs on 127.0.0.1, with Prometheus metrics at /metrics, until Ctrl-C. It only"
        " reads journals: closing it, or opening it late, changes nothing in a run."
    )
    verb.examples = (
        ("muster watch", "serve the page of all runs on http://127.0.0.1:4000/"),
        ("muster watch 20261126-0402 --port 8080", "serve that of the run whose id begins so, elsewhere"),
    )
    verb.add_argument("run", nargs="?", metavar="RUN", help="the id of a run, or its beginning (default: all runs)")
    verb.add_argument(
        "--port",
        type=_flags.port,
        default=_flags.PORT,
        metavar="N",
        help="the next free one if taken (default: %(default)s)",
    )
    verb.add_argument(
        "--metrics-token",
        metavar="FILE",
        help="a file with a token; whoever shows it may read /metrics, also as another user (default: none)",
    )


def call(parsed: argparse.Namespace) -> int:
    """Return the exit code."""
    from muster._watch.serving.server import read_token, serve

    serve(parsed.run, port=parsed.port, token=read_token(parsed.metrics_token) if parsed.metrics_token else "")
    return 0
