"""Windows of files that are followed: each closes once, with the rows that one run over the files gives it."""

import datetime as dt
import json
import random
import signal
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from conftest import Muster
from followed import append, following, joined, kill_a_child, manifest, rejects, stopped, text_of
from streaming import killed_at_work
from test_follow_killed import forked
from test_listen import free_port
from waiting import until

KINDS = {
    "tumbling": "'1h', time='at', lateness='10m'",
    "overlapping": "'1h', every='20m', time='at', lateness='10m'",
    "sessions": "session='15m', time='at', lateness='10m'",
    "rows": "rows=7",
}
MADE = {
    "agg": "agg(n='count', total=('n', 'sum'), first=('n', 'first'), last=('n', 'last'), mean=('n', 'mean'))",
    "map_groups": "map_groups(packed)",
}
STEPS = """
def packed(df, key):
    return df.assign(key=str(key), total=df["n"].cumsum())
"""
EPOCH = dt.datetime(2026, 1, 1)  # noqa: DTZ001 (a clock without a zone)


def written(folder: Path, window: str, made: str, *, key: str = "group_by('k')", source: str = "") -> None:
    (folder / "in").mkdir(exist_ok=True)
    (folder / "steps.py").write_text(STEPS)
    source = source or "follow_csv('in/', every=0, parse_dates=['at'])"
    (folder / "pipeline.py").write_text(
        f"import muster\nfrom steps import *\n"
        f"pipeline = muster.{source}.{key}.window({window}).{made}.write_csv('out/')\n"
    )


def oracle(folder: Path, muster: Muster, window: str, made: str, *, key: str = "group_by('k')") -> list[str]:
    """Do the same over the files as they are now, in one go."""
    (folder / "once.py").write_text(
        "import muster\nfrom steps import *\n"
        f"pipeline = muster.read_csv('in/', parse_dates=['at']).{key}.window({window}).{made}.write_csv('once.csv')\n"
    )
    ended = muster("run", "once.py", "--workers", "0", "--fresh", "--quiet")
    assert ended.code == 0, ended.err
    return (folder / "once.csv").read_text().splitlines()[1:]


def rows(dice: random.Random, begin: int, count: int) -> str:
    """Make rows whose times go on, by about a minute from one to the next; some are up to ten minutes late."""
    lines = []
    for n in range(begin, begin + count):
        at = EPOCH + dt.timedelta(seconds=60 * n - dice.randrange(600) * (dice.random() < 0.5))
        lines.append(f"{dice.choice(['a', 'b', f'c{dice.randrange(9)}', 'é'])},{at},{n}\n")
    return "".join(lines)


def committed(folder: Path) -> int:
    return text_of(folder / "out.muster" / "journal.jsonl").count('"committed"')


def same(lines: Iterable[str]) -> list[str]:
    """Sort lines; a column whose moments are all midnights is written as dates alone, as by pandas, in each part."""
    return sorted(line.replace(" 00:00:00", "") for line in lines)


def full(lines: list[str], made: str) -> list[str]:
    """Leave out the windows of rows that have fewer than seven, as they are open."""
    if made == "agg":
        return [line for line in lines if line.split(",")[2] == "7"]
    counts = Counter(line.split('"')[1] for line in lines)
    return [line for line in lines if counts[line.split('"')[1]] == 7]


END = "end,2026-03-01 00:00:00,0\n"
"""A row behind all others, whose own window stays open."""


