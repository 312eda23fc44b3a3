"""Where the rows of a pipeline go: to files, elsewhere, or both."""

import dataclasses
from collections.abc import Callable, Mapping
from os import PathLike
from typing import Any, Final, NamedTuple, TypeVar

from muster._api.given import path_of
from muster._api.options import check_framing, check_whole
from muster._job import Encoding, Follow, ListenTcp, ReadFrom, SendTcp, WriteTo
from muster._model import Target
from muster._user_code import arguments, targets
from muster._words.quoted import in_files
from muster.errors import UsageError

P = TypeVar("P")
EncodeRow = Callable[[Mapping[str, Any]], bytes]

_STEP: Final = "muster._worker.payloads:encode"

_TEXT: Final = {"csv": "csv", "json": "jsonl"}
"""Ways to write a row, and the formats that these are."""

_FILES: Final = {**_TEXT, "parquet": "parquet"}
"""Likewise, for whom rows come to in files."""


def over_tcp(pipeline: P, send: SendTcp, *, encode: str | EncodeRow, folder: str | PathLike[str] | None) -> P:
    """Have a pipeline send its rows. Raises ``UsageError`` for what cannot be sent, or not so."""
    from muster._streams.endpoints import endpoint_of

    endpoint = endpoint_of(send)
    check_framing(send.framing)
    if send.token and send.is_plain:
        raise UsageError("token= and plain=True: a token is shown in the hello, and a plain receiver gets none.")
    form = _form(encode, _TEXT, framing=send.framing)
    return _going_on(pipeline, send, form, folder=folder, named=f"tcp-{endpoint}")


def to_sink(
    pipeline: P, sink: WriteTo, *, encode: str | EncodeRow, folder: str | PathLike[str] | None, key: str = ""
) -> P:
    """Have a pipeline hand its rows to a sink. Raises ``UsageError`` where that cannot be."""
    return _going_on(pipeline, sink, _form(encode, _FILES, key=key), folder=folder, named=sink.name)


class _Form(NamedTuple):
    """How rows are written: a format, perhaps of what a function makes of them."""

    format: str
    encoding: Encoding | None = None

    def fits(self, other: "_Form") -> bool:
        """Tell whether rows that are written once are of both."""
        one, two = (form.encoding and form.encoding[:2] for form in (self, other))
        return self.format == other.format and one == two

    def __str__(self) -> str:
        return {"csv": "CSV", "jsonl": "JSON", "parquet": "Parquet"}[self.format] if self.encoding is None else "bytes"


def _form(encode: str | EncodeRow, ways: dict[str, str], *, key: str = "", framing: str = "") -> _Form:
    if not isinstance(encode, str) and callable(encode):
        return _Form("jsonl", Encoding(encode, key, framing))
    if encode not in ways:
        raise UsageError(
            f"encode={encode!r}: it is {', '.join(map(repr, ways))}, or a function that gets a row, a dict, and returns"
            " bytes."
        )
    return _Form(ways[encode])


def with_encoding(steps: tuple[Target, ...], follow: Follow | None) -> tuple[Target, ...]:
    """Add the step that makes bytes of rows, where a function of the user's own does. Raises ``UsageError``."""
    if follow is None or follow.encoding is None:
        return steps
    function, key, framing = follow.encoding
    step, told = targets.parse_target(_STEP), {"encode": function, "key": key, "framing": framing}
    return (*steps, targets.with_arguments(step, arguments.given(told, step=step.name)))


def _going_on(
    pipeline: P, sink: SendTcp | WriteTo, form: _Form, *, folder: str | PathLike[str] | None, named: str
) -> P:
    """Have rows go to a sink; the first output names the work folder, unless the user does or there is a folder."""
    one: Any = pipeline
    if one.follow is None:
        raise UsageError(
            f"{sink.call}: rows go on behind follow_csv, listen_tcp and read_from. Write this pipeline's to a file; it"
            " can be sent: muster send FILE --to HOST:PORT."
        )
    check_whole("spool_bytes", sink.spool_bytes, least=1)
    for source in one.follow.sources:
        _check_is_no_loop(source, sink)
    if not (called := in_files(named)):
        raise UsageError(f"name={named!r}: files are called so, too, and it has no letter or digit. Choose another.")
    if any(called == other.called for other in one.follow.sinks):
        how = " Tell two sinks of one class apart by name=." if sink.call.startswith("write_to(") else ""
        raise UsageError(f"{sink.call}: the rows of this pipeline go there already. Leave it out.{how}")
    own_folder = (path_of("folder", folder) or "").rstrip("/")
    if folder is not None and not own_folder:
        raise UsageError(f"folder={folder!r} names none.")
    if own_folder and one.output:
        raise _has_work_folder(f"folder={own_folder!r}", one.output)
    follow = dataclasses.replace(
        one.follow,
        sinks=(*one.follow.sinks, dataclasses.replace(sink, called=called, has_payloads=form.encoding is not None)),
        has_folder=bool(one.output) and one.follow.has_folder,
        folder=own_folder or one.follow.folder,
    )
    return _with_output(one, one.output or f"{own_folder or called}/", follow, call=sink.call, form=form)  # type: ignore[no-any-return]


