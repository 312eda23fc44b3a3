"""Measure a stream from its sender to its receiver: rows over TCP, through a cheap function, and on over TCP.

Rows a second, with muster send and muster receive; and, at a rate, how long a row takes from when it is sent until it
is there, as a sender and a receiver of the benchmark's own see it.
"""

import argparse
import contextlib
import re
import resource
import socket
import subprocess
import sys
import tempfile
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles

from _data import DATA, MUSTER, made
from _scaling import CLUSTER, cluster, environment

EVERY = 0.01
"""Seconds between two turns of the sender that goes at a rate."""

ROWS_A_SECOND = 250_000
P99 = 0.05
P99_ON_RAY = 0.15
"""The goals, on 2 cores."""

PIPELINE = """
import muster
def cheap(df):
    return df.assign(FLUX2=df["FLUX"] * 2)
pipeline = muster.listen_tcp("127.0.0.1:0"{more}).map_batches(cheap).send_tcp("127.0.0.1:{port}", folder="out"{ways})
"""

Receiving = Callable[[str, str], Iterator[tuple["subprocess.Popen[str]", int]]]


@contextmanager
def stream(folder: Path, port: int, *flags: str, more: str = "", ways: str = "") -> Iterator[int]:
    """Start one that sends to a port, and give the one that it listens on; it is stopped, with all rows sent on."""
    (folder / "pipeline.py").write_text(PIPELINE.format(port=port, more=more, ways=ways))
    command = [MUSTER, "run", "pipeline.py", *flags]
    with subprocess.Popen(command, cwd=folder, env=environment(), stderr=subprocess.PIPE, text=True) as process:
        said = ""
        while (match := re.search(r"listening on \S+:(\d+)", said)) is None:
            if not (line := process.stderr.readline()):
                raise RuntimeError(said)
            said += line
        hearing = threading.Thread(target=process.stderr.read)
        hearing.start()
        yield int(match[1])
        (folder / "out.muster" / "stop").touch()
        if process.wait():
            raise RuntimeError("the stream failed")
        hearing.join()


def expected(source: Path) -> Path:
    """Give what the function makes of a file, in one run over it."""

    def write(path: Path) -> None:
        with tempfile.TemporaryDirectory(dir=DATA) as folder:
            Path(folder, "cheap.py").write_text(PIPELINE.partition("pipeline")[0].replace("import muster", ""))
            command = [MUSTER, "run", "cheap.py:cheap", source.absolute(), "-o", "out.csv", "--quiet"]
            subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
            Path(folder, "out.csv").replace(path)

    return made(source.with_name(f"through-{source.name}"), write)


