"""The contracts of sources and sinks: those that keep to them pass, and each way not to is found."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest

import muster
from muster.testing import check_sink, check_source
from own_ends import Folder, LinesOfFile

ROWS = b"n,text\n1,a\n2,b\n3,c\n4,d\n"
PARTS = [b"n,text\n1,a\n2,b\n", b"n,text\n3,c\n"]


class GivesTwice(LinesOfFile):
    def read(self, position: str, limit: int) -> muster.StreamRows | None:
        given = super().read(position, limit)
        return given and given._replace(text=given.text * 2)


class Remembers(LinesOfFile):
    """Reads on from where it was, whatever it is asked for."""

    at = ""

    def open(self) -> None:
        super().open()
        self.at = ""

    def read(self, position: str, limit: int) -> muster.StreamRows | None:
        del position
        given = super().read(self.at, limit)
        self.at = given.position if given else self.at
        return given


class GivesNumbers(LinesOfFile):
    def read(self, position: str, limit: int) -> Any:  # noqa: ANN401 (what it may not give)
        given = super().read(position, limit)
        return given and (given.text, int(given.position))


class GivesHalves(LinesOfFile):
    def read(self, position: str, limit: int) -> muster.StreamRows | None:
        given = super().read(position, limit)
        return given and muster.StreamRows(given.text[:-1], str(int(given.position) - 1))


class StandsStill(LinesOfFile):
    def read(self, position: str, limit: int) -> muster.StreamRows | None:
        given = super().read(position, limit)
        return given and given._replace(position=position)


class LetsGoEarly(LinesOfFile):
    """Has other rows behind a position once that was acknowledged."""

    def acknowledge(self, position: str) -> None:
        del position
        self.path.write_bytes(ROWS + ROWS)


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (LinesOfFile, ""),
        (GivesTwice, "rows more than there are"),
        (Remembers, "the position before them"),
        (GivesNumbers, "a position of type int"),
        (GivesHalves, "not with a line end"),
        (StandsStill, "the position before them"),
        (LetsGoEarly, "once all is acknowledged"),
    ],
)
def test_a_source_that_does_not_keep_to_its_contract_is_found(
    tmp_path: Path, kind: type[LinesOfFile], why: str
) -> None:
    (tmp_path / "in.csv").write_bytes(ROWS)
    found = ""
    try:
        check_source(lambda: kind(str(tmp_path / "in.csv")), rows=ROWS)
    except AssertionError as error:
        found = str(error)
    assert why in found if why else not found, found


class TwoSteps(Folder):
    """Shows rows in one step, and keeps the number in another."""

    def commit(self, number: int) -> None:
        super().commit(number)
        (self.folder / "number").write_text(str(number))

    def open(self, stream: str) -> int:
        super().open(stream)
        kept = self.folder / "number"
        return int(kept.read_text()) if kept.exists() else 0


class Forgets(Folder):
    def open(self, stream: str) -> int:
        super().open(stream)
        return 0


class ShowsEarly(Folder):
    def prepare(self, number: int, rows: Path) -> None:
        super().prepare(number, rows)
        super().commit(number)

    def commit(self, number: int) -> None:
        del number


class OneForAll(Folder):
    """Keeps one number, whichever stream it is."""

    def open(self, stream: str) -> int:
        del stream
        return super().open("one")


class InTable:
    """A table, and the number in another one; ``is_whole``: in the same transaction."""

    def __init__(self, path: str, *, is_whole: bool = True) -> None:
        self.path, self.is_whole = path, is_whole

    def open(self, stream: str) -> int:
        self.db, self.stream = sqlite3.connect(self.path), stream
        self.db.execute("CREATE TABLE IF NOT EXISTS rows (line)")
        self.db.execute("CREATE TABLE IF NOT EXISTS done (stream PRIMARY KEY, number)")
        row = self.db.execute("SELECT number FROM done WHERE stream = ?", (stream,)).fetchone()
        return int(row[0]) if row else 0

    def prepare(self, number: int, rows: Path) -> None:
        del number
        self.db.executemany("INSERT INTO rows VALUES (?)", [[line] for line in rows.read_text().splitlines()[1:]])

    def commit(self, number: int) -> None:
        if not self.is_whole:
            self.db.commit()
        self.db.execute("REPLACE INTO done VALUES (?, ?)", (self.stream, number))
        self.db.commit()

    def close(self) -> None:
        self.db.close()


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (Folder, ""),
        (TwoSteps, "in one step"),
        (Forgets, "another sink's open gives 0"),
        (ShowsEarly, "that must not: prepared, and not committed"),
        (OneForAll, "for another stream"),
    ],
)
def test_a_sink_that_does_not_keep_to_its_contract_is_found(tmp_path: Path, kind: type[Folder], why: str) -> None:
    def seen() -> int:
        return sum(path.read_text().count("\n") - 1 for path in tmp_path.glob("*/*.csv"))

    found = ""
    try:
        check_sink(lambda: kind(str(tmp_path)), parts=PARTS, seen=seen)
    except AssertionError as error:
        found = str(error)
    assert why in found if why else not found, found


@pytest.mark.parametrize("is_whole", [True, False])
def test_a_transaction_is_one_step_and_two_are_not(tmp_path: Path, *, is_whole: bool) -> None:
    path = str(tmp_path / "rows.db")

    def seen() -> int:
        with sqlite3.connect(path) as db:
            return int(db.execute("SELECT count(*) FROM rows").fetchone()[0])

    found = ""
    try:
        check_sink(lambda: InTable(path, is_whole=is_whole), parts=PARTS, seen=seen)
    except AssertionError as error:
        found = str(error)
    assert ("in one step" in found) is not is_whole, found
