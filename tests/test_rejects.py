"""Promise 4: one bad row costs one row, whatever is bad about it, and it can be found again."""

import gzip
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

import muster as the_module
from conftest import Muster
from places import COUNT, HEADER, WIDE, Place, assert_all_but


@pytest.fixture
def place(tmp_path: Path, muster: Muster) -> Place:
    return Place(tmp_path, muster)


EVERYWHERE = pytest.mark.parametrize("workers", ["0", "2"])


# Exceptions


@EVERYWHERE
def test_a_row_on_which_the_function_raises_is_rejected_with_all_that_is_known_of_it(
    place: Place, workers: str
) -> None:
    place.function(
        "return df.assign(text=[check(n, t) for n, t in zip(df['n'], df['text'])])",
        before="def check(n, t):\n    if n in (1234, 3999):\n        raise ValueError(f'{n} is bad')\n    return t\n",
    )
    rows = place.rows().read_bytes()
    end = place.run("--workers", workers)
    assert_all_but(place, end, [1234, 3999])
    first = place.rejects[0]
    assert list(first) == ["file", "row", "byte_offset", "raw", "step", "error", "traceback"]
    assert first["file"] == "rows.csv"
    assert first["raw"] == f"1234,{WIDE}"
    assert rows[first["byte_offset"] :].startswith(f"1234,{WIDE}\n".encode())
    assert first["step"] == "f"
    assert first["error"] == "ValueError: 1234 is bad"
    frames = first["traceback"]
    assert "f.py" in frames
    assert "in check" in frames
    assert "raise ValueError" in frames
    assert "muster/" not in frames.replace("muster_", "")
    assert "site-packages" not in frames


def test_inline_and_cores_write_the_same_output_and_the_same_rejects(place: Place, tmp_path: Path) -> None:
    place.function(
        "if df['n'].isin([0, 17, 18, 2000]).any():\n    raise KeyError('no such row')\nreturn df.assign(m=df['n'] * 2)"
    )
    place.rows(r40="40,too,many", r41="41", r3000="not a number," + WIDE)
    written = []
    for workers in ("0", "1", "2"):
        end = place.run("--workers", workers, "--dtype", "n=int64", "--fresh")
        assert_all_but(place, end, [0, 17, 18, 40, 41, 2000, 3000])
        written.append([(tmp_path / name).read_bytes() for name in ("out.csv", "out.csv.rejects.jsonl")])
    assert written[0] == written[1] == written[2]


@EVERYWHERE
def test_whatever_is_raised_costs_only_its_row(place: Place, workers: str) -> None:
    raised = ["SystemExit('enough')", "MemoryError()", "RecursionError()", "StopIteration()", "OSError(28, 'full')"]
    raised += ["GeneratorExit()", *(["KeyboardInterrupt()"] if workers != "0" else [])]
    body = [f"if (df['n'] == {n}).any():\n    raise {what}" for n, what in enumerate(raised, 1000)]
    place.function("\n".join([*body, "return df"]))
    place.rows()
    assert_all_but(place, place.run("--workers", workers), list(range(1000, 1000 + len(raised))))
    assert [reject["error"].partition(":")[0] for reject in place.rejects] == [
        what.partition("(")[0] for what in raised
    ]


