"""Machines that are there already: hosts that a YAML file names, driven over SSH."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from muster.errors import UsageError

from .base import Access, Census, Renewals, Seen, Wanted, check_lease, nobody_works
from .hosts_file import read
from .over_ssh.census import census
from .over_ssh.machines import SshMachines

_LEAST_LEASE: Final = 5.0
"""Renewing takes ssh a second and more; there are four chances in each lease."""


class HostsCloud:
    """The hosts of one cluster, of which the first that are wanted are started. Nobody makes them, and they stay."""

    def __init__(self, folder: Path, file: Path) -> None:
        """Know a cluster by its folder; nothing happens yet."""
        self._folder = folder
        self._file = file
        self._machines = SshMachines(folder)

    def last(self) -> Wanted | None:
        """Tell what was wanted last."""
        return self._machines.last()

    def check(self, wanted: Wanted) -> None:
        """Read the file of hosts, and see whether it names as many as are wanted. Raises ``UsageError``."""
        check_lease(wanted, least=_LEAST_LEASE)
        named = len(read(self._file).hosts)
        if wanted.machines > named:
            raise UsageError(
                f"{wanted.machines} machines are wanted, and {str(self._file)!r} names {named} hosts. Add hosts to the"
                " file, or ask for fewer."
            )

    def scale(self, wanted: Wanted, *, alone: Callable[[], None] = nobody_works) -> Seen:
        """Start or stop hosts until as many as are wanted work; tell what was seen of them.

        Raises ``EngineError``, ``UsageError``.
        """
        self.check(wanted)
        return self._machines.scale(wanted, read(self._file), alone=alone)

    def seen(self) -> Seen:
        """List the machines that live, the head first."""
        return self._machines.seen()

    def renew(self) -> Renewals:
        """Renew the lease of every machine."""
        return self._machines.renew()

    def access(self) -> AbstractContextManager[Access]:
        """Tell how to run a driver on the head, through SSH. Raises ``EngineError`` when there is none."""
        return self._machines.access()

    def destroy(self) -> Sequence[str]:
        """End all machines. Raises ``EngineError`` when one cannot be reached; its lease then ends it."""
        return self._machines.destroy()

    def purging(self) -> Callable[[], Sequence[str]]:
        """Know how to remove, once the machines have ended, what was installed for them and no other cluster uses."""
        return self._machines.purging()

    def census(self) -> Census:
        """Ask the hosts that the file names which machines live there. Raises ``UsageError``."""
        return census(read(self._file).hosts, below=self._folder)
