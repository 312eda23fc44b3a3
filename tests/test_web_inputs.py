"""Inputs on web servers, which keep to ranges or do not, and tell versions or do not."""

import gzip
import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pandas as pd
import pytest

import muster
from conftest import Muster, begun, started
from muster._formats import _web
from muster.errors import EngineError, UnreachableError
from waiting import until
from web import Web, serving

ROWS: Final = 30_000
FRAME: Final = pd.DataFrame({"a": range(ROWS), "b": [f"row {at}" for at in range(ROWS)]})


@pytest.fixture
def web() -> Iterator[Web]:
    with serving() as found:
        yield found


def same(frame: pd.DataFrame) -> pd.DataFrame:
    return frame


def files() -> dict[str, bytes]:
    parquet = io.BytesIO()
    FRAME.to_parquet(parquet, row_group_size=9_000)
    text = FRAME.to_csv(index=False).encode()
    return {
        "in.csv": text,
        "in.csv.gz": gzip.compress(text),
        "in.jsonl": FRAME.to_json(orient="records", lines=True).encode(),
        "in.parquet": parquet.getvalue(),
    }


BEHAVIOURS: Final[dict[str, Callable[[Web], object]]] = {
    "ranges": lambda _: None,
    "no ranges": lambda web: setattr(web, "ranges", False),
    "chunked, no length": lambda web: vars(web).update(ranges=False, chunked=True),
    "packed on the way": lambda web: vars(web).update(ranges=False, gzips=True),
    "packed ranges": lambda web: setattr(web, "gzips", True),
    "busy at first": lambda web: setattr(web, "stays_busy", 2),
    "moved": lambda web: web.moved.update({f"/{name}": f"/new/{name}" for name in files()}),
    "moved, no ranges": lambda web: vars(web).update(
        ranges=False, moved={f"/{name}": web.url(f"new/{name}") for name in files()}
    ),
    "other ranges than told": lambda web: setattr(web, "ignores_range_behind", 1),
    "no length in HEAD": lambda web: setattr(web, "lies_in_head", True),
}


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_a_server_of_any_kind_gives_every_row(web: Web, tmp_path: Path, behaviour: str) -> None:
    for name, data in files().items():
        web.put(name, data, ETag='"1"')
        web.put(f"new/{name}", data, ETag='"1"')
    expected = FRAME.to_csv(index=False)
    for name in files():
        BEHAVIOURS[behaviour](web)
        muster.run(same, web.url(name), tmp_path / "out.csv", workers=0)
        assert (tmp_path / "out.csv").read_text() == expected, name


def test_workers_read_copies_of_what_comes_as_a_stream(web: Web, tmp_path: Path, home: Path) -> None:
    web.ranges = False
    for name, data in files().items():
        url = web.put(name, data, ETag='"1"')
        web.asked.clear()
        muster.run(same, url, tmp_path / "out.csv", workers=2)
        assert (tmp_path / "out.csv").read_text() == FRAME.to_csv(index=False)
        assert len(web.asked) == 3  # what there is, the file, and whether it is still that
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]
    assert home


def versions(kind: str) -> list[dict[str, str]]:
    """List what a server tells of two contents of a file."""
    times = [f"Sun, 09 Sep 2001 01:46:4{at} GMT" for at in range(2)]
    if kind in {"Last_Modified", "ETag"}:
        return [{kind: time} for time in times]
    return [{"ETag": kind, "Last_Modified": time} for time in times]


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("stamp", ["Last_Modified", "ETag", '"same"', 'W/"same"', "bare"])
def test_a_file_that_changes_in_the_middle_of_a_run_is_noticed(
    web: Web, tmp_path: Path, stamp: str, *, ranges: bool
) -> None:
    before, after = versions(stamp)
    (tmp_path / "f.py").write_text(
        "import pathlib, time\n"
        "def wait(df):\n"
        "    pathlib.Path('begun').touch()\n"
        "    while not pathlib.Path('changed').exists(): time.sleep(0.02)\n"
        "    return df\n"
    )
    web.ranges = ranges
    data = files()["in.csv"]
    url = web.put("in.csv", data, **before)
    with started(tmp_path, "run", "f.py:wait", url, "-o", "out.csv", "--workers", "1", start=begun) as run:
        until((tmp_path / "begun").exists)
        web.put("in.csv", data.replace(b"row", b"ROW"), **after)
        (tmp_path / "changed").touch()
        _, said = run.communicate(timeout=60)
    assert run.returncode == 1
    assert "has changed" in said
    assert not (tmp_path / "out.csv").exists()


