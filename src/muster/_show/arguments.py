"""Messages for callers in Python: they name arguments where the command line names flags.

A message is written as the command line says it: ``--dtype n=str``, one word of a shell behind a flag where it has a
value. What that word means depends on the flag alone, as a table here says; only its argument is written in its place.
Where no value follows, the next word is of another kind than the flag takes, or a word of prose.
"""

import contextlib
import json
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

_SECONDS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}

PROSE: Final = frozenset(
    {
        *("and", "are", "for", "has", "if", "in", "is", "it", "looks", "may", "names", "needs", "of", "or", "out"),
        *("says", "so", "takes", "that", "the", "to", "was", "were", "where", "which", "with"),
    }
)
"""Words that follow a flag without being its value: who writes a value that may be one of them quotes it."""


class _NoValueError(Exception):
    """The next word is no value of the flag."""


class Argument(NamedTuple):
    """What an option is called in Python, and how a value is written there that was typed for it."""

    name: str
    spelled: "Callable[[str], str] | None" = None
    """Raises ``_NoValueError``; ``None`` where the flag is a switch."""


def _number(typed: str) -> str:
    if typed == "N" or re.fullmatch(r"\d[\d.]*", typed):
        return typed
    if re.fullmatch(r"\d[\d.]*%", typed):
        return repr(typed)
    raise _NoValueError


def _duration(typed: str) -> str:
    if period := re.fullmatch(r"(\d[\d.]*)(ms|s|m|h)?", typed):
        return f"{float(period[1]) * _SECONDS[period[2] or 's']:g}"
    raise _NoValueError


def _text(typed: str) -> str:
    _refuse_prose(typed)
    if re.fullmatch(r"\$'[^']*'", typed):  # with escapes, as Python has them
        return typed.removeprefix("$")
    return repr(_unquoted(typed))


def _refuse_prose(typed: str) -> None:
    if typed in PROSE:
        raise _NoValueError


def _types(typed: str) -> str:
    """Write types of columns as a mapping; one type alone, or what is none, as text."""
    if "=" not in typed:
        return _text(typed)
    pairs = [pair.rpartition("=") for pair in _unquoted(typed).split(",")]
    return str({column: kind for column, _, kind in pairs})


def _list(typed: str) -> str:
    _refuse_prose(typed)
    return str(_unquoted(typed).split(","))


def _path(typed: str) -> str:
    _refuse_prose(typed)
    return str([_unquoted(typed)])


def _pair(typed: str) -> str:
    """Write a name and its value as the mapping that holds them; what is written large stands for a value."""
    name, is_pair, value = typed.partition("=")
    if not is_pair:
        raise _NoValueError
    return f"{{{name!r}: {_of_pair(value)}}}"


def _of_pair(value: str) -> str:
    if not value or value == "..." or re.fullmatch(r"[A-Z]+", value):
        return value or "..."
    try:
        return repr(json.loads(_unquoted(value)))
    except ValueError:
        return repr(_unquoted(value))


def _unquoted(typed: str) -> str:
    try:
        return "".join(shlex.split(typed))
    except ValueError:  # a quote that is a letter of its own
        return typed


def _arguments() -> Mapping[str, Argument]:
    kinds: Mapping[Callable[[str], str] | None, Sequence[str]] = {
        None: ("fresh", "strict", "accept-changes", "dayfirst", "skipinitialspace"),
        _number: ("workers", "batch-rows", "max-bad-rows", "limit", "sample", "calls-per-worker", "machines"),
        _duration: ("timeout",),
        _text: (
            *("format", "encoding", "encoding-errors", "decimal", "thousands", "date-format"),
            *("sep", "quotechar", "escapechar", "comment", "header", "skiprows"),
            *("cluster", "on", "if-running"),
        ),
        _types: ("dtype",),
        _list: ("env", "parse-dates", "na-values", "true-values", "false-values", "names", "usecols"),
    }
    table = {flag: Argument(flag.replace("-", "_"), kind) for kind, flags in kinds.items() for flag in flags}
    return table | {
        "delimiter": Argument("sep", _text),
        "quote": Argument("quotechar", _text),
        "input": Argument("inputs", _text),
        "output": Argument("output", _text),
        "with": Argument("with_files", _path),
        "arg": Argument("args", _pair),
        "storage-option": Argument("storage_options", _pair),
        "each": Argument("muster.run_each", None),
        "since-last": Argument("muster.run_since_last", None),
    }


ARGUMENTS: Final = _arguments()
"""By flag. Others are of the command line alone, also where Python is told of them: they stay as they are."""