def used() -> float:
    """Sum the processor's seconds of processes that have ended, and of theirs."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def carried(source: Path, count: int, receiver: Receiving) -> tuple[float, float]:
    """Send a file through, and compare what came; return seconds, and those of the processor, of all processes."""
    whole, before = expected(source), used()
    with tempfile.TemporaryDirectory(dir=DATA) as name:
        folder = Path(name)
        with receiver(name, "length") as (process, port):
            with stream(folder, port) as own:
                began = time.perf_counter()
                to = ["--to", f"127.0.0.1:{own}"]
                subprocess.run([MUSTER, "send", source, *to], check=True, stdout=subprocess.DEVNULL)
            process.wait()
            seconds, processor = time.perf_counter() - began, used() - before
        subprocess.run(["cmp", whole, folder / "out.csv"], check=True)  # noqa: S607 (wherever it is)
    print(f"through: {count / seconds:,.0f} rows a second", file=sys.stderr)
    return seconds, processor


def delayed(rate: int, seconds: float, *flags: str) -> list[float]:
    """Send rows at a rate through a stream with these flags; return for each how long it took until it was there."""
    arrived: list[int] = []
    heard_at: list[float] = []
    with tempfile.TemporaryDirectory(dir=DATA) as folder, socket.create_server(("127.0.0.1", 0)) as listener:
        hearing = threading.Thread(target=hear, args=(listener, arrived, heard_at))
        hearing.start()
        port = listener.getsockname()[1]
        with (
            stream(Path(folder), port, *flags, more=", every=0.01", ways=", plain=True") as own,
            socket.create_connection(("127.0.0.1", own)) as connection,
        ):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(framed(b'\x01muster1 {"stream": "s", "header": "ID,FLUX"}'))
            drop = threading.Thread(target=read_all, args=(connection,), daemon=True)
            drop.start()
            warm_up(connection, arrived, rate)
            first = arrived[-1]
            counts, sent_at = paced(connection, framed(b"123456,0.25"), rate, int(rate * seconds))
            connection.sendall(framed(b"\x04"))
        hearing.join()
    delays = []
    for begin, end, at in zip([0, *counts], counts, sent_at, strict=False):
        delays += [heard_at[bisect_left(arrived, first + end)] - at] * (end - begin)
    return delays


def warm_up(connection: socket.socket, arrived: list[int], rows: int) -> None:
    """Have the stream settle its types, and all workers load, some of which get no row where there are few."""
    sent = 0
    for count in (1, rows, rows):
        connection.sendall(framed(b"1,0.5") * count)
        sent += count
        while not arrived or arrived[-1] < sent:
            time.sleep(EVERY)


def paced(connection: socket.socket, row: bytes, rate: int, total: int) -> tuple[list[int], list[float]]:
    """Send a row ``total`` times, some at a time; return how many were sent by when."""
    counts, sent_at, began = [0], [0.0], time.perf_counter()
    while counts[-1] < total:
        now = time.perf_counter()
        if (due := min(int((now - began) * rate), total)) > counts[-1]:
            connection.sendall(row * (due - counts[-1]))
            counts.append(due)
            sent_at.append(now)
        time.sleep(EVERY)
    return counts[1:], sent_at[1:]


def hear(listener: socket.socket, arrived: list[int], heard_at: list[float]) -> None:
    """Take rows as a plain receiver does, and note how many there were by when; the first frame is the header."""
    connection, _ = listener.accept()
    rows, rest = -1, b""
    with connection:
        while data := connection.recv(1 << 16):
            now, data, at = time.perf_counter(), rest + data, 0
            while (body := at + 4) <= len(data) and (end := body + int.from_bytes(data[at:body], "big")) <= len(data):
                rows, at = rows + (data[body:end] != b"\x04"), end
            rest = data[at:]
            arrived.append(rows)
            heard_at.append(now)


def read_all(connection: socket.socket) -> None:
    """Read what is acknowledged, which is of no interest here."""
    with contextlib.suppress(OSError):  # it is closed
        while connection.recv(1 << 16):
            pass


def framed(payload: bytes) -> bytes:
    return len(payload).to_bytes(4, "big") + payload


def report(source: Path, receiver: Receiving, parsed: argparse.Namespace) -> None:
    """Print what was measured, with the goals."""
    runs = [carried(source, parsed.rows, receiver) for _ in range(parsed.rounds)]
    pace, processor = parsed.rows / median(run[0] for run in runs), median(run[1] for run in runs) / parsed.rows * 1e6
    here = delayed(parsed.rate, parsed.seconds)
    with cluster(1, 2):
        on_ray = delayed(parsed.rate, parsed.seconds, "--cluster", CLUSTER)
    met = {True: "met", False: "not met"}
    print(
        f"\n- TCP in, a cheap function, TCP out: {pace:,.0f} rows a second (goal: at least {ROWS_A_SECOND:,};"
        f" {met[pace >= ROWS_A_SECOND]}), {processor:.2f} µs of the processor a row in all"
    )
    for where, delays, goal in (("", here, P99), (", on a cluster of Ray on this computer", on_ray, P99_ON_RAY)):
        percents = quantiles(delays, n=100)
        print(
            f"- at {parsed.rate:,} rows a second, from sender to receiver{where}: p50 {percents[49] * 1e3:.1f} ms, p99"
            f" {percents[98] * 1e3:.1f} ms (goal: at most {goal * 1e3:.0f} ms; {met[percents[98] <= goal]}), longest"
            f" {max(delays) * 1e3:.1f} ms"
        )