def test_a_server_that_takes_requests_and_sends_nothing_is_given_up(web: Web) -> None:
    patience = _web.Patience(0.4, part=0.2)
    url = web.put("in.csv", files()["in.csv"], ETag='"1"')
    web.hold = threading.Event()
    copy = io.BytesIO()
    try:
        for ask in (
            lambda: _web.read(url, 100, 200, patience=patience),
            lambda: _web.download(url, copy, patience=patience),
        ):
            with pytest.raises(EngineError, match="has sent nothing") as said:
                ask()
            assert not isinstance(said.value, UnreachableError)  # which would be tried again
    finally:
        web.hold.set()


@pytest.mark.parametrize("tag", ['"same"', 'W/"same"'])
def test_rows_of_two_versions_are_not_mixed_where_only_the_time_tells_them_apart(
    web: Web, tmp_path: Path, tag: str
) -> None:
    """The first is back at the end, so that only the answers tell."""
    (tmp_path / "f.py").write_text(
        "import pathlib, time\n"
        "def wait(df):\n"
        "    pathlib.Path('begun').touch()\n"
        "    while not pathlib.Path('changed').exists(): time.sleep(0.02)\n"
        "    return df\n"
    )
    before, after = versions(tag)
    data = files()["in.csv"]
    url = web.put("in.csv", data, **before)
    with started(
        tmp_path, "run", "f.py:wait", url, "-o", "out.csv", "--workers", "1", "--batch-rows", "500", start=begun
    ) as run:
        until((tmp_path / "begun").exists)
        web.put("in.csv", data.replace(b"row", b"ROW"), **after)
        asked = len(web.asked)
        (tmp_path / "changed").touch()
        until(lambda: len(web.asked) > asked)
        web.put("in.csv", data, **before)
        run.communicate(timeout=60)
    if (tmp_path / "out.csv").exists():
        assert b"ROW" not in (tmp_path / "out.csv").read_bytes()
    else:
        assert run.returncode == 1


@pytest.mark.parametrize("tag", ['"same"', 'W/"same"', f'"{"0" * 32}"'])
def test_a_file_is_unchanged_only_where_tag_and_time_say_so(web: Web, tmp_path: Path, muster: Muster, tag: str) -> None:
    (tmp_path / "f.py").write_text("def same(df):\n    return df\n")
    before, after = versions(tag)
    command = ("run", "f.py:same", web.url("in.csv"), "-o", "out.csv", "--workers", "0")
    for stamp, text in ((before, b"a\n1\n"), (before, b"a\n2\n"), (after, b"a\n2\n")):
        web.put("in.csv", text, **stamp)
        assert muster(*command).code == 0
    is_digest = len(tag) > 30
    assert (tmp_path / "out.csv").read_bytes() == (b"a\n1\n" if is_digest else b"a\n2\n")
    web.put("weak.csv", b"a\n1\n", ETag='W/"same"')
    for text in (b"a\n1\n", b"a\n2\n"):
        web.put("weak.csv", text, ETag='W/"same"')
        assert "nothing tells when" in muster("run", "f.py:same", web.url("weak.csv"), "-o", "weak.csv").err
    assert (tmp_path / "weak.csv").read_bytes() == b"a\n2\n"


def test_what_tells_no_version_is_said_once(web: Web, tmp_path: Path, muster: Muster) -> None:
    (tmp_path / "f.py").write_text("def same(df):\n    return df\n")
    urls = [web.put(f"{at}.csv", b"a\n1\n") for at in range(3)]
    ended = muster("run", "f.py:same", *urls, "-o", "out.csv", "--workers", "0")
    assert ended.code == 0
    assert ended.err.count("nothing tells when") == 1
    assert f"{urls[0]!r} and 2 more" in ended.err
    for url in ("0.csv", "1.csv", "2.csv"):
        web.put(url, b"a\n1\n", Last_Modified="Sun, 09 Sep 2001 01:46:41 GMT")
    assert "nothing tells when" not in muster("run", "f.py:same", *urls, "-o", "out.csv", "--workers", "0").err


@pytest.mark.parametrize("ranges", [True, False])
def test_a_connection_that_ends_too_early_gives_no_output(
    web: Web, tmp_path: Path, muster: Muster, *, ranges: bool
) -> None:
    (tmp_path / "f.py").write_text("def same(df):\n    return df\n")
    web.ranges, web.cut = ranges, 1000
    url = web.put("in.csv", files()["in.csv"], ETag='"1"')
    ended = muster("run", "f.py:same", url, "-o", "out.csv", "--workers", "0")
    assert ended.code == 3, ended.err
    assert url in ended.err
    assert "Traceback" not in ended.err
    assert not (tmp_path / "out.csv").exists()


ONE_ANSWER = ("small.csv", "other")
"""Of one answer, which gives all of a file, no other can differ."""


