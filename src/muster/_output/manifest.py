"""The manifest of a folder that is an output: it names the parts, and so tells what in the folder is muster's own."""

import contextlib
import json
import re
from collections.abc import Iterable
from typing import Final

from muster.errors import UsageError

MANIFEST: Final = "_manifest.json"
PART: Final = re.compile(r"part-\d{5,}(?:-[\w-]+)?\.[\w.]+")


def named_in(manifest: bytes | None) -> set[str]:
    """Name the files that a manifest speaks of."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return {part["name"] for part in json.loads(manifest or b"{}")["parts"] if "/" not in part["name"]}
    return set()


def check_is_ours(output: str, names: Iterable[str], *, manifest: bytes | None) -> None:
    """Raise ``UsageError`` for a folder of the user's own, or one with what would be taken for a part of the output.

    Other files of the user's own in a folder that muster wrote are left where they are.
    """
    names = set(names)
    if names and (MANIFEST not in names or not _is_manifest(manifest)):
        reason = f"there is no {MANIFEST}" if MANIFEST not in names else f"its {MANIFEST} is another program's"
        raise UsageError(
            f"{output!r} holds files that muster did not write ({reason}), and a run replaces the folder as a whole."
            " Choose another, or empty it."
        )
    if others := sorted(name for name in names - named_in(manifest) if PART.fullmatch(name)):
        raise UsageError(
            f"{output!r} holds {others[0]!r}, which muster did not write (its {MANIFEST} does not name it), and who"
            " reads the folder would take it for a part of the output. Choose another output, or move the file."
        )


def may_be_of_another(name: str) -> bool:
    """Tell whether a file of that name may belong to an output that is a folder."""
    return name == MANIFEST or PART.fullmatch(name) is not None


def check_not_of_another(output: str, *, manifest: bytes | None) -> None:
    """Raise ``UsageError`` where an output would lie among the parts of another; ``manifest`` is that of its folder."""
    folder, _, name = output.rpartition("/")
    if may_be_of_another(name) and _is_manifest(manifest):
        raise UsageError(
            f"{output!r} would be a part of {folder + '/'!r}, which is the output of another run: who reads that folder"
            " would take it for one. Choose another name, or another folder."
        )


def _is_manifest(data: bytes | None) -> bool:
    with contextlib.suppress(ValueError):
        said = json.loads(data or b"{}")
        return isinstance(said, dict) and isinstance(said.get("parts"), list)
    return False
