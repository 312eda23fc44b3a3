"""A function whose result hangs on where batches end is remarked upon, and few that do not."""

import linecache
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import muster
from conftest import Muster
from muster._model import Target
from muster._user_code.rowwise import remarks_on


def names_in(body: str, tmp_path: Path, *, before: str = "") -> list[str]:
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    path = tmp_path / "f.py"
    path.write_text(f"import numpy as np, pandas as pd\n{before}\ndef f(df):\n{lines}\n")
    remarks = remarks_on(None, Target("file", str(path), "f"))
    return [name for remark in remarks for name in remark.rpartition("(")[2].rstrip(")").split(", ")]


MIXING = {
    "df['z'] = (df['x'] - df['x'].mean()) / df['x'].std()\nreturn df": ["mean", "std"],
    "df['r'] = df.x.rank()\nreturn df": ["rank"],
    "return df.groupby('a')['x'].sum().reset_index()": ["groupby"],
    "df['p'] = df['x'].shift(1)\nreturn df": ["shift"],
    "df['p'] = df['x'].diff()\nreturn df": ["diff"],
    "df['c'] = df['x'].cumsum()\nreturn df": ["cumsum"],
    "df['m'] = df['x'].rolling(3).mean()\nreturn df": ["rolling"],
    "return pd.get_dummies(df, columns=['c'])": ["get_dummies"],
    "return df['c'].str.get_dummies()": ["get_dummies"],
    "df['b'] = pd.cut(df['x'], 4)\nreturn df": ["cut"],
    "df['b'] = pd.qcut(df['x'], 4)\nreturn df": ["qcut"],
    "return df.sort_values('x')": ["sort_values"],
    "return df.drop_duplicates()": ["drop_duplicates"],
    "return df[~df['x'].duplicated()]": ["duplicated"],
    "return df.merge(df, on='x')": ["merge"],
    "df['n'] = df['c'].map(df['c'].value_counts())\nreturn df": ["value_counts"],
    "df['x'] = df['x'].fillna(method='ffill')\nreturn df": ["fillna"],
    "return df.ffill()": ["ffill"],
    "df['x'] = df['x'].interpolate()\nreturn df": ["interpolate"],
    "return df.sample(frac=0.1)": ["sample"],
    "return df.head(10)": ["head"],
    "df['first'] = df['x'].iloc[0]\nreturn df": ["iloc"],
    "return df.iloc[:100]": ["iloc"],
    "df['share'] = df['x'] / len(df)\nreturn df": ["len"],
    "df['z'] = df['x'] - np.mean(df['x'])\nreturn df": ["mean"],
    "scaler.fit_transform(df[['x']])\nreturn df": ["fit_transform"],
    "values = df['x'].to_numpy()\ndf['z'] = values / values.max()\nreturn df": ["max"],
    "x = df.x\ndf['z'] = x - x.min()\nreturn df": ["min"],
    "return df.assign(z=lambda d: d.x - d.x.mean())": ["mean"],
    "return df[df['x'] > 3].assign(y=1).sort_values('y')": ["sort_values"],
    "df['top'] = df.v == max(df.v)\nreturn df": ["max"],
    "low = min(df['v'])\ndf['z'] = df.v - low\nreturn df": ["min"],
    "df['share'] = df.v / sum(df.v)\nreturn df": ["sum"],
    "df['n'] = np.max(df['x'])\nreturn df": ["max"],
    "df['n'] = len(df)\nreturn df": ["len"],
    "df['n'] = range(len(df))\nreturn df": ["len"],
    "df['n'] = 1 / len(df)\nreturn df": ["len"],
    "return df.assign(n=len(df))": ["len"],
    "df['n'] = np.arange(1, len(df) + 1)\nreturn df": ["len"],
    "df['a'] = (df.v == 99).any()\nreturn df": ["any"],
    "return df.assign(a=df['v'].isna().all())": ["all"],
    "if df.price.isna().any():\n    df['has'] = 'x'\nreturn df": ["any"],
    "if not all(df.v > 3):\n    df['has'] = 1\nreturn df": ["all"],
    "if df.v.hasnans:\n    df['has'] = 1\nreturn df": ["hasnans"],
    "df['c'] = df['x'].count()\nreturn df": ["count"],
    "df['first'] = df['x'].values[0]\nreturn df": ["[0]"],
    "df['last'] = df['x'].to_numpy()[-1]\nreturn df": ["[-1]"],
    "df['first'] = df['x'].iat[0]\nreturn df": ["iat"],
    "return df[df['x'].isin(df['y'])]": ["isin"],
    "return df.copy().rename(columns=str).drop_duplicates()": ["drop_duplicates"],
}