@pytest.mark.parametrize("kind", [*KINDS])
@pytest.mark.parametrize("made", [*MADE])
def test_killed_at_any_moment_windows_are_those_of_one_run_over_the_files(
    tmp_path: Path, muster: Muster, kind: str, made: str
) -> None:
    seed = random.randrange(1 << 32)  # noqa: S311 (moments, no secrets)
    dice, count = random.Random(seed), 0  # noqa: S311 (likewise)
    written(tmp_path, KINDS[kind], MADE[made])
    path, workers = tmp_path / "in" / "a.csv", dice.choice([0, 2])
    path.write_text("k,at,n\n")
    for session in range(3):
        with following(tmp_path, "--workers", str(workers), "--quiet") as process:
            for _ in range(dice.randrange(1, 4)):
                before, more = committed(tmp_path), dice.randrange(20, 200)
                append(path, rows(dice, count, more))
                count += more
                if dice.random() < 0.8:
                    until(lambda before=before: committed(tmp_path) > before or process.poll() is not None, 60)  # type: ignore[misc]
                if workers and dice.random() < 0.5:
                    kill_a_child(process.pid, dice)
            if session == 2:
                append(path, END)
                code, _, err = stopped(tmp_path, process)
                assert code == 0, (err, seed)
            else:
                process.kill()
                process.communicate()
    expected = [line for line in oracle(tmp_path, muster, KINDS[kind], MADE[made]) if not line.startswith("end,")]
    if kind == "rows":
        expected = full(expected, made)
    assert len(expected) > 20
    assert same(joined(tmp_path).splitlines()[1:]) == same(expected), f"seed {seed}"
    assert not (tmp_path / "out.rejects.jsonl").exists()


def test_killed_before_any_operation_on_a_file_no_row_of_a_window_is_lost(tmp_path: Path, muster: Muster) -> None:
    written(tmp_path, KINDS["tumbling"], MADE["agg"])
    path, seed = tmp_path / "in" / "a.csv", random.randrange(1 << 32)  # noqa: S311 (moments, no secrets)
    dice, begin = random.Random(seed), 0  # noqa: S311 (likewise)
    path.write_text("k,at,n\n")
    for _ in range(4):
        append(path, rows(dice, begin, 80))
        begin += 80
        forked(tmp_path, dies_before=dice.randrange(5, 80))
    append(path, END)
    code, _ = forked(tmp_path)
    assert code == 0, f"seed {seed}"
    expected = [line for line in oracle(tmp_path, muster, KINDS["tumbling"], MADE["agg"]) if "end," not in line]
    assert same(joined(tmp_path).splitlines()[1:]) == same(expected), f"seed {seed}"


def in_turn(folder: Path, *texts: str) -> str:
    """Append texts to a file, each once all before is done, also the windows that it closes; tell what was said."""
    path = folder / "in" / "a.csv"
    with following(folder, "--workers", "0") as process:
        for text in texts:
            before = committed(folder)
            append(path, text)
            until(lambda before=before: committed(folder) > before or process.poll() is not None)  # type: ignore[misc]
        code, _, err = stopped(folder, process)
    assert code in {0, 4}, err
    return err


HEADER = "k,at,n\n"
LATE = (
    HEADER + "a,2026-01-01 10:30:00,1\n",
    "a,2026-01-01 12:30:00,2\n",
    "a,2026-01-01 10:40:00,3\nb,2026-01-01 12:10:00,4\n",
)


@pytest.mark.parametrize("late", ["drop", "keep", "oldest"])
def test_a_row_that_is_late_is_counted_and_goes_where_it_was_said(tmp_path: Path, muster: Muster, late: str) -> None:
    written(tmp_path, f"'1h', time='at', late='{late}'", "agg(n='count', total=('n', 'sum'))")
    said = in_turn(tmp_path, *LATE, "c,2026-01-01 14:00:00,5\n")
    assert "1 row came too late for its windows" in said
    (run,) = json.loads(muster("runs", "--json").out)
    assert "windows up to 2026-01-01 14:00:00 are closed, 1 row came too late" in muster("status", run["run"]).out
    noon = "a,2026-01-01 12:00:00,2026-01-01 13:00:00,"
    assert joined(tmp_path).splitlines() == [
        "k,window_start,window_end,n,total",
        "a,2026-01-01 10:00:00,2026-01-01 11:00:00,1,1",
        noon + ("2,5" if late == "oldest" else "1,2"),
        "b,2026-01-01 12:00:00,2026-01-01 13:00:00,1,4",
    ]
    if late != "keep":
        assert not (tmp_path / "out.rejects.jsonl").exists()
        return
    (row,) = rejects(tmp_path)
    assert (row["row"], row["step"], row["key"], row["error"]) == (2, "window", '"a"', "late: its windows were closed")
    assert "'n': 3" in row["raw"]


