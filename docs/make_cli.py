"""Print the reference of the command line, ``docs/cli.md``, from the parser itself: ``make docs``."""

import argparse
from collections.abc import Iterator
from typing import Final

from muster._verbs._parser import Parser
from muster.cli import parser

INTRODUCTION: Final = """\
Made by `make docs` from the program itself: `muster help VERB` says the same. A flag without a value is off unless you
type it."""


def page() -> str:
    """Write the page: one chapter a verb, a row for each thing that can be said to it."""
    top = parser()._actions  # noqa: SLF001 (argparse has no public way to list what a parser takes)
    verbs = next(action for action in top if isinstance(action, argparse._SubParsersAction))  # noqa: SLF001 (likewise)
    chapters = [f"# The command line\n\n{INTRODUCTION}\n"]
    chapters += ["\n".join(chapter(name, verb)) for name, verb in verbs.choices.items()]
    return "\n".join(chapters)


def chapter(name: str, verb: Parser) -> Iterator[str]:
    """Write one verb's chapter, line by line."""
    yield from (f"## muster {name}", "", verb.description or "", "", "<!-- not run: parsed -->", "```sh")
    yield from (line for command, does in verb.examples for line in (f"# {does}", command))
    yield from ("```", "", "| argument | meaning |", "|---|---|")
    for action in verb._actions:  # noqa: SLF001 (likewise)
        if action.help == argparse.SUPPRESS:
            continue
        words = ", ".join(action.option_strings) or str(action.metavar)
        if action.option_strings and action.nargs != 0:
            words += f" {action.metavar or '|'.join(map(str, action.choices or ()))}"
        meaning = (action.help or "") % {"default": action.default}
        yield f"| `{words}` | {meaning} |".replace("csv|parquet|jsonl", "csv\\|parquet\\|jsonl")
    yield from ("", *([f"{verb.epilog[0].upper()}{verb.epilog[1:]}.", ""] if verb.epilog else []))


if __name__ == "__main__":
    print(page(), end="")
