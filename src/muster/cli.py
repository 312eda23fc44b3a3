"""The command line: which verb it is, and how it ends."""

import argparse
import importlib
import os
import sys
from collections.abc import Collection, Sequence

from muster._private.secrets import shown
from muster._process.signals import obey
from muster._show.ending import ended
from muster._verbs import VERBS
from muster._verbs._parser import Parser
from muster._version import __version__
from muster.errors import UsageError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if "_ARGCOMPLETE" in os.environ:
        from muster._verbs._completion import complete

        complete(parser(), verbs=VERBS)
    parsed = argparse.Namespace(json="--json" in words)

    for text in words:
        shown(text)  # notes its secrets, before an error about a wrong command could print them

    def call() -> int:
        flags = _as_flag(words)
        parser(flags).parse_args(flags, parsed)
        obey()
        try:
            return int(parsed.call(parsed))
        except UsageError as error:
            from muster._verbs._wording import in_flags

            error.args = (in_flags(str(error)), *error.args[1:])
            raise

    code = ended(call, parsed=parsed)
    if code and any(word.startswith("--on-failure") for word in words):
        from muster._show import on_failure

        on_failure.run(on_failure.named_in(words), code=code, parsed=parsed)
    return code


def _as_flag(words: Sequence[str]) -> list[str]:
    """Take ``help run`` for ``run --help``; other topics than verbs are pages."""
    if words[:1] == ["help"] and not set(words) & {"-h", "--help"} and {*words[1:2]} <= VERBS.keys():
        return [*words[1:], "--help"]
    return list(words)


def _topics() -> str:
    from muster._verbs._topics import listed

    return listed()


def parser(whole: Collection[str] = tuple(VERBS)) -> Parser:
    """Make the parser of all verbs, with the flags of those in ``whole``; the page ``cli`` is made of it."""
    made = Parser("muster", description="Run the pandas function you have over files that have outgrown it.")
    made.add_argument("--version", action="version", version=f"muster {__version__}")
    made.epilog = "muster help VERB, or muster VERB --help, says all about one."
    made.further = _topics
    verbs = made.add_subparsers(required=True, metavar="VERB", title="verbs")
    for name, says in VERBS.items():
        verb = verbs.add_parser(name, help=says, allow_abbrev=False)
        if name in whole:
            importlib.import_module(f"muster._verbs.{name}").add(verb)
    return made


if __name__ == "__main__":
    sys.exit(main())
