"""Whether a file of this computer was changed, where its size and time do not tell: programs set the time back.

The evidence is the number of its inode, when the inode was changed, and a digest of the content.
"""

import contextlib
import fcntl
import hashlib
import os
import signal
import time
from typing import Final, NamedTuple

_SECOND: Final = 1_000_000_000
_COARSE: Final = 2 * _SECOND
"""Nanoseconds: such steps have the clocks of some file systems, whose times have no fraction then."""

_FINE: Final = 12_000_000
"""Nanoseconds: such steps have those of the others at the most, as the kernel's clock ticks."""


class Witness(NamedTuple):
    """What the kernel says of an inode: its number, and when it was changed, in nanoseconds. No program sets these.

    A change of mode, links, user or group also sets the time, and leaves the content as it is.
    """

    inode: int = 0
    changed: int = 0
    mode: int = 0
    links: int = 0
    user: int = 0
    group: int = 0


class FileState(NamedTuple):
    """A file as it was seen: its size, its ``stamp`` (its time, or a store's version), and its content's digest."""

    size: int
    stamp: str
    changed: int
    """When its inode was changed last, in nanoseconds; 0 in a store, and where a later change may not show."""
    content: str


def witness(path: str) -> Witness:
    """Look at a file; zeros where none is."""
    try:
        status = os.stat(path)  # noqa: PTH116 (light)
    except OSError:
        return Witness()
    shown = status.st_mode, status.st_nlink, status.st_uid, status.st_gid
    return Witness(status.st_ino, status.st_ctime_ns, *shown)


def may_differ(before: Witness, now: Witness) -> bool:
    """Tell whether a file of the same size and time may hold something else: was written, or another put in its place.

    Where mode, links or owner have changed too, these explain why the inode was changed.
    """
    return before.inode != now.inode or (before.changed != now.changed and before[2:] == now[2:])


def is_still(path: str, known: FileState) -> bool:
    """Tell whether a file of the same size and time is what it was. It is read only where its inode was changed."""
    now = witness(path)
    if known.changed and known.changed == now.changed:
        return True
    try:
        return digest(path) == known.content and witness(path) == now
    except OSError:
        return False


def digest(path: str) -> str:
    """Sum up what a file holds. Raises ``OSError``."""
    with open(path, "rb") as data:  # noqa: PTH123 (light)
        return hashlib.file_digest(data, lambda: hashlib.blake2b(digest_size=20)).hexdigest()


def settled(path: str, *, patience: float) -> tuple[Witness, bool]:
    """Take the witness of a file that may have been written just now, such that any later change gives another one.

    The clock of a file system moves in steps, and two writes within a step have the same time. So this waits until the
    step is over, at most ``patience`` seconds. It also tells whether the step is over.
    """
    deadline = time.time_ns() + int(patience * _SECOND)
    while True:
        seen, now = witness(path), time.time_ns()
        rest = seen.changed + (_FINE if seen.changed % _SECOND else _COARSE) - now
        if rest <= 0 or now + rest > deadline:
            return seen, rest <= 0
        time.sleep(rest / _SECOND)


_OF_A_NETWORK: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph"})
"""File systems that refuse a lease for reasons of their own, whoever has the file open."""


def _is_local(descriptor: int) -> bool:
    """Tell whether a file lies on a disk of this computer; of an unknown file system, that it does."""
    device = os.fstat(descriptor).st_dev
    place = f"{os.major(device)}:{os.minor(device)}"
    with open("/proc/self/mountinfo") as mounts:  # noqa: PTH123 (light)
        for fields in map(str.split, mounts):
            if fields[2] == place:
                return fields[fields.index("-") + 1] not in _OF_A_NETWORK
    return True


def is_being_written(path: str) -> bool:
    """Tell whether a process of this computer has a file open for writing, where the kernel tells that.

    The kernel grants a read lease only while nobody has the file open for writing, and only to its owner. The lease is
    given back at once.
    """
    with contextlib.suppress(OSError, AttributeError), open(path, "rb") as file:  # noqa: PTH123 (light)
        fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)  # who opens it just then sends that, which ends no process
        try:
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except BlockingIOError:
            return _is_local(file.fileno())
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False
