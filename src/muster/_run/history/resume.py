"""Whether an unfinished run belongs to the same job, and what has changed since."""

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from muster._dialects import Dialect, Reading
from muster._job import Job
from muster._journal.events import Fields
from muster._model import Source
from muster._urls.identity import local, spelled
from muster._urls.urls import is_remote
from muster._user_code.data_files import changed_files
from muster._user_code.described import Described
from muster._user_code.facts import ODD
from muster._user_code.versions import OWN
from muster.errors import ResumeError

from .grouped import groups_said, windows_said, without_own
from .past import Past

_MOST_SAID: Final = 5
"""More would hide what the error says."""


def fingerprint(job: Job, sources: Sequence[Source], steps: Sequence[Described]) -> Fields:
    """Say what the rows of the output depend on; a run is resumed only while none of it changes."""
    options = job.options
    return {
        "inputs": [[_normal(source.name), source.size, source.stamp] for source in sources],
        "steps": [[step.name] for step in steps],
        "facts": _facts(steps),
        "output": _normal(job.output),
        "dtype": options.dtype if isinstance(options.dtype, str | None) else dict(options.dtype),
        "part_bytes": options.part_bytes,
        "limit": options.limit,
        "sample": options.sample,
        "batch_rows": options.batch_rows,
        "format": [options.format, options.input_format, options.output_format],
        "dialect": _as_journaled(options.dialect),
        "reading": _as_journaled(options.reading),
        **({"retry": job.retry} if job.retry else {}),
        **({"groups": [one.said() for one in job.exchanges]} if job.exchanges else {}),
    }


def _facts(steps: Sequence[Described]) -> dict[str, str]:
    """Put the facts of all steps together: two steps may have things of the same name that are not the same."""
    facts: dict[str, str] = {}
    for at, step in enumerate(steps):
        for fact in step.facts:
            is_another = facts.setdefault(fact.what, fact.value) != fact.value
            facts |= {f"{fact.what} (step {at + 1})": fact.value} if is_another else {}
    return facts


def sources_of(past: Past, sources: tuple[Source, ...]) -> tuple[Source, ...]:
    """Keep the files that a run has read; folders and patterns may name more by now."""
    read = {path for path, *_ in past.job["inputs"]}
    return tuple(source for source in sources if _normal(source.name) in read) or sources


def _as_journaled(noun: Dialect | Reading) -> Any:  # noqa: ANN401 (JSON)
    """Write a noun as it comes back from the journal, to be compared with what lies there."""
    return json.loads(json.dumps(dataclasses.asdict(noun)))


def _normal(path: str) -> str:
    """Write a path in one way; a relative one stays so, for a folder may be moved with the run in it."""
    path = spelled(local(path))
    return path if is_remote(path) else os.path.normpath(path) + ("/" if path.endswith("/") else "")


class Changes(NamedTuple):
    """What has changed since an unfinished run, in words; ``files`` are the paths of changed data files."""

    texts: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


def check_same(past: Past, now: Fields, *, folder: str, accept: bool) -> Changes:
    """Tell what has changed since an unfinished run, where that is to be accepted.

    Raises ``ResumeError`` where it is not, or where the rows of that run are not among those of this one.
    """
    if of_rows := list(differences_of_rows(past.job, now)):
        changed = list(of_rows)
        if "facts" in past.job and past.job.get("retry") == now.get("retry"):
            changed += [*changed_facts(past.job["facts"], now["facts"]), *dict(changed_files(past.files)).values()]
        raise ResumeError(
            f"{folder!r} holds an unfinished run of another job: {'; '.join(changed)}. To go on with that run, restore"
            " what it had; to start over, type the command again with --fresh. More: muster help resume"
        )
    files = dict(changed_files(past.files))
    changes = (*changed_facts(past.job["facts"], now["facts"]), *files.values())
    if changes and not accept:
        raise ResumeError(
            f"{folder!r} holds an unfinished run, and its rows depend on what is not the same now: {_listed(changes)}."
            " To go on with that run, restore what it had. To start over, type the command again with --fresh. To go on"
            " all the same, with rows of both in one output, type the command again with --accept-changes. More:"
            " muster help resume"
        )
    return Changes(changes, tuple(files))


_STREAMS_GROW_SINCE: Final = 2
"""The format of journals whose streams of unknown size are read on."""


def check_cuts(past: Past, *, has_streams: bool, is_retry: bool) -> None:
    """Raise ``ResumeError`` where an earlier muster has cut an input into other parts than this one would."""
    go_on = "Finish it with that version; or type the command again with --fresh to start over."
    if is_retry:
        go_on = "So the whole has to be run again, with muster run."
    if has_streams and past.first_format < _STREAMS_GROW_SINCE:
        raise ResumeError(
            f"Run {past.run} was begun by an earlier version of muster, which cut inputs that are read as a stream"
            f" (compressed ones, say) into other parts. {go_on}"
        )


def check_same_files(sources: Sequence[Source], before: Mapping[int, int], now: Mapping[int, int]) -> None:
    """Raise ``ResumeError`` where a file holds something else than it did, which only its bytes tell."""
    for at, digest in now.items():
        if before.get(at, digest) != digest:
            raise ResumeError(
                f"the input {sources[at].name!r} has changed since the unfinished run read it. To start over, type the"
                " command again with --fresh."
            )


