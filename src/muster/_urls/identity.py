"""Whether two paths or URLs name the same place: one place has one identity, however it is spelled.

It decides what must not be overwritten. So names that a person would take for one place count as one, even where a
store keeps them apart, as ``a//b`` and ``a/b`` in a bucket.
"""

import contextlib
import functools
import ipaddress
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from .urls import is_remote, is_web, options_for

Identity = tuple[object, ...]
"""Of a file: the device, the inode, and the names below it that do not exist yet. Of a URL: the kind of store, with its
server, and the names of the path in it."""

_HERE: Final = re.compile(r"(?i)file://localhost(?=/)|file://|local://")
_PORTS: Final = {"http": 80, "https": 443, "ftp": 21, "sftp": 22, "ssh": 22}
_LOOPBACK: Final = "127.0.0.1"
_OF_AMAZON: Final = re.compile(r"(?:(.+)\.)?s3(?:[.-][a-z0-9-]+)*\.amazonaws\.com(?:\.cn)?")
_OF_GOOGLE: Final = re.compile(r"(?:(.+)\.)?storage\.googleapis\.com")
_ALSO: Final = {"s3a": "s3", "s3n": "s3", "gcs": "gs", "az": "abfs", "abfss": "abfs"}
"""Other names of protocols, for where fsspec has no package that knows them."""

_SPELLED: Final = {"s3", "gs", "abfs", "memory"}
"""Kinds of store whose URLs hold nothing but names."""

_LINKS: Final = re.compile(r"::(?=[A-Za-z0-9+._-]+://)")
"""What links the file systems of a chain; an address of a host may hold two colons, too."""

_FILES_OF_AWS: Final = {"AWS_CONFIG_FILE": "~/.aws/config", "AWS_SHARED_CREDENTIALS_FILE": "~/.aws/credentials"}
"""The files of settings of S3's client, by the variables that name others."""

_VERSION: Final = re.compile(r"\?versionId=.*|#\d+$")


def local(text: str) -> str:
    """Turn a ``file://`` URL into a path; return anything else as it is.

    ``%20`` may be part of a name, or an escape. Of the two readings the one counts that exists; if neither does, the
    one whose folder exists.
    """
    sign = _HERE.match(text)
    if sign is None:
        return text
    path = os.path.expanduser(text[sign.end() :])  # noqa: PTH111 (a trailing slash counts)
    names = list(dict.fromkeys([path, unquote(path)]))
    around = [os.path.dirname(name.rstrip("/")) or "." for name in names]  # noqa: PTH120 (likewise)
    there = (name for name, place in zip([*names, *names], [*names, *around], strict=True) if os.path.lexists(place))
    return next(there, path)


def identity(path: str) -> Identity:
    """Return the identity of a path or a URL."""
    path = local(path)
    return _of_url(path) if is_remote(path) else of_resolved(os.path.realpath(path))


def written(path: str) -> str:
    """Write the identity of a URL as text: the same for each spelling of it, wherever the store is the same."""
    kind, *names = map(str, _of_url(path))
    return f"{kind}://{'/'.join(names)}"


def spelled(path: str) -> str:
    """Spell a URL in one way, for whoever reads it; a path as it is."""
    if not is_remote(path) or "::" in path:
        return path
    kind, *names = map(str, _of_url(path))
    kind = kind.partition("@")[0]
    if kind not in _SPELLED or is_web(path):
        return path
    return f"{kind}://{'/'.join(names)}" + ("/" if path.endswith("/") else "")


def upwards(path: str) -> Iterator[Identity]:
    """Yield the identities of a place and of all that it lies in."""
    path = local(path)
    if is_remote(path):
        whole = _of_url(path)
        yield from (whole[:length] for length in range(len(whole), 0, -1))
        return
    resolved = Path(os.path.realpath(path))
    yield from map(of_resolved, map(str, (resolved, *resolved.parents)))


def of_resolved(path: str) -> Identity:
    """Return the identity of a path that has no links.

    That is its device and inode: a hard link is the same place, and so is a name in another case where case is ignored.
    """
    missing: list[str] = []
    while True:
        try:
            status = os.stat(path)  # noqa: PTH116 (of thousands of files, pathlib would take longer than the kernel)
        except (OSError, ValueError):
            if path == "/":
                return ("", *reversed(missing))
            above, _, name = path.rpartition("/")
            missing.append(name)
            path = above or "/"
            continue
        fold = str.casefold if missing and _ignores_case(Path(path)) else str
        return (status.st_dev, status.st_ino, *map(fold, reversed(missing)))


def _ignores_case(folder: Path) -> bool:
    """Tell whether a file system ignores case, judged by the names of this folder and of those above it."""
    while folder.name.swapcase() == folder.name:
        if folder == folder.parent:
            return False
        folder = folder.parent
    try:
        return folder.samefile(folder.with_name(folder.name.swapcase()))
    except OSError:
        return False