@pytest.mark.parametrize(("count", "workers"), [(2, "0"), (3, "1"), (1000, "0"), (1000, "1")])
def test_one_bad_row_costs_a_logarithm_of_calls(place: Place, count: int, workers: str) -> None:
    place.function(
        "with open('calls', 'a') as calls:\n    calls.write(f'{len(df)}\\n')\n"
        f"if (df['n'] == {count * 2 // 3}).any():\n    raise ValueError('bad')\nreturn df"
    )
    place.rows(count)
    end = place.run("--workers", workers, "--batch-rows", str(count))
    assert_all_but(place, end, [count * 2 // 3], count=count)
    sizes = [int(size) for size in (place.folder / "calls").read_text().split()]
    called = [size for size in sizes if size]
    assert len(called) <= 2 * math.log2(count) + 3
    assert sum(called) <= 4 * count


def test_a_step_is_named_in_a_pipeline_of_several(place: Place) -> None:
    (place.folder / "f.py").write_text(
        "import muster\n"
        "def clean(df):\n    return df.assign(n=df.n + 1)\n"
        "def score(df):\n"
        "    if (df.n == 10).any():\n        raise ValueError('ten')\n"
        "    return df\n"
        "pipeline = muster.read_csv('rows.csv').map_batches(clean).map_batches(score).write_csv('out.csv')\n"
    )
    place.rows(100)
    end = place.muster("run", "f.py", "--json", "--quiet", "--workers", "1")
    assert end.code == 4, end.err
    (reject,) = place.rejects
    assert (reject["row"], reject["step"]) == (9, "score")


# Rows that cannot be read


@EVERYWHERE
def test_rows_with_too_few_or_too_many_fields_are_rejected_and_the_others_go_through(
    place: Place, workers: str
) -> None:
    place.function("return df")
    place.rows(r7="7", r8=f"8,{WIDE},more", r3999="3999,a,b,c,d")
    end = place.run("--workers", workers)
    assert_all_but(place, end, [7, 8, 3999])
    errors = [(reject["raw"], reject["step"], reject["error"], reject["traceback"]) for reject in place.rejects]
    assert errors == [
        ("7", "read", "expected 2 fields, found 1", ""),
        (f"8,{WIDE},more", "read", "expected 2 fields, found 3", ""),
        ("3999,a,b,c,d", "read", "expected 2 fields, found 5", ""),
    ]


@EVERYWHERE
def test_a_quote_that_is_never_closed_costs_the_record_that_it_opens(place: Place, workers: str) -> None:
    place.function("return df")
    path = place.rows(3000)
    good = path.read_text()
    path.write_text(good + '3000,"never closed\n' + "".join(f"{n},{WIDE}\n" for n in range(3001, 3100)))
    end = place.run("--workers", workers)
    assert end.code == 4, end.err
    (reject,) = place.rejects
    assert reject["row"] == 3000
    assert reject["byte_offset"] == len(good)
    assert reject["raw"].startswith('3000,"never closed\n3001,')
    assert "never closed" in reject["error"]
    assert place.numbers == list(range(3000))


@EVERYWHERE
def test_a_value_that_does_not_fit_the_type_that_was_fixed_is_a_bad_row(place: Place, workers: str) -> None:
    place.function("return df")
    place.rows(r5="five,x", r6=",x", r7="7.5,x")
    end = place.run("--workers", workers, "--dtype", "n=int64")
    assert_all_but(place, end, [5, 6, 7])
    assert [reject["error"] for reject in place.rejects] == [
        "column 'n': 'five' is not int64",
        "column 'n': a missing value is not int64",
        "column 'n': '7.5' is not int64",
    ]


BAD = "\nif df['n'].isin([3, 50, 51, 399]).any():\n    raise ValueError('bad')\nreturn df"


def awkward_text(newline: str) -> str:
    """Rows with quoted newlines, doubled quotes and letters of several bytes."""
    text = ['a ""quoted"" word', "über\nzwei Zeilen", "plain", "with, comma"]
    return newline.join([HEADER, *(f'{n},"{text[n % 4]}"' for n in range(400)), ""])


@pytest.mark.parametrize(
    ("newline", "name", "workers"),
    [("\n", "rows.csv", "0"), ("\r\n", "rows.csv", "2"), ("\n", "rows.csv.gz", "2"), ("\r\n", "rows.csv.gz", "0")],
)
def test_the_offset_is_where_the_text_of_the_row_is_found(place: Place, newline: str, name: str, workers: str) -> None:
    place.function(BAD)
    data = awkward_text(newline).encode()
    (place.folder / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    end = place.run("--workers", workers, rows=name)
    assert end.code == 4, end.err
    assert [reject["row"] for reject in place.rejects] == [3, 50, 51, 399]
    for reject in place.rejects:
        assert reject["file"] == name
        found = data[reject["byte_offset"] :]
        assert found.startswith(reject["raw"].encode() + newline.encode())
        assert found.startswith(f'{reject["row"]},"'.encode())


def test_rows_count_from_the_start_of_their_own_file(place: Place) -> None:
    place.function("if df['n'].isin([2, 5]).any():\n    raise ValueError('bad')\nreturn df")
    (place.folder / "in").mkdir()
    for at, name in enumerate(["a.csv", "b.csv"]):
        lines = [f"{n},x" for n in range(at * 4, at * 4 + 4)]
        (place.folder / "in" / name).write_text("\ufeff" + "\n".join([HEADER, *lines, ""]), encoding="utf-8")
    end = place.run(rows="in")
    assert end.code == 4, end.err
    assert [(Path(r["file"]).name, r["row"], r["raw"]) for r in place.rejects] == [
        ("a.csv", 2, "2,x"),
        ("b.csv", 1, "5,x"),
    ]
    for reject in place.rejects:
        data = (place.folder / reject["file"]).read_bytes()
        assert data[reject["byte_offset"] :].startswith(reject["raw"].encode())


def test_bytes_that_are_no_text_are_rejected_and_shown(place: Place) -> None:
    place.function("return df")
    path = place.rows(100)
    path.write_bytes(path.read_bytes().replace(b"\n42,xxx", b"\n42,x\xff\xfe"))
    end = place.run()
    assert_all_but(place, end, [42], count=100)
    assert "\\xff\\xfe" in place.rejects[0]["raw"]


# Wrong returns


@EVERYWHERE
def test_a_batch_that_comes_back_as_something_else_costs_the_row_that_made_it_so(place: Place, workers: str) -> None:
    wrong = {
        "None": "TypeError: the function returned NoneType, not a DataFrame",
        "df['n']": "TypeError: the function returned Series, not a DataFrame",
        "df.to_dict()": "TypeError: the function returned dict, not a DataFrame",
    }
    body = [f"if (df['n'] == {n}).any():\n    return {returned}" for n, returned in enumerate(wrong, 2000)]
    place.function("\n".join([*body, "return df"]))
    place.rows()
    assert_all_but(place, place.run("--workers", workers), [2000, 2001, 2002])
    assert [reject["error"] for reject in place.rejects] == list(wrong.values())
    assert {reject["step"] for reject in place.rejects} == {"f"}


def test_an_error_of_a_hundred_thousand_letters_is_cut(muster: Muster, tmp_path: Path) -> None:
    (tmp_path / "long.py").write_text(
        "def refused(df):\n    if (df['a'] == 7).any():\n        raise ValueError('x' * 100_000)\n    return df\n"
    )
    (tmp_path / "long.csv").write_text("a\n" + "".join(f"{n}\n" for n in range(20)))
    run = ("run", "long.py:refused", "long.csv", "-o", "o.csv", "--workers", "0")
    assert muster(*run).code == 4
    bad = json.loads((tmp_path / "o.csv.rejects.jsonl").read_text())
    assert bad["error"].endswith("… (100,012 characters)")
    assert (len(bad["error"]) < 2100, len(bad["traceback"]) < 3000) == (True, True)
    stopped = muster(*run, "--strict", "--fresh")
    assert (stopped.code, len(stopped.err) < 6000) == (1, True)


def test_a_function_that_drops_rows_rejects_none(place: Place) -> None:
    place.function("return df[df['n'] % 2 == 0]")
    place.rows()
    end = place.run()
    assert end.code == 0, end.err
    assert (end.json["rows_in"], end.json["rows_out"], end.json["bad_rows"]) == (COUNT, COUNT // 2, 0)
    assert place.numbers == list(range(0, COUNT, 2))


# Rows that kill

SEGFAULT = "os.kill(os.getpid(), signal.SIGSEGV)"


def test_a_row_that_kills_its_worker_costs_itself_alone(place: Place) -> None:
    deaths = {
        SEGFAULT: "the worker was killed by SIGSEGV, a crash in compiled code (3 times)",
        "ctypes.string_at(0)": "the worker was killed by SIGSEGV, a crash in compiled code (3 times)",
        "os._exit(3)": "the worker exited by itself with status 3 (3 times)",
    }
    body = [f"if (df['n'] == {n}).any():\n    {death}" for n, death in enumerate(deaths, 3210)]
    place.function("\n".join([*body, "return df"]))
    place.rows()
    assert_all_but(place, place.run("--workers", "2"), [3210, 3211, 3212])
    assert [reject["error"] for reject in place.rejects] == list(deaths.values())
    assert place.rejects[0]["raw"] == f"3210,{WIDE}"
    assert place.rejects[0]["step"] == "f"


def test_several_rows_that_kill_raise_or_cannot_be_read_cost_themselves(place: Place) -> None:
    place.function(
        f"if df['n'].isin([10, 11, 1500, 3999]).any():\n    {SEGFAULT}\n"
        "if df['n'].isin([12, 2500]).any():\n    raise ValueError('bad')\n"
        "return df"
    )
    place.rows(r1501="1501", r9="9,a,b")
    end = place.run("--workers", "2", "--dtype", "n=int64")
    assert_all_but(place, end, [9, 10, 11, 12, 1500, 1501, 2500, 3999])


def test_a_batch_that_kills_is_cut_at_other_batches_first(place: Place) -> None:
    place.function(
        "with open('calls', 'a') as calls:\n    calls.write(f'{df.index[0]} {len(df)}\\n')\n"
        f"if (df['n'] == 1234).any():\n    {SEGFAULT}\nreturn df"
    )
    place.rows()
    assert_all_but(place, place.run("--workers", "2", "--batch-rows", "100"), [1234])
    calls = [tuple(map(int, call.split())) for call in (place.folder / "calls").read_text().splitlines()]
    elsewhere = {(first, rows) for first, rows in calls if rows and not 1200 <= first < 1300}
    assert elsewhere == {(first, 100) for first in range(0, COUNT, 100) if first != 1200}


def test_a_worker_that_is_out_of_memory_costs_the_row_that_asked_for_it(place: Place) -> None:
    place.function(
        "if (df['n'] == 77).any():\n    bytearray(1 << 33)\nreturn df",
        before="import resource\nresource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))",
    )
    place.rows()
    assert_all_but(place, place.run("--workers", "2"), [77])
    assert place.rejects[0]["error"].startswith("MemoryError")


# Rows that hang


@pytest.mark.parametrize(
    ("hang", "workers"),
    [
        ("while True: pass", "0"),
        ("while True: pass", "2"),
        ("threading.Event().wait()", "2"),
        ("ctypes.PyDLL(None).pause()", "2"),
    ],
    ids=["a loop inline", "a loop", "a wait", "compiled code that never lets go"],
)
def test_a_row_that_hangs_costs_itself_when_there_is_a_time_limit(place: Place, hang: str, workers: str) -> None:
    place.function(f"if (df['n'] == 1000).any():\n    {hang}\nreturn df")
    place.rows(2000)
    end = place.run("--workers", workers, "--timeout", "150ms")
    assert_all_but(place, end, [1000], count=2000)
    assert "longer than the time limit" in place.rejects[0]["error"]


def test_a_time_limit_is_for_a_call_and_not_for_all_of_them(place: Place) -> None:
    place.function("threading.Event().wait(0.05)\nreturn df")
    place.rows(400)
    end = place.run("--workers", "1", "--batch-rows", "10", "--timeout", "500ms")
    assert end.code == 0, end.err


def test_a_time_limit_in_a_thread_of_a_script_does_not_end_the_script(place: Place) -> None:
    place.rows(100)
    (place.folder / "script.py").write_text(
        "import threading, muster\n"
        "def slow(df):\n    threading.Event().wait(0.2)\n    return df\n"
        "def go():\n    print(muster.run(slow, 'rows.csv', 'out.csv', workers=0, timeout=0.05).rows_out)\n"
        "thread = threading.Thread(target=go)\nthread.start()\nthread.join()\n"
    )
    done = subprocess.run([sys.executable, "script.py"], cwd=place.folder, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "100\n"), done.stderr


# Limits


@EVERYWHERE
@pytest.mark.parametrize("limit", [("--max-bad-rows", "2"), ("--strict",)], ids=["--max-bad-rows", "--strict"])
def test_more_bad_rows_than_allowed_stop_the_run_which_goes_on_when_more_are(
    place: Place, limit: tuple[str, ...], workers: str
) -> None:
    place.function("if df['n'].isin([3000, 3001, 3002]).any():\n    raise ValueError('bad')\nreturn df")
    place.rows()
    end = place.run("--workers", workers, *limit)
    assert end.code == 1
    assert "ValueError: bad" in end.err
    assert "--max-bad-rows" in end.err
    assert "f.py" in end.err
    assert not (place.folder / "out.csv").exists()
    assert not place.rejects
    end = place.run("--workers", workers, "--max-bad-rows", "3")
    assert_all_but(place, end, [3000, 3001, 3002])
    assert end.json["resumed_parts"] > 0


def test_as_many_bad_rows_as_allowed_are_no_reason_to_stop(place: Place) -> None:
    place.function("if (df['n'] < 5).any():\n    raise ValueError('bad')\nreturn df")
    place.rows()
    assert_all_but(place, place.run("--max-bad-rows", "5"), [0, 1, 2, 3, 4])


def test_a_function_that_takes_no_row_stops_soon(place: Place) -> None:
    place.function("with open('calls', 'a') as calls:\n    calls.write('x')\nraise ValueError('always')")
    place.rows()
    assert place.run("--max-bad-rows", "10", "--workers", "1").code == 1
    assert len((place.folder / "calls").read_text()) < 100


def test_a_file_of_bad_rows_only_gives_an_output_without_rows(place: Place) -> None:
    place.function("if len(df):\n    raise (KeyError if df['n'].iloc[0] % 2 else ValueError)()\nreturn df.assign(m=1)")
    place.rows(50)
    assert_all_but(place, place.run("--max-bad-rows", "50"), list(range(50)), count=50)
    assert (place.folder / "out.csv").read_text() == "n,text,m\n"


def test_rejects_of_an_earlier_run_are_gone_after_a_clean_one(place: Place) -> None:
    place.function("if (df['n'] == 5).any():\n    raise ValueError('bad')\nreturn df")
    place.rows(100)
    assert place.run().code == 4
    assert place.rejects
    place.function("return df")
    end = place.run()
    assert end.code == 0
    assert end.json["rejects"] is None
    assert not (place.folder / "out.csv.rejects.jsonl").exists()


def test_rejects_survive_a_stop_and_are_complete_after_the_run_goes_on(place: Place) -> None:
    place.function("if df['n'].isin([1, 3500, 3600]).any():\n    raise ValueError('bad')\nreturn df")
    place.rows()
    assert place.run("--max-bad-rows", "1", "--workers", "1").code == 1
    end = place.run("--workers", "1")
    assert_all_but(place, end, [1, 3500, 3600])


ODD = "def f(df):\n    if (df['n'] == 7).any():\n        raise ValueError('seven')\n    return df\n"


def test_rows_that_could_not_be_read_are_not_said_to_be_mended_in_the_function(muster: Muster, tmp_path: Path) -> None:
    (tmp_path / "f.py").write_text(ODD)
    (tmp_path / "in.csv").write_text("n,text\n1,a\n2,b,c\n3,d,e\n")
    first = muster("run", "f.py:f", "in.csv", "-o", "out.csv", "--workers", "0")
    again = muster("retry", "out.csv", "--workers", "0")
    for ended in (first, again):
        assert ended.code == 4, ended.err
        assert "They could not be read, which no retry changes: mend them in the input" in ended.err
        assert "Mend the function" not in ended.err
    assert "of 2 bad rows none succeeded" in again.err
    with pytest.warns(the_module.RejectedRowsWarning, match="mend them in the input"):
        the_module.run(lambda df: df, tmp_path / "in.csv", tmp_path / "o.csv", workers=0)


def test_of_bad_rows_of_both_kinds_both_are_counted(muster: Muster, tmp_path: Path) -> None:
    (tmp_path / "f.py").write_text(ODD)
    (tmp_path / "in.csv").write_text('n,text\n1,a\n2,b,c\n7,"x"", ""step"": ""read"", ""error"": """\n')
    first = muster("run", "f.py:f", "in.csv", "-o", "out.csv", "--workers", "0")
    assert (
        "1 of them could not be read: mend this one in the input (muster help bad-rows). For the other 1" in first.err
    )
    (tmp_path / "f.py").write_text("def f(df):\n    return df\n")
    again = muster("retry", "out.csv", "--workers", "0")
    assert "1 of 2 bad rows succeeded, and took its place in the output" in again.err
    assert "It could not be read" in again.err