def _check_is_no_loop(source: ListenTcp | ReadFrom, sink: SendTcp | WriteTo) -> None:
    """Raise ``UsageError`` where rows go to the place that they come from."""
    if isinstance(source, ListenTcp) and isinstance(sink, SendTcp):
        from muster._streams.endpoints import endpoint_of

        is_loop = endpoint_of(source) == endpoint_of(sink)
    elif isinstance(source, ReadFrom) and isinstance(sink, WriteTo):
        is_loop = (source.by.replace("follow_", "send_"), source.name) == (sink.by, sink.name)
    else:
        return
    if is_loop:
        raise UsageError(
            f"{sink.call}: these rows come from {source.call}, so each row would come in again, for ever. Name another"
            " place for one of them."
        )


def to_files(pipeline: P, output: str, *, format_: str) -> P:
    """Have a pipeline write its rows; those of a stream may go elsewhere, too. Raises ``UsageError``."""
    one: Any = pipeline
    if one.follow is None:
        options = dataclasses.replace(one.options, output_format=format_)
        return dataclasses.replace(one, output=output, options=options)  # type: ignore[no-any-return]
    if one.output and one.follow.has_folder:
        raise UsageError(
            f"{output!r}: a stream writes one folder of parts, and this one has {one.output!r}. Leave one out."
        )
    if one.follow.folder:
        raise _has_work_folder(repr(output), one.output)
    follow = dataclasses.replace(one.follow, has_folder=True)
    return _with_output(one, output, follow, call=repr(output), form=_Form(format_))  # type: ignore[no-any-return]


def _with_output(one: Any, output: str, follow: Follow, *, call: str, form: _Form) -> Any:  # noqa: ANN401 (pipelines)
    """Add an output. Raises ``UsageError`` where it would get other rows than those before it, or in another form."""
    if one.output and follow.steps != len(one.steps):
        raise UsageError(
            f"{call}: all outputs of a pipeline get the rows that its last function gives, and one stands before that."
            " Name all outputs behind the last function; or have another pipeline follow the folder that one writes."
        )
    before = _Form(one.options.output_format, follow.encoding)
    if one.output and not form.fits(before):
        raise UsageError(
            f"{call}: it takes rows as {form}, and an output before it as {before}; a stream writes its rows once, for"
            " all outputs. write_csv goes with encode='csv', write_parquet with encode='parquet', write_json with"
            " encode='json', send_redis and send_kafka, and encode=f with encode=f of the same function and key=."
        )
    return dataclasses.replace(
        one,
        output=output,
        options=dataclasses.replace(one.options, output_format=form.format),
        follow=dataclasses.replace(follow, steps=len(one.steps), encoding=_of_all(form, before)),
    )


def _of_all(form: _Form, before: _Form) -> Encoding | None:
    """Have payloads be such as all outputs take: of the framings, the strictest is the last by its letters."""
    if form.encoding is None or before.encoding is None:
        return form.encoding
    return form.encoding._replace(framing=max(form.encoding.framing, before.encoding.framing))


def _has_work_folder(what: str, output: str) -> UsageError:
    folder = f"{output.rstrip('/')}.muster"
    return UsageError(
        f"{what}: a stream has one work folder, and an output before this one calls it {folder!r}. Leave folder="
        " out where there is a folder of parts; else give it to the first output alone."
    )


def check_names_no_sinks(follow: Follow | None, *, what: str) -> None:
    """Raise ``UsageError`` where a command names an output, and the file of its pipeline has outputs beyond folders."""
    if follow is not None and follow.sinks:
        calls = " and ".join(sink.call for sink in follow.sinks)
        raise UsageError(
            f"{what!r}: the rows of this pipeline go to {calls}, as its file says. Add .write_csv or the like there,"
            " to have them in a folder, too."
        )
