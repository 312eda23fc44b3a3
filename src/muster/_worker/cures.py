"""What is likely to mend a function that fails on every row, judged by its error and by what it was given."""

import inspect
import linecache
import re
import shlex
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from muster._dialects import Reading
from muster._user_code.origins import is_users
from muster._words import as_name
from muster._words.near import nearest

from . import written
from .failures import NoFrameError, is_of_one_value

_INSTEAD_OF_A_FRAME: Final = {
    "NoneType": "Is a `return df` missing?",
    "Series": "Return the whole frame: put the column into it with df['name'] = ..., and return df.",
    "dict": "Make a frame of it: pd.DataFrame(...), or for one value a column df.assign(**...).",
    "list": "Put several frames together with pd.concat(...), or yield them; put a column into df, and return df.",
    "tuple": "Return the frame alone: is there a comma behind it, or a second thing beside it?",
    "LazyFrame": "Return .collect() of it.",
    "DataFrameGroupBy": "A groupby is not a frame yet: what is to be done with the groups?",
    "type": "Return a frame, not its class: are the parentheses missing?",
    "method": "Return what the method gives: are the parentheses missing?",
}
_INSTEAD_OF_A_GROUPS_FRAME: Final = {
    **_INSTEAD_OF_A_FRAME,
    "Series": "If it is a row, return pd.DataFrame([it]); if a column, put it into the frame with df['name'] = ..., and"
    " return df.",
    "dict": "If it is a row, return pd.DataFrame([it]).",
}
_A_FRAME_OF_A_GROUP: Final = "Make a row of it: pd.DataFrame([{'name': it}])."
_OF_A_DATE: Final = re.compile(
    "year|month|day|hour|minute|second|weekday|day_?of_?(week|year)|quarter|week|isocalendar|isoformat|day_name|month_name"
    "|strftime|date|time|timestamp|normalize|floor|ceil|round|to_pydatetime|tz_.*|total_seconds|days|toordinal"
)
_IS_ABOUT_TIME: Final = re.compile(r"Timestamp|[Dd]ate|Timedelta|timedelta|\.dt accessor")
_NO_ATTRIBUTE: Final = re.compile(r"'(\w+)' object has no attribute '(\w+)'")
_WANTS_TEXT: Final = re.compile(
    r"\.str accessor|expected string or bytes|has no len\(\)|of type 'float' is not (iterable|a container)"
    r"|'(int|float)' object is not (subscriptable|iterable)"
)
_MIXES: Final = re.compile(r"\b(str|string)\b")
_QUOTED: Final = re.compile(r"'([^']*)'|\"([^\"]*)\"")
_IN_PANDAS: Final = {
    "datetime": "pd.to_datetime(df[{!r}])",
    "str": "df[{!r}].astype(str)",
    "float64": "pd.to_numeric(df[{!r}])",
}
_OF_FRAMES: Final = re.compile(r"[/\\](pandas|polars|pyarrow)[/\\]")
"""Where the file lies of the code that looks a column up."""

_SAMPLE: Final = 50
"""Cells whose look is tried: whether a column is dates shows in them."""

_CELLS: Final = 1000
"""Cells that flags are tried on: milliseconds, behind an error that stops the run anyway."""

_MOST_COLUMNS: Final = 20
"""More would hide what the error says."""

_MOSTLY: Final = 0.5
"""Of the cells: other columns hold a date here and there."""


def cure_of(  # noqa: PLR0913 (all that a cure may be seen by)
    error: BaseException,
    *,
    given: object,
    function: Callable[..., Any],
    types: Mapping[str, str],
    reading: Reading | None = None,
    is_of_keys: bool = False,
) -> str:
    """Say in a sentence what is likely to mend it; empty if unknown.

    ``given`` is the frame that the function was called with; ``types`` are those of the columns that a type can be
    fixed for, by name; ``reading`` is how the cells of CSV are read. Where rows come by their keys (``is_of_keys``), it
    is the function of groups, or of states.
    """
    case = _Case(error, given, function, types=types, reading=reading, is_of_keys=is_of_keys)
    try:
        return next(filter(None, (look() for look in case.looks)), "")
    except Exception:  # noqa: BLE001 (a hint that cannot be given is none; the error itself is told in any case)
        return ""


