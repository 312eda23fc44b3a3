"""Settle the types of the columns of text, by what their cells hold and by what the user says."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from muster._dialects import Dialect
from muster._job import Options
from muster._model import Column, Part, Source
from muster._words import as_name
from muster.errors import DataError, UsageError

from . import _orders, _samples
from ._questions import Ask, DateFormats, Observe, add_up
from .chosen import fixed_types, used_columns
from .survey import BLOCK_BYTES


@dataclass(frozen=True, slots=True)
class TextColumns:
    """The columns of files of text, each file with its own order."""

    format: str
    sources: tuple[Source, ...]
    orders: tuple[tuple[str, ...], ...]
    dialect: Dialect
    """How workers find the text."""
    options: Options

    @property
    def lacking(self) -> dict[str, list[str]]:
        """Name, for each column that not every CSV file has, the files that lack it."""
        return _orders.lacking(self.sources, self.orders) if self.format == "csv" else {}

    @property
    def folders(self) -> tuple[str, ...]:
        """Name the columns that folders stand for, as in ``day=1/``."""
        return tuple(dict.fromkeys(name for source in self.sources for name, _ in source.keys))

    def settle(self, ask: Ask, parts: Sequence[Part], *, everything: bool) -> list[Column]:
        """Settle the types: from a sample that spans these parts, or from every cell of them."""
        looked_at = joined(parts) if everything else list(parts)
        named = tuple(dict.fromkeys(chain.from_iterable(self.orders)))
        reading = self.options.reading
        self._check_places()
        used = used_columns(reading.usecols, named, folders=self.folders)
        dates = self._date_formats(ask, looked_at, named if used is None else used)
        look = Observe(self.format, self.dialect, reading=reading, used=used, dates=tuple(dates.items()))
        seen = self._seen(ask, looked_at, look, everything=everything)
        every = tuple(dict.fromkeys(seen)) if self.format == "jsonl" else named
        fixed = fixed_types(self.options.dtype, every, folders=self.folders)
        self._check_absent(fixed)
        for name in self.lacking.keys() & seen.keys():
            seen[name] |= {"missing"}
        no_rows = frozenset({"nested"})  # pandas gives a column without rows the type object
        return [
            Column(
                name,
                seen.get(name, frozenset({"missing", *(["dates"] * (name in dates))}) if parts else no_rows),
                "" if name in dates else fixed.get(name, ""),
                dates.get(name, ""),
            )
            for name in (every if used is None else used)
        ]

    def _seen(self, ask: Ask, parts: Sequence[Part], look: Observe, *, everything: bool) -> dict[str, frozenset[str]]:
        if not everything:
            return add_up(ask(_samples.samples(parts, self.sources, self.orders, look)))
        return add_up(ask([_samples.observation(part, self.sources, self.orders, look) for part in parts]))

    def _date_formats(self, ask: Ask, parts: Sequence[Part], names: Sequence[str]) -> dict[str, str]:
        """Find how each column of dates is written: as the user says, or as its first cell in the input is.

        No format where all these parts have nothing in that column. Raises ``UsageError`` for a column that is not
        there.
        """
        reading = self.options.reading
        chosen = used_columns(reading.parse_dates, names, option="parse_dates") or ()
        said = reading.date_format
        formats = {name: said if isinstance(said, str) else dict(said).get(name, "") for name in chosen}
        if all(formats.values()):  # as where there are no dates: then the parts need not be put together
            return formats
        for part in joined(parts):
            unknown = tuple((name, "") for name, written in formats.items() if not written)
            if not unknown:
                break
            how = DateFormats(self.format, self.dialect, reading=reading, dates=unknown)
            formats |= ask([_samples.observation(part, self.sources, self.orders, how)])[0]
        return formats

    def _check_places(self) -> None:
        """Raise ``UsageError`` where columns are named by position, and files have different ones there."""
        reading = self.options.reading
        said = {"usecols": reading.usecols or (), "parse_dates": reading.parse_dates}
        orders = {order: source.name for source, order in zip(self.sources, self.orders, strict=False) if order}
        for option, chosen in said.items():
            places = [at for at in chosen if isinstance(at, int)]
            if places and len(orders) > 1:
                (columns, file), (others, another), *_ = orders.items()
                raise UsageError(
                    f"{option} names columns by position, and {file!r} has {', '.join(map(as_name, columns))} where"
                    f" {another!r} has {', '.join(map(as_name, others))}. Say their names."
                )

    def _check_absent(self, fixed: Mapping[str, str]) -> None:
        """Raise ``DataError`` where a file lacks a column whose type has no missing value."""
        for name, files in self.lacking.items():
            kind = fixed.get(name, "")
            if kind == "bool" or kind.startswith(("int", "uint")):
                typed = shlex.quote(f"{name}=float64")
                raise DataError(
                    f"{_orders.absence(name, files)}, and {kind} has no missing value. Say --dtype {typed}, or"
                    " run these files apart."
                )


def joined(parts: Iterable[Part]) -> list[Part]:
    """Put neighbouring parts together, up to a block each, to look at many rows at once."""
    stretches: list[Part] = []
    for part in (part for part in parts if not part.fault):
        last = stretches[-1] if stretches else None
        if (
            last is not None
            and (last.file, last.local_copy, last.stop) == (part.file, part.local_copy, part.start)
            and part.stop - last.start <= BLOCK_BYTES
        ):
            stretches[-1] = last._replace(stop=part.stop, rows=last.rows + part.rows)
        else:
            stretches.append(part)
    return stretches
