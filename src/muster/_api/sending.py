"""Pipelines whose rows are sent."""

import dataclasses
import re
from os import PathLike, fspath
from typing import Any, Final, TypeVar

from muster._api.options import check_framing, check_whole
from muster._job import Follow, SendTcp
from muster.errors import UsageError

P = TypeVar("P")

_ENCODINGS: Final = {"csv": "csv", "json": "jsonl"}
"""Ways to write a row, and the formats that these are."""


def over_tcp(pipeline: P, send: SendTcp, *, encode: str, folder: str | PathLike[str] | None) -> P:
    """Have a pipeline send its rows. Raises ``UsageError`` for what cannot be sent, or not so."""
    from muster._streams.endpoints import SINK_PORT, Endpoint

    one: Any = pipeline
    endpoint = Endpoint.of(send.place, port=SINK_PORT, flag="send_tcp")
    if one.follow is None:
        raise UsageError(
            f"send_tcp {send.place!r}: rows are sent behind follow_csv and listen_tcp. Write this pipeline's to a file,"
            " and send that: muster send FILE --to HOST:PORT."
        )
    if one.output:
        raise UsageError(
            f"A pipeline has one output, and this one has {one.output!r} and send_tcp({send.place!r}). Leave one out;"
            " to have both, follow the parts that one pipeline has written with follow_csv in another."
        )
    check_framing(send.framing)
    check_whole("spool_bytes", send.spool_bytes, least=1)
    if encode not in _ENCODINGS:
        raise UsageError(f"encode={encode!r}: it is 'csv' or 'json'.")
    if send.token and send.is_plain:
        raise UsageError("token= and plain=True: a token is shown in the hello, and a plain receiver gets none.")
    named = re.sub(r"[^\w.-]+", "-", f"tcp-{endpoint}") if folder is None else fspath(folder).rstrip("/")
    if not named:
        raise UsageError(f"folder={folder!r} names none.")
    return dataclasses.replace(  # type: ignore[no-any-return]
        one,
        output=f"{named}/",
        options=dataclasses.replace(one.options, output_format=_ENCODINGS[encode]),
        follow=dataclasses.replace(one.follow, send=send),
    )


def check_sends_nothing(follow: Follow | None, *, what: str) -> None:
    """Raise ``UsageError`` where rows are sent, and shall be written, too."""
    if follow is not None and follow.send is not None:
        raise UsageError(
            f"{what!r}: a pipeline has one output, and this one sends its rows: send_tcp({follow.send.place!r}). Leave"
            " one out; to have both, follow the parts that one pipeline has written with follow_csv in another."
        )
