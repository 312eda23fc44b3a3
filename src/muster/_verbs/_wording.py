"""Errors about options in the words of the command line: ``limit=0: ...`` becomes ``--limit 0: ...``."""

import ast
import re
import shlex
from typing import Final

from muster._api.options import RunOptions

_NO_FLAGS: Final = frozenset({"dialect", "part_bytes", "quoting", "storage_options", "with_files"})
_OPTION: Final = re.compile(
    r"(?P<name>[a-z_]+)"
    r"(?:=(?P<value>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[^\s:'\"]+)(?=: )|(?=: )|(?= names columns\b))"
)
"""An option at the beginning of a message, with its value where that is told."""


def in_flags(text: str) -> str:
    """Write the option that a message begins with as a flag."""
    match = _OPTION.match(text)
    if match is None or match["name"] not in RunOptions.__annotations__.keys() - _NO_FLAGS:
        return text
    flag, value = f"--{match['name'].replace('_', '-')}", match["value"]
    return flag + ("" if value is None else f" {_typed(value)}") + text[match.end() :]


def _typed(value: str) -> str:
    return shlex.quote(ast.literal_eval(value)) if value.startswith(("'", '"')) else value
