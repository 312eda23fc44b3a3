"""Values that were typed, read as the annotations of parameters ask."""

import datetime as dt
import enum
import re
import uuid
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, NewType, Optional, Union

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as some

from conftest import Muster
from muster._user_code.typed import example_of, is_readable, value_of

DAY = dt.date(2026, 11, 26)
Zip = NewType("Zip", str)


class Colour(enum.Enum):
    RED = "r"
    BLUE = "b"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Own:
    pass


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (dt.date, "2026-11-26", DAY),
        (dt.datetime, "2026-11-26", dt.datetime.fromisoformat("2026-11-26T00:00")),
        (dt.datetime, "2026-11-26T14:30:00+01:00", dt.datetime.fromisoformat("2026-11-26T14:30:00+01:00")),
        (dt.date | dt.datetime, "2026-11-26", DAY),
        (dt.datetime | dt.date, "2026-11-26T14:30", dt.datetime.fromisoformat("2026-11-26T14:30")),
        (dt.time, "14:30", dt.time(14, 30)),
        (dt.timedelta, "90", dt.timedelta(seconds=90)),
        (dt.timedelta, "1.5h", dt.timedelta(minutes=90)),
        (dt.timedelta, "2 days 03:00:01.5", dt.timedelta(days=2, hours=3, seconds=1.5)),
        (Decimal, "9.990", Decimal("9.990")),
        (uuid.UUID, "123e4567-e89b-12d3-a456-426614174000", uuid.UUID("123e4567-e89b-12d3-a456-426614174000")),
        (re.Pattern, "a+", re.compile("a+")),
        (Path, "in/a.csv", Path("in/a.csv")),
        (Path | None, "None", None),
        (list[int], "[1, 2]", [1, 2]),
        (list[float], "[1, 2.5]", [1.0, 2.5]),
        (list[Path], '["a", "b"]', [Path("a"), Path("b")]),
        (list[dt.date], '["2026-11-26"]', [DAY]),
        (list[Decimal], '["1.10", 2]', [Decimal("1.10"), Decimal(2)]),
        (list[int | None], "[1, null]", [1, None]),
        (Sequence[str], '["1"]', ["1"]),
        (tuple[int, str], '[1, "a"]', (1, "a")),
        (tuple[int, ...], "[1, 2, 3]", (1, 2, 3)),
        (set[Colour], '["RED", "b"]', {Colour.RED, Colour.BLUE}),
        (dict[str, list[int]], '{"a": [1]}', {"a": [1]}),
        (Mapping[int, Decimal], '{"3": "0.1"}', {3: Decimal("0.1")}),
        (list[Any], '[1, "a", null]', [1, "a", None]),
        (Optional[dt.date], "2026-11-26", DAY),  # noqa: UP045 (as people have it)
        (Optional[dt.date], "null", None),  # noqa: UP045 (likewise)
        (Union[str, int], "3", 3),  # noqa: UP007 (likewise)
        (str | dt.date, "2026-11-26", DAY),
        (float | int, "3", 3),
        (bool | int, "1", 1),
        (bool | int, "true", True),
        (int | list[int], "[1]", [1]),
        (Literal["a", 2], "2", 2),
        (Literal[True, "auto"], "true", True),
        (Colour, "BLUE", Colour.BLUE),
        (Colour, "r", Colour.RED),
        (Level, "2", Level.HIGH),
        (Level, "LOW", Level.LOW),
        (Annotated[int, "at least 1"], "3", 3),
        (Zip, "01234", "01234"),
        (np.int64, "3", np.int64(3)),
        (pd.Timestamp, "2026-11-26", pd.Timestamp("2026-11-26")),
        (object, "[1]", [1]),
        (Any, "x", "x"),
        (None, "true", True),
    ],
)
def test_a_text_is_read_as_its_annotation_asks(annotation: object, text: str, value: object) -> None:
    found = value_of(text, annotation)
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (dt.date, "26.11.2026"),
        (dt.date, "2026-11-26T14:30"),
        (dt.datetime, "soon"),
        (dt.timedelta, "a while"),
        (Decimal, "9,99"),
        (re.Pattern, "("),
        (list[int], "1,2"),
        (list[int], '["a"]'),
        (list[int], "[1.5]"),
        (list[int], "[true]"),
        (list[str], "[1]"),
        (tuple[int, str], "[1]"),
        (dict[str, int], "[1]"),
        (dict[str, int], '{"a": "b"}'),
        (int | None, "x"),
        (Literal["a", "b"], "c"),
        (Colour, "GREEN"),
        (Level, "3"),
        (np.int64, "x"),
        (Own, "x"),
        (list[Own], "[1]"),
    ],
)
def test_what_is_none_of_an_annotation_is_refused(annotation: object, text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (its words are for nobody)
        value_of(text, annotation)


PLAIN = [int, float, bool, str, Decimal, dt.date, dt.datetime, dt.time, dt.timedelta, uuid.UUID, Path, Colour]


@given(some.sampled_from(PLAIN), some.sampled_from(["{}", "list[{}]", "{} | None", "tuple[{}, ...]", "dict[str, {}]"]))
def test_every_example_that_is_shown_can_be_typed(kind: type, form: str) -> None:
    annotation = eval(form.format("kind"), {"kind": kind})  # noqa: S307 (of the two lists above)
    assert is_readable(annotation)
    example = example_of(annotation).strip("'").replace(", ...]", "]").split(" or ")[0]
    value_of(example, annotation)


CODE = """
from __future__ import annotations
from typing import TYPE_CHECKING
import datetime
import enum
from decimal import Decimal
if TYPE_CHECKING:
    from nowhere import Thing
    from datetime import date

class Colour(enum.Enum):
    RED = "r"

class Own:
    pass

def f(
    df, day: datetime.date | None = None, late: date = None, price: Decimal = Decimal(0), n: list[int] = (),
    colour: Colour = Colour.RED, own: Own = None, other: Thing = None,
):
    return df.assign(got=repr((day, late, price, n, colour)))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "f.py").write_text(CODE)
    (tmp_path / "in.csv").write_text("a\n1\n")
    return tmp_path


RUN = ("run", "f.py:f", "in.csv", "-o", "out.csv", "--workers", "0")


def test_annotations_count_that_are_texts_or_stand_beside_some_that_nobody_can_resolve(
    folder: Path, muster: Muster
) -> None:
    given_ = ("--arg", "day=2026-11-26", "--arg", "late=2026-11-27", "--arg", "price=1.50", "--arg", "n=[1, 2]")
    ended = muster(*RUN, *given_)
    assert ended.code == 0, ended.err
    got = pd.read_csv(folder / "out.csv").got[0]
    assert got == repr((DAY, dt.date(2026, 11, 27), Decimal("1.50"), [1, 2], "r")).replace("'r'", "<Colour.RED: 'r'>")
    assert muster(*RUN, *given_, "--json").json["unchanged"]


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("day=26.11.2026", "takes datetime.date | None, and that is none. Type for example --arg day=2026-11-26."),
        ("n=1,2", "takes list[int], and that is none. Type for example --arg n='[3, ...]'."),
        ("colour=GREEN", "takes Colour, and that is none. Type for example --arg colour=RED."),
        ("own=x", "takes Own, and that is none. Nothing that can be typed is one."),
    ],
)
@pytest.mark.usefixtures("folder")
def test_an_error_says_annotation_value_and_what_to_type(muster: Muster, typed: str, said: str) -> None:
    ended = muster(*RUN, "--arg", typed)
    assert ended.code == 2
    assert f"--arg {typed}: f(df, day: " in ended.err
    assert said in ended.err
