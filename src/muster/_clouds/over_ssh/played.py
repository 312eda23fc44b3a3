"""What came of a playbook: what hosts answered, and what went wrong."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from muster._words import printable
from muster.errors import EngineError

from . import ills

_UNREACHED: Final = "Failed to connect to the host via ssh:"


@dataclass(frozen=True, slots=True)
class HostFailure:
    """Why a host failed: the task, empty where none was reached, and what is the matter."""

    task: str
    said: str


@dataclass(frozen=True, slots=True)
class Played:
    """What came of a playbook: by host, the last line that the command of its last task printed; and who failed."""

    output: Mapping[str, str]
    failures: Mapping[str, HostFailure]

    def answers(self) -> "tuple[dict[str, dict[str, Any]], Played]":
        """Read what the programs of muster's own printed, in JSON; a host that says something else has failed."""
        read, failures = {}, dict(self.failures)
        for name, text in self.output.items():
            try:
                told = _shown(json.loads(text))
            except ValueError:
                told = None
            if isinstance(told, dict):
                read[name] = told
            else:
                failures[name] = HostFailure(
                    "look", f"muster's program was asked there, and this was answered: {text.strip()!r}"
                )
        return read, replace(self, failures=failures)

    def check(self, doing: str) -> None:
        """Raise ``EngineError`` when a host failed."""
        if self.failures:
            causes = {name: failure for name, failure in self.failures.items() if failure.task} or self.failures
            lines = "\n".join(f"  {name}: {failure.said}" for name, failure in sorted(causes.items()))
            raise EngineError(
                f"{doing} failed:\n{lines}\nMend that, or take the host out of the file; then type it again."
            )


def gathered(
    events: Iterable[Mapping[str, Any]], names: Mapping[str, str], *, otherwise: str = "the playbook did not run"
) -> Played:
    output: dict[str, str] = {}
    failures: dict[str, HostFailure] = {}
    last = otherwise
    for event in events:
        data = event.get("event_data", {})
        name, result, task = names.get(data.get("host"), ""), data.get("res", {}), data.get("task", "")
        if event["event"] == "runner_on_ok" and "stdout" in result:
            output[name] = _last_line(result["stdout"])
        elif event["event"] in {"runner_on_failed", "runner_on_unreachable"} and not data.get("ignore_errors"):
            failures[name] = HostFailure(task, _said(result))
            output.pop(name, None)  # of an earlier task
        elif event["event"] == "error":
            last = event.get("stdout", last)
    for name in names.values():
        if name not in output and name not in failures:
            failures[name] = HostFailure("", last)
    return Played(output, failures)


def _last_line(printed: str) -> str:
    """Take what a program says; what it runs may have said something before it."""
    return (printed.strip().splitlines() or [""])[-1]


def _said(result: Mapping[str, Any]) -> str:
    """Gather all that was said of a failure, whoever said it, and what it means."""
    said = [text for name in ("stderr", "msg", "stdout") if (text := str(result.get(name) or "").strip())]
    return ills.named("\n".join(said).replace(_UNREACHED, "") or _ended(result))


def _ended(result: Mapping[str, Any]) -> str:
    return f"its program ended with status {result['rc']}, and said nothing" if "rc" in result else str(result)


def _shown(told: Any) -> Any:  # noqa: ANN401 (what JSON is)
    """Leave nothing in what a host tells that would steer the terminal where it is shown."""
    if isinstance(told, dict):
        return {name: _shown(value) for name, value in told.items()}
    if isinstance(told, list):
        return list(map(_shown, told))
    return printable(told) if isinstance(told, str) else told
