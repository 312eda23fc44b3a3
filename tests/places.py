"""A folder with a function and rows to run it on, and what is to be found there after a run."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conftest import Ended, Muster

COUNT = 4000
WIDE = "x" * 20
HEADER = "n,text"


@dataclass(frozen=True)
class Place:
    """A test's folder, with a function and rows to run it on."""

    folder: Path
    muster: Muster

    def function(self, body: str, *, before: str = "") -> None:
        lines = "\n".join(f"    {line}" for line in body.splitlines())
        (self.folder / "f.py").write_text(f"import ctypes, os, signal, threading\n{before}\ndef f(df):\n{lines}\n")

    def rows(self, count: int = COUNT, **changed: str) -> Path:
        """Write numbered rows, ``r7="..."`` in place of row 7."""
        lines = [changed.get(f"r{number}", f"{number},{WIDE}") for number in range(count)]
        path = self.folder / "rows.csv"
        path.write_text("\n".join([HEADER, *lines, ""]))
        return path

    def run(self, *options: str, rows: str = "rows.csv") -> Ended:
        return self.muster("run", "f.py:f", rows, "-o", "out.csv", "--json", "--quiet", *options)

    @property
    def rejects(self) -> list[dict[str, Any]]:
        path = self.folder / "out.csv.rejects.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def numbers(self) -> list[int]:
        """The rows of the output."""
        lines = (self.folder / "out.csv").read_text().splitlines()
        return [int(line.partition(",")[0]) for line in lines[1:]]


def assert_all_but(place: Place, end: Ended, bad: list[int], *, count: int = COUNT) -> None:
    """Every row is in the output, in order, or in the rejects."""
    assert end.code == 4, end.err
    assert [reject["row"] for reject in place.rejects] == bad
    assert place.numbers == [number for number in range(count) if number not in bad]
    result = end.json
    assert result["rows_in"] == count
    assert result["rows_out"] == count - len(bad)
    assert result["bad_rows"] == len(bad)
    assert result["rejects"] == "out.csv.rejects.jsonl"
