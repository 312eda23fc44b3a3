"""A real server of Redis for tests: in a folder of its own, killed and started again as a test likes."""

import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from waiting import until

HOST = "127.0.0.1"


def free_port() -> int:
    with socket.create_server((HOST, 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


class RedisServer:
    """It writes each transaction to the disk before it answers, so ``kill`` loses nothing that was answered."""

    def __init__(self, folder: Path, *more: str) -> None:
        self.folder, self.more = folder, more
        self.port = free_port()
        self.url = f"redis://{HOST}:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        self.client = redis.Redis(HOST, self.port)
        self.start()

    def start(self) -> None:
        command = ["redis-server", "--port", str(self.port), "--bind", HOST, "--dir", str(self.folder), "--save", ""]
        command += ["--appendonly", "yes", "--appendfsync", "always", *self.more]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        until(self._answers, 30)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "the server has ended"
        try:
            return bool(self.client.ping())
        except redis.exceptions.AuthenticationError:
            return True
        except redis.exceptions.ConnectionError:
            return False

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def entries(self, key: str) -> list[dict[str, str]]:
        found: Any = self.client.xrange(key)
        return [{name.decode(): value.decode() for name, value in fields.items()} for _, fields in found]


@contextlib.contextmanager
def redis_server(folder: Path, *more: str) -> Iterator[RedisServer]:
    """Start one; where there is none to start, CI fails, and others skip the test."""
    if shutil.which("redis-server") is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("there is no redis-server: apt-get install it")
    folder.mkdir(exist_ok=True)
    server = RedisServer(folder, *more)
    try:
        yield server
    finally:
        server.client.close()
        server.kill()
