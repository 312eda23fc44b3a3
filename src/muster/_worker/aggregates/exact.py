"""Sums of numbers by group that are exact: so they do not depend on which numbers were added first.

A number is cut into limbs of 32 bits: limb ``k`` counts multiples of 2 to the power of ``32 k``. The limbs of all
numbers of a group are added as whole numbers, each place by itself, which no order of adding can change. Only the end
is rounded, once. This is the superaccumulator of Kulisch, in the form of Neal, "Fast exact summation using small and
large superaccumulators" (2015), but there are only the places where numbers have bits. Squares are exact, too: the
rounding error of a product is a float itself, which Dekker, "A floating-point technique for extending the available
precision" (1971), says how to find.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

_BITS: Final = 32
"""Of a limb: sums of a million of them fit into 64 bits."""

_MASK: Final = (1 << _BITS) - 1
_MOST_ROWS: Final = 1 << 20
"""So many limbs at a time: a float holds their sum exactly, as it is below 2 to the power of 53."""

_STRETCH: Final = 1 << 16
"""So many floats are cut into limbs at a time, at least: what comes of them stays in the processor's cache, which takes
two thirds of the time."""

_GROUPS_OF_A_STRETCH: Final = 2
"""How many times as many floats as groups are cut at a time, at least: each time takes a step for each group."""

_LOWEST_BIT: Final = -1074
"""What the lowest bit of the smallest float counts, as a power of two."""

_SPLITTER: Final = float((1 << 27) + 1)
_LARGEST: Final = 2.0**480
_SMALLEST: Final = 2.0**-460
"""Between these, a float's square and what is left of it are floats without loss."""

_BITS_OF_FLOATS: Final = 53
"""Of the significand of a float of 64 bits."""

_WHOLE: Final = 1 << _BITS_OF_FLOATS
_FEW_PLACES: Final = 3
"""Limbs that are rounded in columns: low, middle and top. Sums of numbers of like size have no more."""

_SUBNORMAL: Final = -30
"""Below this place, a float may lack bits of its own."""

