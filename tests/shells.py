"""The command ``muster`` in shells that tests start: run by a fork of what waits, wherever that would be the same.

What shells find is a small program, which hands its words, folder, variables and streams to the test's process. That
has a process for it forked, and tells how it ended.
"""

import contextlib
import json
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from warm import LARGEST, Warm

_PATIENCE: Final = 20.0
"""Seconds that a run may take to put away what it has begun."""

_PROGRAM: Final = """#!{python} -IS
import json, os, socket, sys
order = dict(words=["-m", "muster", *sys.argv[1:]], folder=os.getcwd(), environment=dict(os.environ))
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asking:
    asking.connect({address!r})
    socket.send_fds(asking, [json.dumps(order).encode()], [0, 1, 2])
    ended = asking.recv(100).decode()
if not ended:
    os.execv({python!r}, [{python!r}, *order["words"]])
if int(ended) < 0:
    os.kill(os.getpid(), -int(ended))
sys.exit(int(ended))
"""


@contextlib.contextmanager
def muster_on_path(warm: Warm, folder: Path) -> Iterator[Path]:
    """Have a folder with the command; to be named first in PATH."""
    folder.mkdir()
    address = f"\0muster {os.getpid()} {folder.parent.name}"  # of no file, whose path might be too long
    (folder / "muster").write_text(_PROGRAM.format(python=sys.executable, address=address))
    (folder / "muster").chmod(0o755)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(address)
        listening.listen()
        answering = threading.Thread(target=_answer_all, args=(warm, listening))
        answering.start()
        try:
            yield folder
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            answering.join()


def _answer_all(warm: Warm, listening: socket.socket) -> None:
    """Answer whoever asks, until nobody can; those of one pipeline ask side by side."""
    answering: list[threading.Thread] = []
    with contextlib.suppress(OSError):
        while True:
            asked, _ = listening.accept()
            answering.append(threading.Thread(target=_answer, args=(warm, asked)))
            answering[-1].start()
    for one in answering:
        one.join()


def _answer(warm: Warm, asked: socket.socket) -> None:
    with asked:
        said, ends, _, _ = socket.recv_fds(asked, LARGEST, 3)
        try:
            if not said:  # whoever would have asked was ended before
                return
            order = json.loads(said)
            if not warm.fits(order["words"], order["environment"]):
                return
            pid = warm.fork({**order, "keep": [], "leads_session": False}, ends)
        finally:
            for end in ends:
                os.close(end)
        status = _end_of(pid, asked)
        with contextlib.suppress(ConnectionError):  # whoever asked was ended meanwhile
            asked.send(str(os.waitstatus_to_exitcode(status)).encode())


def _end_of(pid: int, asked: socket.socket) -> int:
    """Wait for a fork; one whose small program is ended is told to end, as the command itself would have been."""
    ended = os.pidfd_open(pid)
    try:
        if ended not in select.select([ended, asked.fileno()], [], [])[0]:
            os.kill(pid, signal.SIGTERM)
            if not select.select([ended], [], [], _PATIENCE)[0]:
                os.kill(pid, signal.SIGKILL)
        return os.waitpid(pid, 0)[1]
    finally:
        os.close(ended)
