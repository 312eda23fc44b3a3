"""``muster help``: how a verb is used; the command line takes ``muster help run`` for ``muster run --help``."""

from muster._verbs._parser import Parser


def add(verb: Parser) -> None:
    """Say what can be typed."""
    verb.description = "Say how muster, or one of its verbs, is used: the same as --help."
    verb.examples = (("muster help", "list the verbs"), ("muster help run", "say all about muster run"))
    verb.add_argument("verb", nargs="?", metavar="VERB", help="the verb (default: all of them, a line each)")
