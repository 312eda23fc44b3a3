"""The leash of a rented machine: it powers the machine off when nobody renews a lease on it.

It is the first thing that the machine runs, as root, by whichever Python 3 its image has: nothing of muster is there
yet, and maybe nobody will ever reach it. ``leash.py SECONDS MARK LEASES...`` returns at once, and leaves two processes:
one looks at leases and tells the other until when the machine may live, and each ends it then, though the other hangs.
Where one of them is killed, or told to end, the machine ends at once; the file MARK holds the id of one, by which
others see that it runs. It has SECONDS from the start on, whatever else there is, and lives on for as long as a lease
lasts. LEASES are patterns of files, as ``lease`` keeps them: each holds how many seconds the machine may live without
being renewed, and touching it renews. Where one is taken away, what it has said last still counts.

A power-off ends the machine for good: it is launched so that its maker takes it back then.
"""

import glob
import os
import select
import signal
import struct
import subprocess
import sys
import time
from typing import Dict, List, Tuple  # noqa: UP035 (a machine's Python may be 3.8)

TICK = 1.0
"""So late the machine ends behind its time."""

LATE_SECONDS = 5.0
"""How much later than its lease a machine ends, so that what works on it, which keeps the same lease, ends in order."""

ORDERLY_SECONDS = 20.0
"""How long an orderly end may take before the machine is cut off."""

LONGEST_LEASE = 366 * 24 * 3600.0
"""What a file that says more, or no number, cannot lengthen the machine's life by."""

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_NEVER_KILLED = "-1000"
"""What says to the kernel that memory is not to be had by killing this."""

_END = struct.Struct("d")
_TO_END = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)


def main() -> None:
    """Leave the two behind."""
    seconds, mark, leases = float(sys.argv[1]), sys.argv[2], sys.argv[3:]
    if child := os.fork():
        with open(f"{mark}.new", "w") as file:
            file.write(str(child))
        os.rename(f"{mark}.new", mark)
        return
    _detach()
    for number in _TO_END:  # systemd sends one when it ends what cloud-init has started, pkill when it is typed
        signal.signal(number, _power_off)
    watched, end = os.getpid(), _now() + seconds
    heard, told = os.pipe()
    try:
        if os.fork():
            os.close(told)
            _wait_for_word(heard, end)
        else:
            os.close(heard)
            _wait_until_over(end, leases, watched, told)
    finally:
        _power_off()  # also where there is no memory, or the other was killed while it was told something


def _detach() -> None:
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nothing, number)
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write(_NEVER_KILLED)
    except OSError:
        pass


def _wait_for_word(heard: int, end: float) -> None:
    """Wait until the other is gone, or what it told last is over and it tells nothing later: it may hang."""
    while True:
        ready, _, _ = select.select([heard], [], [], max(0.0, end + LATE_SECONDS + TICK - _now()))
        told = os.read(heard, _END.size) if ready else b""
        if len(told) < _END.size:
            return
        (end,) = _END.unpack(told)


def _wait_until_over(end: float, leases: List[str], other: int, told: int) -> None:  # noqa: UP006
    """Wait until all leases are over, or the other process is gone; tell it of each end that is later."""
    ends: Dict[str, float] = {"": end}  # noqa: UP006
    stamps: Dict[str, int] = {}  # noqa: UP006
    while _now() < end + LATE_SECONDS and os.getppid() == other:
        for path in [path for pattern in leases for path in glob.glob(pattern)]:
            lease, stamp = _read(path)
            if lease and stamps.get(path) != stamp:
                stamps[path], ends[path] = stamp, _now() + lease
        if max(ends.values()) != end:
            end = max(ends.values())
            os.write(told, _END.pack(end))
        time.sleep(TICK)


def _read(path: str) -> Tuple[float, int]:  # noqa: UP006
    """Read a lease and when it was renewed; 0 where it is none. A pipe of that name is not waited for."""
    try:
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return 0.0, 0
    try:
        lease = float(os.read(number, 64))
        return (lease if 0 < lease <= LONGEST_LEASE else 0.0), os.fstat(number).st_mtime_ns
    except (OSError, ValueError):
        return 0.0, 0
    finally:
        os.close(number)


def _power_off(*_: object) -> None:
    """Power off in order, and then by force: the kernel obeys the second command whatever hangs."""
    for number in _TO_END:
        signal.signal(number, signal.SIG_IGN)
    ways: List[List[str]] = [["systemctl", "poweroff"], ["poweroff", "-ff"]]  # noqa: UP006
    while True:
        for words in ways:
            time.sleep(ORDERLY_SECONDS if _is_done(words) else TICK)


def _is_done(words: List[str]) -> bool:  # noqa: UP006
    """Run a command, and tell whether it succeeded; one that hangs is left behind."""
    try:
        process = subprocess.Popen(words)  # noqa: S603
    except OSError:
        return False
    end = _now() + ORDERLY_SECONDS
    while process.poll() is None and _now() < end:
        time.sleep(TICK)
    return process.poll() == 0


def _now() -> float:
    return time.clock_gettime(_CLOCK)


if __name__ == "__main__":
    main()
