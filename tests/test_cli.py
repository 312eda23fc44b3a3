"""The command line: what it prints where, and how it ends."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from conftest import MUSTER, Ended, Muster
from muster._api.generate import generate

SLOW = """
import time

def slow(df):
    deadline = time.monotonic() + 0.002 * len(df)
    while time.monotonic() < deadline:
        pass
    if (df["ID"] == 7).any():
        raise ValueError("seven")
    return df

def broken(df):
    return df["NOPE"]
"""


@pytest.fixture
def rows(tmp_path: Path) -> str:
    (tmp_path / "slow.py").write_text(SLOW)
    generate(1000, tmp_path / "rows.csv")
    return "rows.csv"


def test_generated_rows_are_the_seeds_and_the_same_every_time(muster: Muster, tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        assert muster("generate", "--rows", "3", "-o", name).code == 0
    lines = (tmp_path / "a.csv").read_text().splitlines()
    assert lines[0] == "ID,SKU,FLUX,MANUFACTURER_NAME,DESCRIPTION"
    row, sku, flux, name, description = lines[1].split(",")
    assert (row, name) == ("0", "cfcd208495d565ef66e7dff9f98764da")
    assert 1 <= int(sku) <= 100_000
    assert 0 <= float(flux) < 1
    assert description == name * 2
    assert len(lines) == 4
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_generate_replaces_what_it_wrote_and_no_other_file(muster: Muster, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("a\n1\n")
    refused = muster("generate", "--rows", "3", "-o", "mine.csv")
    assert (refused.code, "is not replaced" in refused.err) == (2, True)
    assert (tmp_path / "mine.csv").read_text() == "a\n1\n"
    (tmp_path / "empty.csv").touch()
    assert [muster("generate", "--rows", n, "-o", "empty.csv").code for n in ("3", "2")] == [0, 0]
    assert len((tmp_path / "empty.csv").read_text().splitlines()) == 3
    assert "would mean standard output" in muster("generate", "--rows", "3", "-o", "-").err


def test_json_is_the_last_line_of_standard_output_and_progress_goes_to_standard_error(
    muster: Muster, rows: str
) -> None:
    ended = muster("run", "slow.py:slow", rows, "-o", "out.csv", "--json")
    assert ended.code == 4
    assert list(ended.json) == [
        *("rows_in", "rows_out", "bad_rows", "parts", "resumed_parts", "workers", "machines", "seconds"),
        *("rows_per_second", "output", "rejects", "cost", "remedy"),
    ]
    assert len(ended.out.splitlines()) == 1
    assert ended.json["rows_in"] == 1000
    assert ended.json["rows_out"] == 999
    assert ended.json["rejects"] == "out.csv.rejects.jsonl"
    assert "out.csv: 999 rows of 1,000" in ended.err
    assert "of the workers' time was your function" in ended.err
    assert "1 bad row is in out.csv.rejects.jsonl" in ended.err


def test_a_quiet_run_says_only_that_rows_were_rejected(muster: Muster, rows: str) -> None:
    ended = muster("run", "slow.py:slow", rows, "-o", "out.csv", "--quiet")
    assert (ended.code, ended.out, len(ended.err.splitlines())) == (4, "", 1)


def test_on_a_terminal_a_live_bar_shows_rows_pace_time_left_workers_and_bad_rows(tmp_path: Path, rows: str) -> None:
    ours, theirs = pty.openpty()
    command = [*MUSTER, "run", "slow.py:slow", rows, "-o", "out.csv", "--workers", "2"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "160"}
    process = subprocess.Popen(command, cwd=tmp_path, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    seen = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # how Linux says that the other side has closed
            break
        if not piece:
            break
        seen += piece
    os.close(ours)
    assert process.wait(timeout=60) == 4
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen.decode())
    assert re.search(
        r"\d+% [\d,]+ of 1,000 rows, [\d,]+ rows/s, [\d.]+ s( to [\d.]+ s)? left, 2 workers, 1 bad", text
    ), text
    assert "out.csv: 999 rows of 1,000" in text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run"], "TARGET"),
        (["run", "slow.py:slow", "rows.csv"], "-o OUTPUT"),
        (["run", "nofile.py:slow", "rows.csv", "-o", "out.csv"], "No file 'nofile.py'"),
        (["run", "slow.py:nope", "rows.csv", "-o", "out.csv"], "It defines: slow, broken"),
        (["run", "slow.py", "rows.csv", "-o", "out.csv"], "has no 'pipeline'"),
        (["run", "no_such_module:slow", "rows.csv", "-o", "out.csv"], "No module 'no_such_module'"),
        (["run", "slow.py:slow", "nothing-*.csv", "-o", "out.csv"], "No input at 'nothing-*.csv'"),
        (["run", "slow.py:slow", "rows.csv", "-o", "out.xlsx"], "no suffix that says its format"),
        (["run", "slow.py:slow", "rows.csv", "-o", "nowhere/out.csv"], "Make it first"),
        (["run", "slow.py:slow", "rows.csv", "-o", "out.csv", "--workers", "-1"], "0 or more"),
        (["run", "slow.py:slow", "rows.csv", "-o", "out.csv", "--batch-rows", "0"], "1 or more"),
        (["run", "slow.py:slow", "rows.csv", "-o", "out.csv", "--dtype", "NOPE=int"], "the input has not: NOPE"),
        (["run", "slow.py:slow", "rows.csv", "-o", "out.csv", "--dtype", "ID=bogus"], "no such type"),
        (["run", "slow.py:slow", "rows.csv", "-o", "out.csv", "--dtype", "ID=int,ID=str"], "names 'ID' twice"),
        (["run", "slow.py:slow", "rows.csv", "-o", "out.csv", "--timeout", "soon"], "is no time"),
        (["run", "slow.py:slow", "rows.csv", "-o", "out.csv", "--delimiter", "::"], "one byte"),
        (["run", "slow.py:slow", "rows.csv", "-o", "out.csv", "--encoding", "klingon"], "no such encoding"),
        (["run", "slow.py:slow", "rows.csv", "-o", "rows.csv"], "both input and output"),
        (["generate", "--rows", "-3", "-o", "x.csv"], "0 or more"),
        (["run", "slow.py:slow", "rows.csv", "-o", "-", "--format", "csv"], "'-' would mean standard output"),
        (["run", "slow.py:slow", "rows.csv", "-o", "x{date}.csv"], "has {date} in it, which --since-last fills in"),
        (["run", "slow.py:slow", "rows.csv", "-o", "{name}.csv"], "Use --each"),
        (["fly"], "invalid choice"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_command_ends_with_2_says_what_to_type_and_leaves_nothing(
    muster: Muster, tmp_path: Path, rows: str, arguments: list[str], says: str
) -> None:
    before = sorted(path.name for path in tmp_path.iterdir())
    ended = muster(*arguments)
    assert ended.code == 2, ended.err
    assert says in ended.err
    assert "Traceback" not in ended.err
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "__pycache__") == before
    assert rows


def test_a_function_that_always_raises_stops_the_run_and_shows_the_users_own_frames(muster: Muster, rows: str) -> None:
    ended = muster("run", "slow.py:broken", rows, "-o", "out.csv", "--max-bad-rows", "10")
    assert ended.code == 1
    assert "KeyError: 'NOPE'" in ended.err
    assert 'slow.py", line 13, in broken' in ended.err
    assert "site-packages" not in ended.err
    assert "type the same command again" in ended.err


def test_a_file_that_cannot_be_imported_shows_the_users_traceback(muster: Muster, tmp_path: Path, rows: str) -> None:
    (tmp_path / "typo.py").write_text("import pandas\nimport no_such_thing\n")
    ended = muster("run", "typo.py:f", rows, "-o", "out.csv")
    assert ended.code == 1
    assert 'typo.py", line 2' in ended.err
    assert "No module named 'no_such_thing'" in ended.err
    assert "muster/_" not in ended.err


def test_runs_lists_finished_runs_newest_first_as_a_table_and_as_json(muster: Muster, rows: str) -> None:
    assert "No runs yet" in muster("runs").out
    for name in ("first.csv", "second.csv"):
        assert muster("run", "slow.py:slow", rows, "-o", name).code == 4
    table = muster("runs").out.splitlines()
    assert [line.split()[-1] for line in table[1:]] == ["second.csv", "first.csv"]
    found = json.loads(muster("runs", "--json").out)
    assert [run["output"] for run in found] == ["second.csv", "first.csv"]
    assert found[0]["rows_in"] == 1000


CHATTY = """
def chatty(df):
    for _ in df.index:
        print("x" * 200)
    return df
