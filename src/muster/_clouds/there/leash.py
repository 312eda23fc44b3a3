"""The leash of a rented machine: it powers the machine off when nobody renews a lease on it.

It is the first thing that the machine runs, as root, by whichever Python 3 its image has: nothing of muster is there
yet, and maybe nobody will ever reach it. ``leash.py SECONDS LEASES`` returns at once, and leaves two processes behind
that watch each other. The machine has SECONDS from then on, whatever else there is, and lives on for as long as a
lease lasts. LEASES is a pattern of files, as ``lease`` keeps them: each holds how many seconds the machine may live
without being renewed, and touching it renews. Where one is taken away, what it has said last still counts.

A power-off ends the machine for good: it is launched so that its maker takes it back then.
"""

import glob
import os
import subprocess
import sys
import time
from typing import Dict, List  # noqa: UP035 (a machine's Python may be 3.8)

TICK = 1.0
LATE_SECONDS = 5.0
"""How much later than its lease a machine ends, so that what works on it, which keeps the same lease, ends in order."""

ORDERLY_SECONDS = 20.0
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_NEVER_KILLED = "-1000"
"""What says to the kernel that memory is not to be had by killing this."""


def main() -> None:
    """Leave the two behind."""
    seconds, leases = float(sys.argv[1]), sys.argv[2]
    if os.fork():
        return
    _detach()
    watched = os.getpid()
    if os.fork():
        os.wait()  # its child goes with the machine, or was killed
    else:
        _wait_until_over(seconds, leases, watched)
    _power_off()


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


def _wait_until_over(seconds: float, leases: str, other: int) -> None:
    """Wait until all leases are over, or the other process was killed."""
    ends: Dict[str, float] = {"": _now() + seconds}  # noqa: UP006
    stamps: Dict[str, int] = {}  # noqa: UP006
    while _now() < max(ends.values()) + LATE_SECONDS and os.getppid() == other:
        for path in glob.glob(leases):
            try:
                with open(path) as file:
                    lease, stamp = float(file.read()), os.fstat(file.fileno()).st_mtime_ns
            except (OSError, ValueError):
                continue
            if stamps.get(path) != stamp:
                stamps[path], ends[path] = stamp, _now() + lease
        time.sleep(TICK)


def _power_off() -> None:
    """Power off in order, and then by force: the kernel obeys the second command whatever hangs."""
    ways: List[List[str]] = [["systemctl", "poweroff"], ["poweroff", "-ff"]]  # noqa: UP006
    while True:
        for words in ways:
            try:
                done = subprocess.call(words)  # noqa: S603
            except OSError:
                done = 1
            time.sleep(ORDERLY_SECONDS if done == 0 else TICK)


def _now() -> float:
    return time.clock_gettime(_CLOCK)


if __name__ == "__main__":
    main()
