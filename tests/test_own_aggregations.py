"""Aggregations of the user's own: what pandas makes of all rows of a key, from the same calls in every run."""

import io
import json
import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import muster
from muster import UsageError, UserCodeError
from muster._run.history.resume import changed_facts

Value = Any  # whatever a caller gives, or a function


class WeightedMean(muster.Aggregation):
    def initial(self) -> tuple[float, float]:
        return 0.0, 0.0

    def update(self, partial: tuple[float, float], rows: Value) -> tuple[float, float]:
        return partial[0] + (rows["x"] * rows["w"]).sum(), partial[1] + rows["w"].sum()

    def combine(self, partial: tuple[float, float], later: tuple[float, float]) -> tuple[float, float]:
        return partial[0] + later[0], partial[1] + later[1]

    def output(self, partial: tuple[float, float]) -> float:
        return partial[0] / partial[1]


class Top:
    """The largest values, as text: it has the four functions, and no class above it."""

    def __init__(self, most: int = 3) -> None:
        self.most = most

    def initial(self) -> list[float]:
        return []

    def update(self, partial: list[float], rows: "pd.Series[float]") -> list[float]:
        return sorted([*partial, *rows.dropna().tolist()], reverse=True)[: self.most]

    def combine(self, partial: list[float], later: list[float]) -> list[float]:
        return sorted([*partial, *later], reverse=True)[: self.most]

    def output(self, partial: list[float]) -> str:
        return " ".join(map(str, partial))


class Mode:
    """The value that is there most often, of several the first; its partial is changed in place."""

    def initial(self) -> Counter[str]:
        return Counter()

    def update(self, partial: Counter[str], rows: "pd.Series[str]") -> Counter[str]:
        partial.update(rows.astype(str))
        return partial

    def combine(self, partial: Counter[str], later: Counter[str]) -> Counter[str]:
        partial.update(later)
        return partial

    def output(self, partial: Counter[str]) -> str:
        return partial.most_common(1)[0][0]


class Sketch:
    """About how many values differ: the smallest hashes of them."""

    def initial(self) -> None:
        return None

    def update(self, partial: np.ndarray | None, rows: "pd.Series[Any]") -> np.ndarray:
        own = pd.util.hash_array(rows.astype(str).to_numpy(object))
        return np.unique(own if partial is None else np.concatenate([partial, own]))[:4]

    def combine(self, partial: np.ndarray, later: np.ndarray) -> np.ndarray:
        return np.unique(np.concatenate([partial, later]))[:4]

    def output(self, partial: np.ndarray) -> list[int]:
        return [int(one) % 1000 for one in partial]


OWN: dict[str, tuple[Any, Any]] = {
    "mean": (["x", "w"], WeightedMean),
    "top": ("x", Top),
    "second": ("x", Top(2)),
    "mode": ("t", Mode),
    "sketch": ("x", Sketch()),
    "n": ("t", "count"),
    "total": ("w", "sum"),
}


def by_pandas(frame: pd.DataFrame, key: list[str], names: list[str], *, dropna: bool, sort: bool) -> str:
    """Call the functions with all rows of a key."""
    grouped: Any = frame.groupby(key, sort=sort, dropna=dropna)
    columns: dict[str, Any] = {}
    for name in names:
        of, how = OWN[name]
        if isinstance(how, str):
            columns[name] = getattr(grouped[of], how)()
            continue
        one = how() if isinstance(how, type) else how
        columns[name] = pd.Series(
            {key: one.output(one.update(one.initial(), rows[of])) for key, rows in grouped}, dtype=object
        ).to_numpy()
    keys = grouped.size().reset_index()[key]
    made = keys.assign(**{name: np.asarray(own) for name, own in columns.items()})
    return str(made.to_csv(index=False))


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    rows = draw(st.integers(1, 30))
    cells: dict[str, st.SearchStrategy[Any]] = {
        "k": st.sampled_from([1, 2, 3, -1]),
        "f": st.sampled_from([0.5, 2.0, None]),
        "s": st.sampled_from(["a", "x,y", "line\nbreak", "é", None]),
        "x": st.sampled_from([1.5, 2.25, -4.0, 8.0]),
        "w": st.integers(1, 5),
        "t": st.sampled_from(["u", "v", "w"]),
    }
    return pd.DataFrame({name: draw(st.lists(own, min_size=rows, max_size=rows)) for name, own in cells.items()})


