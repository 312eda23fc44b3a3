"""A function whose result hangs on where batches end is remarked upon, and few that do not."""

from collections.abc import Callable
from pathlib import Path
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


@pytest.mark.parametrize("function", [len, eval("lambda df: df.rank()"), str.upper])  # noqa: S307 (it has no source)
def test_what_has_no_source_is_not_remarked_upon(function: Callable[..., Any]) -> None:
    assert remarks_on(function, Target("pickle")) == ()


def test_the_caller_is_warned_once_before_the_first_row(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("n\n1\n2\n")
    with pytest.warns(muster.NotRowWiseWarning, match=r"rank.*batch_rows") as caught:
        muster.run(ranked, tmp_path / "rows.csv", tmp_path / "out.csv", workers=0)
    assert [warning.filename for warning in caught] == [__file__]
    muster.run(ranked, tmp_path / "rows.csv", tmp_path / "out.csv", workers=0, batch_rows=2)


def test_the_command_line_says_so_unless_it_is_to_be_quiet(tmp_path: Path, muster: Muster) -> None:
    (tmp_path / "rows.csv").write_text("n\n1\n2\n")
    (tmp_path / "f.py").write_text("def f(df):\n    return df.assign(place=df['n'].rank())\n")
    end = muster("run", "f.py:f", "rows.csv", "-o", "out.csv", "--workers", "1")
    assert end.code == 0
    assert end.err.count("line 2: return df.assign(place=df['n'].rank()) (rank)") == 1
    assert muster("run", "f.py:f", "rows.csv", "-o", "out.csv", "--workers", "1", "--quiet").err == ""
