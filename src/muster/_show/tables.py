"""Runs and machines in columns, for the terminal."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from muster._show.mending import to_mend_of
from muster._words import duration, latency, moment, plural, size, timestamp

if TYPE_CHECKING:
    from muster._clouds.clusters import Status


def runs_in_columns(runs: Sequence[Mapping[str, Any]]) -> str:
    """Lay out runs in columns."""
    if not runs:
        return "No runs yet."
    heads = ("RUN", "WHEN", "STATE", "FUNCTION", "ROWS", "BAD", "TOOK", "OUTPUT")
    cells = [
        (
            str(run["run"]),
            moment(run["at"]),
            str(run["status"]),
            " | ".join(step[0] for step in run["target"]),
            _rows_of(run),
            f"{run['bad_rows']:,}" if "bad_rows" in run else "-",
            duration(run["seconds_at_work"]) if "seconds_at_work" in run else "-",
            str(run["output"]),
        )
        for run in runs
    ]
    advice = [text for run in runs if (text := run.get("go_on"))]
    return "\n".join([in_columns(heads, *cells), *advice])


def _rows_of(run: Mapping[str, Any]) -> str:
    if "rows_in" in run:
        return f"{run['rows_in']:,}"
    if "rows_done" not in run:
        return "-"
    total = run["rows_total"]
    return f"{run['rows_done']:,} of {total:,}" if total is not None else f"{run['rows_done']:,} so far"


def machines_in_columns(status: "Status") -> str:
    """Lay out a cluster's machines in columns, under a line about the whole."""
    machines = status.machines
    held = f", working for process {status.held_by}" if status.held_by else ""
    workers = sum(machine.workers for machine in machines)
    count = f"{plural(len(machines), 'machine')}, {plural(workers, 'worker')}"
    known = [machine.price for machine in machines if machine.price]
    priced = bool(known) or any(machine.price is None for machine in machines)
    least = "at least " if len(known) < len(machines) else ""
    price = f", {least}{_an_hour(sum(known))}" if known else ", price unknown" if priced else ""
    title = f"{status.name}: {count}, on {status.on}{price}{held}"
    silent = [f"{name}: {why}" for name, why in status.silent.items()]
    if not machines and not silent:
        title += ": none of its machines lives"
        title += f"; muster up {status.name} --machines N makes it again, muster down {status.name} forgets it"
    heads = (
        "MACHINE",
        "ADDRESS",
        "BUSY",
        "MEMORY",
        "DISK FREE",
        "LEASE LEFT",
        *(["PRICE"] if priced else []),
        "VERSIONS",
    )
    cells = [
        (
            machine.name + (" (head)" if machine.is_head else ""),
            machine.address,
            f"{machine.busy} of {machine.workers}",
            f"{machine.memory / 1e6:,.0f} MB",
            f"{machine.disk / 1e9:,.0f} GB",
            f"{duration(machine.left)} of {duration(machine.lease)}",
            *([_an_hour(machine.price) if machine.price else "unknown"] if priced else []),
            ", ".join(f"{name} {version}" for name, version in machine.versions.items()),
        )
        for machine in machines
    ]
    return "\n".join([title, *([in_columns(heads, *cells)] if cells else []), *silent])


def _an_hour(dollars: float) -> str:
    return f"${dollars:,.4g} an hour"


def in_columns(*rows: Iterable[str]) -> str:
    """Lay out rows of equal length, the heads first."""
    cells = [tuple(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )


def run_in_lines(run: Mapping[str, Any]) -> str:
    """Say how a run stands; of a stream also what waits, what it keeps, and how long rows take."""
    pace = f", {run['rows_per_second']:,.0f} rows/s" if run["status"] == "running" and "rows_per_second" in run else ""
    bad = f", {run['bad_rows']:,} bad" if run.get("bad_rows") else ""
    title = f"{run['run']}: {run['status']}, {_rows_done(run)}{pace}{bad}"
    functions, inputs = " | ".join(run["functions"]), [str(file["path"]) for file in run["files"]]
    more = f" and {len(inputs) - 1:,} more" if len(inputs) > 1 else ""
    where = f"{functions}: {inputs[0] if inputs else 'rows'}{more} to {run['output']}"
    lines = [*(_lines_of_stream(run["stream"], is_going=run["status"] == "running") if "stream" in run else ())]
    width = max((len(name) for name, _ in lines), default=0)
    mend = [what] if (what := to_mend_of(run)) else []
    return "\n".join([title, where, *(f"  {name:<{width}}  {text}" for name, text in lines), *mend])


def _rows_done(run: Mapping[str, Any]) -> str:
    if "rows_in" in run:
        return plural(run["rows_in"], "row")
    total = run.get("rows_total")
    return (
        f"{plural(run['rows_done'], 'row')} so far"
        if total is None
        else f"{run['rows_done']:,} of {plural(total, 'row')}"
    )


def _lines_of_stream(stream: Mapping[str, Any], *, is_going: bool) -> Iterator[tuple[str, str]]:
    age = stream["checkpoint_age"]
    ago = f", the last one {duration(age)} ago" if age is not None and is_going else ""
    yield "epochs", f"{stream['epochs']:,}{ago}"
    if stream["bytes_behind"] is not None:
        yield "behind", _behind(stream)
    for name, source in stream["sources"].items():
        yield "", f"{name}: {_behind(source)}{_of_source(source)}"
    if stream["state_bytes"] is not None:
        keys = "an unknown number" if stream["keys"] is None else f"{stream['keys']:,}"
        yield "keys", f"{keys}, whose states take {size(stream['state_bytes'])}"
    if stream["watermark"] is not None:
        late = f", {plural(stream['late_rows'], 'row')} came too late" if stream["late_rows"] else ""
        yield "watermark", f"windows up to {timestamp(stream['watermark'])} are closed{late}"
    if skipped := stream["skipped_rows"]:
        yield "skipped", f"{plural(skipped, 'row')}, gone before they were read"
    for at, (name, sink) in enumerate(stream["sinks"].items()):
        by = f" by {name}" if len(stream["sinks"]) > 1 else ""
        yield "" if at else "unacknowledged", _unacknowledged(sink, by)
    if stream["latency"]["rows"]:
        half, most = (latency(stream["latency"][name]) for name in ("p50", "p99"))
        yield "until committed", f"half of the rows took less than {half}, 99% less than {most}"


def _unacknowledged(sink: Mapping[str, Any], by: str) -> str:
    rows = sink["rows_unacknowledged"]
    waited = f", for {duration(sink['seconds_unacknowledged'])}" if rows else ""
    away = f"; {sink['away']}" if sink["away"] else ""
    return f"{plural(rows, 'row')}{by}{waited}{away}"


def _of_source(source: Mapping[str, Any]) -> str:
    if source["away"]:
        return f"; {source['away']}"
    return "; it has ended" if source["has_ended"] else ""


def _behind(stream: Mapping[str, Any]) -> str:
    rows, count = stream["rows_behind"], stream["bytes_behind"]
    if not count:
        return plural(rows, "row") if rows else "nothing"
    counted = f"{plural(rows, 'row')}, " if rows is not None else ""
    return f"{counted}{size(count)}, for {duration(stream['seconds_behind'])}"
