"""``muster help``: a page on a topic; the command line takes ``muster help run`` for ``muster run --help``."""

import sys
from argparse import Namespace

from ._parser import Parser


def add(verb: Parser) -> None:
    verb.set_defaults(call=call)
    verb.description = "Say how muster, or one of its verbs, is used, the same as --help; or print a page on a topic."
    verb.examples = (
        ("muster help", "list the verbs and the topics"),
        ("muster help run", "say all about muster run"),
        ("muster help types", "print the page on types"),
        ("muster help slow first-batches", "print one chapter of a page"),
    )
    verb.add_argument("topic", nargs="?", metavar="TOPIC", help="the verb or the topic (default: a line on each)")
    verb.add_argument("chapter", nargs="*", metavar="CHAPTER", help="the chapter (default: the whole page)")


def call(parsed: Namespace) -> int:
    """Print a page, on a terminal that is too small for it through a pager; return the exit code."""
    from ._topics import as_text, page_on

    text = as_text(page_on(parsed.topic, chapter="-".join(parsed.chapter)))
    if sys.stdin.isatty() and sys.stdout.isatty():
        import pydoc

        pydoc.pager(text)
    else:
        sys.stdout.write(text)
    return 0