@dataclass(frozen=True)
class _Case:
    error: BaseException
    given: Any
    function: Callable[..., Any]
    types: Mapping[str, str]
    reading: Reading | None = None
    is_of_keys: bool = False

    @property
    def looks(self) -> list[Callable[[], str]]:
        calls = [] if self.is_of_keys else [self._of_a_call]  # else it was looked at what the function takes
        return [self._of_a_result, *calls, self._of_an_exit, self._of_a_name, self._of_one_value, self._of_a_type]

    @cached_property
    def text(self) -> str:
        return str(self.error)

    @cached_property
    def columns(self) -> list[Any]:
        return (
            list(getattr(self.given, "columns", ())) if not hasattr(self.given, "schema") else list(self.given.schema)
        )

    @property
    def _shown(self) -> list[str]:
        return [str(name) for name in self.columns]

    def _of_a_result(self) -> str:
        if not isinstance(self.error, NoFrameError):
            return ""
        if self.is_of_keys:
            return _INSTEAD_OF_A_GROUPS_FRAME.get(self.error.kind, _A_FRAME_OF_A_GROUP)
        return _INSTEAD_OF_A_FRAME.get(self.error.kind, "Make a frame of it: pd.DataFrame(...).")

    def _of_a_call(self) -> str:
        """If the call itself failed, not something inside: the function takes other arguments."""
        trace = self.error.__traceback__
        if not isinstance(self.error, TypeError) or trace is None or trace.tb_next is not None:
            return ""
        signature = inspect.signature(self.function)
        name = getattr(self.function, "__name__", type(self.function).__name__)
        shown = f"It is called with one argument, the batch, and it is {name}{signature}:"
        if not signature.parameters:
            return f"{shown} write {'lambda df: ...' if name == '<lambda>' else f'{name}(df)'}."
        return f"{shown} give the other parameters a default, or a value with --arg NAME=VALUE."

    def _of_an_exit(self) -> str:
        return "It calls sys.exit: return a frame instead." if isinstance(self.error, SystemExit) else ""

    def _of_one_value(self) -> str:
        if not is_of_one_value(self.error):
            return ""
        name = getattr(self.function, "__name__", "f")
        how = f"df.apply({name}, axis=1)" if name.isidentifier() else "df.apply(..., axis=1)"
        what = "many rows" if self.is_of_keys else "a batch of rows"
        return (
            f"It gets {what}, so df['x'] is a whole column, neither true nor false and no single number: choose"
            f" rows by it (df[mask]) or values (np.where). What is written for one row is called by {how}."
        )

    # Columns that there are not

    def _of_a_name(self) -> str:
        missing = [name for name in self._names_asked_for() if name not in self.columns]
        if not missing or not self.columns:
            return ""
        if isinstance(missing[0], int) and re.search(r"\.(loc|at)\[", self._lines[0] if self._lines else ""):
            return "Rows are labelled by their number in the file: use .iloc for the first, second, … row of the batch."
        shown = self._shown
        near = nearest(str(missing[0]), shown)
        meant = f"; did you mean {near!r}?" if near else "."
        listed = ", ".join(map(as_name, shown[:_MOST_COLUMNS])) + (", …" if len(shown) > _MOST_COLUMNS else "")
        return f"There is no column {missing[0]!r}{meant} The columns are: {listed}."

    def _names_asked_for(self) -> list[Any]:
        """List what was looked up in a frame, or in a row of one, in vain."""
        frames = traceback.extract_tb(self.error.__traceback__)
        if isinstance(self.error, AttributeError):
            lookup = _NO_ATTRIBUTE.search(self.text)
            is_row = lookup is not None and lookup[1] in {"Series", "Pandas"} and nearest(lookup[2], self._shown)
            return [lookup[2]] if lookup and (lookup[1] == "DataFrame" or is_row) else []
        is_lookup = isinstance(self.error, KeyError) or "ColumnNotFound" in type(self.error).__name__
        if not is_lookup or not frames or not _OF_FRAMES.search(frames[-1].filename):
            return []  # it is another mapping that lacks it: a dictionary of the user's, the environment
        key = self.error.args[0] if self.error.args else None
        if isinstance(key, int):
            return [key]
        names = [one or other for one, other in _QUOTED.findall(self.text if not isinstance(key, str) else key)]
        return [key] if isinstance(key, str) and re.fullmatch(r"[^\[\]\"']*", key) else names

    # Types that are others than the function takes them for

    def _of_a_type(self) -> str:
        if not isinstance(self.error, AttributeError | TypeError | ValueError):
            return ""
        lacking = _NO_ATTRIBUTE.search(self.text)
        kind, attribute = lacking.groups() if lacking else ("", "")
        if (kind == "str" and _OF_A_DATE.fullmatch(attribute)) or (not kind and _IS_ABOUT_TIME.search(self.text)):
            return self._of_texts(written.as_dates, "a date", else_like=_look_like_dates, kind="datetime")
        if kind in {"int", "float", "int64", "float64", "bool"} or _WANTS_TEXT.search(self.text):
            return self._fix(self._named(self._numbers), "str", "a number", "text") or self._of_missing_cells()
        if kind or not _MIXES.search(self.text):
            return ""
        return self._of_texts(
            written.as_numbers, "a number", else_like=_look_like_numbers, kind="float64"
        ) or self._fix(self._named(self._numbers), "str", "a number", "text")

    def _of_texts(
        self,
        looks: Callable[[str, Sequence[str], Reading | None], written.Flags | None],
        then: str,
        *,
        else_like: Callable[[Any], float],
        kind: str,
    ) -> str:
        """Say how a column of text, which the user's line names or which alone looks so, is read as what it is."""
        named = self._named(self._texts)
        found = {}
        for name in named or self._texts:
            cells = self.given[name].dropna()[:_CELLS].astype(str).tolist()
            if cells and name in self.types and (flags := looks(name, cells, self.reading)) is not None:
                found[name] = flags
        if not found or (len(found) > 1 and not named):
            return self._in_pandas(self._texts_that(else_like), kind, "text", then, strict=False)
        if all(flags.typed.startswith("--dtype ") for flags in found.values()):
            return self._fix(list(found), kind, "text", then)
        name, flags = next(iter(found.items()))
        listed = " and ".join(map(repr, flags.strays))
        why, missing = (f", as some cells are {listed}", f", and {listed} missing") if listed else ("", "")
        first = ", with the month first; add --dayfirst where it is the day" if flags.month_first else ""
        return f"{name!r} is text here{why}: {flags.typed} makes it {then}{missing}{first}."

    def _of_missing_cells(self) -> str:
        names = [name for name in self._named(self._texts) if self.given[name].isna().any()]
        if "float" not in self.text or not names:
            return ""
        return f"A missing cell of {names[0]!r} is NaN, a float: fill it with .fillna('') first, or ask pd.isna."

    def _fix(self, names: list[str], kind: str, now: str, then: str) -> str:
        if not names:
            return ""
        if not all(name in self.types for name in names):
            return self._in_pandas(names, kind, now, then)
        subject = _subject(names, now)
        pairs = shlex.quote(",".join(f"{name}={kind}" for name in names))
        return f"{subject}: --dtype {pairs} makes it {then}."

    def _in_pandas(self, names: list[str], kind: str, now: str, then: str, *, strict: bool = True) -> str:
        if not names:
            return ""
        how = _IN_PANDAS[kind].format(names[0])
        if strict:
            return f"{_subject(names, now)}: {how} makes it {then}."
        return f"{_subject(names, now)}: {how[:-1]}, errors='coerce') makes it {then}, and missing what is none."

    @cached_property
    def _lines(self) -> list[str]:
        """The user's own lines that the error came through, the innermost first."""
        frames = traceback.extract_tb(self.error.__traceback__)[::-1]
        return [linecache.getline(one.filename, one.lineno or 0) for one in frames if is_users(one.filename)]

    def _named(self, names: Iterable[str]) -> list[str]:
        """Keep the names that stand in the innermost line that has any."""
        listed = list(names)
        for line in self._lines:
            if mentioned := [name for name in listed if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", line)]:
                return mentioned
        return []

    def _texts_that(self, looks: Callable[[Any], float]) -> list[str]:
        """Choose columns of text by what their cells look like: those that the user's line names, else the only one."""
        named = self._named(self._texts)
        fitting = [name for name in named or self._texts if looks(self.given[name].dropna()[:_SAMPLE]) > _MOSTLY]
        return fitting if named or len(fitting) == 1 else []

    @property
    def _texts(self) -> list[str]:
        return [name for name, dtype in self._dtypes if str(dtype) in {"str", "string", "object"}]

    @property
    def _numbers(self) -> list[str]:
        return [name for name, dtype in self._dtypes if getattr(dtype, "kind", "") in {"i", "u", "f"}]

    @property
    def _dtypes(self) -> list[tuple[str, Any]]:
        dtypes = getattr(self.given, "dtypes", None)
        if dtypes is None or not hasattr(dtypes, "items"):
            return []
        return [(name, dtype) for name, dtype in dtypes.items() if isinstance(name, str)]


def _subject(names: list[str], now: str) -> str:
    return f"{' and '.join(map(repr, names))} {'is' if len(names) == 1 else 'are'} {now} here"


def _look_like_dates(cells: Any) -> float:  # noqa: ANN401 (a Series)
    import pandas as pd

    return float(pd.to_datetime(cells, errors="coerce", format="mixed").notna().mean())


def _look_like_numbers(cells: Any) -> float:  # noqa: ANN401 (likewise)
    import pandas as pd

    return float(pd.to_numeric(cells, errors="coerce").notna().mean())
