"""Epochs of a stream that are taken while the one before is done, and committed beside the next one.

Large epochs are done so; here all of them are.
"""

import random
from pathlib import Path

import pytest

from followed import append, following, joined, kill_a_child, manifest, rejects, rows_out, stopped
from streaming import killed_at_work
from test_listen import free_port
from waiting import until

CODE = """
import muster
from muster._run.streams import turns

turns._LARGE = 0

def step(df):
    if (df["n"] % 1000 == {bad}).any():
        raise ValueError("thirteen")
    return df.assign(double=df["n"] * 2)

pipeline = muster.{source}.map_batches(step).write_csv("out/")
"""
ROWS, BAD, NONE = 6_000, 13, -1


def check(folder: Path, count: int, seed: int) -> None:
    good = [f"{n},{2 * n}" for n in range(count) if n % 1000 != BAD or not (folder / "out.rejects.jsonl").exists()]
    assert joined(folder).splitlines()[1:] == good, f"seed {seed}"
    totals = [line["sources"][-1]["rows"] for line in manifest(folder)]
    assert totals == sorted(totals)
    assert not list((folder / "out.muster" / "spool").iterdir())
    assert not list((folder / "out.muster" / "parts").iterdir())
    assert not list((folder / "out.muster" / "sealed").iterdir())


def test_rows_over_tcp_are_there_once_and_in_order_whatever_is_killed(tmp_path: Path) -> None:
    seed, port = random.randrange(1 << 32), free_port()  # noqa: S311 (moments, no secrets)
    code = CODE.format(source=f"listen_tcp('127.0.0.1:{port}', every=0.0)", bad=NONE)
    (tmp_path / "pipeline.py").write_text(code)
    (tmp_path / "in.csv").write_text("n\n" + "".join(f"{n}\n" for n in range(ROWS)))
    send = ("send", "in.csv", "--to", f"127.0.0.1:{port}", "--rate", "5000")
    dice = random.Random(seed)  # noqa: S311 (likewise)
    print(f"seed {seed}")  # noqa: T201 (shown where it fails)
    killed_at_work(tmp_path, send, dice, times=2, done=rows_out, most=range(1, 2000))
    check(tmp_path, ROWS, seed)


def test_rows_of_files_are_there_once_and_in_order_whatever_is_killed(tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)  # noqa: S311 (moments, no secrets)
    dice, count = random.Random(seed), 0  # noqa: S311 (likewise)
    (tmp_path / "in").mkdir()
    (tmp_path / "pipeline.py").write_text(CODE.format(source="follow_csv('in/', every=0.0)", bad=BAD))
    append(tmp_path / "in" / "a.csv", "n\n")
    for session in range(3):
        with following(tmp_path, "--workers", "2", "--quiet") as process:
            for _ in range(8):
                more = dice.randrange(1, 400)
                append(tmp_path / "in" / "a.csv", "".join(f"{n}\n" for n in range(count, count + more)))
                count += more
                if dice.random() < 0.3:
                    before = rows_out(tmp_path)
                    until(lambda before=before: rows_out(tmp_path) > before or process.poll() is not None)  # type: ignore[misc]
            if dice.random() < 0.5:
                kill_a_child(process.pid, dice)
            if session == 2:
                code, _, err = stopped(tmp_path, process)
                assert code == 4, (err, seed)
            else:
                process.kill()
                process.communicate()
    assert [one["raw"] for one in rejects(tmp_path)] == [str(n) for n in range(BAD, count, 1000)], f"seed {seed}"
    check(tmp_path, count, seed)


@pytest.mark.parametrize("flags", [(), ("--max-bad-rows", "0")])
def test_what_was_done_before_an_epoch_that_stops_the_stream_is_committed(
    tmp_path: Path, flags: tuple[str, ...]
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "pipeline.py").write_text(CODE.format(source="follow_csv('in/', every=0.0)", bad=BAD))
    append(tmp_path / "in" / "a.csv", "n\n1\n")
    with following(tmp_path, "--workers", "1", "--quiet", *flags) as process:
        until(lambda: rows_out(tmp_path) == 1 or process.poll() is not None)
        if flags:
            append(tmp_path / "in" / "a.csv", "13\n")
        else:
            (tmp_path / "in" / "b.csv").write_text("other\n1\n")
        _, err = process.communicate(timeout=120)
    assert process.returncode in {1, 2}, err
    assert joined(tmp_path) == "n,double\n1,2\n"
    journal = (tmp_path / "out.muster" / "journal.jsonl").read_text()
    assert journal.count('"event":"committed"') == 1