"""


def redirected(folder: Path, streams: str, *arguments: str) -> Ended:
    """Run ``muster ...`` as a shell does, with streams closed or led elsewhere."""
    command = ["/bin/sh", "-c", f'"$@" {streams}', "sh", *MUSTER, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    return Ended(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("workers", ["0", "2"])
@pytest.mark.parametrize(
    ("streams", "code", "says"),
    [
        (">&-", 3, "it is closed. The run is finished, and 'out.csv' is complete"),
        (">/dev/full", 3, "No space left on device. The run is finished"),
        ("2>&-", 0, ""),
        ("2>/dev/full", 0, ""),
        ("<&-", 0, "out.csv: 1,000 rows of 1,000"),
        ("<&- >&- 2>&-", 3, ""),
        (">/dev/full 2>/dev/full", 3, ""),
    ],
)
def test_a_stream_that_is_closed_or_full_changes_nothing_in_a_run_but_who_is_told(  # noqa: PLR0913, PLR0917 (a row)
    tmp_path: Path, rows: str, workers: str, streams: str, code: int, says: str
) -> None:
    (tmp_path / "chatty.py").write_text(CHATTY)
    command = ("run", "chatty.py:chatty", rows, "-o", "out.csv", "--workers", workers)
    ended = redirected(tmp_path, streams, *command, "--json")
    assert ended.code == code, ended.err
    assert says in ended.err
    assert "Traceback" not in ended.err
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / rows).read_bytes()
    assert not (tmp_path / "out.csv.rejects.jsonl").exists()
    if code == 0:
        assert ended.json["rows_out"] == 1000
    assert redirected(tmp_path, streams, *command).code == 0


@pytest.mark.parametrize("streams", [">&-", ">/dev/full"])
@pytest.mark.parametrize("arguments", [("runs",), ("runs", "--json"), ("status",)], ids=" ".join)
def test_what_cannot_be_printed_is_said_so(tmp_path: Path, streams: str, arguments: tuple[str, ...]) -> None:
    ended = redirected(tmp_path, streams, *arguments)
    assert (ended.code, ended.err.count("\n")) == (3, 1)
    assert "Cannot print to standard output" in ended.err


def test_a_run_whose_errors_nobody_reads_ends_as_any_other(tmp_path: Path, rows: str) -> None:
    ended = redirected(tmp_path, "2>&-", "run", "slow.py:slow", rows, "-o", "out.csv", "--strict")
    assert (ended.code, ended.out, ended.err) == (1, "", "")


NOT_TEXT = os.fsdecode(b"o\xff")


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet", "/"])
def test_the_name_of_an_output_or_an_input_need_not_be_text(
    muster: Muster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, rows: str, suffix: str
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "utf-8:strict")
    output = NOT_TEXT + suffix
    ended = muster("run", "slow.py:slow", rows, "-o", output, "--json")
    assert ended.code == 4, ended.err
    assert ended.json["output"] == output
    assert ended.json["rejects"] == f"{NOT_TEXT}{suffix.rstrip('/')}.rejects.jsonl"
    assert (tmp_path / ended.json["rejects"]).exists()
    assert "o\\udcff" in muster("runs").out
    assert json.loads(muster("runs", "--json").out)[0]["output"] == output
    again = muster("run", "slow.py:slow", output, "-o", f"{NOT_TEXT}-again.csv", "--json")
    assert (again.code, again.json["rows_out"]) == (0, 999), again.err
    lines = (tmp_path / rows).read_text().splitlines(keepends=True)
    assert (tmp_path / f"{NOT_TEXT}-again.csv").read_text() == "".join(lines[:8] + lines[9:])


@pytest.mark.parametrize(
    ("arguments", "home", "code", "says"),
    [
        (("generate", "--rows", "1", "-o", "rows.csv/x.csv"), "home", 2, "Not a directory"),
        (("generate", "--rows", "1", "-o", "x" * 300), "home", 2, "File name too long"),
        (("generate", "--rows", "1", "-o", "pipe"), "home", 2, "is not a regular file"),
        (("run", "slow.py:slow", "rows.csv", "-o", "x" * 300 + ".csv"), "home", 2, "is too long for this disk"),
        (("runs",), "x" * 300, 3, "File name too long"),
    ],
)
def test_what_the_system_refuses_is_said_without_a_traceback(  # noqa: PLR0913, PLR0917 (a case is a row of the table)
    muster: Muster,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    rows: str,
    arguments: tuple[str, ...],
    home: str,
    code: int,
    says: str,
) -> None:
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setenv("MUSTER_HOME", str(tmp_path / home))
    ended = muster(*arguments)
    assert ended.code == code, ended.err
    assert says in ended.err
    assert "Traceback" not in ended.err
    assert (tmp_path / "pipe").is_fifo()
    assert rows


def test_help_needs_neither_pandas_nor_arrow_nor_numpy() -> None:
    code = "import sys, muster.cli; print([m for m in ('pandas', 'pyarrow', 'numpy', 'rich') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("target", "source", "output"),
    [("f", "in.csv", "out.csv"), ("pipeline", "in.csv", "out.csv"), ("f", "in.parquet", "out.parquet")],
    ids=["text", "groups", "Parquet"],
)
def test_a_small_run_loads_neither_pandas_nor_arrow_nor_numpy_into_its_own_process(
    tmp_path: Path, target: str, source: str, output: str
) -> None:
    (tmp_path / "in.csv").write_text("a,x\n" + "1,2\n" * 1000)
    pd.DataFrame({"a": range(1000)}).to_parquet(tmp_path / "in.parquet")
    (tmp_path / "f.py").write_text(
        "import muster\n\n\ndef f(df):\n    return df\n\n\n"
        "pipeline = muster.read_csv('in.csv').group_by('a').agg(x=('x', 'sum')).write_csv('out.csv')\n"
    )
    arguments = ["run", f"f.py:{target}", source, "-o", output, "--workers", "2", "--quiet"]
    code = f"""if __name__ == "__main__":
        import sys
        from muster import cli
        assert cli.main({arguments}) == 0
        print([m for m in ("pandas", "pyarrow", "numpy", "rich", "asyncio") if m in sys.modules])"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True, cwd=tmp_path
    )
    assert done.stdout.strip() == "[]"
    read = pd.read_parquet if output.endswith(".parquet") else pd.read_csv
    assert len(read(tmp_path / output)) == (1000 if target == "f" else 1)


