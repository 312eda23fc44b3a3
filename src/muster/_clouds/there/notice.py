"""Tells on a spot machine of AWS that it will be taken away: two minutes before, the metadata service says so.

It is started as the machine boots, by whichever Python 3 its image has. ``notice.py FILE`` returns at once and leaves a
process that asks every five seconds. Once there is a notice, FILE says in how many seconds the machine is taken away,
and that is written anew each time, by the machine's own clock. What fails is tried again: nothing else hangs on it.
"""

import calendar
import contextlib
import json
import os
import sys
import time
import urllib.request
from typing import Dict  # noqa: UP035 (a machine's Python may be 3.8)

METADATA = "http://169.254.169.254/latest/"
ASK_SECONDS = 5.0
TOKEN_SECONDS = "60"  # noqa: S105 (how long one is good for)
NOTICE = "meta-data/spot/instance-action"
WRITTEN = "%Y-%m-%dT%H:%M:%SZ"


def main() -> None:
    """Leave a process behind that asks for as long as the machine is there."""
    if os.fork():
        return
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nothing, number)
    while True:
        with contextlib.suppress(OSError, ValueError, KeyError):  # there is no notice, or no service yet
            write(sys.argv[1], left())
        time.sleep(ASK_SECONDS)


def left() -> float:
    """Ask in how many seconds the machine is taken away. Raises ``OSError`` where nobody says that it is."""
    token = asked("api/token", "PUT", {"X-aws-ec2-metadata-token-ttl-seconds": TOKEN_SECONDS})
    told = json.loads(asked(NOTICE, "GET", {"X-aws-ec2-metadata-token": token}))
    return calendar.timegm(time.strptime(told["time"], WRITTEN)) - time.time()


def asked(path: str, method: str, headers: Dict[str, str]) -> str:  # noqa: UP006
    """Ask the metadata service. Raises ``OSError``, also where it has no such thing."""
    request = urllib.request.Request(METADATA + path, method=method, headers=headers)  # noqa: S310 (it is HTTP)
    with urllib.request.urlopen(request, timeout=ASK_SECONDS) as answer:  # noqa: S310 (likewise)
        return str(answer.read().decode())


def write(path: str, seconds: float) -> None:
    """Write it whole: it is read at any moment."""
    with open(path + ".new", "w") as file:
        file.write("%.0f\n" % seconds)
    os.replace(path + ".new", path)


if __name__ == "__main__":
    main()
