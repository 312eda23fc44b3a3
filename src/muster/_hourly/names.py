"""The names of outputs that ``--each`` and ``--since-last`` choose, by a pattern."""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Final

from muster._formats.compression import CODECS, WRITTEN
from muster._formats.sources import FORMATS
from muster._model import Source
from muster._urls.identity import Identity, identity
from muster.errors import UsageError

NAME: Final = "{name}"
_SUFFIX: Final = {"csv": ".csv", "jsonl": ".jsonl", "parquet": ".parquet"}


def outputs_of(sources: Sequence[Source], pattern: str, *, chosen: str | None) -> list[str]:
    """Name the output of each input: below a folder that ends in ``/``, or with its name put for ``{name}``.

    ``chosen`` is the format that outputs shall have; without it they have that of their input. Raises ``UsageError``
    for another pattern, and where two inputs would have one output.
    """
    check_pattern(pattern)
    outputs = [_output_of(source, pattern, chosen) for source in sources]
    first: dict[Identity, Source] = {}
    for source, output in zip(sources, outputs, strict=True):
        if (other := first.setdefault(identity(output), source)) is not source:
            raise UsageError(
                f"{other.name!r} and {source.name!r} would have the same output, {output!r}. Give one of them another"
                " name, or run them apart."
            )
    return outputs


def check_pattern(pattern: str) -> None:
    """Raise ``UsageError`` where a pattern gives all inputs one name."""
    if not pattern.endswith("/") and NAME not in pattern:
        raise UsageError(
            f"-o {pattern}: with --each it is a folder, such as out/, or a pattern, such as 'out/{NAME}.parquet', with"
            f" {NAME} where the name of each input goes."
        )


def _output_of(source: Source, pattern: str, chosen: str | None) -> str:
    below = source.below or PurePosixPath(source.name).name
    name, kind, codec = parted(below)
    if NAME in pattern:
        return pattern.replace(NAME, name)
    kind = _SUFFIX[chosen] if chosen else kind
    kept = codec if CODECS.get(codec.lower()) in WRITTEN and kind != _SUFFIX["parquet"] else ""
    return f"{pattern}{name}{kind or _SUFFIX[source.format]}{kept}"


def parted(name: str) -> tuple[str, str, str]:
    """Take the suffixes of format and compression off a name: ``a.csv.gz`` is ``("a", ".csv", ".gz")``."""
    codec = _suffix(name, CODECS)
    name = name.removesuffix(codec)
    kind = _suffix(name, FORMATS)
    return name.removesuffix(kind), kind, codec


def _suffix(name: str, known: "dict[str, str]") -> str:
    found = re.search(r"(?<=[^/])\.[A-Za-z0-9]+$", name)
    return found[0] if found and found[0].lower() in known else ""
