"""Pipelines that go on: over files that are followed, over rows that come by TCP, or from a source of one's own."""

import dataclasses
from collections.abc import Mapping, Sequence
from itertools import starmap
from os import PathLike
from typing import Any, Final, Literal, Unpack

from muster._api.decoding import Decode, decoded
from muster._api.given import inputs_of, own_end, path_of
from muster._api.options import DTypes, check_framing, check_names, check_whole, names_of, spelled_out
from muster._api.pipeline import AS_NAMED, Paths, Pipeline
from muster._dialects import Reading
from muster._dialects.options import CellOptions, CsvOptions, understood
from muster._dialects.values import columns as column_names
from muster._job import Follow, ListenTcp, Options, ReadFrom, StreamSource
from muster._model import PAYLOAD
from muster._show.callers import from_the_callers_line
from muster.errors import UsageError

_LONGEST_EPOCH: Final = 24 * 3600
"""Seconds: whoever wants rows once a day has --since-last."""


@spelled_out(CsvOptions)
@from_the_callers_line
def follow_csv(
    paths: Paths,
    *,
    every: float = 1.0,
    dtype: DTypes | None = None,
    **options: Unpack[CsvOptions],
) -> Pipeline:
    """Begin a pipeline that follows CSV or TSV: new files of folders and globs, and new rows of files that grow.

    It goes on until somebody stops it: ``muster stop RUN``, or Ctrl-C. The output is a folder of numbered parts; an
    epoch, which is what has come since the one before, adds one, ``every`` so many seconds at the most. A file may only
    grow; a last line is read once it has an end. Run again, it goes on exactly where it was.

    ``dtype`` and the other options are those of :func:`muster.read_csv`; without ``dtype``, types are those of the
    first epoch. `muster help streams` says what becomes of files that are renamed, removed or written anew.
    """
    check_names(options, follow_csv)
    return Pipeline(inputs_of(paths), options=options_of(options, dtype), follow=Follow(checked_every(every)))


@spelled_out(CellOptions)
@from_the_callers_line
def listen_tcp(  # noqa: PLR0913 (each is given by its name)
    place: str,
    *,
    columns: Sequence[str] | None = None,
    framing: Literal["length", "lines"] = "length",
    decode: Decode = "csv",
    every: float = 0.05,
    dtype: DTypes | None = None,
    spool_bytes: int = 256_000_000,
    connections: int = 5000,
    idle: float = 600.0,
    tls_cert: str | PathLike[str] | None = None,
    tls_key: str | PathLike[str] | None = None,
    token: str | PathLike[str] | None = None,
    **options: Unpack[CellOptions],
) -> Pipeline:
    """Begin a pipeline over rows that senders send to ``place``, ``"host:port"``; a host may be left out.

    Senders are ``muster send``, or any program that writes frames, such as that of the seed system. The first frame of
    each connection is the header, unless ``columns`` names the columns. It goes on until somebody stops it: ``muster
    stop RUN``, or Ctrl-C; a frame that ends one sender's stream does not. An epoch is what has come since the one
    before, ``every`` so many seconds at the most. What is acknowledged to a sender is on this computer's disk, and is
    done exactly once, whatever is killed; run again, the pipeline goes on with it.

    - ``framing``: ``"length"``, four bytes with the length before each row, or ``"lines"``, a newline behind it.
    - ``decode``: what a frame holds. ``"csv"``: a row; ``"json"``: an object of JSON; or a function of yours that gets
      the ``bytes`` of a frame and returns a dict, a row. ``columns`` then names those of the rows, and ``dtype`` has a
      type for some. ``"bytes"``: rows have one column ``payload``, with the ``bytes``.
    - ``spool_bytes``: so much may wait on the disk to be done; then senders wait.
    - ``connections`` at a time; ``idle``: seconds after which one is closed from which nothing comes.
    - ``tls_cert`` and ``tls_key``: have all connections use TLS. ``token``: a file; only senders that show the token in
      it are taken.

    ``dtype`` and the other options are those of :func:`muster.read_csv`; without ``dtype``, types are those of the
    first epoch. `muster help streams` says how frames are written, and what an acknowledgement is.
    """
    check_names(options, listen_tcp)
    check_framing(framing)
    check_whole("spool_bytes", spool_bytes, least=1)
    check_whole("connections", connections, least=1)
    if isinstance(idle, bool) or not isinstance(idle, int | float) or not idle > 0:
        raise UsageError(f"idle={idle!r}: it must be a number of seconds, more than 0.")
    names = named_columns(columns)
    listen = ListenTcp(
        place,
        framing,
        names if decode == "csv" else (PAYLOAD,),
        connections,
        float(idle),
        spool_bytes,
        *starmap(path_of, (("tls_cert", tls_cert), ("tls_key", tls_key), ("token", token))),
        has_payloads=decode != "csv",
    )
    from muster._streams.endpoints import endpoint_of

    endpoint_of(listen)
    begun = Pipeline((listen.name,), follow=Follow(checked_every(every), (listen,), has_files=False))
    if decode != "csv":
        return decoded(begun, decode, columns=names, dtype=names_of(dtype), options=options)
    return dataclasses.replace(begun, options=options_of(options, dtype))


@spelled_out(CellOptions)
@from_the_callers_line
def read_from(  # noqa: PLR0913 (each is given by its name)
    source: StreamSource,
    *,
    name: str | None = None,
    columns: Sequence[str] | None = None,
    every: float = 0.05,
    dtype: DTypes | None = None,
    spool_bytes: int = 256_000_000,
    **options: Unpack[CellOptions],
) -> Pipeline:
    """Begin a pipeline over rows of a source of your own, a :class:`muster.StreamSource`.

    Each row is done exactly once, whatever is killed: rows are on this computer's disk, with their position, before
    anything is done with them. It goes on until the source ends, or somebody stops it: ``muster stop RUN``, or Ctrl-C.
    An epoch is what has come since the one before, ``every`` so many seconds at the most.

    - ``name``: what messages call the source. None: its class.
    - ``columns``: the names of the columns. None: the first row that is read at the start has them.
    - ``spool_bytes``: so much may wait on the disk to be done; then nothing more is read.

    ``dtype`` and the other options are those of :func:`muster.read_csv`; without ``dtype``, types are those of the
    first epoch. `muster help sources-and-sinks` has an example.
    """
    check_names(options, read_from)
    called = own_end(source, StreamSource, name=name, what="read_from")
    check_whole("spool_bytes", spool_bytes, least=1)
    asked = ReadFrom(source, called, named_columns(columns), spool_bytes)
    follow = Follow(checked_every(every), (asked,), has_files=False)
    return Pipeline((called,), options=options_of(options, dtype), follow=follow)


def named_columns(columns: Sequence[str] | None) -> tuple[str, ...]:
    """Take the names of columns as a user gives them. Raises ``UsageError``."""
    return tuple(map(str, column_names("columns", columns) or ()))


def options_of(options: Mapping[str, Any], dtype: DTypes | None) -> Options:
    """Take what a user says of cells and types. Raises ``UsageError``."""
    dialect, reading = understood(options, AS_NAMED, Reading())
    return Options(input_format="csv", dtype=names_of(dtype), dialect=dialect, reading=reading)


def checked_every(every: float) -> float:
    """Raise ``UsageError`` for what is no number of seconds."""
    if isinstance(every, bool) or not isinstance(every, int | float) or not 0 <= every <= _LONGEST_EPOCH:
        raise UsageError(f"every={every!r}: it must be a number of seconds, from 0 to a day.")
    return float(every)
