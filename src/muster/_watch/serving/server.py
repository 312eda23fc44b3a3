"""Serve the live page on this computer alone, until somebody ends it."""

import errno
import importlib.util
import os
import signal
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from muster._journal.runs import find
from muster._process.signals import ENDING, Terminated
from muster._watch.extra import needing
from muster._words import text_of
from muster.errors import UsageError

if TYPE_CHECKING:
    import uvicorn

HERE: Final = "127.0.0.1"
_TRIED: Final = 100
"""Ports behind the one that was named: as many pages at once has nobody."""

_LAST_PORT: Final = 65535
_CHUNK: Final = 4096
"""Whatever comes there is thrown away."""

_LAST_WORDS_SECONDS: Final = 10
"""How long pages may take to be told how a run has ended: seconds, as a busy computer needs some to make one."""
_SHORTEST_TOKEN: Final = 16
"""Characters that nobody guesses over a network."""

_MAKE_ONE: Final = "Make one: head -c 24 /dev/urandom | base64 > {path}"
_ASKING: Final = (signal.SIGINT, signal.SIGTERM)
"""How a server is asked to end, in order."""


def serve(run: str | None = None, port: int = 4000, *, with_parent: bool = False, token: str = "") -> None:
    """Serve the pages until Ctrl-C or a signal; or until standard input ends, if it is to end with its parent.

    Prints where, as one line. A port that is taken leaves the next free one; 0 is any. Raises ``UsageError`` for a run
    that there is not, and where packages are missing; raises ``Terminated`` for a signal that is not the usual way to
    end a server.
    """
    place = f"/runs/{quote(find(run).run)}" if run is not None else "/"
    with needing("muster watch"):
        import uvicorn

        from .app import Site
    site = Site(ends_with_run=with_parent, token=token)
    with _listen(port) as listener:
        config = uvicorn.Config(
            site.app(),
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            proxy_headers=False,  # else whoever asks says who asks
            server_header=False,
            timeout_graceful_shutdown=_LAST_WORDS_SECONDS,
        )
        server = uvicorn.Server(config)
        site.is_closing = lambda: server.should_exit
        came = _end_quietly(server, with_parent=with_parent)
        taken = listener.getsockname()[1]
        told = f"Port {port} is taken. " if port not in {0, taken} else ""
        print(f"{told}Watch at http://{HERE}:{taken}{place}", flush=True)  # noqa: T201 (this verb's answer)
        server.run(sockets=[listener])
    if came and came[0] not in _ASKING and not with_parent:
        raise Terminated(came[0])


def read_token(path: str) -> str:
    """Read a token from a file. Raises ``UsageError`` where there is none, or one that could be guessed."""
    try:
        token = Path(path).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--metrics-token {path}: {text_of(error)}. {_MAKE_ONE.format(path=path)}") from error
    if len(token) < _SHORTEST_TOKEN or not token.isprintable() or " " in token:
        raise UsageError(
            f"--metrics-token {path}: it must hold one word of at least {_SHORTEST_TOKEN} characters."
            f" {_MAKE_ONE.format(path=path)}"
        )
    return token


def check_installed() -> None:
    """Check that what a page needs is there, without loading it. Raises ``UsageError``."""
    for name in ("jinja2", "prometheus_client", "starlette", "uvicorn"):
        with needing("A live page"):
            if importlib.util.find_spec(name) is None:
                raise ModuleNotFoundError(name=name)


def _listen(port: int) -> socket.socket:
    """Take the port, or the next that is free. Raises ``UsageError`` when none is."""
    last = min(port + _TRIED, _LAST_PORT) if port else 0
    for tried in range(port, last + 1):
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((HERE, tried))
            listener.listen(64)
        except OSError as error:
            listener.close()
            if error.errno == errno.EACCES:
                raise UsageError(f"You may not listen on port {tried}. Choose one above 1023 with --port.") from error
            if error.errno != errno.EADDRINUSE:
                raise
        else:
            return listener
    raise UsageError(f"No port from {port} to {last} is free on {HERE}. Choose another with --port, or 0 for any.")


def _end_quietly(server: "uvicorn.Server", *, with_parent: bool) -> list[int]:
    """Make Ctrl-C, a signal or the end of standard input end the server, and nothing but that; tell what has come."""
    came: list[int] = []

    def end(*number: object) -> None:
        came.extend(one for one in number if isinstance(one, int))
        server.should_exit = True

    def outlive() -> None:
        while os.read(0, _CHUNK):
            pass
        end()

    for one in (signal.SIGINT, *ENDING):
        if signal.getsignal(one) is not signal.SIG_IGN:
            signal.signal(one, end)
    if with_parent:
        threading.Thread(target=outlive, daemon=True).start()
    return came
