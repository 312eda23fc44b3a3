"""Who is to blame for a death: rows pay for what they do, and not for what a worker had piled up before them."""

from pathlib import Path

import psutil
import pytest

from conftest import Muster
from places import Place, assert_all_but

ROWS = 1200


@pytest.fixture
def place(tmp_path: Path, muster: Muster) -> Place:
    made = Place(tmp_path, muster)
    made.rows(ROWS)
    return made


# Memory


def test_rows_do_not_pay_for_the_memory_that_earlier_calls_took(place: Place) -> None:
    place.function(
        "SEEN.append(len(df))\nif len(SEEN) > 5:\n    raise MemoryError\nreturn df",
        before="SEEN = []",
    )
    end = place.run("--workers", "2", "--batch-rows", "30")
    assert end.code == 0, end.err
    assert place.numbers == list(range(ROWS))


def test_a_worker_that_leaks_is_replaced_when_its_memory_is_full(place: Place) -> None:
    place.function(
        "LEAK.append(bytearray(100 << 20))\nreturn df",
        before="import resource\nresource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))\nLEAK = []",
    )
    end = place.run("--workers", "1", "--batch-rows", "40")
    assert end.code == 0, end.err
    assert place.numbers == list(range(ROWS))


def test_a_worker_that_dies_of_what_piled_up_costs_no_row(place: Place) -> None:
    place.function(
        "SEEN.append(len(df))\nif len(SEEN) > 7:\n    os.kill(os.getpid(), signal.SIGKILL)\nreturn df",
        before="SEEN = []",
    )
    end = place.run("--workers", "2", "--batch-rows", "30")
    assert end.code == 0, end.err
    assert place.numbers == list(range(ROWS))


def test_a_row_that_asks_for_too_much_memory_is_found_among_calls_that_leak(place: Place) -> None:
    place.function(
        "SEEN.append(len(df))\nif len(SEEN) > 9 or (df['n'] == 777).any():\n    raise MemoryError\nreturn df",
        before="SEEN = []",
    )
    end = place.run("--workers", "2", "--batch-rows", "100")
    assert_all_but(place, end, [777], count=ROWS)


# Time


@pytest.mark.parametrize(
    "trick",
    [
        "signal.signal(signal.SIGALRM, signal.SIG_IGN)",
        "signal.setitimer(signal.ITIMER_REAL, 0)",
        "signal.alarm(60)",
        "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())",
    ],
    ids=["ignored", "stopped", "another alarm", "all signals blocked"],
)
def test_a_time_limit_holds_whatever_the_function_does_with_signals(place: Place, trick: str) -> None:
    place.function(f"if (df['n'] == 500).any():\n    {trick}\n    while True: pass\nreturn df")
    end = place.run("--workers", "2", "--timeout", "200ms", "--batch-rows", "300")
    assert_all_but(place, end, [500], count=ROWS)
    assert "longer than the time limit" in place.rejects[0]["error"]


def test_a_function_may_have_an_alarm_of_its_own_beside_a_time_limit(place: Place) -> None:
    place.function(
        "signal.signal(signal.SIGALRM, lambda *_: RUNG.append(1))\nbefore = len(RUNG)\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.01)\nwhile len(RUNG) == before: pass\nreturn df",
        before="RUNG = []",
    )
    end = place.run("--workers", "1", "--timeout", "20s", "--batch-rows", "600")
    assert end.code == 0, end.err


def test_a_time_limit_inline_holds_though_the_function_sets_the_handler(place: Place) -> None:
    place.function(
        "if (df['n'] == 500).any():\n    while True: pass\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)\nreturn df"
    )
    end = place.run("--workers", "0", "--timeout", "150ms", "--batch-rows", "300")
    assert_all_but(place, end, [500], count=ROWS)


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_time_limit_is_for_loading_too_which_stops_the_run_and_names_the_function(place: Place, workers: str) -> None:
    place.function("return df", before="while True: pass")
    end = place.run("--workers", workers, "--timeout", "500ms")
    assert end.code == 1, end.err
    assert "oading 'f'" in end.err
    assert "longer than the time limit" in end.err


def test_no_row_pays_for_what_is_loaded_anew_after_a_death(place: Place) -> None:
    place.rows(40)
    place.function(
        "if (df['n'] == 23).any():\n    os._exit(9)\nreturn df",
        before="if os.path.exists('loaded'):\n    threading.Event().wait(0.4)\nopen('loaded', 'w').close()",
    )
    end = place.run("--workers", "1", "--timeout", "200ms", "--batch-rows", "4")
    assert_all_but(place, end, [23], count=40)
    assert "status 9" in place.rejects[0]["error"]


def test_a_function_that_kills_its_worker_when_it_is_loaded_is_named(place: Place) -> None:
    place.function("return df", before="os.kill(os.getpid(), signal.SIGKILL)")
    end = place.run("--workers", "1")
    assert end.code == 1, end.err
    assert "Loading 'f' ended its worker" in end.err


def test_what_a_call_started_ends_with_it_at_the_time_limit(place: Place) -> None:
    place.function(
        "if (df['n'] == 500).any():\n"
        "    child = subprocess.Popen(['sleep', '1000'])\n"
        "    open('started', 'a').write(f'{child.pid}\\n')\n"
        "    child.wait()\n"
        "return df",
        before="import subprocess",
    )
    end = place.run("--workers", "1", "--timeout", "300ms", "--batch-rows", "1")
    assert_all_but(place, end, [500], count=ROWS)
    started = [int(pid) for pid in (place.folder / "started").read_text().split()]
    assert started
    assert [pid for pid in started if psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie"] == []


def test_what_calls_left_running_ends_with_the_run(place: Place) -> None:
    place.function(
        "child = subprocess.Popen(['sleep', '1000'])\nopen('started', 'a').write(f'{child.pid}\\n')\nreturn df",
        before="import subprocess",
    )
    assert place.run("--workers", "2").code == 0
    started = [int(pid) for pid in (place.folder / "started").read_text().split()]
    assert started
    assert [pid for pid in started if psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie"] == []