_FORMATS: Final = r"(?:csv|jsonl|parquet)\b"
_MARK: Final = r"[.,:;?)]"
_WORD: Final = rf"(?:\$?'[^']*'|\"[^\"]*\"|\.\.\.|[^\s'\".,:;?)]|{_MARK}(?!{_MARK}*(?:\s|$)))+"
"""What a shell takes for one word, without the marks of a sentence at its end."""

_QUOTED: Final = r"(?<![\w'\"\\])(?:'(?:\\.|[^'\\\n])*'|\"(?:\\.|[^\"\\\n])*\")(?!\w)"
"""A name or a value as Python shows it."""

_FLAG: Final = re.compile(
    r"(?P<command>\bmuster (?:up|down|runs?|status|watch|report|sweep|check|retry|help|setup)\b"
    rf"(?:{_QUOTED}|[^.;:]|[.;:](?!\s|$))*)"
    rf"|(?<![\w-])--format (?P<formats>{_FORMATS}(?:, {_FORMATS})* or {_FORMATS})"
    rf"|(?<![\w-])(?:--(?P<flag>[a-z][a-z-]*[a-z])|-o(?= ))(?![\w-])(?: (?P<word>{_WORD}))?"
)
"""A command, which is typed also by who calls muster in Python; or a flag, with the next word."""

_OWN_OR_FLAG: Final = re.compile(rf"(?P<quoted>{_QUOTED})|{_FLAG.pattern}")
_MARKS: Final = tuple(map(chr, range(0x2801, 0x2900)))
"""Letters of Braille, one of which stands around what is put away: they are no words, and ``repr`` shows them."""

_SAID: Final = (
    (re.compile(r"\b([Tt])ype the command again with (?=--)"), {"t": "call again with ", "T": "Call again with "}),
    (re.compile(r"\b([Tt])ype (?=(?:the same|the|its) command\b)"), {"t": "make ", "T": "Make "}),
    (
        re.compile(rf"\b([Tt])ype (?=(?:for example )?--(?:{'|'.join(ARGUMENTS)})(?![\w-]))"),
        {"t": "pass ", "T": "Pass "},
    ),
)
"""What people do: they type on the command line, and call in Python."""

_COMMAND: Final = re.compile(r"\b([Mm]ake (?:the same|the|its)) command\b")
_SEVERAL: Final = re.compile(r"args=\{([^{}]*)\}(?: |, )args=\{")


def in_python(text: str, *, quoted: Iterable[str] = ()) -> str:
    """Replace flags by arguments of ``muster.run``: ``--fresh`` becomes ``fresh=True``.

    What stands in quotes, but is no flag's value, is a name or a value of the user's, and stays as it is; so does what
    is ``quoted``: their words that the text holds as they are.
    """
    kept: list[str] = []
    mark = next((letter for letter in _MARKS if letter not in text), "\0")

    def put_away(words: str) -> str:
        kept.append(words)
        return f"{mark}{len(kept) - 1}{mark}"

    own = {words for words in quoted if words in text and _in_python(words) != words}
    for words in sorted(own, key=len, reverse=True):
        text = text.replace(words, put_away(words))
    text = _OWN_OR_FLAG.sub(lambda match: put_away(match[0]) if match["quoted"] else match[0], text)
    text = _in_python(text)
    for at, words in reversed(list(enumerate(kept))):  # an earlier one may lie in a later one
        text = text.replace(f"{mark}{at}{mark}", words)
    return text


def _in_python(text: str) -> str:
    for pattern, said in _SAID:
        text = pattern.sub(lambda match, said=said: said[match[1]], text)  # type: ignore[misc]  # bound at once
    text = _COMMAND.sub(r"\1 call", text)
    text = _FLAG.sub(_spelled, text)
    while (joined := _SEVERAL.sub(r"args={\1, ", text)) != text:  # several are one mapping
        text = joined
    return text


def _spelled(match: "re.Match[str]") -> str:
    if match["command"]:
        return match[0]
    if match["formats"]:
        return "format=" + re.sub(_FORMATS, lambda one: repr(one[0]), match["formats"])
    argument = ARGUMENTS.get(match["flag"] or "output")
    if argument is None:  # no argument stands for it
        return match[0]
    if argument.spelled is not None and match["word"] is not None:
        with contextlib.suppress(_NoValueError):
            return f"{argument.name}={argument.spelled(match['word'])}"
    is_switch = argument.spelled is None and argument.name.isidentifier()
    return match[0].replace(match[0].split(" ", 1)[0], f"{argument.name}=True" if is_switch else argument.name, 1)
