"""Measure streams: muster send to muster receive over loopback, each row a frame of its own; and through a function.

Rows a second, with the start of the sender's process and the file on disk at the end; and, at a rate, how long a row
takes until it is acknowledged, which is after it is on disk. Prints markdown.
"""

import argparse
import json
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles

import through
from _data import DATA, MUSTER, rows
from through import framed, paced, used


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3, help="of each way (default: %(default)s)")
    parser.add_argument(
        "--rate", type=int, default=20_000, help="rows a second to look at delays (default: %(default)s)"
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="of that (default: %(default)s)")
    parsed = parser.parse_args()
    DATA.mkdir(exist_ok=True)
    source = rows(parsed.rows)
    print("| | rows a second | processor, sender and receiver |\n|---|---|---|")
    for framing in ("length", "lines"):
        runs = [carried(source, parsed.rows, framing) for _ in range(parsed.rounds)]
        seconds, processor = (median(run[at] for run in runs) for at in (0, 1))
        print(f"| framing {framing} | {parsed.rows / seconds:,.0f} | {processor / parsed.rows * 1e6:.2f} µs a row |")
    delays = delayed(parsed.rate, parsed.seconds)
    percents = quantiles(delays, n=100)
    print(f"\nAt {parsed.rate:,} rows a second, until acknowledged: p50 {percents[49] * 1e3:.1f} ms,", end=" ")
    print(f"p99 {percents[98] * 1e3:.1f} ms, longest {max(delays) * 1e3:.1f} ms.")
    through.report(source, receiver, parsed)


@contextmanager
def receiver(folder: str, framing: str) -> Iterator[tuple["subprocess.Popen[str]", int]]:
    """Start one, which ends with the stream."""
    command = [MUSTER, "receive", "-o", f"{folder}/out.csv", "--once", "--listen", "0", "--framing", framing]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        match = re.search(r":(\d+),", process.stdout.readline())
        yield process, int(match[1])


def carried(source: Path, count: int, framing: str) -> tuple[float, float]:
    """Send a file, and compare what came; return seconds, and those of the processor."""
    before = used()
    with tempfile.TemporaryDirectory(dir=DATA) as folder:
        with receiver(folder, framing) as (process, port):
            began = time.perf_counter()
            to = ["--to", f"127.0.0.1:{port}", "--framing", framing]
            subprocess.run([MUSTER, "send", source, *to], check=True, stdout=subprocess.DEVNULL)
            process.wait()
            seconds = time.perf_counter() - began
        subprocess.run(["cmp", source, f"{folder}/out.csv"], check=True)  # noqa: S607 (wherever it is)
    print(f"{framing}: {count / seconds:,.0f} rows a second", file=sys.stderr)
    return seconds, used() - before


def delayed(rate: int, seconds: float) -> list[float]:
    """Send rows at a rate; return for each how long it took until it was acknowledged."""
    safe: list[int] = []
    heard_at: list[float] = []
    with (
        tempfile.TemporaryDirectory(dir=DATA) as folder,
        receiver(folder, "length") as (_, port),
        socket.create_connection(("127.0.0.1", port)) as connection,
    ):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(framed(b'\x01muster1 {"stream": "s", "header": "x"}'))
        hearing = threading.Thread(target=hear, args=(connection, safe, heard_at))
        hearing.start()
        counts, sent_at = paced(connection, framed(b"x" * 132), rate, int(rate * seconds))
        connection.sendall(framed(b"\x04"))
        hearing.join()
    delays = []
    for begin, end, at in zip([0, *counts], counts, sent_at, strict=False):
        delays += [heard_at[bisect_left(safe, end)] - at] * (end - begin)
    return delays


def hear(connection: socket.socket, safe: list[int], heard_at: list[float]) -> None:
    """Note what is safe by when."""
    with connection.makefile("rb") as file:
        while header := file.read(4):
            answer = json.loads(file.read(int.from_bytes(header, "big")))
            safe.append(answer["safe"])
            heard_at.append(time.perf_counter())
            if answer.get("ended"):
                return


if __name__ == "__main__":
    main()
