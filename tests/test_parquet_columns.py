"""Columns of Parquet that are chosen: pandas' ``read_parquet(columns=...)`` is the judge, and no other is read."""

from pathlib import Path
from typing import Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import muster
from conftest import Muster
from muster._formats import parquet
from muster._formats.agreed import agree
from muster._formats.rows import to_pandas

COLUMNS: Final[dict[str, pa.Array]] = {
    "a": pa.array([1, None, 3, 4, 5, 6]),
    "b": pa.array(["u", "v", None, "x", "y", "z"]),
    "a.b": pa.array([0.5, 1.5, 2.5, 3.5, 4.5, 5.5]),
    "c": pa.array(["p", "q", "p", "q", "p", "q"]).dictionary_encode(),
    "s": pa.array([{"a": at, "b": str(at)} for at in range(6)]),
    "s.a": pa.array([True, False, True, False, True, False]),
    "l": pa.array([[1], [], None, [2, 3], [4], [5]]),
}


def frames(path: Path, columns: list[str], *, batch: int) -> list[pd.DataFrame]:
    """Read these columns as a run does, some rows at a time."""
    layout = parquet.layout(str(path), columns=columns)
    agreed = agree([(path.name, layout)], columns)
    found = []
    for lo in range(0, rows := sum(layout.groups), batch):
        read = parquet.read(str(path), lo=lo, hi=min(lo + batch, rows), agreed=agreed.template, columns=agreed.columns)
        found.append(to_pandas(read.table, read.numbers, agreed.columns, header=True))
    return found


@given(
    names=st.lists(st.sampled_from(list(COLUMNS)), min_size=1, unique=True),
    there=st.permutations(list(COLUMNS)),
    group=st.integers(1, 6),
    batch=st.integers(1, 6),
)
@settings(max_examples=100, deadline=None)
def test_every_batch_is_a_piece_of_what_pandas_reads_of_these_columns(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], there: list[str], group: int, batch: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "chosen.parquet"
    pq.write_table(pa.table([COLUMNS[name] for name in there], names=there), path, row_group_size=group)
    expected = pd.read_parquet(path, columns=names)
    for at, frame in enumerate(frames(path, names, batch=batch)):
        part = expected.iloc[at * batch : (at + 1) * batch]
        pd.testing.assert_frame_equal(frame, part.assign(c=_all_categories(part["c"])) if "c" in names else part)


def _all_categories(cells: "pd.Series[Any]") -> "pd.Series[Any]":
    return cells.cat.set_categories(["p", "q"])


def test_the_function_gets_the_columns_in_the_order_in_which_they_are_named(tmp_path: Path) -> None:
    pd.DataFrame({"a": [1], "b": ["x"], "c": [0.5]}).to_parquet(tmp_path / "in.parquet")
    muster.read_parquet(tmp_path / "in.parquet", columns=["c", "a"]).map_batches(_same).write_csv(
        tmp_path / "out.csv"
    ).run(workers=0)
    assert (tmp_path / "out.csv").read_text() == "c,a\n0.5,1\n"


def _same(df: pd.DataFrame) -> pd.DataFrame:
    return df


def test_no_byte_of_another_column_is_read(tmp_path: Path) -> None:
    """What stands in the others is damaged, which whoever reads it notices."""
    path = tmp_path / "in.parquet"
    table = pa.table({"a": range(1000), "b": [f"text {at}" for at in range(1000)]})
    pq.write_table(table, path, compression="zstd", use_dictionary=False)
    column = pq.ParquetFile(path).metadata.row_group(0).column(1)
    data = bytearray(path.read_bytes())
    data[column.data_page_offset : column.data_page_offset + column.total_compressed_size] = bytes(
        column.total_compressed_size
    )
    path.write_bytes(data)
    with pytest.raises(muster.DataError, match="damaged"):
        muster.run(_same, path, tmp_path / "all.csv", workers=0)
    result = muster.run(_same, path, tmp_path / "out.csv", usecols=["a"], workers=0)
    assert result.rows_out == 1000
    assert pd.read_csv(tmp_path / "out.csv").equals(table.select(["a"]).to_pandas())


