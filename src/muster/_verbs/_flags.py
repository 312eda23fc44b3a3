"""Flags that several verbs have, and what their values may be."""

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from muster.errors import UsageError

PORT: Final = 4000
"""That of the seed system's page."""

DTYPE: Final[Mapping[str, Any]] = {
    "action": "add",
    "is_list": lambda text: "=" in text,
    "metavar": "TYPES",
    "help": "str to read every cell as text, or COL=TYPE,... to fix some columns (default: the types of pandas)",
}
TIMEOUT: Final = "how long one call of the function may take; then its row is rejected (default: none)"
_HIGHEST_PORT: Final = 65535
_SECONDS: Final = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def add_json(verb: argparse.ArgumentParser) -> None:
    """Add ``--json``."""
    verb.add_argument(
        "--json", action="store_true", help="print one JSON object as the last line of standard output, also on failure"
    )


def add_watch(verb: argparse.ArgumentParser) -> None:
    """Add the flags of the live page of a run."""
    add = verb.add_argument
    add("--watch", action="store_true", help="serve a live page while it works; needs muster-run[watch]")
    add("--port", type=port, default=PORT, metavar="N", help="where --watch serves it (default: %(default)s)")


def add_profile(verb: argparse.ArgumentParser, *, besides: str) -> None:
    """Add ``--profile``; ``besides`` is what it does it instead of."""
    verb.add_argument(
        "--profile",
        action="store_true",
        help=f"{besides}call the function on rows of the middle of the input, under a profiler, and say which of its"
        " lines take the time; nothing is written",
    )


def add_target(verb: argparse.ArgumentParser) -> None:
    """Add the function and the inputs."""
    add = verb.add_argument
    add(
        "target",
        metavar="TARGET",
        help="file.py:NAME or package.module:NAME of a function or pipeline, or a file that defines pipeline",
    )
    add("inputs", metavar="INPUT", nargs="*", help="files, globs, folders, or URLs that fsspec knows (s3://...)")


def add_arguments(verb: argparse.ArgumentParser) -> None:
    """Add ``--arg``."""
    verb.add_argument(
        "--arg",
        type=_argument,
        action="append",
        default=[],
        dest="arguments",
        metavar="KEY=VALUE",
        help="an argument for the function besides the batch, or for the class when it is built: n=3, list='[1, 2]';"
        " may be repeated (default: none)",
    )


def _argument(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not (name and sign):
        raise argparse.ArgumentTypeError("it is no KEY=VALUE; type for example --arg n=3")
    return name, value


def add_storage(verb: argparse.ArgumentParser) -> None:
    """Add ``--storage-option``."""
    verb.add_argument(
        "--storage-option",
        type=_storage_option,
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="what stores of URLs are opened with: anon=true, s3.KEY=VALUE for one protocol (default: nothing)",
    )


def _storage_option(text: str) -> tuple[str, Any]:
    name, sign, value = text.partition("=")
    if not (name and sign):
        raise argparse.ArgumentTypeError("it is no KEY=VALUE; type for example --storage-option anon=true")
    try:
        return name, json.loads({"True": "true", "False": "false", "None": "null"}.get(value, value))
    except ValueError:
        return name, value


def storage_options(chosen: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Group options by protocol: ``s3.anon=true`` becomes ``{"s3": {"anon": True}}``.

    Raises ``UsageError`` for one that has two values, without showing them: they may be secret.
    """
    options: dict[str, Any] = {}
    for name, value in chosen:
        if any(earlier == name and other != value for earlier, other in chosen):
            raise UsageError(f"--storage-option {name}=... is typed with two values, and it has one. Leave one out.")
        protocol, dot, inner = name.partition(".")
        if dot:
            options[protocol] = {**options.get(protocol, {}), inner: value}
        else:
            options[name] = value
    return options


def port(text: str) -> int:
    """Read the number of a port."""
    if not (text.isdecimal() and int(text) <= _HIGHEST_PORT):
        raise argparse.ArgumentTypeError(f"{text!r} is no port; type a number from 0 (any free one) to {_HIGHEST_PORT}")
    return int(text)


def seconds(text: str) -> float:
    """Read a time such as 60s, in seconds."""
    match = re.fullmatch(r"([0-9]*\.?[0-9]+)(ms|s|m|h|)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; type for example 60s, 5m or 1h")
    return float(match[1]) * _SECONDS[match[2]]
