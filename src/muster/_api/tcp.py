"""Pipelines over rows that come over TCP."""

from collections.abc import Sequence
from os import PathLike, fspath
from typing import Literal, Unpack

from muster._api.options import DTypes, names_of, spelled_out
from muster._api.pipeline import AS_NAMED, Pipeline, checked_every
from muster._dialects import Reading
from muster._dialects.options import CellOptions, understood
from muster._dialects.values import columns as column_names
from muster._job import Follow, ListenTcp, Options
from muster._show.callers import from_the_callers_line
from muster.errors import UsageError


@spelled_out(CellOptions)
@from_the_callers_line
def listen_tcp(  # noqa: PLR0913 (each is given by its name)
    place: str,
    *,
    columns: Sequence[str] | None = None,
    framing: Literal["length", "lines"] = "length",
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
    """Begin a pipeline over rows of CSV that senders send to ``place``, ``"host:port"``; a host may be left out.

    Senders are ``muster send``, or any program that writes frames, such as that of the seed system. The first frame of
    each connection is the header, unless ``columns`` names the columns. It goes on until somebody stops it: ``muster
    stop RUN``, or Ctrl-C; a frame that ends one sender's stream does not. An epoch is what has come since the one
    before, ``every`` so many seconds at the most. What is acknowledged to a sender is on this computer's disk, and is
    done exactly once, whatever is killed; run again, the pipeline goes on with it.

    - ``framing``: ``"length"``, four bytes with the length before each row, or ``"lines"``, a newline behind it.
    - ``spool_bytes``: so much may wait on the disk to be done; then senders wait.
    - ``connections`` at a time; ``idle``: seconds after which one is closed from which nothing comes.
    - ``tls_cert`` and ``tls_key``: have all connections use TLS. ``token``: a file; only senders that show the token in
      it are taken.

    ``dtype`` and the other options are those of :func:`muster.read_csv`; without ``dtype``, types are those of the
    first epoch. `muster help streams` says how frames are written, and what an acknowledgement is.
    """
    if framing not in {"length", "lines"}:
        raise UsageError(f"framing={framing!r}: it is 'length' or 'lines'.")
    for name, value in (("spool_bytes", spool_bytes), ("connections", connections), ("idle", idle)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            raise UsageError(f"{name}={value!r}: it must be a number above 0.")
    names = column_names("columns", columns) or ()
    listen = ListenTcp(
        place,
        framing,
        tuple(map(str, names)),
        connections,
        float(idle),
        spool_bytes,
        *(None if path is None else fspath(path) for path in (tls_cert, tls_key, token)),
    )
    dialect, reading = understood(options, AS_NAMED, Reading())
    chosen = Options(input_format="csv", dtype=names_of(dtype), dialect=dialect, reading=reading)
    return Pipeline((place or ":",), options=chosen, follow=Follow(checked_every(every), listen))
