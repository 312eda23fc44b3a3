"""Eve has an account on a host and no rights there: she looks, tampers, squats and knocks, for as long as she can.

``python -I eve.py PLACE...`` begins as root, becomes her, looks round once, says ``ready``, and goes on until its
standard input ends. Then it tells as JSON what she got (``loot``), what she did to others (``deeds``), what answered
her (``answers``), and how often she was refused. What was there when she looked round first is not counted.
"""

import contextlib
import encodings.idna  # noqa: F401 (names of hosts need it, and soon she may not be able to load it)
import json
import os
import re
import select
import socket
import ssl
import stat
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from threading import Event, Thread
from time import monotonic

USER = 54_321
MOST = 1 << 16
KNOCKS = 3
OWN = Path("/tmp/eve")  # noqa: S108 (that of a host)
COMMON_NAMES = ("/tmp/ray", "/tmp/muster", "/tmp/ray/session_latest", "/dev/shm/ray")  # noqa: S108 (likewise)
ASKED = (
    b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n",
    b"POST /get_or_create_runtime_env HTTP/1.1\r\nHost: %b\r\nAuthorization: Bearer " + b"0" * 64 + b"\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]),
)
LISTENS = "0A"
PYTHONS = {Path(sys.prefix), Path(sys.base_prefix)}
"""Large, and there before."""


