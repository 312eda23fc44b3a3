"""Code that is edited while a run goes on: no worker that begins late mixes the new version in, in silence."""

from pathlib import Path

import pytest

from conftest import Muster
from places import Place

ROWS = 600
EDIT = """
if not MARK.exists() and (df["n"] == 300).any():
    MARK.touch()
    HERE.write_text(HERE.read_text().replace("{before}" "{old}", "{before}" "{new}"))  # which is not itself replaced
    os.kill(os.getpid(), signal.SIGKILL)
return df.assign(version=VERSION)
"""
BEFORE = """
from pathlib import Path
HERE = Path(__file__)
MARK = HERE.with_name("mark")
VERSION = 1  # the first
"""


@pytest.fixture
def place(tmp_path: Path, muster: Muster) -> Place:
    made = Place(tmp_path, muster)
    made.rows(ROWS)
    return made


def edit(place: Place, before: str, *, old: str, new: str) -> str:
    """Have the function edit its own file as a user would, and then its worker die; give the code as it was."""
    place.function(EDIT.format(before=before, old=old, new=new), before=BEFORE)
    return (place.folder / "f.py").read_text()


def versions(place: Place) -> set[str]:
    return {line.rpartition(",")[2] for line in (place.folder / "out.csv").read_text().splitlines()[1:]}


def test_a_run_stops_where_a_late_worker_finds_the_code_edited_and_goes_on_when_it_is_restored(place: Place) -> None:
    code = edit(place, "VERSION = ", old="1", new="2")
    end = place.run("--workers", "1", "--batch-rows", "50")
    assert end.code == 1
    assert "written again while muster ran" in end.err
    assert "the global VERSION of f.py" in end.err
    assert not (place.folder / "out.csv").exists()
    (place.folder / "f.py").write_text(code)
    assert place.run("--workers", "1", "--batch-rows", "50").code == 0
    assert versions(place) == {"1"}


def test_an_edited_comment_stops_no_run(place: Place) -> None:
    edit(place, "# the ", old="first", new="second")
    end = place.run("--workers", "1", "--batch-rows", "50")
    assert end.code == 0, end.err
    assert "# the second" in (place.folder / "f.py").read_text()


def test_rows_of_both_versions_may_be_accepted_beforehand(place: Place) -> None:
    edit(place, "VERSION = ", old="1", new="2")
    end = place.run("--workers", "1", "--batch-rows", "50", "--accept-changes")
    assert end.code == 0, end.err
    assert versions(place) == {"1", "2"}