Limbs = np.ndarray[Any, np.dtype[np.int64]]
Codes = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(slots=True)
class Exact:
    """The sums of some groups: of each the limbs, by place, and how many numbers were infinite."""

    groups: int
    limbs: dict[int, Limbs] = field(default_factory=dict)
    positive: Limbs | None = None
    """How many were infinite; ``None`` where none was."""
    negative: Limbs | None = None

    # What is added

    def add_floats(self, values: np.ndarray, codes: Codes) -> None:
        """Add floats, none of which is missing; each to the group that its code says."""
        values = values.astype(np.float64, copy=False)
        finite = np.isfinite(values)
        if not finite.all():
            self.positive = _plus(self.positive, self._counted(codes[values == np.inf]))
            self.negative = _plus(self.negative, self._counted(codes[values == -np.inf]))
            values, codes = values[finite], codes[finite]
        if not len(values):
            return
        place = _place_of(values)
        if place > 0 and _lowest_bit(values) - _BITS * place < _LOWEST_BIT:
            is_small = np.abs(values) < 1  # which would lose bits where they are scaled with the others
            self.add_floats(values[is_small], codes[is_small])
            values, codes = values[~is_small], codes[~is_small]
        scaled = np.ldexp(values, -_BITS * place) if place else values
        rows = max(_STRETCH, _GROUPS_OF_A_STRETCH * self.groups)
        for at in range(0, len(scaled), rows):
            part = slice(at, at + rows)
            self._add_scaled(scaled[part], place, codes[part])

    def _add_scaled(self, scaled: np.ndarray, place: int, codes: Codes) -> None:
        """Add floats whose whole part is the limb of a place: then that of the next, and so on till nothing is left."""
        while scaled.any():
            whole = np.trunc(scaled)
            self._add_limbs(place, whole, codes)
            scaled = scaled - whole
            scaled *= float(1 << _BITS)
            place -= 1

    def add_integers(self, values: np.ndarray, codes: Codes) -> None:
        """Add whole numbers of up to 64 bits."""
        if not len(values):
            return
        if values.dtype.kind == "b" or _is_below(values, 1 << _BITS):
            self._add_limbs(0, values.astype(np.float64), codes)
            return
        high = values >> _BITS
        self._add_limbs(0, (values & values.dtype.type(_MASK)).astype(np.float64), codes)
        self._add_limbs(1, high.astype(np.float64), codes)

    def add_squares(self, values: np.ndarray, codes: Codes) -> None:
        """Add the squares of numbers, none of which is missing."""
        if values.dtype.kind in "iu" and not _is_below(values, _WHOLE):
            self._add_large_squares(values, codes)
            return
        values = values.astype(np.float64)
        finite = np.isfinite(values)
        if not finite.all():
            self.positive = _plus(self.positive, self._counted(codes[~finite]))
            values, codes = values[finite], codes[finite]
        sizes = np.abs(values)
        is_plain = (values == 0) | ((sizes > _SMALLEST) & (sizes < _LARGEST))
        self._add_product(values[is_plain], values[is_plain], codes[is_plain])
        if not is_plain.all():
            self._add_squares_one_by_one(values[~is_plain], codes[~is_plain])

    def _add_large_squares(self, values: np.ndarray, codes: Codes) -> None:
        high = (values >> _BITS).astype(np.float64)
        low = (values & values.dtype.type(_MASK)).astype(np.float64)
        whole = float(1 << _BITS)
        self._add_product(high * whole, high * whole, codes)
        self._add_product(high * (2 * whole), low, codes)
        self._add_product(low, low, codes)

    def _add_product(self, ones: np.ndarray, others: np.ndarray, codes: Codes) -> None:
        """Add products of floats: each as the float next to it, and the error of that."""
        products = ones * others
        high, high_of_other = _highs(ones), _highs(others)
        low, low_of_other = ones - high, others - high_of_other
        errors = ((high * high_of_other - products) + high * low_of_other + low * high_of_other) + low * low_of_other
        self.add_floats(products, codes)
        self.add_floats(errors, codes)

    def _add_squares_one_by_one(self, values: np.ndarray, codes: Codes) -> None:
        """Add squares that floats do not hold, in Python: hardly anybody has such numbers."""
        for value, code in zip(values.tolist(), codes.tolist(), strict=True):
            numerator, denominator = value.as_integer_ratio()
            fraction_bits = 2 * (denominator.bit_length() - 1)
            places = -(-fraction_bits // _BITS)
            square = numerator * numerator << (places * _BITS - fraction_bits)
            for place in range(-places, -places + square.bit_length() // _BITS + 1):
                self._place(place)[code] += square & _MASK
                square >>= _BITS

    def _add_limbs(self, place: int, limbs: np.ndarray, codes: Codes) -> None:
        """Add limbs, each of less than 33 bits."""
        for at in range(0, len(limbs), _MOST_ROWS):
            part = slice(at, at + _MOST_ROWS)
            added = np.bincount(codes[part], limbs[part], minlength=self.groups)
            self._place(place)[...] += added.astype(np.int64)

    def _place(self, place: int) -> Limbs:
        return self.limbs.setdefault(place, np.zeros(self.groups, np.int64))

    def _counted(self, codes: Codes) -> Limbs:
        return np.bincount(codes, minlength=self.groups)

    # How it travels

    def columns(self) -> dict[str, Limbs]:
        """Give the sums as columns of whole numbers, each limb of 32 bits at the most."""
        self._carry()
        columns = {str(place): limbs for place, limbs in sorted(self.limbs.items())}
        infinite = {"positive": self.positive, "negative": self.negative}
        return columns | {name: counts for name, counts in infinite.items() if counts is not None}

    @classmethod
    def together(cls, columns: Mapping[str, Limbs], codes: Codes, groups: int) -> "Exact":
        """Add up sums that travelled: each to the group that its code says."""
        exact = cls(groups)
        for name, numbers in columns.items():
            if name in {"positive", "negative"}:
                setattr(exact, name, exact._counts(numbers, codes))
            else:
                exact._add_limbs(int(name), numbers.astype(np.float64), codes)
        exact._carry()
        return exact

    def _counts(self, numbers: Limbs, codes: Codes) -> Limbs:
        return np.bincount(codes, numbers, minlength=self.groups).astype(np.int64)

    def _carry(self) -> None:
        """Have each limb be of 32 bits and without a sign, but for the highest: that is below 2 to the power of 31."""
        place = min(self.limbs, default=0)
        while place <= max(self.limbs, default=-1):
            limbs = self._place(place)
            if place < max(self.limbs) or not _is_below(limbs, 1 << (_BITS - 1)):
                self._place(place + 1)[...] += limbs >> _BITS
                limbs &= _MASK
            place += 1

    # What it comes to

    def integers(self) -> tuple[np.ndarray, int]:
        """Give the finite sums as integers of Python, of any length, and by which power of two they are to be taken."""
        if not self.limbs:
            return np.zeros(self.groups, object), 0
        lowest = min(self.limbs)
        totals = np.zeros(self.groups, object)
        for place, limbs in self.limbs.items():
            totals = totals + limbs.astype(object) * (1 << _BITS * (place - lowest))
        return totals, _BITS * lowest

    def whole(self, *, unsigned: bool) -> tuple[np.ndarray, np.ndarray]:
        """Give sums of whole numbers in 64 bits, and which of them these cannot hold."""
        zeros = np.zeros(self.groups, np.int64)
        low, high, top = (self.limbs.get(place, zeros) for place in range(3))
        high = (top << _BITS) + high + (low >> _BITS)
        least, most = (0, 1 << _BITS) if unsigned else (-(1 << (_BITS - 1)), 1 << (_BITS - 1))
        totals = (high << _BITS) + (low & _MASK)
        return totals.view(np.uint64) if unsigned else totals, (high < least) | (high >= most)

    def rounded(self) -> np.ndarray:
        """Give the floats that are next to the sums."""
        few = self._rounded_few()
        values = few if few is not None else ratios(*self.integers(), np.ones(self.groups, object))
        return self._with_infinite(values)

    def _rounded_few(self) -> np.ndarray | None:
        """Round sums of three places at the most, in columns; ``None`` for others."""
        if not self.limbs:
            return np.zeros(self.groups)
        lowest, zeros = min(self.limbs), np.zeros(self.groups, np.int64)
        if max(self.limbs) - lowest >= _FEW_PLACES or lowest < _SUBNORMAL:
            return None
        low, middle, top = (self.limbs.get(lowest + at, zeros) for at in range(_FEW_PLACES))
        high = (top << _BITS) + middle
        shift = np.clip(62 - np.frexp(high.astype(np.float64))[1], 0, _BITS).astype(np.int64)
        cut = low & ((np.int64(1) << (_BITS - shift)) - 1)  # bits of no room: whether there are any decides ties
        bits = (high << shift) + (low >> (_BITS - shift)) | (cut != 0)
        rounded: np.ndarray = np.ldexp(bits.astype(np.float64), _BITS * (lowest + 1) - shift)
        return rounded

    def squared_deviations(self, squares: "Exact", counts: np.ndarray) -> np.ndarray:
        """Give the variance of each group: from its sum, the sum of its squares, and how many numbers it has.

        It is what pandas calls ``var``: divided by one less than the count. One number alone has none.
        """
        sums, exponent = self.integers()
        squared, exponent_of_squares = squares.integers()
        lowest = min(2 * exponent, exponent_of_squares)
        squared *= 1 << (exponent_of_squares - lowest)
        sums_squared = sums * sums * (1 << (2 * exponent - lowest))
        count = counts.astype(object)
        values = ratios(count * squared - sums_squared, lowest, np.where(counts > 1, count * (count - 1), 1))
        has_infinite = np.zeros(self.groups, bool) if squares.positive is None else squares.positive > 0
        return np.where((counts > 1) & ~has_infinite, values, np.nan)

    def _with_infinite(self, values: np.ndarray) -> np.ndarray:
        positive = np.zeros(self.groups, bool) if self.positive is None else self.positive > 0
        negative = np.zeros(self.groups, bool) if self.negative is None else self.negative > 0
        values = np.where(positive, np.inf, np.where(negative, -np.inf, values))
        return np.where(positive & negative, np.nan, values)


def ratios(numerators: np.ndarray, exponent: int, denominators: np.ndarray) -> np.ndarray:
    """Divide integers of Python, times a power of two; each ratio is rounded once."""
    if exponent >= 0:
        numerators = numerators * (1 << exponent)
    else:
        denominators = denominators * (1 << -exponent)
    return np.array([_ratio(one, other) for one, other in zip(numerators, denominators, strict=True)], np.float64)


def _ratio(numerator: int, denominator: int) -> float:
    try:
        return numerator / denominator
    except OverflowError:
        return math.inf if numerator > 0 else -math.inf


def _place_of(values: np.ndarray) -> int:
    """Name the place of the highest bit of all values."""
    exponent = int(np.frexp(np.abs(values).max())[1])
    return (exponent - 1) // _BITS


def _lowest_bit(values: np.ndarray) -> int:
    """Say what the lowest bit of all values may count, as a power of two."""
    sizes = np.abs(values)
    return int(np.frexp(sizes.min(where=sizes > 0, initial=np.inf))[1]) - _BITS_OF_FLOATS


def _is_below(values: np.ndarray, bound: int) -> bool:
    """Tell whether whole numbers are below a bound, whatever their sign."""
    return not len(values) or (-bound < int(values.min()) and int(values.max()) < bound)


def _highs(values: np.ndarray) -> np.ndarray:
    """Give the higher half of the bits of each float: what is left has the other half."""
    grown = values * _SPLITTER
    highs: np.ndarray = grown - (grown - values)
    return highs


def _plus(one: Limbs | None, other: Limbs) -> Limbs | None:
    if not other.any():
        return one
    return other if one is None else one + other