def _of_url(url: str) -> Identity:
    url = _LINKS.split(url)[-1]  # of a chain, the place that holds the bytes
    protocol, _, rest = url.partition("://")
    if is_web(url):
        return _of_web(url)
    kind, path = _as_fsspec_reads(protocol.lower(), rest)
    if kind == "abfs":  # container@account.dfs.core.windows.net/path
        container, _, below = path.partition("/")
        path = f"{container.partition('@')[0]}/{below}"
    return _kind(kind), *_names(_VERSION.sub("", path))


def _as_fsspec_reads(protocol: str, rest: str) -> tuple[str, str]:
    """Return the first name of a protocol, as ``s3`` for ``s3a``, with its host; and the path as fsspec has it."""
    url = f"{protocol}://{rest}"
    try:
        from fsspec.registry import get_filesystem_class

        files = get_filesystem_class(protocol)
        host = files._get_kwargs_from_urls(url).get("host", "")  # noqa: SLF001 (fsspec's own way to read a URL)
        path = str(files._strip_protocol(url))  # noqa: SLF001 (likewise)
    except (ImportError, ValueError):
        return _ALSO.get(protocol, protocol), rest
    kind = files.protocol if isinstance(files.protocol, str) else files.protocol[0]
    return (f"{kind}@{_server(url)}" if host else kind), path


def _kind(kind: str) -> str:
    """Add the server of S3, as buckets of two servers may have the same name."""
    server = _s3_server() if kind == "s3" else ""
    return f"{kind}@{server}" if server else kind


def _s3_server() -> str:
    """Return the server of S3; empty where it is Amazon's."""
    options = {**_configured("s3"), **options_for("s3")}
    endpoint = options.get("endpoint_url") or options.get("client_kwargs", {}).get("endpoint_url")
    endpoint = endpoint or _endpoint(options.get("profile"), *_settings_of_aws())
    server = _server(endpoint) if endpoint else ""
    return "" if _OF_AMAZON.fullmatch(server.rpartition(":")[0]) else server


def _settings_of_aws() -> tuple[object, ...]:
    """Return what decides which server the client of S3 asks: variables, and the state of its files of settings."""
    environ = tuple(sorted(pair for pair in os.environ.items() if pair[0].startswith("AWS_")))
    return environ, tuple((str(path), path.stat().st_mtime_ns) for path in _files_of_aws())


def _files_of_aws() -> list[Path]:
    named = (os.environ.get(variable) or default for variable, default in _FILES_OF_AWS.items())
    return [path for path in (Path(name).expanduser() for name in named) if path.is_file()]


def _may_name_a_server(settings: Path) -> bool:
    try:
        return b"endpoint_url" in settings.read_bytes()
    except OSError:  # nor can the client read it
        return False


@functools.lru_cache(maxsize=16)
def _endpoint(profile: str | None, *_settings: object) -> str:
    """Have the client of S3 find its server in the environment and in its files of settings."""
    if not any(map(_may_name_a_server, _files_of_aws())):  # to load the client takes long
        if os.environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() == "true":
            return ""
        return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    from botocore import configprovider, session
    from botocore.exceptions import BotoCoreError

    try:
        own = session.Session(profile=profile)
        if own.get_config_variable("ignore_configured_endpoint_urls"):
            return ""
        chosen = configprovider.ConfiguredEndpointProvider(own.full_config, own.get_scoped_config(), "s3").provide()
    except BotoCoreError:  # whoever opens the bucket is told the reason
        return ""
    return str(chosen or "")


def _configured(protocol: str) -> dict[str, Any]:
    from fsspec.config import conf

    return dict(conf.get(protocol, {}))


def _server(url: str) -> str:
    parts = urlsplit(url)
    try:
        port = parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        port = 0
    return f"{_host(parts.hostname or '')}:{port}"


def _host(name: str) -> str:
    """Spell a host in one way; all names by which this computer calls itself are one."""
    name = name.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return _LOOPBACK
    with contextlib.suppress(OSError):
        name = socket.inet_ntoa(socket.inet_aton(name)) if re.fullmatch(r"[0-9a-fx.]+", name) else name
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name
    address = getattr(address, "ipv4_mapped", None) or address
    return _LOOPBACK if address.is_loopback or address.is_unspecified else str(address)


def _of_web(url: str) -> Identity:
    """Recognize web addresses of objects in a bucket, which have the identity of the object."""
    parts, names = urlsplit(url), _names(unquote(urlsplit(url).path))
    host = (parts.hostname or "").lower()
    for kind, pattern in (("s3", _OF_AMAZON), ("gs", _OF_GOOGLE)):
        if match := pattern.fullmatch(host):
            return _kind(kind), *((match[1],) if match[1] else ()), *names
    server, of_buckets = _server(url), _s3_server()
    if server == of_buckets:
        return _kind("s3"), *names
    if of_buckets and f"{host}:{server.rpartition(':')[2]}".endswith(f".{of_buckets}"):
        return _kind("s3"), host.removesuffix(f".{of_buckets.rpartition(':')[0]}"), *names
    return f"web@{server}", *names, *((f"?{parts.query}",) if parts.query else ())


def _names(path: str) -> tuple[str, ...]:
    names: list[str] = []
    for name in path.split("/"):
        if name == "..":
            del names[-1:]
        elif name not in {"", "."}:
            names.append(name)
    return tuple(names)