def test_what_is_open_waits_through_a_stop_and_closes_with_what_comes_then(tmp_path: Path) -> None:
    written(tmp_path, KINDS["tumbling"], "agg(n='count')")
    in_turn(tmp_path, HEADER + "a,2026-01-01 10:30:00,1\n")
    assert manifest(tmp_path) == []
    in_turn(tmp_path, "a,2026-01-01 10:50:00,1\nb,2026-01-01 11:09:59,1\n")
    assert manifest(tmp_path) == []
    said = in_turn(tmp_path, "b,2026-01-01 11:10:00,1\n")
    assert joined(tmp_path) == "k,window_start,window_end,n\na,2026-01-01 10:00:00,2026-01-01 11:00:00,2\n"
    assert "dropped by the function" not in said  # rows that are counted are not lost


def test_a_row_from_the_future_makes_no_other_late(tmp_path: Path) -> None:
    written(tmp_path, "'1h', time='at'", "agg(n='count')")
    said = in_turn(
        tmp_path,
        HEADER + "a,2026-01-01 10:30:00,1\n",
        "a,2099-01-01 10:30:00,1\n",
        "a,2026-01-01 10:40:00,1\n",
        "b,2026-01-01 11:00:00,1\n",
    )
    assert "too late" not in said
    assert joined(tmp_path) == "k,window_start,window_end,n\na,2026-01-01 10:00:00,2026-01-01 11:00:00,2\n"


def test_a_clock_that_is_ahead_closes_windows_and_makes_nothing_late(tmp_path: Path) -> None:
    written(tmp_path, "'1h', time='at', lateness='4h'", "agg(n='count')")
    now = dt.datetime.now(dt.UTC)
    texts = [f"a,{now + dt.timedelta(minutes=minutes):%Y-%m-%dT%H:%M:%SZ},1\n" for minutes in (180, -200, 200)]
    assert "too late" not in in_turn(tmp_path, HEADER + texts[0], *texts[1:])


@pytest.mark.parametrize("window", ["'1h', time='at', idle='1s'", "session='1h', time='at', idle='1s'"])
def test_where_nothing_comes_any_more_windows_close_by_the_clock(tmp_path: Path, window: str) -> None:
    written(tmp_path, window, "agg(n='count')")
    with following(tmp_path, "--workers", "0", "--quiet") as process:
        append(
            tmp_path / "in" / "a.csv",
            HEADER + "a,2026-01-01 10:30:00,1\nb,2026-01-01 10:40:00,1\na,2026-01-01 10:50:00,1\n",
        )
        until(lambda: len(manifest(tmp_path)) == 1)
        assert stopped(tmp_path, process)[0] == 0
    assert [line[0] + line[-2:] for line in joined(tmp_path).splitlines()[1:]] == ["a,2", "b,1"]


@pytest.mark.parametrize("window", ["'300ms'", "'400ms', every='200ms'", "session='200ms'"])
def test_without_a_time_rows_are_cut_by_when_they_come(tmp_path: Path, window: str) -> None:
    written(tmp_path, window, "agg(n='count', total=('n', 'sum'))", key="key_by(None)")
    path = tmp_path / "in" / "a.csv"
    path.write_text(HEADER)
    times = 2 if "every" in window else 1
    with following(tmp_path, "--workers", "0", "--quiet") as process:
        for number in range(4):
            append(path, f"a,2026-01-01,{10**number}\n")
            until(lambda number=number: counted(tmp_path) == times * int("1" * (number + 1)))  # type: ignore[misc]
        code, _, err = stopped(tmp_path, process)
    assert code == 0, err
    assert "too late" not in err


