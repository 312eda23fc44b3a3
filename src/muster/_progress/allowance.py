"""How many rows may be bad before a run stops: a number of them, or a share of all."""

import re
from dataclasses import dataclass
from typing import Final, Self

_MOST: Final = 1000
"""Who has more bad rows has to know before the run has gone on for hours."""

_SHARE: Final = 0.1
"""Where a tenth is bad it is the function, or the way in which the file is read."""

_LEAST: Final = 10
"""Allowed in any file: a tenth of a small file would be fewer rows than one slip of a hand makes bad."""

_ROWS_AT_FIRST: Final = 10_000
"""Of how many rows a share is taken at least, while nobody knows how many there will be."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """At most ``most`` rows, and at most a ``share`` of all, from 0 to 1; but ``least`` in any case."""

    most: int | None = None
    share: float | None = None
    least: int = 0

    @classmethod
    def of(cls, chosen: "Allowance | int | float | str | None") -> Self:
        """Understand what a user chose: ``100``, ``"1%"`` or ``0.01``. Raises ``ValueError`` for anything else."""
        if chosen is None:
            return cls(_MOST, _SHARE, _LEAST)
        if isinstance(chosen, Allowance):
            return cls(chosen.most, chosen.share, chosen.least)
        text = str(chosen).strip()
        if isinstance(chosen, int | str) and not isinstance(chosen, bool) and re.fullmatch(r"[0-9]+", text):
            return cls(int(text))
        if isinstance(chosen, str) and re.fullmatch(r"[0-9]+(\.[0-9]+)?%", text) and float(text[:-1]) <= 100:  # noqa: PLR2004 (percent)
            return cls(share=float(text[:-1]) / 100)
        if isinstance(chosen, float) and 0 < chosen < 1:
            return cls(share=chosen)
        raise ValueError(f"{chosen!r} is neither a number of rows nor a share of them")

    def rows(self, known: int, *, is_all: bool) -> int:
        """Tell how many rows may be bad: of ``known`` rows so far, or in all."""
        of = known if is_all else max(known, _ROWS_AT_FIRST)
        shares = [] if self.share is None else [int(self.share * of + 1e-9)]
        return max(min([*shares, *([] if self.most is None else [self.most])]), self.least)
