"""The journal of a receiver, where the disk is full, and where it is long."""

import resource
from pathlib import Path

import pytest

from muster._streams.positions import Mark, Positions


def test_nothing_is_noted_behind_a_line_that_a_full_disk_has_torn(tmp_path: Path) -> None:
    path = tmp_path / "received.jsonl"
    positions = Positions(path)
    positions.append(rows=1, streams={"s": Mark(1)})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 5, limits[1]))
    try:
        with pytest.raises(OSError, match="No space left"):
            positions.append(rows=2, streams={"s": Mark(2)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    with pytest.raises(OSError, match="the note before was not written"):
        positions.append(rows=3, streams={"s": Mark(3)})
    positions.close()
    again = Positions(path)
    assert (again.state.rows, again.state.streams) == (1, {"s": Mark(1)})
    again.append(rows=2)
    again.close()
    again = Positions(path)
    assert again.state.rows == 2
    again.close()


def test_a_journal_that_must_say_much_is_not_written_anew_with_each_line(tmp_path: Path) -> None:
    path = tmp_path / "received.jsonl"
    positions = Positions(path)
    positions.append(header="x" * (5 << 20))
    written = path.stat().st_ino
    for rows in range(5):
        positions.append(rows=rows)
        assert path.stat().st_ino == written
    positions.append(header="y" * (6 << 20))
    assert path.stat().st_size < 7 << 20
    positions.close()
