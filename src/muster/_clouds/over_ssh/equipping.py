"""Hosts get what this computer has: looked at first, then given what differs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Any

from muster._clouds.program import program
from muster._clouds.there import host_folders
from muster.errors import UsageError

from . import requirements
from .inventory import Host
from .playbook import play
from .record import ClusterRecord, StartedHost


@dataclass(frozen=True, slots=True)
class Equipping:
    """What hosts need for the cluster whose folder this is: these packages, in these versions."""

    folder: Path
    packages: Mapping[str, str]
    until: float = inf
    """When they have to be equipped, on the monotonic clock."""

    def equipped(
        self, hosts: Sequence[Host], record: ClusterRecord, *, workers: int, ours: Sequence[str]
    ) -> list[StartedHost]:
        """Give hosts what they lack; tell what is to be started on them, and where.

        ``ours`` are the ids under which this cluster may be on them. Raises ``UsageError`` where they cannot be used,
        ``EngineError`` where one does not answer or cannot be installed on.
        """
        looked = self._look(hosts, ours=ours)
        return [
            StartedHost(
                host,
                f"{looked[host.name]['place']}/{host_folders.leaf(record.id, f'{host.outside}:{host.port}')}",
                host.workers or workers,
                {"python": looked[host.name]["python"], "ray": self.packages["ray"]},
                tuple(looked[host.name]["addresses"]),
            )
            for host in self._install(hosts, looked)
        ]

    def _look(self, hosts: Sequence[Host], *, ours: Sequence[str]) -> dict[str, dict[str, Any]]:
        asked = {"packages": list(self.packages), "cluster": self.folder.name, "ours": ours}
        told = {"program": program("environment"), "asked": asked}
        each = {host.name: {"python": host.python} for host in hosts}
        looked, played = play("check", hosts, told=told, each=each, below=self.folder, until=self.until).answers()
        played.check("Looking at the hosts")
        obstacles = [f"{name}: {what}" for name in looked for what in requirements.obstacles(looked[name])]
        if wrong := [f"  {what}" for what in (*obstacles, *requirements.named_twice(looked))]:
            raise UsageError("Hosts cannot be used as they are:\n" + "\n".join(wrong) + "\nMend that, then try again.")
        return looked

    def _install(self, hosts: Sequence[Host], looked: Mapping[str, Mapping[str, Any]]) -> list[Host]:
        """Install on hosts what differs from here; tell which interpreter to use."""
        orders = {host.name: requirements.order(looked[host.name], self.packages, python=host.python) for host in hosts}
        differing = [host for host in hosts if orders[host.name]]
        if not differing:
            return list(hosts)
        each = {host.name: {"python": host.python, "order": orders[host.name]} for host in differing}
        told = {"program": program("environment")}
        played = play("install", differing, told=told, each=each, below=self.folder, until=self.until)
        played.check("Installing on the hosts what is here")
        return [replace(host, python=played.output.get(host.name, host.python).strip()) for host in hosts]
