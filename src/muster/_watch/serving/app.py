"""The addresses of the live page, and what each answers."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from muster._journal.runs import KnownRun
from muster._journal.status import RunState
from muster._watch import metrics, pages
from muster._watch.pages import Page
from muster._watch.sums.moment import Moment

from .feed import RunFeed
from .guard import METRICS, Guard

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from starlette.requests import Request

_KINDS: Final = {"watch.css": "text/css", "watch.js": "text/javascript", "icon.svg": "image/svg+xml"}
_AT_MOST_EVERY: Final = 0.5
"""Seconds between two updates of a page that is seen."""

_UNSEEN_EVERY: Final = 2.0
"""Seconds between two updates of the title of a page that is hidden."""

_LOOKED_EVERY: Final = 0.25
"""Seconds between two looks at whether the server ends, or the reader has left."""

_RESTED: Final = 8
"""So many times as long as it took to make a page, nothing is made: at most an eighth of a processor goes into it."""

_ALIVE_EVERY: Final = 5.0
"""Seconds: a page says soon that nobody answers any more."""

_RECENTLY: Final = 600.0
"""Seconds: who opens the page after lunch finds the run that ended meanwhile."""

Asked = tuple[str, Callable[[Moment], Page | None]]


class Site:
    """Answer requests about the runs of this user, until it is closed; pages are told when that is with a run."""

    def __init__(self, *, ends_with_run: bool = False, token: str = "") -> None:
        """Begin to follow nothing; ``token`` lets other users of this computer read the metrics."""
        self._ends_with_run = ends_with_run
        self._token = token
        self.feed = RunFeed()
        self.is_closing: Callable[[], bool] = lambda: False

    def app(self) -> Starlette:
        """Make the application."""
        run, part = "/runs/{run}", "/runs/{run}/{kind}/{name}"
        routes = [
            Route("/", self.runs),
            Route("/events", self.runs_events),
            Route(METRICS, self.metrics),
            Route("/static/{name}", self.static),
            Route(run, self.page),
            Route(f"{run}/events", self.events),
            Route(part, self.page),
            Route(f"{part}/events", self.events),
        ]
        return Starlette(
            routes=routes,
            middleware=[Middleware(Guard, token=self._token)],
            exception_handlers={404: _missing, 405: _missing},
        )

    async def runs(self, _: "Request") -> Response:
        """Show the list of runs."""
        return HTMLResponse(pages.whole(await self._listing()))

    async def page(self, request: "Request") -> Response:
        """Show a run, or a part of it."""
        page = await self._page(request)
        return await _missing(request, None) if page is None else HTMLResponse(pages.whole(page))

    async def events(self, request: "Request") -> Response:
        """Tell what changes on the page of a run or a part of it."""
        if await self._page(request) is None:
            return await _missing(request, None)
        return self._stream(request, partial(self._page, request))

    async def runs_events(self, request: "Request") -> Response:
        """Tell what changes in the list of runs."""
        return self._stream(request, self._listing)

    async def static(self, request: "Request") -> Response:
        """Give one of the files that pages load."""
        name = request.path_params["name"]
        if name not in _KINDS:
            return await _missing(request, None)
        return Response(pages.static(name), media_type=_KINDS[name])

    async def metrics(self, _: "Request") -> Response:
        """Tell Prometheus of runs that go on or ended just now."""
        runs = await asyncio.to_thread(self.feed.runs)
        recent = [run for run, one in runs.items() if _is_recent(one)]
        return PlainTextResponse(await self.feed.tell(recent, metrics.text), media_type=metrics.CONTENT_TYPE)

    async def _page(self, request: "Request") -> Page | None:
        run, kind, name = (request.path_params.get(one, "") for one in ("run", "kind", "name"))
        make = (lambda moment: pages.part(moment, kind, name)) if kind else pages.overview
        return await self.feed.page(run, f"{kind}/{name}", make)

    async def _listing(self) -> Page:
        return pages.listing(await self.feed.lines())

    def _stream(self, request: "Request", make: "Callable[[], Awaitable[Page | None]]") -> Response:
        if request.method == "HEAD":
            return Response(media_type="text/event-stream")
        only_title = request.query_params.get("only") == "title"
        return StreamingResponse(self._changes(make, only_title=only_title), media_type="text/event-stream")

    async def _changes(self, make: "Callable[[], Awaitable[Page | None]]", *, only_title: bool) -> AsyncIterator[str]:
        """Yield what differs from what was told before, as server-sent events; the first tells everything.

        Where nothing does, an event says now and then that the server is there: silence means that it is not.
        The last tells how things are when the server ends, which is often how a run ended just now.
        """
        told: dict[str, str] = {}
        yield "retry: 2000\n\n"
        quiet_since = time.monotonic()
        is_last = False
        while not is_last:
            if is_last := self.is_closing():
                self.feed.forget_runs()
            begun = time.monotonic()
            page = await make()
            if page is None:
                return
            fragments = {"title": page.title} if only_title else {"title": page.title, **page.fragments}
            changed = {name: html for name, html in fragments.items() if told.get(name) != html}
            if changed or time.monotonic() - quiet_since > _ALIVE_EVERY:
                yield f"data: {json.dumps(changed)}\n\n" if changed else "event: alive\ndata: {}\n\n"
                quiet_since = time.monotonic()
            told |= changed
            if is_last and self._ends_with_run:
                yield "event: end\ndata: {}\n\n"  # so that no page waits for a server that does not come back
            took = time.monotonic() - begun
            await self._rest(max(_UNSEEN_EVERY if only_title else _AT_MOST_EVERY, took * _RESTED))

    async def _rest(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self.is_closing() and time.monotonic() < until:  # noqa: ASYNC110 (a signal or a thread tells)
            await asyncio.sleep(min(_LOOKED_EVERY, max(until - time.monotonic(), 0)))


def _is_recent(run: KnownRun) -> bool:
    """Tell whether a run goes on or ended just now."""
    if run.state is RunState.RUNNING:
        return True
    try:
        return time.time() - run.journal.stat().st_mtime < _RECENTLY
    except OSError:
        return False


async def _missing(request: "Request", _: Exception | None) -> Response:
    what = f"There is no {request.url.path!r} here. Of the runs that finished, the last hundred are kept."
    page = pages.missing(what)
    return HTMLResponse(pages.whole(page), 404)