@pytest.mark.parametrize(
    ("name", "lie"),
    [
        (name, lie)
        for name in ("in.csv", "in.jsonl", "in.parquet", "small.csv")
        for lie in ("half", "other", "short")
        if (name, lie) != ONE_ANSWER
    ],
)
def test_an_answer_that_is_not_of_the_file_that_was_found_gives_no_output(
    web: Web, tmp_path: Path, name: str, lie: str
) -> None:
    url = web.put(name, files().get(name, b"a\n" + b"1\n" * 5000), ETag='"1"')
    web.lies = frozenset({lie})
    with pytest.raises(muster.MusterError, match=r"has said|has changed|became shorter"):
        muster.run(same, url, tmp_path / "out.csv", workers=0)
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize("name", ["in.csv", "in.csv.gz"])
@pytest.mark.parametrize("lie", ["half", "cut", "416"])
def test_a_stream_that_is_not_the_whole_file_gives_no_output(web: Web, tmp_path: Path, name: str, lie: str) -> None:
    web.ranges, web.gzips, web.lies = False, lie == "cut", frozenset({lie})
    url = web.put(name, files()[name], ETag='"1"')
    with pytest.raises(muster.MusterError, match=r"cut off|has changed|416"):
        muster.run(same, url, tmp_path / "out.csv", workers=0)
    assert not (tmp_path / "out.csv").exists()


def test_ctrl_c_does_not_wait_for_the_end_of_a_stream(web: Web, tmp_path: Path) -> None:
    (tmp_path / "f.py").write_text("def f(df):\n    return df\n")
    web.ranges, web.hold = False, threading.Event()
    url = web.put("in.csv", files()["in.csv"])
    try:
        with started(tmp_path, "run", "f.py:f", url, "-o", "out.csv", "--workers", "0") as run:
            until(lambda: len(web.asked) > 1)
            run.send_signal(signal.SIGINT)
            _, said = run.communicate(timeout=20)
    finally:
        web.hold.set()
    assert (run.returncode, "Traceback" in said) == (130, False), said


def test_a_stream_is_copied_in_bounded_memory(web: Web, tmp_path: Path) -> None:
    web.ranges = False
    line = b"%d," + b"x" * 200 + b"\n"
    code = (
        "import muster, pathlib, sys\n"
        "muster.run(lambda df: df.head(1), sys.argv[1], 'out.csv', workers=1)\n"
        "print(pathlib.Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0])\n"
    )
    peaks = []
    for rows in (2_000, 300_000):
        url = web.put(f"{rows}.csv", b"a,b\n" + b"".join(line % at for at in range(rows)), ETag='"1"')
        said = subprocess.run(
            [sys.executable, "-c", code, url], cwd=tmp_path, env=dict(os.environ), check=True, capture_output=True
        )
        peaks.append(int(said.stdout.split()[-1]))
    assert peaks[1] - peaks[0] < 30_000, peaks  # of 62 MB


def test_names_of_the_web_are_asked_for_as_they_are_written(web: Web, tmp_path: Path) -> None:
    for name in ("a%20b.csv", "r[1].csv", "%C3%BC.csv", "a+b*.csv", "q.csv?sheet=1&x=%2F"):
        web.put(name.partition("?")[0], b"a\n1\n", ETag='"1"')
        web.asked.clear()
        muster.run(same, web.url(name), tmp_path / "out.csv", workers=0)
        assert {path for _, path, _ in web.asked} == {f"/{name}"}


def test_a_folder_of_the_web_is_what_its_page_names(web: Web, tmp_path: Path) -> None:
    page = b"<html><a href='a.csv'>a</a><a href='b%20c.csv'>b</a><a href='_SUCCESS'>s</a></html>"
    web.put("in/", page, Content_Type="text/html")
    for name in ("a.csv", "b%20c.csv", "_SUCCESS"):
        web.put(f"in/{name}", b"name\n" + name.encode() + b"\n", ETag='"1"')
    for url in (web.url("in/"), web.url("in/*.csv")):
        muster.run(same, url, tmp_path / "out.csv", workers=0)
        assert (tmp_path / "out.csv").read_text() == "name\na.csv\nb%20c.csv\n"


def test_a_resume_notices_a_change_that_nothing_tells_but_the_bytes(web: Web, tmp_path: Path, muster: Muster) -> None:
    (tmp_path / "f.py").write_text(
        "import os, pathlib\n"
        "def once(df):\n"
        "    if df.index[0] > 2000 and not pathlib.Path('killed').exists():\n"
        "        pathlib.Path('killed').touch(); os._exit(9)\n"
        "    return df\n"
    )
    web.ranges = False
    data = files()["in.csv"]
    command = ("run", "f.py:once", web.put("in.csv", data), "-o", "out.csv", "--workers", "0", "--batch-rows", "1000")
    assert muster(*command).code == 9
    web.put("in.csv", data.replace(b"row", b"ROW"))
    refused = muster(*command)
    assert refused.code == 2
    assert "has changed since" in refused.err
    web.put("in.csv", data)
    assert muster(*command).code == 0
    assert (tmp_path / "out.csv").read_bytes() == data