def counted(folder: Path) -> int:
    return sum(int(line.split(",")[-1]) for line in joined(folder).splitlines()[1:])


def test_windows_of_windows_of_all_rows(tmp_path: Path, muster: Muster) -> None:
    made = (
        "agg(n='count').map_batches(renamed).key_by(None).window('1d', time='hour').agg(hours='count', n=('n', 'sum'))"
    )
    written(tmp_path, "'1h', time='at'", made)
    with (tmp_path / "steps.py").open("a") as file:
        file.write("def renamed(df):\n    return df.rename(columns={'window_start': 'hour', 'window_end': 'until'})\n")
    dice = random.Random(5)  # noqa: S311 (rows, no secrets)
    texts = [rows(dice, begin, 500) for begin in range(0, 4000, 500)]
    ordered = "".join(sorted("".join(texts).splitlines(keepends=True), key=lambda line: line.split(",")[1]))
    in_turn(tmp_path, HEADER + ordered[:40_000], ordered[40_000:] + END, "end,2026-03-02 12:00:00,0\n")
    expected = oracle(tmp_path, muster, "'1h', time='at'", made)
    assert same(joined(tmp_path).splitlines()[1:]) == same(line for line in expected if "2026-03" not in line)


def test_a_key_may_be_made_by_a_function(tmp_path: Path) -> None:
    written(tmp_path, "'1h', time='at'", "agg(n='count')", key="group_by(half)")
    with (tmp_path / "steps.py").open("a") as file:
        file.write("def half(df):\n    return df['n'] // 2\n")
    in_turn(tmp_path, HEADER + "a,2026-01-01 10:30:00,2\nb,2026-01-01 10:40:00,3\n", "a,2026-01-01 12:00:00,5\n")
    assert joined(tmp_path) == "half,window_start,window_end,n\n1,2026-01-01 10:00:00,2026-01-01 11:00:00,2\n"


def test_a_row_without_a_time_is_a_bad_row_of_the_stream(tmp_path: Path) -> None:
    written(tmp_path, "'1h', time='at'", "agg(n='count')")
    in_turn(tmp_path, HEADER + "a,2026-01-01 10:30:00,1\na,,2\nb,2026-01-01 12:00:00,3\n")
    assert [(row["row"], row["error"]) for row in rejects(tmp_path)] == [
        (1, "ValueError: the row has no time: 'at' is missing")
    ]
    assert joined(tmp_path) == "k,window_start,window_end,n\na,2026-01-01 10:00:00,2026-01-01 11:00:00,1\n"


@pytest.mark.parametrize(
    ("window", "why"),
    [
        ("'1h', time='at', late='later'", "window(late='later'): there is no such thing to do"),
        ("'1h', lateness='5m'", "window('1h', lateness='5m'): without time= the time of a row is when it has come"),
        ("session='1h', time='at', late='oldest'", "sessions are made of the rows themselves"),
        ("'1h', time='at', idle='0s'", "window(idle='0s'): that is no length of time at all"),
        ("rows=3, late='keep'", "window(rows=3, late='keep'): windows of rows are counted in the order"),
    ],
)
def test_what_a_window_of_a_stream_cannot_have_is_refused(
    tmp_path: Path, muster: Muster, window: str, why: str
) -> None:
    written(tmp_path, window, "agg(n='count')")
    refused = muster("run", "pipeline.py")
    assert (refused.code, why in refused.err) == (2, True), refused.err


def test_groups_of_a_stream_that_are_not_those_of_a_window_are_refused(tmp_path: Path, muster: Muster) -> None:
    written(tmp_path, "'1h', time='at'", "agg(n='count').group_by('k').agg(n=('n', 'sum'))")
    refused = muster("run", "pipeline.py")
    assert refused.code == 2
    assert "A stream has no groups but those of windows" in refused.err