ROW_WISE = [
    "time.sleep(len(df) * 0.01)\nprint(df.x.mean())\nreturn df",
    "df['m'] = df[['x', 'y']].mean(axis=1)\nreturn df",
    "df['m'] = df[['x', 'y']].sum(1)\nreturn df",
    "df['m'] = df[['x', 'y']].rank(axis='columns')\nreturn df",
    "df['m'] = df.apply(lambda row: row[['x', 'y']].mean(), axis=1)\nreturn df",
    "df['m'] = df.apply(lambda row: np.mean(row), axis=1)\nreturn df",
    "df['n'] = df['name'].str.strip().str.lower().str.count('a')\nreturn df",
    "df['d'] = df['day'].dt.floor('D')\nreturn df",
    "df['b'] = pd.cut(df['x'], [0, 1, 2])\nreturn df",
    "return df.merge(PRICES, on='x')",
    "df['x'] = df['x'].fillna(0).clip(0, 1).round(2)\nreturn df",
    "if (df['x'] < 0).any():\n    raise ValueError(df['x'].min())\nreturn df",
    "print(df['x'].mean())\nreturn df",
    "assert df['x'].max() < 100\nreturn df",
    "df['n'] = [max(a, b) for a, b in zip(df['x'], df['y'])]\nreturn df",
    "out = []\nfor i in range(len(df)):\n    out.append(score(df.iloc[i]))\nreturn df.assign(s=out)",
    "return df.iloc[:, [0, 2]]",
    "mask = df['x'].isna()\nif mask.any():\n    df.loc[mask, 'x'] = 0\nreturn df",
    "if df['x'].isna().any():\n    df['x'] = df['x'].fillna(0)\nreturn df",
    "if not (df['x'] > 0).all():\n    log.warning('odd')\nreturn df",
    "bad = (df['x'] < 0).any()\nif bad:\n    raise ValueError('below 0')\nreturn df",
    "df['y'] = [0] * len(df)\nreturn df",
    "deadline = time.monotonic() + 0.002 * len(df)\nwhile time.monotonic() < deadline:\n    pass\nreturn df",
    "df['y'] = np.zeros(len(df))\nreturn df",
    "if len(df) == 0:\n    return df\nreturn df",
    "df['any'] = df[['x', 'y']].isna().any(axis=1)\nreturn df",
    "df['any'] = (df[['x', 'y']] > 0).all(axis='columns')\nreturn df",
    "df['n'] = df['x'].str.count('a')\nreturn df",
    "df['n'] = df['x'].to_numpy().reshape(-1, 1).sum(axis=1)\nreturn df",
    "df['m'] = np.max(df[['x', 'y']], axis=1)\nreturn df",
    "df['m'] = [max(tags) for tags in df['tags']]\nreturn df",
    "df['m'] = df['tags'].map(lambda tags: max(tags))\nreturn df",
    "df['k'] = df['x'].isin(KNOWN)\nreturn df",
    "df['s'] = sum(df[c] for c in ['x', 'y'])\nreturn df",
    "for i, x in enumerate(df['x']):\n    out.append(max(x, 0))\nreturn df",
    "for x in sorted(set(df['x'])):\n    df.loc[df['x'] == x, 'y'] = price(x)\nreturn df",
    "if 7 in set(df['n']):\n    raise ValueError(7)\nreturn df",
    "df['p'] = model.predict(df[['x']])\nreturn df",
    "df['m'] = np.array([[1, 2]]).mean()\nreturn df",
    "df['w'] = np.where(df['x'] > MEAN, 1, 0)\nreturn df",
    "df['y'] = df['x'].map({1: 2})\nreturn df.drop(columns='x').reset_index(drop=True)",
    "scores = lookup.sort_values('x').head(3)\nreturn df",
    "df['u'] = df['tags'].apply(lambda tags: len(set(tags)) / len(tags))\nreturn df",
]


@pytest.mark.parametrize(("body", "names"), MIXING.items(), ids=list(MIXING))
def test_what_mixes_rows_is_named(tmp_path: Path, body: str, names: list[str]) -> None:
    assert names_in(body, tmp_path) == names