class Eve:
    """What she has got so far."""

    def __init__(self, places: list[str]) -> None:
        self._places = places
        self._before: set[str] = set()
        self._names: set[str] = set(COMMON_NAMES)
        self._knocked: dict[int, int] = {}
        self.loot: dict[str, str] = {}
        self.deeds: set[str] = set()
        self.answers: dict[str, str] = {}
        self.refused = 0
        self.rounds = 0

    def look_round(self) -> None:
        """See what is there before the others come."""
        self._before = {str(path) for path in self._others()}
        self.loot.clear()
        self._knocked = dict.fromkeys(listening(), KNOCKS)
        OWN.mkdir(exist_ok=True)

    def go_on(self) -> None:
        """Try everything once."""
        for path in [path for path in self._others() if str(path) not in self._before]:
            self._names.add(str(path))
            self._read(path)
            self._tamper(path)
        for process in Path("/proc").iterdir():
            if process.name.isdigit():
                self._pry(process)
        self._squat()
        self._sniff()
        self.rounds += 1

    def _others(self) -> Iterator[Path]:
        """List what belongs to others, as far as she gets."""
        for place in self._places:
            for folder, folders, files in os.walk(place, onerror=self._count):
                folders[:] = [name for name in folders if Path(folder, name) not in PYTHONS]
                for path in (Path(folder, name) for name in (*folders, *files)):
                    with contextlib.suppress(OSError):
                        if path.lstat().st_uid != USER:
                            yield path

    def _count(self, _: OSError) -> None:
        self.refused += 1

    def _try(self, deed: str, do: Callable[[], object]) -> bool:
        """Try something; note that it was possible."""
        try:
            do()
        except FileNotFoundError:
            return False
        except OSError:
            self.refused += 1
            return False
        self.deeds.add(deed)
        return True

    def _read(self, path: Path) -> None:
        with contextlib.suppress(OSError):
            kind = path.lstat().st_mode
            if stat.S_ISREG(kind):
                self._take(str(path), path)
            elif stat.S_ISDIR(kind) and os.access(path, os.R_OK):
                self.loot[str(path)] = "a folder that can be listed"
            elif stat.S_ISSOCK(kind):
                with socket.socket(socket.AF_UNIX) as caller:
                    self._try(f"connect to {path}", lambda: caller.connect(str(path)))

    def _take(self, name: str, path: Path) -> None:
        try:
            with path.open("rb", buffering=0) as file:
                self.loot[name] = file.read(MOST).decode("latin-1")
        except OSError:
            self.refused += 1

    def _tamper(self, path: Path) -> None:
        away = OWN / f"taken-{self.rounds}"
        self._try(f"rename {path}", lambda: path.rename(away))
        self._try(f"remove {path}", path.unlink)
        self._try(f"chmod {path}", lambda: path.chmod(0o777))
        self._try(f"link {path}", lambda: away.hardlink_to(path))
        if os.path.isdir(path):  # noqa: PTH112 (which raises nothing)
            self._try(f"write into {path}", lambda: (path / "sitecustomize.py").write_text("raise SystemExit('eve')"))
        else:
            self._try(f"write {path}", lambda: os.close(os.open(path, os.O_WRONLY | os.O_APPEND)))

    def _pry(self, process: Path) -> None:
        """Look into a process of others, and find names in what is told of it to everybody."""
        with contextlib.suppress(OSError):
            if process.stat().st_uid == USER:
                return
            command = (process / "cmdline").read_bytes()
            self.loot[f"command {process.name}"] = command.decode("latin-1")
            for name in re.findall(rb"/(?:tmp|dev/shm)/[^\s\0:=,]+", command):
                self._names.add(name.decode())
            for name in ("environ", "mem", "maps"):
                self._try(f"open {process / name}", partial(first_byte, process / name))
            self._try(f"signal {process.name}", lambda: os.kill(int(process.name), 0))

    def _squat(self) -> None:
        """Put folders of hers, or links to them, where names of others were or may be."""
        for at, name in enumerate(sorted(self._names)):
            path = Path(name)
            with contextlib.suppress(OSError):
                if path.is_symlink() or path.exists():
                    continue
                if (at + self.rounds) % 2:
                    path.symlink_to(OWN)
                else:
                    path.mkdir()
                    path.chmod(0o777)

    def knock_on(self) -> None:
        """Go from port to port."""
        while not Event().wait(0.2):
            for port in listening():
                if self._knocked.get(port, 0) < KNOCKS:
                    self._knock(port)

    def _knock(self, port: int) -> None:
        """Talk to what listens, as whoever has no certificate and no token can."""
        self._knocked[port] = self._knocked.get(port, 0) + 1
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        for host in ("127.0.0.1", socket.gethostname()):
            for at, said in enumerate(ASKED):
                self._ask(f"{host}:{port} in the clear {at}", (host, port), said, None)
            self._ask(f"{host}:{port} in TLS", (host, port), ASKED[-1], context)

    def _ask(self, name: str, place: tuple[str, int], said: bytes, context: ssl.SSLContext | None) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            caller = stack.enter_context(socket.create_connection(place, timeout=1))
            if context:
                caller = stack.enter_context(context.wrap_socket(caller))
            caller.sendall(said.replace(b"%b", f"{place[0]}:{place[1]}".encode()))
            if answer := caller.recv(MOST):
                self.answers[name] = answer.decode("latin-1")

    def _sniff(self) -> None:
        self._try("sniff", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)).close())


def first_byte(path: Path) -> None:
    with path.open("rb") as file:
        if not file.read(1):  # its process ends just now, and has nothing any more
            raise FileNotFoundError


def listening() -> list[int]:
    """List the ports on which anything listens."""
    found = set()
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
                _, local, _, state, *_ = line.split()
                if state == LISTENS:
                    found.add(int(local.rpartition(":")[2], 16))
    return sorted(found)


def main() -> None:
    """Be Eve until nobody holds the other end of standard input."""
    os.setgroups([])
    os.setgid(USER)
    os.setuid(USER)
    os.umask(0)
    eve = Eve(sys.argv[1:])
    eve.look_round()
    Thread(target=eve.knock_on, daemon=True).start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    pause = 0.0
    while not select.select([sys.stdin], [], [], pause)[0]:
        began = monotonic()
        eve.go_on()
        pause = 4 * (monotonic() - began)  # the others shall get on with what she is after
    told = {"loot": eve.loot, "deeds": sorted(eve.deeds), "answers": dict(eve.answers)}
    sys.stdout.write(json.dumps({**told, "refused": eve.refused, "rounds": eve.rounds}) + "\n")


if __name__ == "__main__":
    main()
