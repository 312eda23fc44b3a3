"""An FTP server for tests: it lets one user in, and lists and sends files from memory."""

import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Ftp:
    """What the server has: each file's content, and when it was written, as FTP says it."""

    port: int = 0
    login: tuple[str, str] = ("anna", "PASSWD77")
    files: dict[str, tuple[bytes, str]] = field(default_factory=dict)

    def listed(self, folder: str) -> str:
        """List what lies in a folder."""
        inside = f"{folder.rstrip('/')}/"
        below = [path.removeprefix(inside) for path in self.files if path.startswith(inside)]
        lines = [f"type=dir; {name}" for name in dict.fromkeys(one.partition("/")[0] for one in below if "/" in one)]
        for name in (one for one in below if "/" not in one):
            data, at = self.files[inside + name]
            lines.append(f"type=file;size={len(data)};modify={at}; {name}")
        return "".join(f"{line}\r\n" for line in lines)


class _Session(socketserver.StreamRequestHandler):
    """One client's commands."""

    ftp: Ftp
    user = ""
    rest = 0

    def handle(self) -> None:
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)  # so does ABOR come
        self._say("220 ready")
        with socket.create_server(("127.0.0.1", 0)) as data:
            for line in iter(self.rfile.readline, b""):
                verb, _, argument = line.decode().rstrip("\r\n").partition(" ")
                if verb.upper() == "QUIT":
                    return
                self._obey(verb.upper(), argument, data)

    def _obey(self, verb: str, argument: str, data: socket.socket) -> None:  # noqa: C901 (a table)
        match verb:
            case "USER":
                self.user = argument
                self._say("331 password")
            case "PASS":
                self._say("230 in" if (self.user, argument) == self.ftp.login else "530 no")
            case "PASV":
                port = data.getsockname()[1]
                self._say(f"227 go (127,0,0,1,{port >> 8},{port & 255})")
            case "REST":
                self.rest = int(argument)
                self._say("350 from there")
            case "MLSD":
                self._send(data, self.ftp.listed(argument).encode())
            case "RETR" if argument in self.ftp.files:
                self._send(data, self.ftp.files[argument][0][self.rest :])
            case "RETR":
                self._say("550 none")
            case "SIZE" if argument in self.ftp.files:
                self._say(f"213 {len(self.ftp.files[argument][0])}")
            case "ABOR":
                self._say("226 no more")
            case "TYPE" | "CWD" | "OPTS":
                self._say("200 yes")
            case "PWD":
                self._say('257 "/"')
            case _:
                self._say("502 no such thing")

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())

    def _send(self, data: socket.socket, content: bytes) -> None:
        self._say("150 coming")
        connection, _ = data.accept()
        with contextlib.suppress(ConnectionError), connection:
            connection.sendall(content)
        self.rest = 0
        self._say("226 sent")


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that have gone."""


@contextlib.contextmanager
def serving() -> Iterator[Ftp]:
    """Serve from memory on a port of this computer."""
    ftp = Ftp()
    server = _Server(("127.0.0.1", 0), type("Session", (_Session,), {"ftp": ftp}))
    ftp.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield ftp
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