def test_a_stream_of_text_loads_neither_pandas_nor_arrow_into_its_own_process(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("a,x.y\n" + "1,2\n" * 1000)
    (tmp_path / "p.py").write_text(
        "import muster\n\n\ndef f(df):\n    return df\n\n\n"
        "pipeline = muster.follow_csv('in.csv').map_batches(f).write_csv('out/')\n"
    )
    code = """if __name__ == "__main__":
        import sys, threading, time
        from pathlib import Path
        from muster import cli
        def stop():
            while not Path("out/part-00000000.csv").exists():
                time.sleep(0.05)
            Path("out.muster/stop").touch()
        threading.Thread(target=stop, daemon=True).start()
        assert cli.main(["run", "p.py", "--workers", "1", "--quiet"]) == 0
        print([m for m in ("pandas", "pyarrow") if m in sys.modules])"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True, cwd=tmp_path
    )
    assert done.stdout.strip() == "[]"
    assert len(pd.read_csv(tmp_path / "out" / "part-00000000.csv")) == 1000


def test_what_is_loaded_before_workers_are_started_is_what_starts_them() -> None:
    code = "import sys, muster.__main__; print(sorted(name for name in sys.modules if name.startswith('muster')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    starter = [
        "muster._engines",
        "muster._engines.cores",
        "muster._engines.cores.starter",
        "muster._process",
        "muster._process.environment",
        "muster._process.stdio",
    ]
    assert done.stdout.strip() == str(["muster", "muster.__main__", *starter])


def test_what_makes_bodies_of_workers_brings_no_engine_into_the_process_that_forks_them() -> None:
    code = "import sys, muster._engines.base, muster._run.staffing.bodies; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    loaded = {
        name for name in done.stdout.split() if name.startswith(("muster._engines.", "muster._run.", "muster._job"))
    }
    assert loaded == {"muster._engines.base", "muster._run.staffing", "muster._run.staffing.bodies"}


def test_to_find_rows_loads_no_more_of_numpy_than_numpy_itself() -> None:
    code = """import sys
from muster._dialects import Dialect
from muster._formats.records import scan
before = set(sys.modules)
scan(b'a,b\\n1,"2"\\n' * 100, Dialect(), start=0, atom=100, assume_quoted=False)
scan(b'{"a": 1}\\n' * 100, Dialect(delimiter=""), start=0, atom=100)
print(set(sys.modules) - before)"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("https://h.invalid/folder/out.csv", "nothing can be written there"),
        ("HTTP://h.invalid/out/", "nothing can be written there"),
        ("memory://folder/out.csv", "ends with it"),
    ],
)
def test_an_output_that_nobody_could_read_afterwards_is_refused(
    muster: Muster, rows: str, output: str, said: str
) -> None:
    ended = muster("run", "slow.py:slow", rows, "-o", output)
    assert ended.code == 2
    assert said in ended.err