@pytest.mark.parametrize("body", ROW_WISE)
def test_what_looks_at_each_row_by_itself_is_not_remarked_upon(tmp_path: Path, body: str) -> None:
    assert names_in(body, tmp_path) == []


def test_functions_beside_it_are_followed(tmp_path: Path) -> None:
    before = "def scaled(frame, column):\n    return frame[column] / frame[column].max()\n"
    assert names_in("df['y'] = scaled(df, 'x')\nreturn df", tmp_path, before=before) == ["max"]
    assert names_in("return df.pipe(scaled, 'x')", tmp_path, before=before) == ["max"]
    assert names_in("return scaled(OTHER, 'x')", tmp_path, before=before) == []


def ranked(frame: Any) -> Any:  # noqa: ANN401 (it is read, not called)
    return frame.assign(place=frame["n"].rank())


class Ranked:
    def __call__(self, frame: Any) -> Any:  # noqa: ANN401 (likewise)
        return frame.assign(place=frame["n"].rank())


@pytest.mark.parametrize("function", [ranked, lambda df: df.assign(place=df.n.rank()), Ranked, Ranked()])
def test_functions_lambdas_and_classes_of_a_script_are_looked_through(function: Callable[..., Any]) -> None:
    (remark,) = remarks_on(function, Target("pickle"))
    assert "(rank)" in remark


KINDS = """
import asyncio, functools, pandas as pd

async def waits(df):
    await asyncio.sleep(len(df) * 0.01)
    return df.head(3)  # HERE

async def awaits(df):
    return await beside(df)

async def beside(df):
    return df.rank()  # HERE

async def in_a_thread(df):
    return await asyncio.to_thread(plain, df)

async def in_an_executor(df):
    return await asyncio.get_running_loop().run_in_executor(None, plain, df)

def plain(df):
    return df.sort_values("x")  # HERE

def yields(df):
    yield df.drop_duplicates()  # HERE

def yields_from(df):
    yield from (part for part in [df.cumsum()])  # HERE

async def yields_later(df):
    part: pd.DataFrame = df.copy()
    yield part.shift(1)  # HERE

def by_place(df, /, n=1):
    return df.nlargest(n, "x")  # HERE

def walrus(df):
    if (x := df["x"]) is not None:
        return df[x > x.median()]  # HERE

class Scorer:
    def __call__(self, df):
        return self.scored(df)

    def scored(self, frame):
        return frame.ffill()  # HERE

    @staticmethod
    def still(df):
        return df.tail(1)  # HERE

    @classmethod
    async def made(cls, df):
        return cls.help(df["x"])

    @classmethod
    def help(cls, column):
        return column.max()  # HERE

    class Inner:
        @staticmethod
        def deep(df):
            return df.groupby("x").sum()  # HERE

class Heir(Scorer):
    pass

class Waits:
    async def __call__(this, df):
        return df.interpolate()  # HERE

def with_n(n, df):
    return df.sample(n)  # HERE

bound = functools.partial(with_n, 3)
made = Waits()
shorter = lambda df: df.expanding().mean()  # HERE
"""


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("waits", "head"),
        ("awaits", "rank"),
        ("in_a_thread", "sort_values"),
        ("in_an_executor", "sort_values"),
        ("yields", "drop_duplicates"),
        ("yields_from", "cumsum"),
        ("yields_later", "shift"),
        ("by_place", "nlargest"),
        ("walrus", "median"),
        ("Scorer", "ffill"),
        ("Scorer.still", "tail"),
        ("Scorer.made", "max"),
        ("Scorer.Inner.deep", "groupby"),
        ("Heir", "ffill"),
        ("Heir.still", "tail"),
        ("Waits", "interpolate"),
        ("bound", "sample"),
        ("made", "interpolate"),
        ("shorter", "expanding"),
    ],
)
def test_every_kind_of_function_is_looked_through_by_name_and_as_an_object(
    tmp_path: Path, name: str, named: str
) -> None:
    path = tmp_path / "f.py"
    path.write_text(KINDS)
    lines = KINDS.splitlines()
    by_name = remarks_on(None, Target("file", str(path), name))
    assert [lines[int(remark.split(":")[0].split()[1]) - 1].endswith("# HERE") for remark in by_name] == [True]
    assert named in by_name[0].rpartition("(")[2]
    module = ModuleType("kinds")
    exec(compile(KINDS, path, "exec"), vars(module))  # noqa: S102 (of this file)
    linecache.checkcache(str(path))
    found: Any = module
    for word in name.split("."):
        found = getattr(found, word)
    assert remarks_on(found, Target("pickle", "", name)) == by_name


