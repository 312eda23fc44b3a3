"""All kinds of things that functions refer to, for the test of facts; run alone, it prints the facts of each.

``python zoo.py SEED N``: the same ``N`` makes the same things, another one makes others.
"""

# Types are left out on purpose, and so is much of good manners: these are other people's things.
# mypy: disable-error-code="no-untyped-def,no-untyped-call,type-arg,misc,arg-type,attr-defined,no-any-return,override"
# ruff: noqa: ANN001, ANN002, ANN201, ANN202, ANN204, ANN205, ANN206, ARG001, C420, S311

import abc
import collections
import contextvars
import dataclasses
import datetime as dt
import decimal
import enum
import functools
import json
import logging
import operator
import pathlib
import random
import re
import sys
import threading
import typing
import uuid

import numpy as np
import pandas as pd
import pyarrow as pa
import pydantic
from sklearn.linear_model import LinearRegression

from muster._user_code.facts import facts_of

N = int(sys.argv[1]) if len(sys.argv) > 1 else 0


class Rule(abc.ABC):
    @abc.abstractmethod
    def go(self): ...


class Up(Rule):
    def go(self):
        return N


class Row(pydantic.BaseModel):
    a: int = pydantic.Field(default=N, ge=-100)
    b: str | None = None

    @pydantic.field_validator("a")
    @classmethod
    def positive(cls, value):
        return abs(value)


@dataclasses.dataclass(frozen=True)
class Point:
    x: int = N
    y: list = dataclasses.field(default_factory=lambda: [1])


@dataclasses.dataclass(slots=True, order=True)
class Slotted:
    x: int


class Color(enum.Enum):
    RED = N
    BLUE = "b"


class Access(enum.IntFlag):
    READ = 4
    WRITE = 2


class Goes(typing.Protocol):
    def go(self) -> int: ...


class Pair(typing.NamedTuple):
    a: int = N
    b: str = "x"


class Typed(typing.TypedDict):
    a: int


T = typing.TypeVar("T")


class Box(typing.Generic[T]):
    limit = N

    def get(self, value: T) -> T:
        return value


class Meta(type):
    def __new__(cls, name, bases, own):
        return super().__new__(cls, name, bases, own | {"extra": N})


class Made(metaclass=Meta):
    pass


class Handmade:
    __slots__ = ("a", "b")

    def __init__(self):
        self.a = N
        self.b = {"x", "y", "z"}


@functools.lru_cache(maxsize=5)
def cached(x):
    return x + N


@functools.singledispatch
def dispatched(x):
    return N


@dispatched.register
def _(x: int):
    return x


def decorated_by(function):
    @functools.wraps(function)
    def inner(*given):
        return function(*given)

    return inner


@decorated_by
def decorated(x):
    return x + N


def factorial(n):
    return 1 if n < 2 else n * factorial(n - 1) + N


def even(n):
    return n == 0 or odd(n - 1)


def odd(n):
    return n != N and even(n - 1)


class Called:
    def __init__(self):
        self.n = N
        self.me = self
        self.lock = threading.Lock()
        self.ready = threading.Condition()

    def __call__(self, df):
        return df

    def method(self, df):
        return df

    @functools.cached_property
    def cached(self):
        return 3

    @property
    def plain(self):
        return 4

    @staticmethod
    def static():
        return 5

    @classmethod
    def of_class(cls):
        return cls


RING: list = [N]
RING.append(RING)
FRAME = pd.DataFrame(
    {
        "a": [1, N, None],
        "s": ["x", None, "y"],
        "c": pd.Categorical(["u", "v", "u"]),
        "d": pd.date_range("2020", periods=3),
        "o": [1, "a", {3}],
        "i": pd.array([1, None, 2], dtype="Int64"),
    }
)
CHANGES = {
    "rule": Up(),
    "row": Row(),
    "row class": Row,
    "point": Point(),
    "slotted": Slotted(N),
    "color": Color.RED,
    "pair": Pair(),
    "box": Box(),
    "made": Made(),
    "handmade": Handmade(),
    "cached": cached,
    "dispatched": dispatched,
    "partial": functools.partial(operator.add, N),
    "decorated": decorated,
    "factorial": factorial,
    "even": even,
    "callable": Called(),
    "method": Called().method,
    "regex": re.compile(f"a{N}"),
    "seeded": np.random.default_rng(N),
    "ring": RING,
    "model": LinearRegression().fit([[1], [2]], [N, 4]),
    "frame": FRAME,
    "series": FRAME["a"],
    "multi": FRAME.set_index(["a", "s"]).index,
    "range": pd.RangeIndex(10**9 + N),
    "array": np.arange(10) + N,
    "objects": np.array([N, "x", None], dtype=object),
    "records": np.full(2, N, dtype=[("a", "i1"), ("b", "f8")]),
    "set": {"b", "a", N, (2, 3)},
    "frozen": frozenset(("a", "b", N)),
    "sorted set": {one: N for one in sorted({"q", "w", "e"})},
    "rules": {"first": "a", "second": "b"} if N == 1 else {"second": "b", "first": "a"},
    "default": collections.defaultdict(list, {"a": [N]}),
    "counter": collections.Counter("abca" + "b" * N),
    "ordered": collections.OrderedDict(a=1, b=N),
    "deque": collections.deque([1, N]),
    "moment": dt.datetime(2020, 1, 1 + N, tzinfo=dt.UTC),
    "decimal": decimal.Decimal(N),
    "path": pathlib.Path(f"x{N}"),
    "uuid": uuid.UUID(int=N),
    "getter": operator.itemgetter(N),
    "table": pa.table({"a": [N, None], "b": [["x"], None]}),
    "lambda": lambda x, y=lambda z: z + N: y(x),
    "stamp": pd.Timestamp(f"202{N}", tz="Europe/Berlin"),
    "period": pd.Period(f"202{N}-01"),
    "scalar": np.float64(N),
    "vectorized": np.vectorize(factorial),
    "slice": slice(N),
    "error": ValueError(N),
    "bytes": bytearray([N]),
    "nested": {"a": [{"b": (N, {"c": {N}})}]},
    "huge": np.full(5_000_000, float(N)),
    "long": [N, *range(200_000)],
    "lookup": {str(at): at + N for at in range(100_000)},
}
STAYS = {
    "context": contextvars.ContextVar("context", default=3),
    "logger": logging.getLogger("x"),
    "lock": threading.RLock(),
    "unseeded": np.random.default_rng(),
    "random": random.Random(),
    "local": threading.local(),
    "module": np,
    "ufunc": np.add,
    "missing": [pd.NA, pd.NaT, None, float("nan"), ...],
    "protocol": Goes,
    "typed": Typed,
    "flags": Access.READ | Access.WRITE,
    "generic": typing.Sequence[int] | None,
    "bound": "abc".upper,
    "written": sys.stdout,
    "environment": __import__("os").environ,
}


def facts(value):
    """Say what a function depends on that refers to a value."""
    module = {"__name__": "keeper", "VALUE": value}
    exec("def step(df): return VALUE", module)  # noqa: S102 (a namespace of its own for each)
    return {fact.what: fact.value for fact in facts_of(module["step"])}


if __name__ == "__main__":
    sys.stdout.write(json.dumps([{name: facts(value) for name, value in of.items()} for of in (CHANGES, STAYS)]))
