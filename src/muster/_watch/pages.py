"""The pages: fragments of HTML by their ids, of which a live page is made and kept up to date, and the report too."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from muster import _words as words
from muster._journal.runs import KnownRun
from muster._watch.sums.account import account_of
from muster._watch.sums.listing import Listed
from muster._watch.sums.moment import Moment, look_at
from muster._watch.sums.processor import processor

from . import charts
from .advice import advice
from .outlook import outlook, remarks
from .subjects import links, subject
from .sums import figures

_HERE: Final = Path(__file__).parent
_FEW_WORKERS: Final = 16
"""More lines than this are put together by machine."""

_TALL, _LOW, _LOWEST = 18, 6, 4
"""Heights of a worker in the timeline."""

OVERVIEW: Final = (
    "head progress stream advice rates timeline machines stages steps workers spent calls rejects plan notes".split()  # noqa: SIM905
)
_IN_REPORT: Final = ("rates", "calls")
_OF_PART: Final = ("head", "figures", "rates", "calls", "timeline", "inside")


@dataclass(frozen=True, slots=True)
class Page:
    """A page: its title, the way to it from the list of runs, and its fragments."""

    title: str
    crumbs: Sequence[tuple[str, str]]
    fragments: Mapping[str, Markup]
    live: str = ""
    """Where its changes are told."""


@cache
def _templates() -> Environment:
    loader = FileSystemLoader(_HERE / "templates")
    found = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    found.filters |= {name: getattr(words, name) for name in _WRITTEN}
    found.globals |= {"charts": charts, "words": words, "processor": processor, "SHARES": figures.SHARE_NAMES}
    return found


_WRITTEN: Final = "count short pace size duration latency share dollars clock moment day".split()  # noqa: SIM905


def static(name: str) -> str:
    """Read one of the files that pages load."""
    return (_HERE / "static" / name).read_text()


def whole(page: Page) -> str:
    """Write a page as a document."""
    return _templates().get_template("page.html").render(page=page)


def overview(moment: Moment) -> Page:
    """Show a run."""
    run = moment.view.run
    done = f"{int(moment.share * 100)}% · " if moment.is_going and moment.share is not None else f"{moment.badge[1]} · "
    return Page(
        f"{done}{moment.short_names} · muster",
        [("Runs", "/"), (run, "")],
        fragments(moment, OVERVIEW, link=links(run)),
        f"/runs/{quote(run)}/events",
    )


def part(moment: Moment, kind: str, name: str) -> Page | None:
    """Show a step, a machine or a worker of a run; ``None`` where there is no such."""
    found = subject(moment, kind, name)
    if found is None:
        return None
    run = moment.view.run
    return Page(
        f"{found.name} · {moment.short_names} · muster",
        [("Runs", "/"), (run, f"/runs/{quote(run)}"), (f"{found.kind} {found.name}", "")],
        fragments(moment, _OF_PART, link=links(run), subject=found),
        f"/runs/{quote(run)}/{kind}/{quote(name, safe='')}/events",
    )


def document(moment: Moment, inside: Mapping[str, Markup], subjects: Sequence[tuple[str, str]]) -> str:
    """Write a report: fragments of a run, and details of some of its parts, as a document that needs nothing else."""
    details = []
    for kind, name in subjects:
        found = subject(moment, kind, name)
        if found is not None:
            details.append((found, [*fragments(moment, _IN_REPORT, link=None, subject=found).values()]))
    css = Markup(static("watch.css"))  # noqa: S704 (our own file)
    template = _templates().get_template("report.html")
    return template.render(moment=moment, view=moment.view, css=css, fragments=inside, subjects=details)


def listing(listed: Sequence[Listed]) -> Page:
    """Show the runs that are known."""
    going = [one for one in listed if one.state == "running"]
    told = f"{len(going)} running · " if going else ""
    html = Markup(_templates().get_template("runs.html").render(runs=listed))  # noqa: S704 (rendered with escaping)
    return Page(f"{told}Runs · muster", [("Runs", "")], {"runs": html}, "/events")


def missing(what: str) -> Page:
    """Say that there is no such page."""
    html = Markup(_templates().get_template("missing.html").render(what=what))  # noqa: S704 (rendered with escaping)
    return Page("Not here · muster", [("Runs", "/")], {"missing": html})


def overview_of(known: KnownRun) -> str:
    """Open a run's page from its journal."""
    return whole(overview(look_at(known)))


def fragments(moment: Moment, names: Sequence[str], **context: Any) -> dict[str, Markup]:  # noqa: ANN401 (of a template)
    """Render fragments of a run at a moment; what has nothing to say is empty."""
    given = {
        "moment": moment,
        "view": moment.view,
        "lanes": lanes,
        "timeline": _timeline,
        "outlook": outlook(moment),
        "remarks": remarks(moment),
        "advice": advice(account_of(moment.view, is_over=not moment.is_going)),
        **context,
    }
    return {
        name: Markup(_templates().get_template(f"{name}.html").render(given).strip())  # noqa: S704 (with escaping)
        for name in names
    }


def lanes(moment: Moment, machine: str | None = None) -> list[tuple[str, str, list[str]]]:
    """Group workers as the timeline shows them: few one by one, many by machine. Kind, name, workers of each lane."""
    workers = moment.ordered(machine)
    if len(workers) <= _FEW_WORKERS:
        return [("workers", worker.name, [worker.name]) for worker in workers]
    found: dict[str, list[str]] = {}
    for worker in workers:
        found.setdefault(worker.machine, []).append(worker.name)
    return [("machines", name, names) for name, names in found.items()]


def _timeline(moment: Moment, names: Sequence[str]) -> Markup:
    rows = []
    for name in names:
        worker = moment.view.roster.workers[name]
        spent = moment.spent_by([worker])
        told = f"{name}: {words.share(spent.busy_share)} busy, {words.count(worker.rows_in)} rows"
        rows.append((told, figures.activity(moment.view, worker, moment.known)))
    height = _TALL if len(names) == 1 else _LOW if len(names) <= _FEW_WORKERS else _LOWEST
    count = max((len(shares) for _, shares in rows), default=0) * moment.view.roster.clock.width
    breaks = [(time / count, told) for time, told in moment.breaks if count]
    return charts.timeline(rows, height=height, label=f"What {', '.join(names[:3])} did over time", breaks=breaks)