STILL_ROW_WISE = """
import asyncio

async def waits(df):
    await asyncio.sleep(len(df) * 0.01)
    async with lock:
        df["y"] = await asyncio.gather(*(ask(value) for value in df["x"]))
    return df

def in_parts(df):
    for at in range(0, len(df), 7):
        yield df.iloc[at : at + 7]

class Model:
    def __call__(self, df):
        return df.assign(y=self.mean(df["x"]))

    @staticmethod
    def mean(values):
        return values + 1
"""


@pytest.mark.parametrize("name", ["waits", "in_parts", "Model"])
def test_such_functions_are_not_remarked_upon_where_each_row_stands_by_itself(tmp_path: Path, name: str) -> None:
    path = tmp_path / "f.py"
    path.write_text(STILL_ROW_WISE)
    assert remarks_on(None, Target("file", str(path), name)) == ()


@pytest.mark.parametrize("function", [len, eval("lambda df: df.rank()"), str.upper])  # noqa: S307 (it has no source)
def test_what_has_no_source_is_not_remarked_upon(function: Callable[..., Any]) -> None:
    assert remarks_on(function, Target("pickle")) == ()


def test_the_caller_is_warned_once_before_the_first_row(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("n\n1\n2\n")
    with pytest.warns(muster.NotRowWiseWarning, match=r"rank.*batch_rows") as caught:
        muster.run(ranked, tmp_path / "rows.csv", tmp_path / "out.csv", workers=0)
    assert [warning.filename for warning in caught] == [__file__]
    muster.run(ranked, tmp_path / "rows.csv", tmp_path / "out.csv", workers=0, batch_rows=2)


def test_the_command_line_says_so_even_where_it_is_to_be_quiet(tmp_path: Path, muster: Muster) -> None:
    (tmp_path / "rows.csv").write_text("n\n1\n2\n")
    (tmp_path / "f.py").write_text("def f(df):\n    return df.assign(place=df['n'].rank())\n")
    end = muster("run", "f.py:f", "rows.csv", "-o", "out.csv", "--workers", "1")
    assert end.code == 0
    assert end.err.count("line 2: return df.assign(place=df['n'].rank()) (rank)") == 1
    run = ("run", "f.py:f", "rows.csv", "-o", "out.csv", "--workers", "1", "--json", "--quiet")
    assert muster(*run).err == ""  # nothing is called, as nothing has changed
    again = muster(*run, "--fresh")
    assert again.err == end.err.splitlines(keepends=True)[0]
    assert [f"muster: {text}\n" for text in again.json["warnings"]] == [again.err]
    assert muster(*run).json["warnings"] == again.json["warnings"]
    assert "warnings" not in muster(*run, "--batch-rows", "2").json


@pytest.mark.parametrize(("where", "options"), [("out/", ("--each",)), ("out/{date}.csv", ("--since-last",))])
def test_it_is_said_of_many_runs_once(tmp_path: Path, muster: Muster, where: str, options: tuple[str, ...]) -> None:
    (tmp_path / "in").mkdir()
    for name in "ab":
        (tmp_path / "in" / f"{name}.csv").write_text(f"n\n{ord(name)}\n2\n")
    (tmp_path / "f.py").write_text("def f(df):\n    return df.assign(place=df['n'].rank())\n")
    end = muster("run", "f.py:f", "in/", "-o", where, *options, "--workers", "0", "--quiet", "--json")
    assert (end.code, len(end.json["warnings"])) == (0, 1)
    assert end.err == f"muster: {end.json['warnings'][0]}\n"


def test_a_result_in_python_says_so_in_words_of_python(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("n\n1\n2\n")
    with pytest.warns(muster.NotRowWiseWarning, match="batch_rows"):
        result = muster.run(ranked, tmp_path / "rows.csv", tmp_path / "out.csv", workers=0)
    (warning,) = result.warnings
    assert "With batch_rows=N" in warning
    assert muster.run(ranked, tmp_path / "rows.csv", tmp_path / "out.csv", workers=0).warnings == (warning,)