@settings(max_examples=15)  # each takes a quarter of a second
@given(
    frame=frames(),
    key=st.lists(st.sampled_from(["k", "f", "s"]), min_size=1, max_size=2, unique=True),
    names=st.lists(st.sampled_from([*OWN]), min_size=1, max_size=4, unique=True),
    dropna=st.booleans(),
    sort=st.booleans(),
    is_behind=st.booleans(),
    part_bytes=st.sampled_from([None, 60, 700]),
    cut=st.integers(0, 30),
)
def test_the_output_is_what_the_functions_give_for_all_rows_of_a_key(  # noqa: PLR0913, PLR0917 (what may differ)
    frame: pd.DataFrame,
    key: list[str],
    names: list[str],
    dropna: bool,  # noqa: FBT001 (hypothesis gives it by name)
    sort: bool,  # noqa: FBT001 (likewise)
    is_behind: bool,  # noqa: FBT001 (likewise)
    part_bytes: int | None,
    cut: int,
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        inputs = [f"{folder}/{name}" for name in ("1.csv", "2.csv")]
        frame.iloc[:cut].to_csv(inputs[0], index=False)
        frame.iloc[cut:].to_csv(inputs[1], index=False)
        read = muster.read_csv(inputs)
        read = read.map_batches(lambda df: df.assign(more=1)) if is_behind else read
        grouped = read.group_by(key, dropna=dropna).agg(sort=sort, **{name: OWN[name] for name in names})
        result = grouped.write_csv(f"{folder}/out.csv").run(workers=0, part_bytes=part_bytes)
        assert (result.rows_in, result.bad_rows) == (len(frame), 0)
        told = Path(folder, "out.csv").read_text()
    whole = pd.read_csv(io.StringIO(frame.to_csv(index=False)))
    assert told == by_pandas(whole, key, names, dropna=dropna, sort=sort)


class Calls(WeightedMean):
    """Tells beside the mean how the rows were cut into calls."""

    def initial(self) -> Value:
        return (0.0, 0.0), []

    def update(self, partial: Value, rows: Value) -> Value:
        return super().update(partial[0], rows), [*partial[1], (len(rows), int(rows.index[0]))]

    def combine(self, partial: Value, later: Value) -> Value:
        return super().combine(partial[0], later[0]), [*partial[1], *later[1]]

    def output(self, partial: Value) -> Value:
        return f"{super().output(partial[0])} {partial[1]}"


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Write rows in two files, of whose keys one has many rows in each cell, and others few."""
    folder, rng, rows = tmp_path_factory.mktemp("large"), np.random.default_rng(4), 27_000
    user = np.where(rng.random(rows) < 0.4, 7, rng.integers(0, 90, rows) ** 2 // 90)
    x = rng.uniform(-1, 1, rows) * 10.0 ** rng.integers(-12, 12, rows)
    frame = pd.DataFrame({"user": user, "x": x, "w": rng.random(rows)})
    frame[:18_000].to_csv(folder / "1.csv", index=False)
    frame[18_000:].to_csv(folder / "2.csv", index=False)
    return [folder / "1.csv", folder / "2.csv"]


def test_the_calls_and_the_bytes_are_the_same_in_every_run_also_where_sums_of_floats_are_rounded(
    large: list[Path], tmp_path: Path
) -> None:
    outputs, travelled = set[str](), list[int]()

    def watch(snapshot: muster.Snapshot) -> None:
        if match := re.match(r"the next stage reads ([\d,]+) rows", snapshot.note or ""):
            travelled.append(int(match[1].replace(",", "")))

    for workers, part_bytes in ((0, None), (1, 900_000), (2, 50_000), (4, 300_000)):
        grouped = muster.read_csv(large).group_by("user").agg(calls=(["x", "w"], Calls))
        grouped.write_csv(tmp_path / "out.csv").run(workers=workers, part_bytes=part_bytes, fresh=True, watch=watch)
        outputs.add((tmp_path / "out.csv").read_text())
    assert len(outputs) == 1
    assert min(travelled) < 16_000 < max(travelled) <= 27_000  # as parts of several sizes have whole cells, or none
    read = pd.read_csv(tmp_path / "out.csv", index_col="user")["calls"]
    assert read[7].count("(") == 5  # of each cell of a file one, and of what is behind the last whole one
    whole = pd.concat(map(pd.read_csv, large), ignore_index=True)
    for user, rows in whole.groupby("user"):
        mean = float(read[user].split(" ")[0])
        assert mean == pytest.approx((rows["x"] * rows["w"]).sum() / rows["w"].sum(), rel=1e-6)


class Shared(Top):
    """Begins with one and the same list for all keys, and changes it."""

    def __init__(self) -> None:
        super().__init__()
        self.one: tuple[list[float], ...] = ([],)

    def initial(self) -> Value:
        return self.one

    def update(self, partial: Value, rows: Value) -> Value:
        partial[0].extend(rows.tolist())
        return partial

    def combine(self, partial: Value, later: Value) -> Value:
        partial[0].extend(later[0])
        return partial

    def output(self, partial: Value) -> str:
        return str(len(partial[0]))


def test_a_beginning_that_all_keys_share_is_copied_for_each(large: list[Path], tmp_path: Path) -> None:
    grouped = muster.read_csv(large).group_by("user").agg(own=("x", Shared), n=pd.NamedAgg("x", "count"))
    result = grouped.write_csv(tmp_path / "out.csv").run(workers=0)
    read = pd.read_csv(tmp_path / "out.csv")
    assert result.dropped == 0  # rows that are summed up are not lost
    assert read["own"].tolist() == read["n"].tolist()
    assert read["n"].sum() == 27_000


class Typed:
    """Gives a value of another type for each key."""

    VALUES: tuple[Any, ...] = (1, None, 2.5, "text", True, pd.Timestamp("2026-01-02"), [1, 2], 2**63, np.int64(3))

    def initial(self) -> int:
        return 0

    def update(self, partial: int, rows: "pd.Series[int]") -> int:
        return max(partial, int(rows.max()))

    def combine(self, partial: int, later: int) -> int:
        return max(partial, later)

    def output(self, partial: int) -> Value:
        return self.VALUES[partial]


@pytest.mark.parametrize("kinds", [(0, 1), (0, 2), (2, 1), (0, 8, 1), (3, 1), (4, 1), (5, 1), (6, 6), (7, 0)])
def test_types_are_those_of_functions_of_groups_however_keys_were_cut_into_tasks(
    tmp_path: Path, kinds: tuple[int, ...]
) -> None:
    keys = [*range(24)]
    frame = pd.DataFrame({"k": keys, "v": [kinds[key % len(kinds)] for key in keys]})
    frame.to_csv(tmp_path / "in.csv", index=False)
    grouped = muster.read_csv(tmp_path / "in.csv").group_by("k")
    grouped.map_groups(one_value).write_csv(tmp_path / "expected.csv").run(workers=0)
    for part_bytes in (None, 20):
        grouped.agg(v=("v", Typed)).write_csv(tmp_path / "out.csv").run(workers=0, part_bytes=part_bytes, fresh=True)
        assert (tmp_path / "out.csv").read_text() == (tmp_path / "expected.csv").read_text()


def one_value(df: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"k": df["k"].to_numpy(), "v": [Typed.VALUES[df["v"].iloc[0]]]})


class Failing(Top):
    """Fails where it is told to, for one key."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self.where = where

    def fails(self, *, where: str) -> None:
        if self.where == where + " dies":
            os._exit(1)
        if self.where == where:
            raise ValueError("not this one")

    def update(self, partial: list[float], rows: "pd.Series[float]") -> list[float]:
        if (rows == 1e30).any():
            self.fails(where="update")
        return super().update(partial, rows)

    def combine(self, partial: list[float], later: list[float]) -> list[float]:
        if 1e30 in partial + later:
            self.fails(where="combine")
        return super().combine(partial, later)

    def output(self, partial: list[float]) -> str:
        if 1e30 in partial:
            self.fails(where="output")
        return super().output(partial)


@pytest.mark.parametrize("where", ["update", "combine", "output", "update dies"])
def test_every_row_of_a_key_that_fails_is_in_the_rejects_and_the_others_are_done(tmp_path: Path, where: str) -> None:
    rng, rows = np.random.default_rng(2), 40 if where.endswith("dies") else 20_000
    frame = pd.DataFrame({"user": rng.integers(0, 30 if rows > 40 else 5, rows), "x": rng.random(rows)})
    frame.loc[rows // 2, ["user", "x"]] = [4, 1e30]
    frame.to_csv(tmp_path / "in.csv", index=False)
    grouped = muster.read_csv(tmp_path / "in.csv").group_by("user").agg(top=("x", Failing(where)), n="count")
    with pytest.warns(muster.RejectedRowsWarning):
        result = grouped.write_csv(tmp_path / "out.csv").run(workers=2, max_bad_rows=rows)
    bad = frame[frame["user"] == 4]
    rejects = [json.loads(line) for line in (tmp_path / "out.csv.rejects.jsonl").read_text().splitlines()]
    assert (result.rows_in, result.bad_rows, result.rows_out) == (rows, len(bad), frame["user"].nunique() - 1)
    assert sorted(one["row"] for one in rejects) == [*bad.index]
    step, error = ("agg", "exited") if where.endswith("dies") else (f"Failing.{where}", "ValueError: not this one")
    assert {(one["key"], one["step"], error in one["error"]) for one in rejects} == {("4", step, True)}
    done = pd.read_csv(tmp_path / "out.csv")
    assert sorted(done["user"]) == sorted({*frame["user"]} - {4})
    assert done["n"].sum() == rows - len(bad)


class Nothing(Top):
    def update(self, partial: list[float], rows: Value) -> Value:
        partial += rows.tolist()


class Uncombined(Top):
    def combine(self, partial: list[float], later: list[float]) -> Value:
        partial += later


class NothingAtAll(Sketch):
    def update(self, partial: Value, rows: Value) -> Value:
        """Give no partial, as ``initial`` does."""


class NoBeginning(Top):
    def initial(self) -> Value:
        """Forget to give a list."""


class Unbuilt(Top):
    def __init__(self) -> None:
        raise LookupError("no model here")


class Rows(Top):
    def output(self, partial: list[float]) -> Value:
        return pd.DataFrame({"x": partial})


class Unsendable(Top):
    def update(self, partial: list[float], rows: Value) -> Value:
        return sys._getframe() if len(rows) else partial  # noqa: SLF001 (which no pickle can copy)


class Broken(Top):
    def update(self, partial: list[float], rows: Value) -> Value:
        return rows["no such column"] + partial


@pytest.mark.parametrize(
    ("aggregation", "said"),
    [
        (Nothing, "Nothing.update gave None. It has to return the partial"),
        (NothingAtAll, "NothingAtAll.update gave None. It has to return the partial"),
        (Uncombined, "Uncombined.combine gave None. It has to return the partial"),
        (NoBeginning, r"(?s)'NoBeginning.update' fails on all.*initial gave None: if it should not"),
        (Unbuilt, "Building the aggregation 'Unbuilt' raised LookupError: no model here. agg builds a class without"),
        (Rows, "Rows.output gave a DataFrame, and 'top' is one value"),
        (Unsendable, "A partial of Unsendable cannot be sent"),
        (Broken, r"'Broken.update' fails on all"),
    ],
)
def test_an_aggregation_that_cannot_do_any_key_is_to_blame(large: list[Path], aggregation: type, said: str) -> None:
    grouped = muster.read_csv(large).group_by("user").agg(top=("x", aggregation))
    with pytest.raises(UserCodeError, match=said):
        grouped.write_csv(large[0].parent / f"{aggregation.__name__}.csv").run(workers=0)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("x", Typed.update), "a function of all values of a group is not for agg"),
        (("x", muster.Aggregation), "a function of all values"),
        (("x", io.StringIO()), "is neither a name of an aggregation nor a muster.Aggregation"),
        (("x", type("Half", (muster.Aggregation,), {"initial": Typed.initial})), "'Half' has no update and no combine"),
        (
            ("x", Failing),
            r"'Failing' cannot be built without arguments: .*'where'. Give an object: top=\('x', Failing\(",
        ),
        ((["x", "x"], Top), "A list of columns goes with an aggregation of your own"),
        ((["x"], "sum"), "A list of columns goes with an aggregation of your own"),
        (("y", Top), "no column 'y' to work 'top' out of"),
        ((["x", "y"], Top), "no column 'y' to work 'top' out of"),
    ],
)
def test_what_is_no_aggregation_is_refused_in_words(large: list[Path], tmp_path: Path, asked: Value, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        muster.read_csv(large).group_by("user").agg(top=asked).write_csv(tmp_path / "out.csv").run(workers=0)


def test_an_input_without_rows_has_the_columns_of_the_output(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("user,x\n")
    grouped = muster.read_csv(tmp_path / "in.csv").group_by("user").agg(top=("x", Top), n="count")
    assert grouped.write_csv(tmp_path / "out.csv").run(workers=0).rows_out == 0
    assert (tmp_path / "out.csv").read_text() == "user,top,n\n"


@pytest.mark.parametrize("change", [lambda: Top(5), lambda: type("Top", (Top,), {"output": lambda _, one: str(one)})])
def test_an_unfinished_run_does_not_go_on_with_another_aggregation(
    large: list[Path], tmp_path: Path, change: Callable[[], Any]
) -> None:
    def pipeline(aggregation: Value) -> muster.Pipeline:
        grouped = muster.read_csv(large).group_by("user").agg(top=("x", aggregation), total=("w", "sum"))
        return grouped.map_batches(stopping).write_csv(tmp_path / "out.csv")

    with pytest.raises(UserCodeError):
        pipeline(Top()).run(workers=0)
    with pytest.raises(UsageError, match=r"agg"):
        pipeline(change()).run(workers=0)


def stopping(df: pd.DataFrame) -> pd.DataFrame:
    raise KeyError(len(df))


def test_aggregations_that_have_changed_since_a_run_began_are_told_and_how_agg_is_built_is_not() -> None:
    facts = {"the argument 'own' of 'agg'": "#1", "the argument 'measures' of 'agg'": "#3"}
    now = {"the argument 'own' of 'agg'": "#2", "the argument 'measures' of 'agg'": "#4"}
    assert list(changed_facts(facts, now)) == ["the argument 'own' of 'agg' has changed"]
