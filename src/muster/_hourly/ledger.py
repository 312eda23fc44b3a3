"""What ``--since-last`` has done: a small file beside the outputs of a pattern, which names each input by its content.

A file of input is known by its content. What is about to be done is written down before, with its output, and counts as
done only when that output is there: whoever comes after a death does it once, and nothing twice.
"""

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Self

from muster._files.whole import put
from muster._files.witness import FileState
from muster._private.files import NotPrivateError, keep, own_bytes
from muster._urls import objects
from muster._urls.identity import identity, local
from muster._urls.urls import is_remote
from muster._words import text_of
from muster.errors import UsageError

from .pattern import folder_of, found_again

_KIND: Final = "since-last"
_MEND: Final = "Restore it from a copy; or remove it together with the outputs, and all files count as new."


@dataclass(frozen=True, slots=True)
class BegunOutput:
    """What was begun, and may not have ended: an output, and the files that it is made of."""

    output: str
    files: Mapping[str, FileState]


@dataclass(frozen=True, slots=True)
class Ledger:
    """What was done: contents, each with the output that it went to; the files that are there; and what was begun."""

    done: Mapping[str, str] = field(default_factory=dict)
    seen: Mapping[str, FileState] = field(default_factory=dict)
    begun: BegunOutput | None = None
    of: tuple[str, ...] = ()
    """Whose it is: the pattern, without its folder, then the functions; empty where an earlier version wrote it."""

    @classmethod
    def read(cls, place: str) -> Self | None:
        """Read one; ``None`` where there is none.

        Raises ``UsageError`` for what is none, or of another version; on this computer, for what another user may have
        written. Of a bucket whoever may write there is trusted with what lies beside it: see ``within``.
        """
        data = objects.read(place) if is_remote(place) else _own_bytes_of(Path(place))
        if data is None:
            return None
        try:
            said = json.loads(data)[_KIND]
            begun = said["begun"] and BegunOutput(said["begun"]["output"], _files(said["begun"]["files"]))
            ledger = cls(dict(said["done"]), _files(said["seen"]), begun, tuple(said.get("of", ())))
            "".join([*ledger.outputs(), *ledger.of])  # or else a TypeError
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"{place!r} should say which files --since-last has done, and cannot be read"
                f" ({text_of(error)}). {_MEND}"
            ) from error
        return ledger

    def outputs(self) -> list[str]:
        """Name the outputs that it tells of."""
        return [*self.done.values(), *([self.begun.output] if self.begun else [])]

    def within(self, pattern: str, *, place: str) -> "Ledger":
        """Look for each output in the folder of the pattern, by its name there, wherever the ledger says it was.

        So the folder may have been moved, and a ledger that others wrote leads nowhere else. Raises ``UsageError`` for
        a name that the pattern does not give, and where what is begun was to lie elsewhere.
        """
        names, begun = {}, self.begun
        for output in self.outputs():
            again = found_again(output, pattern=pattern)
            if again is None:
                raise UsageError(
                    f"{place!r} tells of an output {output!r}, and {pattern!r} gives no such name: somebody else wrote"
                    f" that, or changed it. Nothing was written. {_MEND}"
                )
            names[output], folder = again
            if begun and output == begun.output and not _is_one_folder(folder, folder_of(pattern)):
                raise UsageError(
                    f"{place!r} says that {output!r} is begun, and outputs of {pattern!r} lie elsewhere. Nothing was"
                    " written. If you know that output, type the command in the folder where it was typed, with the"
                    f" same output. If not: {_MEND[0].lower()}{_MEND[1:]}"
                )
        return replace(
            self,
            done={content: names[output] for content, output in self.done.items()},
            begun=begun and replace(begun, output=names[begun.output]),
        )

    def write(self, place: str, *, by_way_of: Path) -> None:
        """Write it in place of the one before, which stays until this one is on the disk.

        On this computer it is written to another file at first, on the same file system, where nobody else may write.
        """
        data = json.dumps({_KIND: asdict(self)}, indent=1).encode() + b"\n"
        if is_remote(place):
            objects.put(place, data)
            return
        keep(by_way_of, data)
        put(by_way_of, place)

    def with_begun(self, begun: BegunOutput | None) -> "Ledger":
        """Say what is about to be done."""
        return replace(self, begun=begun)

    def with_done(self, begun: BegunOutput) -> "Ledger":
        """Say that it is done."""
        contents = {seen.content: begun.output for seen in begun.files.values()}
        return replace(self, done={**self.done, **contents}, seen={**self.seen, **begun.files}, begun=None)


def place_of(pattern: str) -> str:
    """Tell where the ledger of a pattern lies: in the folder where all its outputs are, hidden from who reads that."""
    pattern = local(pattern)
    folder = folder_of(pattern)
    name = re.sub(r"[{}]", "", pattern.removeprefix(folder)).strip("/").replace("/", "~")
    return f"{folder}.{name}.since-last.json"


def _files(said: Mapping[str, Any]) -> dict[str, FileState]:
    return {name: FileState(*fields) for name, fields in said.items()}


def _is_one_folder(one: str, other: str) -> bool:
    try:
        return identity(one or ".") == identity(other or ".")
    except ValueError:  # no place can have that name
        return False


def _own_bytes_of(path: Path) -> bytes | None:
    try:
        return own_bytes(path)
    except NotPrivateError as error:
        named = shlex.quote(str(path))
        raise UsageError(
            f"{error}: it says which files --since-last leaves out. Nothing was written. If what it says is right, make"
            f" it a file of your own: cp {named} mine; mv -f mine {named}; chmod 600 {named}. If not, remove it with"
            " the outputs, and all files count as new; or choose another folder for them."
        ) from error
    except OSError as error:
        raise UsageError(f"{str(path)!r} cannot be read: {error.strerror}. Mend that. {_MEND}") from error
