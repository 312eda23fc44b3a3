"""A job as fields of its journal, and back: enough to do the same again, without what is secret."""

import dataclasses
import json
import os
from collections.abc import Mapping
from typing import Any, Final

from muster._dialects import Dialect, Reading
from muster._job import Job, Options
from muster._journal.events import Fields
from muster._model import Arguments, Target
from muster._private.secrets import holds_secret

_NOT_KEPT: Final = frozenset({"storage_options", "fresh", "accept_changes", "if_running"})
"""What is secret, and what is about one attempt alone."""


def job_as_fields(job: Job, *, place: str, folder: str) -> Fields:
    """Write down a job: ``place`` is where its output lies, ``folder`` where its paths count from."""
    options = {
        field.name: _plain(getattr(job.options, field.name))
        for field in dataclasses.fields(Options)
        if field.name not in _NOT_KEPT
    }
    return {
        "place": place,
        "folder": folder,
        "typed": job.typed,
        "steps": [_of_step(step) for step in job.steps],
        "inputs": list(job.inputs),
        "output": job.output,
        "options": {name: value for name, value in options.items() if value is not None},
        "storage": sorted(job.options.storage_options),
        **({"groups": [one.said() for one in job.exchanges]} if job.exchanges else {}),
    }


def _of_step(step: Target) -> Fields:
    """Write a step, and of its arguments those that can be kept; the others are named."""
    typed = [[name, text] for name, text in step.arguments.typed if not holds_secret(name, text)]
    lacks = [name for name, text in step.arguments.typed if holds_secret(name, text)] + sorted(step.arguments.values)
    return {"kind": step.kind, "place": step.place, "name": step.name, "typed": typed, "lacks": lacks}


def _plain(value: Any) -> Any:  # noqa: ANN401 (of any option)
    """Write an option as JSON; ``None`` for one that JSON cannot hold."""
    if isinstance(value, Dialect | Reading):
        value = dataclasses.asdict(value)
    try:
        return json.loads(json.dumps(value, default=_as_text))
    except (TypeError, ValueError):
        return None


def _as_text(value: object) -> Any:  # noqa: ANN401 (JSON)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(type(value).__name__)


def job_of(said: Fields) -> Job:
    """Read a job; its options are those that it had, without those of its stores."""
    known = {field.name for field in dataclasses.fields(Options)}
    options = {name: value for name, value in said["options"].items() if name in known}
    options["dialect"] = Dialect(**_tuples(options["dialect"]))
    options["reading"] = Reading(**_tuples(options["reading"]))
    for name in ("env", "with_files"):
        options[name] = tuple(options.get(name, ()))
    steps = tuple(_step(step) for step in said["steps"])
    return Job(steps, tuple(said["inputs"]), said["output"], Options(**options), said["typed"])


def _step(said: Fields) -> Target:
    arguments = Arguments(tuple((name, text) for name, text in said["typed"]))
    return Target(said["kind"], said["place"], said["name"], arguments=arguments)


def _tuples(value: Any) -> Any:  # noqa: ANN401 (JSON)
    """Make tuples of lists, as nouns have them."""
    if isinstance(value, dict):
        return {name: _tuples(one) for name, one in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