def test_files_that_lack_some_of_the_columns_or_all_keep_their_rows(tmp_path: Path, muster: Muster) -> None:
    pq.write_table(pa.table({"a": [1], "x": [1]}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"x": [2, 3]}), tmp_path / "2.parquet")
    pq.write_table(pa.table({"x": [4], "b": ["v"], "a": [2]}), tmp_path / "3.parquet")
    (tmp_path / "same.py").write_text("def same(df):\n    return df\n")
    ended = muster("run", "same.py:same", "*.parquet", "-o", "out.csv", "--workers", "0", "--usecols", "b,a")
    assert ended.code == 0, ended.err
    assert (tmp_path / "out.csv").read_text() == "b,a\n,1.0\n,\n,\nv,2.0\n"
    assert "'2.parquet' lacks column 'a'" in ended.err
    assert "'x'" not in ended.err


def test_an_index_with_a_name_and_columns_of_folders_can_be_among_them(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": [3, 4]}, index=pd.RangeIndex(7, 9, name="id"))
    (tmp_path / "in" / "day=1").mkdir(parents=True)
    frame.to_parquet(tmp_path / "in" / "day=1" / "one.parquet")
    for columns, text in (
        (["id", "a"], "id,a,day\n7,1,1\n8,2,1\n"),
        (["id"], "id,day\n7,1\n8,1\n"),
        (["day", "b"], "b,day\n3,1\n4,1\n"),
    ):
        muster.run(_same, tmp_path / "in", tmp_path / "out.csv", usecols=columns, workers=0, fresh=True)
        assert (tmp_path / "out.csv").read_text() == text


def test_a_reject_shows_the_columns_that_were_read(tmp_path: Path) -> None:
    pd.DataFrame({"a": [1, 0], "b": ["x", "y"]}).to_parquet(tmp_path / "in.parquet")
    result = muster.run(_inverted, tmp_path / "in.parquet", tmp_path / "out.csv", usecols=["a"], workers=0)
    assert result.bad_rows == 1
    assert '"raw": "{\'a\': 0}"' in Path(str(result.rejects)).read_text()


def _inverted(df: pd.DataFrame) -> pd.DataFrame:
    return df.assign(a=[1 // value for value in df["a"]])


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        (["a", "c"], "name some that the input has not: 'c'.*It has: a, b"),
        ([0], "chosen by their names, and 0 is a position"),
        (["a", "a"], "name 'a' twice"),
        ([], "at least one"),
        ("a", "columns.*a list of names"),
    ],
)
def test_columns_that_cannot_be_chosen_so_are_refused(tmp_path: Path, columns: Any, why: str) -> None:  # noqa: ANN401 (wrong ones, too)
    pd.DataFrame({"a": [1], "b": [2]}).to_parquet(tmp_path / "in.parquet")
    with pytest.raises(muster.UsageError, match=f"(?s){why}"):
        muster.read_parquet(tmp_path / "in.parquet", columns=columns).map_batches(_same).write_csv(
            tmp_path / "out.csv"
        ).run(workers=0)


def test_a_run_that_goes_on_refuses_other_columns_than_it_began_with(tmp_path: Path, muster: Muster) -> None:
    rows = pd.DataFrame({"a": [*range(1, 100), 0], "b": range(100)})  # of which some are done before it fails
    rows.to_parquet(tmp_path / "in.parquet", row_group_size=10)
    (tmp_path / "step.py").write_text("def step(df):\n    return df.assign(a=[1 // value for value in df['a']])\n")
    command = ("run", "step.py:step", "in.parquet", "-o", "out.csv", "--workers", "0", "--strict", "--batch-rows", "10")
    assert muster(*command, "--usecols", "a").code == 1
    ended = muster(*command, "--usecols", "a,b")
    assert ended.code == 2
    assert "--usecols was 'a', and is 'a', 'b' now" in ended.err
