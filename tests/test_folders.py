"""Folders as input: what in them is read, what is left out and said, and the columns that their names give."""

import json
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import muster
from conftest import Muster
from muster._api.reading import read_csv
from muster._job import Snapshot


def same(df: pd.DataFrame) -> pd.DataFrame:
    return df


def put(path: Path, frame: pd.DataFrame) -> None:
    """Write a frame in the format that the suffix names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_csv(path, index=False)


def frame_of(inputs: Any, folder: Path, **options: Any) -> pd.DataFrame:  # noqa: ANN401 (whatever muster.run takes)
    """Tell what the function's frames amount to."""
    muster.run(same, inputs, folder / "out.parquet", **{"workers": 0, **options})
    return pd.read_parquet(folder / "out.parquet")


FORMATS: Final = ["csv", "jsonl", "parquet", "csv.gz"]


@pytest.mark.parametrize("suffix", FORMATS)
def test_folders_that_name_a_column_give_it_to_their_rows_as_text(tmp_path: Path, suffix: str) -> None:
    for code, day, value in [("01001", "2024-01-01", 1), ("01001", "2024-01-02", 2), ("a%2Fb c", "x", 3)]:
        put(tmp_path / f"in/code={code}/day={day}/rows.{suffix}", pd.DataFrame({"v": [value] * 2}))
    put(tmp_path / f"in/code=__HIVE_DEFAULT_PARTITION__/day=y/rows.{suffix}", pd.DataFrame({"v": [4] * 2}))
    found = frame_of(tmp_path / "in", tmp_path).drop_duplicates().reset_index(drop=True)
    expected = pd.DataFrame(
        {
            "v": [1, 2, 4, 3],
            "code": ["01001", "01001", None, "a/b c"],
            "day": ["2024-01-01", "2024-01-02", "y", "x"],
        }
    )
    pd.testing.assert_frame_equal(found, expected.astype({"code": "str", "day": "str"}))


def test_a_pattern_reads_the_columns_of_the_folders_that_it_chooses_and_no_others(tmp_path: Path) -> None:
    put(tmp_path / "top=1/code=7/a.csv", pd.DataFrame({"v": [1]}))
    assert frame_of(f"{tmp_path}/top=1/code=*/a.csv", tmp_path).to_dict("list") == {"v": [1], "code": ["7"]}
    assert frame_of(tmp_path / "top=1/code=7/a.csv", tmp_path).to_dict("list") == {"v": [1]}
    assert frame_of(tmp_path / "top=1/code=7", tmp_path).to_dict("list") == {"v": [1]}


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_column_of_the_files_themselves_counts_more_than_the_name_of_a_folder(tmp_path: Path, suffix: str) -> None:
    put(tmp_path / f"in/v=8/a.{suffix}", pd.DataFrame({"v": [1], "w": ["x"]}))
    assert frame_of(tmp_path / "in", tmp_path).to_dict("list") == {"v": [1], "w": ["x"]}


def test_files_that_lie_in_folders_of_other_keys_have_missing_values(tmp_path: Path) -> None:
    put(tmp_path / "in/a=1/x.csv", pd.DataFrame({"v": [1]}))
    put(tmp_path / "in/b=2/x.csv", pd.DataFrame({"v": [2]}))
    put(tmp_path / "in/x.csv", pd.DataFrame({"v": [3]}))
    assert frame_of(tmp_path / "in", tmp_path).to_csv(index=False) == "v,a,b\n1,1,\n2,,2\n3,,\n"


def test_a_folder_column_is_there_in_every_batch_and_beside_bad_rows(tmp_path: Path) -> None:
    (tmp_path / "in/k=1").mkdir(parents=True)
    (tmp_path / "in/k=1/a.csv").write_text("a,b\n1,2\n3\n4,5\n6,7\n")
    for batch_rows in (1, 2, 100):
        found = frame_of(tmp_path / "in", tmp_path, batch_rows=batch_rows, workers=0)
        assert found.to_csv(index=False) == "a,b,k\n1,2,1\n4,5,1\n6,7,1\n"


