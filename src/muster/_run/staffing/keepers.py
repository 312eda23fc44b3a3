"""Where blocks lie that every worker of the next stage reads some of: who is asked about them, and which are gone."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from muster._model import Block

Ask = Callable[[Sequence[Any]], list[Any]]


class Keeper(Protocol):
    """Keeps blocks until nobody needs them any more."""

    @property
    def may_lose(self) -> bool:
        """Tell whether blocks may be gone before."""

    def ask(self, questions: Sequence[Any]) -> list[Any]:
        """Answer questions that read rows of blocks. Raises ``UnreadError`` where some are gone."""

    def gone(self, names: Iterable[str]) -> frozenset[str]:
        """Choose the blocks that nobody can read any more."""

    def forget(self, blocks: Sequence[Block]) -> None:
        """Remove blocks: all that reads them is done."""

    def forget_all(self) -> None:
        """Remove what lies elsewhere than in the work folder: the epoch is done that it was made for."""


@dataclass(frozen=True, slots=True)
class InTheFolder:
    """All workers see the work folder: blocks lie there, and are there for as long as the run lasts."""

    answers: Ask
    may_lose: bool = False

    def ask(self, questions: Sequence[Any]) -> list[Any]:
        """Have workers of this computer answer."""
        return self.answers(questions)

    def gone(self, names: Iterable[str]) -> frozenset[str]:
        """Choose none."""
        del names
        return frozenset()

    def forget(self, blocks: Sequence[Block]) -> None:
        """Remove the files."""
        for block in blocks:
            Path(block.path).unlink(missing_ok=True)

    def forget_all(self) -> None:
        """Remove nothing: all lies in the work folder."""


class KeptAway(Protocol):
    """What machines keep, as their engine tells it."""

    def gone(self, names: Iterable[str]) -> frozenset[str]:
        """Choose the blocks whose machines are gone."""

    def forget(self, names: Iterable[str]) -> None:
        """Have machines remove blocks."""

    def forget_all(self) -> None:
        """Have machines remove all blocks."""


@dataclass(frozen=True, slots=True)
class OnMachines:
    """Each machine keeps the blocks that its workers wrote; the work folder has their ends alone."""

    away: KeptAway
    answers: Ask
    may_lose: bool = True

    def ask(self, questions: Sequence[Any]) -> list[Any]:
        """Have machines answer."""
        return self.answers(questions)

    def gone(self, names: Iterable[str]) -> frozenset[str]:
        """Choose those whose machines are gone."""
        return self.away.gone(names)

    def forget(self, blocks: Sequence[Block]) -> None:
        """Remove them, and their ends."""
        self.away.forget(Path(block.path).name for block in blocks)
        for block in blocks:
            Path(block.path).unlink(missing_ok=True)

    def forget_all(self) -> None:
        """Have machines remove all that they keep."""
        self.away.forget_all()
