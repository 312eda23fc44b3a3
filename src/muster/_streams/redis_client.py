"""Talk to Redis: a connection, without the password in anything that is said, and its errors in words."""

import contextlib
import importlib.util
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from muster._private.secrets import hide, shown
from muster._words import bare, text_of
from muster.errors import DataError, EngineError, UsageError

from .own_code import AwayError

if TYPE_CHECKING:
    from redis import Redis

_SCHEMES: Final = ("redis", "rediss", "unix")
_PORT: Final = 6379
"""Where a server listens unless it is told otherwise."""
_ANSWERS_WITHIN: Final = 30.0
"""Seconds: a transaction of 64 MB takes a second or two."""
_CONNECTS_WITHIN: Final = 5.0
"""Seconds: a server that is there answers in less than one, also from far away."""


class Place:
    """A key of a server. Nobody is connected to yet."""

    def __init__(self, url: str, key: str, *, call: str) -> None:
        """``call`` is the name of the function that was called with them. Raises ``UsageError``."""
        example = f"Type for example {call}('redis://127.0.0.1:6379', 'orders')."
        try:
            parts = urlsplit(url)
            known = parts.scheme in _SCHEMES and bool(parts.hostname or parts.path) and (parts.port or True)
        except (ValueError, AttributeError):  # which is what becomes of a number
            known = False
        if not known or not isinstance(url, str):
            raise UsageError(f"{call}: {shown(str(url))!r} is no URL of a Redis server. {example}")
        if not isinstance(key, str) or not key:
            raise UsageError(f"{call}: {key!r} is no name of a stream. {example}")
        if importlib.util.find_spec("redis") is None:
            raise UsageError(f"{call} needs redis, which is not installed here. Type: pip install 'muster-run[redis]'")
        self.key = key
        self.call = call
        self._url = url
        self.name = f"{_server(parts)} {key}"
        """What it is called wherever it is named: no login is part of it, and no option."""
        self._has_answered = False

    def __repr__(self) -> str:
        """Tell no password."""
        return f"Place({self.name!r})"

    def connect(self) -> "Redis":
        """Connect. Raises ``AwayError`` where nobody answers, ``UsageError`` where nobody ever will."""
        from redis import Redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        shown(self._url)  # is struck out of whatever is said from now on
        hide([urlsplit(self._url).password or ""])
        with self.in_words():
            # Nothing is asked twice behind our back: a transaction whose answer is lost may have been done.
            client = Redis.from_url(
                self._url,
                retry=Retry(NoBackoff(), 0),
                socket_timeout=_ANSWERS_WITHIN,
                socket_connect_timeout=_CONNECTS_WITHIN,
            )
            client.ping()
        self._has_answered = True
        return client

    @contextlib.contextmanager
    def in_words(self) -> Iterator[None]:
        """Say in words what went wrong. Raises ``AwayError`` where it may do better later."""
        from redis import exceptions

        try:
            yield
        except (exceptions.AuthenticationError, exceptions.AuthorizationError) as error:
            raise UsageError(
                f"{self.name}: the server refuses the login: {bare(text_of(error))}. Put user and password into the"
                f" URL: {self.call}('redis://USER:PASSWORD@HOST:PORT', {self.key!r})."
            ) from error
        except exceptions.NoPermissionError as error:
            raise UsageError(
                f"{self.name}: this user may not do what the stream needs: {bare(text_of(error))}. Have an"
                f" administrator type: ACL SETUSER NAME {self._needed()}"
            ) from error
        except (exceptions.ConnectionError, exceptions.TimeoutError, exceptions.WatchError) as error:
            if not self._has_answered and (why := _no_such_host(error)):
                raise UsageError(
                    f"{self.name}: there is no such host: {why}. Mend the URL, and type the same command again."
                ) from error
            raise self.away(text_of(error)) from error
        except exceptions.ResponseError as error:
            raise self._refused(str(error)) from error

    def _refused(self, said: str) -> Exception:
        if said.startswith("WRONGTYPE"):
            return self.wrong_type("something else")
        if said.startswith(("OOM", "MISCONF", "READONLY", "LOADING", "CLUSTERDOWN", "MASTERDOWN", "NOREPLICAS")):
            return self.away(said)  # of a server that is full, is starting, or hands over to another
        return EngineError(
            f"{self.name}: the server answers: {bare(said)}. What was done is kept: type the same command again once"
            " that is mended."
        )

    def away(self, why: str) -> AwayError:
        """Say why the server, or the stream, is not there just now."""
        return AwayError(f"{self.name}: {bare(why)}")

    def wrong_type(self, kind: str) -> DataError:
        """Say that the key holds something else."""
        return DataError(
            f"{self.name}: the key holds {kind}, not a stream. Name another key, or remove this one:"
            f" redis-cli DEL {self.key!r}"
        )

    def _needed(self) -> str:
        reads = self.call == "follow_redis"
        keys = f"~{self.key}" if reads else f"~{self.key} ~{numbers_key(self.key)}"
        commands = (
            "+ping +multi +exec +xinfo +xrange +xread"
            if reads
            else ("+ping +watch +unwatch +multi +exec +type +xadd +hget +hset")
        )
        return f"{keys} {commands}"


def _server(parts: SplitResult) -> str:
    """Name a server and its database: the same one in the same way, however it is spelled."""
    is_socket = parts.scheme == "unix"
    host = parts.netloc.rpartition("@")[2].lower().removesuffix(f":{_PORT}")
    database = parse_qs(parts.query).get("db", [""])[0] or ("" if is_socket else unquote(parts.path).replace("/", ""))
    path = parts.path if is_socket else ""
    return f"{parts.scheme}://{host}{path}" + (f"/{database}" if database.strip("0") else "")


def numbers_key(key: str) -> str:
    """Name the hash that says how many rows of each stream of muster are in a stream of Redis.

    The braces have a cluster of Redis keep both in one place.
    """
    return f"{key}:muster" if "{" in key else f"{{{key}}}:muster"


def closed(client: Any) -> None:  # noqa: ANN401 (whatever connect has given, or nothing)
    """Close a connection."""
    if client is not None:
        client.close()


def _no_such_host(error: BaseException) -> str:
    """Say why a name has no address; empty where it is something else."""
    while error is not None:
        if isinstance(error, socket.gaierror):
            return text_of(error)
        error = error.__cause__ or error.__context__  # type: ignore[assignment] # ends the loop
    return ""