def test_a_folder_column_has_no_other_type(tmp_path: Path) -> None:
    put(tmp_path / "in/k=1/a.csv", pd.DataFrame({"v": [1]}))
    with pytest.raises(muster.UsageError, match="named by folders"):
        frame_of(tmp_path / "in", tmp_path, dtype={"k": "int64"})
    assert frame_of(tmp_path / "in", tmp_path, dtype="str").to_dict("list") == {"v": ["1"], "k": ["1"]}


# What is left out

OUTSIDERS: Final = (
    *("_SUCCESS", ".hidden.csv", "_tmp/a.csv", ".git/a.csv", "part.csv.crc", "out.csv.muster/parts/1.csv"),
    *("out.csv.rejects.jsonl", "README.md", "notes", "_manifest.json"),
)


def test_what_is_no_input_is_left_out_of_a_folder_and_said(tmp_path: Path) -> None:
    for name in OUTSIDERS:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_text("v\n9\n")
    put(tmp_path / "in/deep/er/a.csv", pd.DataFrame({"v": [1]}))
    put(tmp_path / "in/_k=5/a.csv", pd.DataFrame({"v": [2]}))
    said: list[str] = []

    def watch(snapshot: Snapshot) -> None:
        said.extend([snapshot.note] if snapshot.note else [])

    pipeline = read_csv(tmp_path / "in").map_batches(same).write_csv(tmp_path / "out.csv")
    pipeline.run(workers=0, watch=watch)
    assert (tmp_path / "out.csv").read_text() == "v,_k\n2,5\n1,\n"
    assert len(said) == 1
    assert said[0].startswith("left out of ")
    assert ".git/a.csv" in said[0]
    assert "and 7 more" in said[0]


def test_what_is_left_out_is_said_on_the_command_line(tmp_path: Path, muster: Muster) -> None:
    put(tmp_path / "in/1.csv", pd.DataFrame({"v": [1]}))
    (tmp_path / "in/README.md").write_text("# rows\n")
    (tmp_path / "same.py").write_text("def same(df):\n    return df\n")
    ended = muster("run", "same.py:same", "in", "-o", "out.csv", "--workers", "0")
    assert ended.code == 0
    assert "left out of 'in': README.md" in ended.err


def test_files_without_a_suffix_are_read_from_a_folder_where_their_format_is_said(tmp_path: Path) -> None:
    for name in ("part-0", "part-1"):
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / name).write_text("v\n1\n")
    with pytest.raises(muster.UsageError, match="has no suffix that says its format"):
        frame_of(tmp_path / "in", tmp_path)
    assert frame_of(tmp_path / "in", tmp_path, format="csv").to_dict("list") == {"v": [1, 1]}


def test_a_folder_that_links_to_itself_is_read_once(tmp_path: Path) -> None:
    put(tmp_path / "in/a.csv", pd.DataFrame({"v": [1]}))
    put(tmp_path / "elsewhere/b.csv", pd.DataFrame({"v": [2]}))
    (tmp_path / "in/self").symlink_to(tmp_path / "in")
    (tmp_path / "in/linked").symlink_to(tmp_path / "elsewhere")
    assert frame_of(tmp_path / "in", tmp_path)["v"].tolist() == [1, 2]


def test_links_that_lead_nowhere_are_no_files_of_a_folder(tmp_path: Path) -> None:
    put(tmp_path / "in/a.csv", pd.DataFrame({"v": [1]}))
    (tmp_path / "in/gone.csv").symlink_to("nowhere.csv")
    (tmp_path / "in/itself.csv").symlink_to("itself.csv")
    assert frame_of(tmp_path / "in", tmp_path)["v"].tolist() == [1]


def test_a_folder_that_muster_wrote_is_an_input_with_its_parts_alone(tmp_path: Path) -> None:
    pq.write_table(pa.table({"v": range(10)}), tmp_path / "in.parquet")
    muster.run(same, tmp_path / "in.parquet", f"{tmp_path}/folder/", workers=0)
    assert json.loads((tmp_path / "folder/_manifest.json").read_text())
    assert frame_of(tmp_path / "folder", tmp_path)["v"].tolist() == list(range(10))
