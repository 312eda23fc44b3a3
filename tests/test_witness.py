"""Files that change, come and go while muster looks at them."""

import threading
from pathlib import Path

from muster._files.witness import is_being_written, settled, witness
from muster._formats.sources import find_sources


def test_files_that_come_and_go_while_a_folder_is_listed_stop_nothing(tmp_path: Path) -> None:
    (tmp_path / "stays.csv").write_text("a\n1\n")
    is_over = threading.Event()

    def come_and_go() -> None:
        while not is_over.is_set():
            (tmp_path / "deep").mkdir()
            paths = [tmp_path / f"{number}.csv" for number in range(20)] + [tmp_path / "deep" / "x.csv"]
            for path in paths:
                path.touch()
            for path in paths:
                path.unlink()
            (tmp_path / "deep").rmdir()

    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        for _ in range(800):
            for text in (str(tmp_path), f"{tmp_path}/*.csv", f"{tmp_path}/**/*.csv"):
                assert f"{tmp_path}/stays.csv" in {source.path for source in find_sources([text])}
    finally:
        is_over.set()
        thread.join()


def test_a_file_that_was_just_written_is_looked_at_once_a_later_change_would_show(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    for text in ("a", "b", "c"):
        path.write_text(text)
        before, is_settled = settled(str(path), patience=5)
        path.write_text(text.upper())  # of the same size
        assert is_settled
        assert witness(str(path)) != before


def test_who_has_a_file_open_to_write_is_seen_and_who_reads_it_is_not(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text("a\n")
    with path.open() as read:
        assert not is_being_written(str(path))
        with path.open("a"):
            assert is_being_written(str(path))
        assert read.read() == "a\n"
    assert not is_being_written(str(path))
    path.write_text("b\n")  # nothing is held
    assert not is_being_written(str(tmp_path / "none"))
