"""Code is loaded as it is, also when it was edited in the second in which it was written and loaded before."""

import os
import time
from pathlib import Path

import pytest

from conftest import Muster
from places import Place

LATER = 3_600
"""Seconds by which files are dated ahead: however slow the machine, they count as just written when they are loaded."""


@pytest.fixture
def place(tmp_path: Path, muster: Muster, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    made = Place(tmp_path, muster)
    made.rows(20)
    made.function("return df.assign(y=helper.LABEL + str(LOCAL))", before="import helper\nLOCAL = 1\n")
    (made.folder / "helper.py").write_text("LABEL = 'a'\n")
    for name in ("f.py", "helper.py"):
        os.utime(made.folder / name, times=(time.time() + LATER,) * 2)
    return made


def labels(place: Place) -> set[str]:
    end = place.run("--workers", "1", "--fresh")
    assert end.code == 0, end.err
    return {line.rpartition(",")[2] for line in (place.folder / "out.csv").read_text().splitlines()[1:]}


def rewrite(file: Path, old: str, new: str) -> None:
    """Edit a file so that neither its size nor its second of change tells."""
    before = file.stat()
    file.write_text(file.read_text().replace(old, new))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("name", ["f.py", "helper.py"])
def test_code_that_was_edited_within_a_second_is_loaded_as_it_is(place: Place, name: str) -> None:
    assert labels(place) == {"a1"}
    rewrite(place.folder / name, *(("LOCAL = 1", "LOCAL = 2") if name == "f.py" else ("'a'", "'b'")))
    assert labels(place) == {"a2" if name == "f.py" else "b1"}


def test_a_module_beside_a_pipeline_that_was_edited_within_a_second_is_loaded_as_it_is(place: Place) -> None:
    (place.folder / "made.py").write_text(
        "import muster\nfrom helper import LABEL\n"
        "pipeline = muster.read_csv('rows.csv').map_batches(lambda df: df.assign(y=LABEL)).write_csv('made.csv')\n"
    )
    for label in ("a", "b"):
        rewrite(place.folder / "helper.py", "'a'", f"'{label}'")
        end = place.muster("run", "made.py", "--workers", "0", "--fresh")
        assert end.code == 0, end.err
        assert (place.folder / "made.csv").read_text().splitlines()[1].endswith(label)
