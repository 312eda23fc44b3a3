"""A web server for tests: it serves files from memory, as well or badly as real ones do, and notes what it is asked."""

import base64
import contextlib
import gzip
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def moto_application() -> Any:  # noqa: ANN401 (moto has no types)
    """Make what answers as AWS does, for a server; to load it takes longer than most tests, which never need it."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app  # noqa: PLC0415

    return DomainDispatcherApplication(create_backend_app)


@dataclass
class Web:
    """What the server has, and how it behaves; both may change while it serves."""

    port: int = 0
    files: dict[str, bytes] = field(default_factory=dict)
    """By path; also by path with parameters, and for one user alone: ``anna@/in.csv``."""
    stamps: dict[str, dict[str, str]] = field(default_factory=dict)
    """Headers of each file that tell its version."""
    ranges: bool = True
    chunked: bool = False
    gzips: bool = False
    broken: set[str] = field(default_factory=set)
    """Paths that are answered with 503."""
    quotes: bool = False
    """It quotes the path in the words of a refusal."""
    login: str = ""
    """What a request has to say in its Authorization header, as ``user:password``."""
    token: str = ""
    """What a request's address has to hold."""
    ignores_range_behind: int | None = None
    """From which byte on a request for a range is answered with the whole."""
    lies: frozenset[str] = frozenset()
    """How it lies of all but the first byte: ``half`` (half a file as the whole), ``other`` (a part of another version,
    in the file's second half), ``short`` (parts lack bytes), ``cut`` (packed, and cut), ``416`` (of the whole)."""
    lies_in_head: bool = False
    """It says to a HEAD request that there is nothing."""
    cut: int | None = None
    """How many bytes of a body come before the connection ends."""
    hold: threading.Event | None = None
    """What it waits for in the middle of each body."""
    stays_busy: int = 0
    """How many requests are still answered with 503."""
    moved: dict[str, str] = field(default_factory=dict)
    """Where a path has moved to."""
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    """The method, path and range of each request."""

    def url(self, name: str, *, login: str = "") -> str:
        return f"http://{login}{'@' * bool(login)}127.0.0.1:{self.port}/{name}"

    def put(self, name: str, data: bytes, **stamp: str) -> str:
        self.files[f"/{name}"] = data
        self.stamps[f"/{name}"] = {key.replace("_", "-"): value for key, value in stamp.items()}
        return self.url(name)


class _Answers(BaseHTTPRequestHandler):
    """Answers one request after another."""

    protocol_version = "HTTP/1.1"
    web: Web

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        web = self.web
        names = (self._user() + self.path.partition("?")[0], self.path, self.path.partition("?")[0])
        path = next((name for name in names if name in web.files), names[-1])
        web.asked.append((self.command, self.path, self.headers.get("Range", "")))
        if web.stays_busy:
            web.stays_busy -= 1
            self._refuse(503)
        elif path in web.moved:
            self.send_response(302)
            self.send_header("Location", web.moved[path])
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif not self._is_let_in():
            self._refuse(403)
        elif path not in web.files:
            self._refuse(404)
        elif path in web.broken:
            self._refuse(503)
        elif "416" in web.lies and not self.headers.get("Range"):
            self._refuse(416)
        else:
            self._serve(path, web.files[path])

    do_HEAD = do_GET  # noqa: N815 (the name that http.server looks for)

    def _user(self) -> str:
        """Name who asks, with an ``@``."""
        said = base64.b64decode(self.headers.get("Authorization", "").removeprefix("Basic ")).decode()
        return said.partition(":")[0] + "@" * bool(said)

    def _is_let_in(self) -> bool:
        basic = "Basic " + base64.b64encode(self.web.login.encode()).decode()
        return (not self.web.login or self.headers.get("Authorization") == basic) and self.web.token in self.path

    def _refuse(self, status: int) -> None:
        self.send_response(status, f"no for {self.path}" if self.web.quotes else None)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _serve(self, path: str, data: bytes) -> None:
        size, match = len(data), re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if match and self.web.ignores_range_behind is not None and int(match[2] or 0) > self.web.ignores_range_behind:
            match = None
        lies = self.web.lies if self.headers.get("Range") != "bytes=0-0" else frozenset()
        if "half" in lies:
            data, match = data[: size // 2], None
        is_part = bool(match) and self.web.ranges
        headers = dict(self.web.stamps[path])
        if match and self.web.ranges:
            start, stop = int(match[1]), min(int(match[2] or size - 1), size - 1) + 1
            if start >= size:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{size}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            data = data[start : stop - 5 * ("short" in lies)]
            headers |= {"ETag": '"other"'} if "other" in lies and start > size // 2 else {}
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
        if self.web.gzips:
            data, headers["Content-Encoding"] = gzip.compress(data), "gzip"
            data = data[: len(data) // 2] if "cut" in lies else data
        if self.command == "HEAD" and self.web.lies_in_head:
            data = b""
        self.send_response(206 if is_part else 200)
        for name, value in headers.items():
            self.send_header(name, value)
        if self.web.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "GET":
            with contextlib.suppress(ConnectionError):
                self._write(data)

    def _write(self, data: bytes) -> None:
        if self.web.cut is not None and len(data) > self.web.cut:
            self.wfile.write(data[: self.web.cut])
            self.close_connection = True
        elif self.web.hold is not None:
            self.wfile.write(data[: len(data) // 2])
            self.web.hold.wait()
            self.wfile.write(data[len(data) // 2 :])
        elif self.web.chunked:
            for at in range(0, len(data), 50_000):
                piece = data[at : at + 50_000]
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
        else:
            self.wfile.write(data)


class _Server(ThreadingHTTPServer):
    """A server that says nothing of clients that have gone."""

    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def serving() -> Iterator[Web]:
    """Serve from memory on a port of this computer."""
    web = Web()
    server = _Server(("127.0.0.1", 0), type("Answers", (_Answers,), {"web": web}))
    web.port = server.server_port
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
