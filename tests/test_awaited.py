"""What async functions do with time limits, signals, tasks that they leave behind, and a loop that runs already."""

import asyncio
import signal
from pathlib import Path

import pandas as pd
import pytest

import muster
import waiting
from conftest import Muster, begun, started

BAD = 77
CODE = f"""
import asyncio
import contextlib
import contextvars
import time
from pathlib import Path


def is_bad(df):
    return (df.a == {BAD}).any()


def spin():
    while True:
        time.sleep(0.01)


async def in_a_callback(df):
    if is_bad(df):
        asyncio.get_running_loop().call_soon(spin)
        await asyncio.sleep(1000)
    return df


async def in_a_task_left_behind(df):
    if is_bad(df):
        async def spins():
            spin()
        task = asyncio.create_task(spins())
        await asyncio.sleep(1000)
    return df


async def swallows_a_cancellation(df):
    while is_bad(df):
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(1000)
    return df


async def swallows_everything(df):
    while is_bad(df):
        try:
            await asyncio.sleep(1000)
        except BaseException:
            pass
    return df


async def gathers(df):
    if is_bad(df):
        await asyncio.gather(*(asyncio.sleep(1000) for _ in range(5)))
    return df


async def yields(df):
    yield df.iloc[:0]
    if is_bad(df):
        await asyncio.sleep(1000)
    yield df


def runs_a_loop_of_its_own(df):
    async def main():
        asyncio.get_running_loop().call_soon(spin)
        await asyncio.sleep(1000)
    if is_bad(df):
        asyncio.run(main())
    return df


def swallows_exceptions(df):
    while is_bad(df):
        try:
            time.sleep(1000)
        except Exception:
            pass
    return df


def gives_the_rows_all_the_same(df):
    try:
        if is_bad(df):
            time.sleep(1000)
    except BaseException:
        pass
    return df


class Keeps:
    # A service that the first call starts in the loop, and that all others ask.
    def __init__(self):
        self.asked = None

    async def serve(self):
        while True:
            answer, value = await self.asked.get()
            if not answer.done():
                answer.set_result(value * 2)

    async def __call__(self, df):
        if self.asked is None:
            self.asked = asyncio.Queue()
            self.task = asyncio.create_task(self.serve())
        if is_bad(df):
            await asyncio.sleep(1000)
        answers = []
        for value in df.a:
            answers.append(asyncio.get_running_loop().create_future())
            self.asked.put_nowait((answers[-1], value))
        return df.assign(b=await asyncio.gather(*answers))


CONTEXT = contextvars.ContextVar("context", default="none")


async def reads_the_context(df):
    if is_bad(df):
        raise ValueError("bad")
    await asyncio.sleep(0)
    return df.assign(context=CONTEXT.get())


async def is_cancelled(df):
    if is_bad(df):
        task = asyncio.create_task(asyncio.sleep(1000))
        task.cancel()
        await task
    return df


async def waits_for_ever(df):
    async def spins():
        Path("began").touch()
        spin()
    task = asyncio.create_task(spins())
    await asyncio.sleep(1000)
"""

TIMED = [
    *("in_a_callback", "in_a_task_left_behind", "swallows_a_cancellation", "swallows_everything", "gathers", "yields"),
    *("runs_a_loop_of_its_own", "swallows_exceptions", "gives_the_rows_all_the_same"),
]

