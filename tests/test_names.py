"""Files and functions of any name: those that look like a library's, like a package's, or like a word of muster's."""

from pathlib import Path

import pytest

from conftest import Muster

TEXT = """
import dataclasses, pickle
@dataclasses.dataclass
class Point:
    x: int
def pipeline(df):
    return df.assign(B=[pickle.loads(pickle.dumps(Point(value))).x for value in df["A"]])
"""


@pytest.mark.parametrize("file", ["model.v2.py", "json.py", "my-model.py", "statistics.py"])
def test_a_function_may_be_called_pipeline_and_its_file_anything(muster: Muster, tmp_path: Path, file: str) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / file).write_text(TEXT)
    (tmp_path / "in.csv").write_text("A\n1\n2\n")
    ended = muster("run", f"own/{file}:pipeline", "in.csv", "-o", "out.csv", "--workers", "1")
    assert ended.code == 0, ended.err
    assert (tmp_path / "out.csv").read_text() == "A,B\n1,1\n2,2\n"


def test_a_pipeline_may_be_in_a_file_that_cannot_be_imported_by_name(muster: Muster, tmp_path: Path) -> None:
    text = "import muster\ndef step(df):\n    return df.assign(B=df['A'])\n"
    text += "pipeline = muster.read_csv([]).map_batches(step)\n"
    (tmp_path / "model.v2.py").write_text(text)
    (tmp_path / "in.csv").write_text("A\n1\n2\n")
    ended = muster("run", "model.v2.py", "in.csv", "-o", "out.csv", "--workers", "1")
    assert ended.code == 0, ended.err
    assert (tmp_path / "out.csv").read_text() == "A,B\n1,1\n2,2\n"