def why_in_vain(past: Past, now: Fields, *, accept: bool) -> str:
    """Say what has changed since an unfinished run that got no row done; empty where that run may go on."""
    if past.has_rows:
        return ""
    changes = list(differences_of_rows(past.job, now))
    if not accept and "facts" in past.job:
        changes += [*changed_facts(past.job["facts"], now["facts"]), *dict(changed_files(past.files)).values()]
    return _listed(changes)


def _listed(changes: Sequence[str]) -> str:
    more = f"; and {len(changes) - _MOST_SAID} more" if len(changes) > _MOST_SAID else ""
    return "; ".join(changes[:_MOST_SAID]) + more


def differences(before: Fields, now: Fields) -> Iterator[str]:
    """Say in words what has changed between two fingerprints."""
    yield from differences_of_rows(before, now)
    yield from changed_facts(before.get("facts", {}), now["facts"])


def differences_of_rows(before: Fields, now: Fields) -> Iterator[str]:
    """Say in words what has changed of which rows there are, and of how they are read and written."""
    if before.get("retry") != now.get("retry"):
        yield "one of them is a retry of bad rows (muster retry), and the other one is not, or of another run"
        return
    if "facts" not in before:
        yield "it was begun by an earlier version of muster, which did not note what its rows depend on"
        return
    inputs = {path: (size, stamp) for path, size, stamp in before["inputs"]}
    for path, size, stamp in now["inputs"]:
        if path in inputs and inputs[path] != (size, stamp):
            was = inputs[path][0]
            how = f"it had {was:,} bytes, and has {size:,} now" if was != size else "it was written again"
            yield f"the input {path!r} has changed: {how}"
    for what, value in now.items():
        if what not in {"facts", "inputs"} and before.get(what) != value:
            yield from _difference(what, before, now)
    if [path for path, *_ in before["inputs"]] != [path for path, *_ in now["inputs"]]:
        yield f"the inputs were {_said([*inputs])}, and are {_said([path for path, *_ in now['inputs']])} now"


_FORMATS: Final = ("format", "the input's format", "the output's format")


def _difference(what: str, before: Fields, now: Fields) -> Iterator[str]:
    """Say in words how one field of two fingerprints differs."""
    was, value = before.get(what), now[what]
    if what == "groups":
        yield f"the groups were {groups_said(was)}, and are {groups_said(value)} now"
        return
    if what == "follows":
        yield f"what the stream reads was {_said(was)}, and is {_said(value)} now"
        return
    if what == "steps":
        many = len(was or ()) > 1 or len(value) > 1
        whose = "functions were" if many else "function was"
        yield f"the {whose} {_steps_of(before)}, and {'are' if many else 'is'} {_steps_of(now)} now"
        return
    if what == "format" and isinstance(was, list) and len(was) == len(value):
        was, value = dict(zip(_FORMATS, was, strict=True)), dict(zip(_FORMATS, value, strict=True))
    if isinstance(was, Mapping) and isinstance(value, Mapping):
        for name in dict.fromkeys([*was, *value]):
            if was.get(name) != value.get(name):
                whose = f"{_as_typed(what)} of {name}" if what == "dtype" else _as_typed(name)
                yield f"{whose} was {_said(was.get(name))}, and is {_said(value.get(name))} now"
        return
    yield f"{_as_typed(what)} was {_said(was)}, and is {_said(value)} now"


_FLAGS: Final = {
    "delimiter": "--sep",
    "quote": "--quotechar",
    **{
        name: f"--{name.replace('_', '-')}"
        for name in (
            *("batch_rows", "comment", "date_format", "dayfirst", "decimal", "dtype", "encoding", "encoding_errors"),
            *("escapechar", "false_values", "format", "header", "limit", "na_values", "names", "parse_dates", "sample"),
            *("skipinitialspace", "skiprows", "thousands", "true_values", "usecols"),
        )
    },
}


def _as_typed(name: str) -> str:
    """Name an option by its flag; some have none, and some only one that denies them."""
    return _FLAGS.get(name, name)


def _steps_of(job: Fields) -> str:
    """Name the functions of a job, with their files where these are known."""
    places = [fact for fact in job.get("facts", {}) if fact.startswith(("the function ", "the class "))]
    names = []
    for name, *_ in job.get("steps", ()):
        place = next((fact for fact in places if f" {name!r}" in fact), "")
        names.append(place.partition(" ")[2].partition(" ")[2] or repr(name))
    return ", then ".join(names) or "none"


_NOTED_NO_VERSION: Final = "0.1.0"
"""The version of muster that did not note its own."""


def changed_facts(before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    """Say in words which facts are others now, or cannot be compared."""
    if OWN in now:
        before = {OWN: _NOTED_NO_VERSION, **before}
    if (were := windows_said(before)) != (are := windows_said(now)):
        yield f"the windows were {were}, and are {are} now"
    before, now = without_own(before), without_own(now)
    for what in sorted(before.keys() | now.keys()):
        was, value = before.get(what), now.get(what)
        odd = next((one for one in (was, value) if one is not None and one.startswith(ODD)), None)
        if odd is not None:
            yield f"{what} holds {odd.removeprefix(ODD)}, which cannot be compared with what it was"
        elif was is None:
            yield f"{what} is new"
        elif value is None:
            yield f"{what} is no longer used"
        elif was != value:
            is_clear = not (was.startswith("#") or value.startswith("#"))
            yield f"{what} was {was} and is {value} now" if is_clear else f"{what} has changed"


def _said(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(_said, value)) or "none"
    return "not given" if value is None else repr(value)
