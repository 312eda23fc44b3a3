"""The report of a run: one HTML file that needs nothing else, from the same templates as the live page."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

from muster._journal.runs import find
from muster.errors import UsageError

from .extra import needing

if TYPE_CHECKING:
    from muster._watch.sums.moment import Moment

_IN_DETAIL: Final = 32
"""Steps or machines with charts of their own: a report stays below some megabytes."""

_TOP: Final = 1000
"""Bytes in which a report says that it is one."""

_MARK: Final = b'<meta name="generator" content="muster report">'
"""What the template says among the first bytes of each report."""
_OLDER_MARK: Final = " · muster</title>".encode()
"""What those have that muster wrote before it said so."""


def report(run: str | None) -> str:
    """Write the report of a run, the newest for ``None``, as HTML.

    Raises ``UsageError`` where there is no such run, or its journal tells nothing of one.
    """
    known = find(run)
    with needing("muster report"):
        from . import pages
        from .sums.moment import look_at
    moment = look_at(known)
    if not moment.view.job:
        raise UsageError(f"{known.journal} tells nothing of a run: it is damaged. See all others with muster runs.")
    return pages.document(moment, pages.fragments(moment, pages.OVERVIEW, link=None), _subjects(moment))


def is_report(path: Path) -> bool:
    """Tell whether a report may go there: where no regular file is, an empty one, or a report. Raises ``OSError``."""
    if not path.is_file():
        return True
    with path.open("rb") as file:
        first = file.read(_TOP)
    return not first or _MARK in first or (first.startswith(b"<!doctype html>") and _OLDER_MARK in first)


def _subjects(moment: "Moment") -> list[tuple[str, str]]:
    """Name the steps and machines that are told of in detail: where there is one, the whole run says it all."""
    steps = [("steps", str(row.number)) for row in moment.steps]
    machines = [("machines", row.machine.name) for row in moment.machines]
    return [one for some in (steps, machines) if len(some) > 1 for one in some[:_IN_DETAIL]]
