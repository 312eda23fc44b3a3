"""Time how long machines take to start: under muster, and Ray alone on the same ones."""

import contextlib
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import yaml

from _scaling import CLUSTER, muster
from muster._clouds.base import WORKERS_ENVIRONMENT
from muster._clouds.there import node

TESTS = Path(__file__).parent.parent / "tests"
RAY = Path(sys.executable).with_name("ray")
PORT = 6379
COMMON = ("--disable-usage-stats", "--object-store-memory=134217728", "--num-cpus=2")
HEAD = ("--head", "--include-dashboard=false")
Start = Callable[[Sequence[str]], "subprocess.Popen[bytes]"]


def up(machines: int, *, on: object = "local") -> float:
    """Make a cluster with muster, and end it again; tell how long making it took."""
    try:
        return muster("up", CLUSTER, "--machines", machines, "--workers-per-machine", 2, "--on", on)
    finally:
        muster("down", CLUSTER)


def ray_alone_here(machines: int) -> float:
    """Start a Ray head, then the others side by side, on loopback as muster's machines are; end them again."""
    before = set(psutil.pids())
    with tempfile.TemporaryDirectory(prefix="ray-") as folder:
        port = _free_port()
        start = [
            sys.executable,
            node.__file__,
            "loopback",
            "start",
            "--node-ip-address=127.0.0.1",
            "--min-worker-port=0",
            "--max-worker-port=0",
            *COMMON,
        ]
        environment = {**os.environ, **WORKERS_ENVIRONMENT, **_token(Path(folder))}

        def begin(place: Sequence[str]) -> "subprocess.Popen[bytes]":
            return _quiet([*start, *place], environment)

        head = [*HEAD, f"--port={port}", f"--temp-dir={folder}/1"]
        others = [[f"--address=127.0.0.1:{port}", f"--temp-dir={folder}/{at}"] for at in range(2, machines + 1)]
        try:
            return _timed(lambda: begin(head), [lambda other=other: begin(other) for other in others])
        finally:
            _end_those_of(folder, before)


def ray_alone_on(hosts: Any) -> float:  # noqa: ANN401 (those of the tests)
    """Start a Ray head on the first host and the others side by side, by nothing but SSH; they end with the hosts."""
    token = secrets.token_hex(32)

    def begin(host: Any, *place: str) -> "subprocess.Popen[bytes]":  # noqa: ANN401 (likewise)
        words = [str(RAY), "start", f"--node-ip-address={host.address}", *COMMON, *place]
        script = f"echo {token} > ~/token; RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=~/token {' '.join(words)}"
        return _quiet([*hosts.ssh(host), script], os.environ)

    head, *others = hosts
    join = f"--address={head.address}:{PORT}"
    return _timed(
        lambda: begin(head, *HEAD, f"--port={PORT}"), [lambda other=other: begin(other, join) for other in others]
    )


@contextlib.contextmanager
def ssh_hosts(count: int) -> Iterator[tuple[Any, Path]]:
    """Make hosts with SSH on this computer, and a file that names them. Raises ``SystemExit`` where none can be."""
    sys.path.insert(0, str(TESTS))
    import hosts as maker  # noqa: PLC0415 (the tests' own)

    if reason := maker.lacking():
        raise SystemExit(reason)
    with maker.make_hosts(count) as made, tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "hosts.yml")
        named = [{"name": host.name, "address": host.address, "port": host.port} for host in made]
        common = {"python": sys.executable, "known_hosts": str(made.known_hosts), "key": str(made.key), "user": "root"}
        path.write_text(yaml.safe_dump({**common, "hosts": named}))
        yield made, path


def _timed(
    head: Callable[[], "subprocess.Popen[bytes]"], others: Sequence[Callable[[], "subprocess.Popen[bytes]"]]
) -> float:
    began = time.monotonic()
    for starting in ([head], others):
        if any(process.wait() for process in [start() for start in starting]):
            raise SystemExit("Ray alone did not start")
    return time.monotonic() - began


def _quiet(command: Sequence[str], environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    nothing = subprocess.DEVNULL
    return subprocess.Popen(command, env=environment, stdin=nothing, stdout=nothing, stderr=nothing)


def _token(folder: Path) -> dict[str, str]:
    path = folder / "token"
    path.write_text(secrets.token_hex(32))
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(path)}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _end_those_of(folder: str, before: set[int]) -> None:
    """Kill the processes that are new and name the folder, as all of Ray's do."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid not in before and any(folder in word for word in process.cmdline()):
                process.kill()
