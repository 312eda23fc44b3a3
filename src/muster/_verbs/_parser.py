"""The parser of a verb: with examples in ``--help``, and errors in muster's words."""

import argparse
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn

from muster._private.secrets import shown
from muster._words.near import nearest, with_guess
from muster.errors import UsageError

_CHOICE: Final = re.compile(r"(?P<of>argument .*: invalid choice: )'(?P<word>.*)' \(choose from (?P<known>.*)\)")


class Parser(argparse.ArgumentParser):
    """A parser that raises ``UsageError`` for a wrong command instead of ending the process."""

    examples: Sequence[tuple[str, str]] = ()
    """Commands, and what each does: the end of ``--help``. A test has each of them parsed."""

    further: Callable[[], str] = staticmethod(lambda: "")
    """More text at the end of ``--help``."""

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 (as argparse has it)
        """Register the action ``add`` for flags of lists. Of any other flag that is typed twice, the last counts."""
        super().__init__(*args, **options)
        self.register("action", "add", _Adding)

    def format_help(self) -> str:
        """Add the examples to the help."""
        listed = "".join(f"\n  {command}\n      {does}\n" for command, does in self.examples)
        return super().format_help() + (f"\nexamples:\n{listed}" if listed else "") + self.further()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # noqa: ANN401 (as argparse has it)
        """Parse a command; inputs may also follow flags. Raises ``UsageError`` for an unknown flag."""
        parsed, rest = super().parse_known_args(args, namespace)
        if rest and hasattr(parsed, "inputs") and not any(word.startswith("-") for word in rest):
            parsed.inputs += rest
        elif rest:
            self._refuse(rest)
        return parsed, []

    def _refuse(self, rest: Sequence[str]) -> NoReturn:
        flags = [flag for flag, action in self._option_string_actions.items() if action.help != argparse.SUPPRESS]
        said = (_guessed(word, flags) for word in rest)
        raise UsageError(f"unrecognized arguments: {' '.join(said)}. Type {self.prog} --help for what there is.")

    def error(self, message: str) -> NoReturn:
        """Print the usage, except for a wrong choice, whose message lists all choices. Raises ``UsageError``."""
        if match := _CHOICE.fullmatch(message):
            word, choices = match["word"], re.findall(r"[\w.-]+", match["known"])
            message = f"{match['of']}{with_guess(word, choices, shown=repr(word))}. There are: {', '.join(choices)}"
        else:
            self.print_usage(sys.stderr)
        raise UsageError(f"{message}. Type {self.prog} --help for what there is.")


class _Adding(argparse.Action):
    """A flag of a list: typed twice, its values add up.

    ``is_list`` tells whether a text is a list at all: some flags take one value instead.
    """

    def __init__(self, *args: Any, is_list: Callable[[str], bool] = lambda _: True, **options: Any) -> None:  # noqa: ANN401 (as argparse has it)
        super().__init__(*args, **options)
        self._is_list = is_list

    def __call__(self, _: object, parsed: argparse.Namespace, value: Any, flag: str | None = None) -> None:  # noqa: ANN401 (likewise)
        """Add values, unless the same text was typed before."""
        lists: list[str] = vars(parsed).setdefault("typed_lists", {}).setdefault(self.dest, [])
        if not (lists and all(map(self._is_list, [*lists, value]))):
            self._note(parsed, str(flag), value)
        if value not in lists:
            lists.append(value)
        setattr(parsed, self.dest, ",".join(lists))

    def _note(self, parsed: argparse.Namespace, flag: str, value: object) -> None:
        typed = vars(parsed).setdefault("typed_flags", {})
        earlier, before = typed.setdefault(self.dest, (flag, value))
        if before != value:
            raise UsageError(
                f"{earlier} {_spelled(before)} and {flag} {_spelled(value)}: it has one value. Leave one out."
            )


def _spelled(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else shlex.quote(shown(str(value)))


def _guessed(word: str, flags: Sequence[str]) -> str:
    flag, equals, value = word.partition("=")
    meant = nearest(flag, flags) if flag.startswith("--") else ""
    return (f"{flag} (did you mean {meant}?)" if meant else flag) + equals + value
