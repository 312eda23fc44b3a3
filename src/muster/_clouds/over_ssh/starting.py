"""What each host is told when its machine starts: the command of its node, whose it is, and what lets it in."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from muster._clouds import certificates
from muster._clouds.base import NO_LOG_MONITOR, STARTED, WORKERS_ENVIRONMENT
from muster._clouds.owner import me
from muster._clouds.program import program
from muster._clouds.there import node
from muster._clouds.there.lease import SCRATCH
from muster._urls.addresses import joined

from . import purging
from .inventory import Host
from .record import ClusterRecord, StartedHost

HEAD_PORT: Final = 6379
"""Ray's own."""

_OBJECT_STORE_BYTES: Final = 256 << 20
"""Blocks and results of a few tasks for each worker: rows of groups lie in files of the machine."""

_START_SECONDS: Final = 120
"""A head was there within 13 s, a machine within 8; slow disks and busy hosts take several times that."""


def told_to_all() -> dict[str, Any]:
    """Write what the playbook tells every host: the programs that run there, and what its node says when it is up."""
    files = {"lease.py": program("lease"), "node.py": Path(node.__file__).read_text()}
    return {"program": program("host_folders"), "files": files, "sign": STARTED, "seconds": _START_SECONDS}


def told_to_each(
    record: ClusterRecord, *, folder: Path, token: str, authority: certificates.Authority
) -> dict[str, Mapping[str, object]]:
    """Write what it tells each host, by its name."""
    head = record.started[0]
    owner = {"name": folder.name, "who": me(), "home": str(folder.absolute().parents[1]), "since": record.since}
    notes = {"lease": f"{record.lease:g}", "owner": json.dumps(owner), "token": token}
    return {
        one.host.name: {
            "is_head": one is head,
            "command": _command(one, head.host),
            "notes": {
                **notes,
                "environment": purging.environment_of(one.host.python),
                **authority.issue(one.host.name, [one.host.inside, *_own(one), *certificates.LOOPBACK]),
                **({"port": str(HEAD_PORT)} if one is head else {}),
            },
            "agent_environment": {**WORKERS_ENVIRONMENT, **let_in(one.folder)},
        }
        for one in record.started
    }


def let_in(folder: str) -> dict[str, str]:
    """Write the environment of a process that the cluster's Ray lets in, on a host with that folder."""
    return certificates.environment(folder, token=f"{folder}/token")


def _command(one: StartedHost, head: Host) -> list[str]:
    place = (
        ["--head", f"--port={HEAD_PORT}", "--include-dashboard=false", "--no-monitor"]
        if one.host.name == head.name
        else [f"--address={joined(head.inside, HEAD_PORT)}"]
    )
    return [
        *(one.host.python, "-P", f"{one.folder}/node.py", "start", "--block", *place),
        *("--disable-usage-stats", NO_LOG_MONITOR),
        *(f"--node-name={one.host.name}", f"--node-ip-address={one.host.inside}", f"--num-cpus={one.workers}"),
        *(f"--object-store-memory={_OBJECT_STORE_BYTES}", f"--temp-dir={SCRATCH}/ray"),
    ]


def _own(one: StartedHost) -> Sequence[str]:
    """Believe a host where it says that it is only if nobody else can say: it might name another's address."""
    return one.own if one.host.inside in certificates.LOOPBACK else ()
