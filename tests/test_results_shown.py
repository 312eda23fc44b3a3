"""Results, snapshots and checks show themselves: in a line, as HTML, and the rejects as a frame."""

import io
import json
import sys
import threading
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

import muster
from muster._job import MachinePace, Result, Snapshot, StreamLag
from muster._show.terminal import show, showing


class Cells(HTMLParser):
    """Lists the texts of a page's cells, and counts tags that were left open."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.cells: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        self.open.append(tag)
        if tag in {"td", "th"}:
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] in (["td"], ["th"]):
            self.cells[-1] += data


NASTY = '<script>alert("1,234")</script>  & é\x1b[31m'


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    pd.DataFrame({"a": [NASTY, "fine", "007", "1e5"] * 5, "b": range(20)}).to_csv(path, index=False)
    return path


def picky(frame: pd.DataFrame) -> pd.DataFrame:
    if frame["a"].eq("fine").all():
        return frame
    raise ValueError("".join(frame["a"]))


@pytest.fixture
def result(rows: Path) -> Result:
    return muster.run(picky, rows, rows.parent / "out.csv", workers=0, max_bad_rows=100)


def test_a_result_is_a_line_where_it_is_printed(result: Result) -> None:
    assert str(result).startswith(f"{result.output}: 5 rows of 20 in ")
    assert repr(result) == f"<muster.Result {result}; 15 bad rows in {result.rejects}>"


def test_what_an_earlier_attempt_has_done_is_not_taken_for_done_in_this_time(result: Result) -> None:
    mended = replace(result, rows_in=60_000, rows_out=60_000, rows_before=59_988, seconds=0.6, rows_per_second=20.0)
    assert (
        str(mended)
        == f"{result.output}: 60,000 rows of 60,000, 12 of them now, in 0.6 s (20 rows/s, muster's own process)"
    )
    assert "rows done now" in mended._repr_html_()
    assert mended.as_fields()["rows_before"] == 59_988
    in_a_later_stage = replace(mended, rows_before=60_000, has_groups=True)
    assert str(in_a_later_stage).startswith(f"{result.output}: 60,000 rows of 60,000, all read before, in 0.6 s")
    assert "of them now" not in str(result)
    assert "rows done now" not in result._repr_html_()
    assert "rows_before" not in result.as_fields()


def test_a_notebook_shows_figures_and_the_first_rejects_as_text(result: Result) -> None:
    found = Cells(result._repr_html_())
    assert found.open == []
    pairs = dict(zip(found.cells[::2], found.cells[1::2], strict=False))
    assert (pairs["rows in"], pairs["rows out"], pairs["bad rows"]) == ("20", "5", "15")
    at = found.cells.index("file")
    assert found.cells[at : at + 4] == ["file", "row", "raw", "error"]
    shown = [found.cells[at + 4 + 4 * number :][:4] for number in range(5)]
    told = [json.loads(line) for line in Path(result.rejects or "").read_text().splitlines()]
    assert shown == [[one["file"], str(one["row"]), one["raw"], one["error"]] for one in told[:5]]
    assert NASTY in shown[0][3]
    assert "muster report -o report.html" in result._repr_html_()


def test_a_result_shows_itself_when_its_rejects_are_gone_or_elsewhere(result: Result) -> None:
    Path(result.rejects or "").unlink()
    assert "15" in Cells(result._repr_html_()).cells
    with pytest.raises(FileNotFoundError):
        result.rejects_frame()


def test_rejects_become_a_frame_of_text_that_nobody_has_converted(result: Result) -> None:
    frame = result.rejects_frame()
    assert list(frame) == ["file", "row", "byte_offset", "raw", "step", "error", "traceback"]
    assert list(frame["row"]) == [row for row in range(20) if row % 4 != 1]
    assert frame["raw"].iloc[1] == "007,2"
    assert frame["error"].iloc[2] == "ValueError: 1e5"
    assert str(frame["row"].dtype) == "int64"


def test_rejects_of_parquet_have_no_byte_offset_and_a_clean_run_has_an_empty_frame(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pd.DataFrame({"a": ["fine", "bad"] * 10}).to_parquet(path)
    result = muster.run(picky, path, tmp_path / "out.csv", workers=0, max_bad_rows=100)
    assert result.rejects_frame()["byte_offset"].isna().all()
    empty = replace(result, rejects=None).rejects_frame()
    assert (len(empty), list(empty)) == (0, list(result.rejects_frame()))


def test_a_snapshot_and_a_check_show_themselves(rows: Path) -> None:
    machines = (MachinePace("m1", 2, 7.0, 0.98), MachinePace("m2", 1, 5.5, 0.5))
    shot = Snapshot("working", rows_done=250, rows_total=1000, workers=3, rows_per_second=12.5, machines=machines)
    assert str(shot) == "250 of 1,000 rows, 12 rows/s, ? left, 3 workers"
    assert 'value="250" max="1000"' in shot._repr_html_()
    assert "m2" in shot._repr_html_()
    assert str(Snapshot("looking at the input")) == "looking at the input"
    assert "<progress style" in Snapshot("starting")._repr_html_()
    check = muster.check(lambda df: df.assign(b=df["b"] - df["b"].mean()), rows, workers=1)
    assert "Not row-wise" in check._repr_html_()
    assert Cells(check._repr_html_()).cells[-1] == "b"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("progress", "stream", "is_shown"),
    [
        (None, io.StringIO, False),
        (True, io.StringIO, True),
        (False, Terminal, False),
        (None, Terminal, True),
        (True, Terminal, True),
    ],
)
def test_progress_is_shown_where_somebody_looks_on_or_asks_for_it(
    rows: Path, monkeypatch: pytest.MonkeyPatch, *, progress: bool | None, stream: type[io.StringIO], is_shown: bool
) -> None:
    to = stream()
    monkeypatch.setattr(sys, "stderr", to)
    muster.run(lambda df: df, rows, rows.parent / "out.csv", workers=1, progress=progress)
    assert ("20 rows of 20" in to.getvalue()) is is_shown
    assert is_shown or not to.getvalue()


def test_of_two_runs_at_once_one_has_the_bar_and_the_other_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    to = Terminal()
    monkeypatch.setattr(sys, "stderr", to)
    with showing(None) as one, showing(None) as other:
        assert [type(one).__name__, type(other).__name__] == ["_Bar", "_PlainLines"]
    with showing(None) as one:
        assert type(one).__name__ == "_Bar"


def test_a_stream_to_which_nothing_comes_fills_no_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("muster._show.terminal._LINE_EVERY", 0.0)
    to = io.StringIO()
    with show(quiet=False, to=to) as shown:
        idle = Snapshot("working", rows_done=3, stream=StreamLag(1))
        for snapshot in (idle, idle, replace(idle, rows_done=4), replace(idle, rows_done=4, note="heard"), idle):
            shown.watch(snapshot)
    told = [line.partition(" row")[0] for line in to.getvalue().splitlines()]
    assert told == ["muster: 3", "muster: 4", "muster: heard", "muster: 3"]


def test_a_run_in_another_thread_works_and_shows_progress(rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    to = Terminal()
    monkeypatch.setattr(sys, "stderr", to)
    results: list[Result] = []
    seen: list[Snapshot] = []
    out = rows.parent / "out.csv"
    thread = threading.Thread(
        target=lambda: results.append(muster.run(lambda df: df, rows, out, workers=2, watch=seen.append))
    )
    thread.start()
    thread.join(120)
    assert (results[0].rows_out, bool(seen)) == (20, True)
    assert "20 rows of 20" in to.getvalue()