def test_a_column_without_times_stops_the_stream_in_words(tmp_path: Path) -> None:
    written(tmp_path, "'1h', time='k'", "agg(n='count')")
    with following(tmp_path, "--workers", "0", "--quiet") as process:
        append(tmp_path / "in" / "a.csv", HEADER + "a,2026-01-01 10:30:00,1\n")
        _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "The column 'k' holds text, and window goes by the time of each row" in err


@pytest.mark.parametrize("window", ["'1h', time='at'", "session='30m', time='at'"])
def test_a_sum_that_is_too_large_stops_the_stream_until_its_column_is_read_as_decimals(
    tmp_path: Path, window: str
) -> None:
    made, large = "agg(total=('n', 'sum'), most=('n', 'max'))", 9 * 10**18
    written(tmp_path, window, made)
    with following(tmp_path, "--workers", "0", "--quiet") as process:
        times = f"a,2026-01-01 10:00:00,{large}\na,2026-01-01 10:10:00,{large}\nb,2026-01-01 10:10:00,5\n"
        append(tmp_path / "in" / "a.csv", HEADER + times + "c,2026-01-01 12:00:00,1\n")
        _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "fit into 64 bits. Read the column as decimals: dtype={'n': 'float64'}, in a stream with --accept" in err
    written(tmp_path, window, made, source="follow_csv('in/', every=0, parse_dates=['at'], dtype={'n': 'float64'})")
    with following(tmp_path, "--workers", "0", "--accept-changes") as process:
        until(lambda: bool(manifest(tmp_path)) or process.poll() is not None)
        code, _, err = stopped(tmp_path, process)
    assert code == 0, err
    rows = [line.split(",") for line in joined(tmp_path).splitlines()[1:]]
    assert [(row[0], *map(float, row[3:])) for row in rows] == [("a", 2.0 * large, 1.0 * large), ("b", 5.0, 5.0)]


def test_interrupted_a_stream_goes_on_with_its_windows_and_counts_late_rows_on(tmp_path: Path) -> None:
    written(tmp_path, "'1h', time='at'", "agg(n='count')")
    with following(tmp_path, "--workers", "0", "--quiet") as process:
        append(tmp_path / "in" / "a.csv", LATE[0])
        until(lambda: committed(tmp_path) == 1)
        process.send_signal(signal.SIGINT)
        process.communicate()
    said = in_turn(tmp_path, *LATE[1:])
    assert "1 row came too late" in said
    assert "1 row came too late" in in_turn(tmp_path)
    assert json.dumps(manifest(tmp_path)).count('"rows": 1') == 1


def test_windows_of_rows_over_tcp_are_the_same_whatever_is_killed(tmp_path: Path, muster: Muster) -> None:
    seed, port = random.randrange(1 << 32), free_port()  # noqa: S311 (moments, no secrets)
    dice, made = random.Random(seed), MADE["agg"]  # noqa: S311 (likewise)
    written(
        tmp_path, KINDS["overlapping"], made, source=f"listen_tcp('127.0.0.1:{port}', every=0.0, parse_dates=['at'])"
    )
    (tmp_path / "in" / "a.csv").write_text(HEADER + rows(dice, 0, 9_000) + END)
    send = ("send", "in/a.csv", "--to", f"127.0.0.1:{port}", "--rate", "3000")
    print(f"seed {seed}")  # noqa: T201 (shown where it fails)
    killed_at_work(tmp_path, send, dice, times=2, done=committed, most=range(3, 20))
    expected = [line for line in oracle(tmp_path, muster, KINDS["overlapping"], made) if "end," not in line]
    assert same(joined(tmp_path).splitlines()[1:]) == same(expected), f"seed {seed}"