IN_A_LOOP = """
import asyncio, sys
import muster, f

async def main():
    f.CONTEXT.set("of the caller")
    function = getattr(f, sys.argv[1])
    result = muster.run(function, "in.csv", "out.csv", workers=0, batch_rows=1, timeout=1.5, progress=False)
    print(result.rows_out, result.bad_rows)

asyncio.run(main())
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "f.py").write_text(CODE)
    (tmp_path / "in.csv").write_text(f"a\n{BAD - 1}\n{BAD}\n{BAD + 1}\n{BAD + 2}\n")
    return tmp_path


@pytest.mark.parametrize("name", TIMED)
def test_a_time_limit_holds_in_this_process_wherever_in_a_loop_it_strikes(
    folder: Path, muster: Muster, name: str
) -> None:
    flags = ("--workers", "0", "--batch-rows", "1", "--timeout", "1500ms")
    ended = muster("run", f"f.py:{name}", "in.csv", "-o", "out.csv", *flags, timeout=60)
    assert ended.code == 4, ended.err
    assert pd.read_csv(folder / "out.csv").a.tolist() == [BAD - 1, BAD + 1, BAD + 2]
    assert "TimeoutError: the function ran longer than the time limit" in (folder / "out.csv.rejects.jsonl").read_text()
    assert "Task" not in ended.err
    assert "coroutine" not in ended.err


def test_after_a_call_over_its_limit_the_loop_has_what_earlier_calls_left_there(folder: Path, muster: Muster) -> None:
    flags = ("--workers", "0", "--batch-rows", "1", "--timeout", "1500ms")
    ended = muster("run", "f.py:Keeps", "in.csv", "-o", "out.csv", *flags, timeout=60)
    assert ended.code == 4, ended.err
    assert pd.read_csv(folder / "out.csv").b.tolist() == [2 * (BAD - 1), 2 * (BAD + 1), 2 * (BAD + 2)]


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_call_that_ends_cancelled_costs_its_rows(folder: Path, muster: Muster, workers: str) -> None:
    ended = muster("run", "f.py:is_cancelled", "in.csv", "-o", "out.csv", "--workers", workers, "--batch-rows", "1")
    assert ended.code == 4, ended.err
    assert pd.read_csv(folder / "out.csv").a.tolist() == [BAD - 1, BAD + 1, BAD + 2]


@pytest.mark.parametrize("name", ["in_a_callback", "in_a_task_left_behind", "swallows_a_cancellation", "Keeps"])
def test_it_holds_where_the_caller_runs_a_loop_whose_thread_is_not_waited_for(
    folder: Path, python: Muster, name: str
) -> None:
    (folder / "script.py").write_text(IN_A_LOOP)
    ended = python("script.py", name, timeout=60)
    assert (ended.code, ended.out.split()) == (0, ["3", "1"]), ended.err


def test_in_a_loop_that_runs_the_function_sees_the_callers_context(folder: Path, python: Muster) -> None:
    (folder / "script.py").write_text(IN_A_LOOP)
    assert python("script.py", "reads_the_context", timeout=60).code == 0
    assert set(pd.read_csv(folder / "out.csv").context) == {"of the caller"}


@pytest.mark.parametrize("workers", ["0", "2"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_run_whose_loop_is_kept_busy_by_a_task(
    folder: Path, workers: str, number: signal.Signals, code: int
) -> None:
    with started(
        folder, "run", "f.py:waits_for_ever", "in.csv", "-o", "out.csv", "--workers", workers, start=begun
    ) as process:
        waiting.until((folder / "began").exists)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == code, said


def test_async_functions_run_in_two_threads_at_a_time(folder: Path, python: Muster) -> None:
    (folder / "script.py").write_text(
        "import threading, muster, f\n"
        "def go(at):\n"
        "    result = muster.run(f.Keeps, 'good.csv', f'out-{at}.csv', workers=0, batch_rows=1, progress=False)\n"
        "    print(result.rows_out)\n"
        "threads = [threading.Thread(target=go, args=(at,)) for at in range(2)]\n"
        "[one.start() for one in threads]\n[one.join() for one in threads]\n"
    )
    (folder / "good.csv").write_text("a\n" + "".join(f"{at}\n" for at in range(100, 150)))
    ended = python("script.py", timeout=60)
    assert ended.out.split() == ["50", "50"], ended.err


def test_a_call_in_a_thread_that_nobody_can_end_does_not_keep_the_run_from_its_end(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text(f"a\n1\n{BAD}\n3\n")
    may_end, has_ended = tmp_path / "may end", tmp_path / "has ended"

    def hold() -> None:
        waiting.until(may_end.exists)
        has_ended.touch()

    async def waits(df: pd.DataFrame) -> pd.DataFrame:
        if (df.a == BAD).any():
            await asyncio.to_thread(hold)
        return df

    result = muster.run(waits, tmp_path / "in.csv", tmp_path / "out.csv", workers=0, timeout=0.5, batch_rows=1)
    assert (result.bad_rows, has_ended.exists()) == (1, False)
    may_end.touch()
    waiting.until(has_ended.exists)
