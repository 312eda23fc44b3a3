"""Pipelines whose rows go elsewhere than to files."""

import dataclasses
import re
from os import PathLike, fspath
from typing import Any, Final, TypeVar

from muster._api.options import check_framing, check_whole
from muster._job import Follow, SendTcp, WriteTo
from muster.errors import UsageError

P = TypeVar("P")

_TEXT: Final = {"csv": "csv", "json": "jsonl"}
"""Ways to write a row, and the formats that these are."""

_FILES: Final = {**_TEXT, "parquet": "parquet"}
"""Likewise, for whom rows come to in files."""


def over_tcp(pipeline: P, send: SendTcp, *, encode: str, folder: str | PathLike[str] | None) -> P:
    """Have a pipeline send its rows. Raises ``UsageError`` for what cannot be sent, or not so."""
    from muster._streams.endpoints import SINK_PORT, Endpoint

    endpoint = Endpoint.of(send.place, port=SINK_PORT, flag="send_tcp")
    check_framing(send.framing)
    if send.token and send.is_plain:
        raise UsageError("token= and plain=True: a token is shown in the hello, and a plain receiver gets none.")
    return _going_on(pipeline, send, format_=_format(encode, _TEXT), folder=folder, named=f"tcp-{endpoint}")


def to_sink(pipeline: P, sink: WriteTo, *, encode: str, folder: str | PathLike[str] | None) -> P:
    """Have a pipeline hand its rows to a sink. Raises ``UsageError`` where that cannot be."""
    return _going_on(pipeline, sink, format_=_format(encode, _FILES), folder=folder, named=sink.name)


def _format(encode: str, ways: dict[str, str]) -> str:
    if encode not in ways:
        *all_but_last, last = map(repr, ways)
        raise UsageError(f"encode={encode!r}: it is {', '.join(all_but_last)} or {last}.")
    return ways[encode]


def _going_on(
    pipeline: P, sink: SendTcp | WriteTo, *, format_: str, folder: str | PathLike[str] | None, named: str
) -> P:
    """Have rows go to a sink, from a folder that is called as the user says, or by the name of the sink."""
    one: Any = pipeline
    if one.follow is None:
        raise UsageError(
            f"{sink.call}: rows go on behind follow_csv, listen_tcp and read_from. Write this pipeline's to a file; it"
            " can be sent: muster send FILE --to HOST:PORT."
        )
    if one.output:
        raise UsageError(
            f"A pipeline has one output, and this one has {one.output!r} and {sink.call}. Leave one out;"
            " to have both, follow the parts that one pipeline has written with follow_csv in another."
        )
    check_whole("spool_bytes", sink.spool_bytes, least=1)
    called = re.sub(r"[^\w.-]+", "-", named).strip("-") if folder is None else fspath(folder).rstrip("/")
    if not called:
        raise UsageError(f"folder={folder!r} names none.")
    return dataclasses.replace(  # type: ignore[no-any-return]
        one,
        output=f"{called}/",
        options=dataclasses.replace(one.options, output_format=format_),
        follow=dataclasses.replace(one.follow, sink=sink),
    )


def check_sends_nothing(follow: Follow | None, *, what: str) -> None:
    """Raise ``UsageError`` where rows go elsewhere, and shall be written, too."""
    if follow is not None and follow.sink is not None:
        raise UsageError(
            f"{what!r}: a pipeline has one output, and the rows of this one go to {follow.sink.call}. Leave one out; to"
            " have both, follow the parts that one pipeline has written with follow_csv in another."
        )
