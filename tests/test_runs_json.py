"""What ``muster runs --json`` says of a run, by name; and in which order runs are known."""

import json
from pathlib import Path

from conftest import Muster
from muster._run.beginning.recognition import new_id


def test_functions_and_files_of_a_run_have_names(muster: Muster, tmp_path: Path) -> None:
    (tmp_path / "f.py").write_text("def process(df):\n    return df\n")
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("x\n1\n")
    assert muster("run", "f.py:process", "a.csv", "b.csv", "-o", "out.csv", "--workers", "0").code == 0
    (run,) = json.loads(muster("runs", "--json").out)
    assert run["functions"] == ["process"]
    assert [(Path(file["path"]).name, file["bytes"], type(file["version"])) for file in run["files"]] == [
        ("a.csv", 4, str),
        ("b.csv", 4, str),
    ]
    assert run["target"] == [["process"]]
    assert [list(file.values()) for file in run["files"]] == run["inputs"]


def test_runs_that_begin_in_one_second_are_known_in_their_order() -> None:
    until_its_random_end = len("20260301-120000-0000")
    ids = [new_id() for _ in range(5000)]
    begun = [run[:until_its_random_end] for run in ids]
    assert begun == sorted(begun)
    assert len({*begun}) > len({run[:15] for run in ids}), "no two of a second are told apart by when they began"
