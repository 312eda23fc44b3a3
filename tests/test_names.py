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


LONG = "a" * 300


@pytest.mark.parametrize(
    ("target", "given", "output"),
    [
        ("f.py:f", "in.csv", f"{LONG}.csv"),
        ("f.py:f", "in.csv", f"{LONG}/"),
        ("f.py:f", "in.csv", f"{LONG[:240]}.csv"),  # fits, but its rejects do not
        ("f.py:f", "in.csv", f"{LONG[:248]}/"),  # likewise
        ("f.py:f", f"{LONG}.csv", "out.csv"),
        (f"{LONG}.py:f", "in.csv", "out.csv"),
    ],
)
def test_a_name_that_is_too_long_is_refused_before_anything_is_done(
    muster: Muster, tmp_path: Path, target: str, given: str, output: str
) -> None:
    (tmp_path / "f.py").write_text("def f(df):\n    return df\n")
    (tmp_path / "in.csv").write_text("a\n1\n")
    before = sorted(tmp_path.iterdir())
    refused = muster("run", target, given, "-o", output, "--workers", "0")
    assert (refused.code, "is too long for this disk. Choose a shorter one" in refused.err) == (2, True), refused.err
    assert "was done" not in refused.err
    assert sorted(tmp_path.iterdir()) == before