def test_windows_that_close_together_are_sorted_where_they_are_to_be(tmp_path: Path) -> None:
    written(tmp_path, "'1h', time='at', lateness='1h'", "agg(sort=True, n='count')")
    first = HEADER + "c,2026-01-01 10:30:00,1\na,2026-01-01 11:30:00,1\na,2026-01-01 10:40:00,1\n"
    in_turn(tmp_path, first, "b,2026-01-01 13:00:00,1\n")
    assert [(line[0], line.split(",")[1]) for line in joined(tmp_path).splitlines()[1:]] == [
        ("a", "2026-01-01 10:00:00"),
        ("a", "2026-01-01 11:00:00"),
        ("c", "2026-01-01 10:00:00"),
    ]


@pytest.mark.parametrize("key", ["group_by('k')", "map_batches(lambda df: df).group_by('k')"])
def test_what_windows_are_to_give_is_checked_with_the_first_rows_and_not_when_one_closes(
    tmp_path: Path, muster: Muster, key: str
) -> None:
    written(tmp_path, "'1h', time='at'", "agg(n='count')", key=key)
    path = tmp_path / "in" / "a.csv"
    append(path, HEADER + "a,2026-01-01 10:30:00,1\n")
    for made, why in (
        ("agg(n=('zz', 'sum'))", "There is no column 'zz' to work 'n' out of"),
        ("agg(n=('k', 'sum'))", "n=('k', 'sum'): the column 'k' holds text"),
    ):
        written(tmp_path, "'1h', time='at'", made, key=key)
        refused = muster("run", "pipeline.py", "--workers", "0")
        assert why in refused.err, refused.err
    written(tmp_path, "'1h', time='at'", "agg(n='count')", key=key)  # nothing was done, so it is no other stream
    append(path, "a,2026-01-01 12:30:00,1\n")
    with following(tmp_path, "--workers", "0", "--quiet") as process:
        until((tmp_path / "out" / "part-00000000.csv").exists, 60)
        assert stopped(tmp_path, process)[0] == 0


@pytest.mark.parametrize(
    "behind", ["window('1h', time='at').agg(n='count')", "map_batches(lambda df, states: df, state=int)"]
)
def test_a_key_that_is_no_column_is_named(tmp_path: Path, muster: Muster, behind: str) -> None:
    (tmp_path / "in").mkdir()
    append(tmp_path / "in" / "a.csv", HEADER + "a,2026-01-01 10:30:00,1\n")
    read = "muster.follow_csv('in/', parse_dates=['at']).key_by('kk')"
    (tmp_path / "pipeline.py").write_text(f"import muster\npipeline = {read}.{behind}.write_csv('out/')\n")
    refused = muster("run", "pipeline.py", "--workers", "0")
    assert (refused.code, "There is no column 'kk' to group by. Did you mean 'k'?" in refused.err) == (2, True)


def test_what_has_changed_of_groups_and_windows_is_told_as_it_was_typed(tmp_path: Path, muster: Muster) -> None:
    written(tmp_path, "'1h', time='at'", "agg(n='count')")
    in_turn(tmp_path, HEADER + "a,2026-01-01 10:30:00,1\n")
    for window, made, key, why in (
        (
            "'90m', every='30m', time='at'",
            "agg(n='count')",
            "group_by('k')",
            "are window('90m', every='30m', time='at')",
        ),
        (
            "'1h', time='at'",
            "agg(sort=True, n=('n', 'sum'))",
            "group_by('k')",
            "n='count', and are group_by('k').window(...) with sort=True, n=('n', 'sum') now",
        ),
        (
            "'1h', time='at'",
            "agg(n='count')",
            "group_by(['k', 'at'], dropna=False)",
            "are group_by(['k', 'at'], dropna=False).window(...) with n='count' now",
        ),
    ):
        written(tmp_path, window, made, key=key)
        refused = muster("run", "pipeline.py", "--workers", "0")
        assert refused.code == 2
        assert why in refused.err, refused.err
        assert "argument" not in refused.err
