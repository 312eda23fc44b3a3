"""Charts as SVG, drawn from numbers alone: they stretch to any width, and their text stays as large as the page's."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from markupsafe import Markup

from muster import _words as words
from muster._journal.measures import upper_edge

from .axes import Axis, nice

_WIDTH: Final = 1000
"""Units of a drawing, which stretches to its place."""

_HEIGHT: Final = 200
"""Likewise."""

_MARKS: Final = 4
"""Times below a chart: more would touch each other on a phone."""

_HOVERED: Final = 60
"""Places of a chart that tell their values: as narrow as a pointer can hit."""

_BREAK: Final = 5
"""Units: a line that can be seen, between two attempts."""

_GAP: Final = 0.75
"""Units between two rows of workers, so that they can be told apart."""

_LEVELS: Final = 20
"""Shares are rounded to twentieths: a chart of many workers stays small."""

_SEEN: Final = 0.3
"""The least width, in hundredths, at which few rows of many can be seen."""

ACTIVITIES: Final = ("read", "function", "sorting", "write", "lost", "going", "idle")
Shares = tuple[float, ...]
"""One share of a stretch of time for each of the activities."""

Breaks = Sequence[tuple[float, str]]
"""When nobody was at work, as seconds or as shares of an axis, and what to say of it."""


def rate_chart(
    rows_in: Sequence[float], rows_out: Sequence[float], *, elapsed: float, label: str, breaks: Breaks = ()
) -> Markup:
    """Draw rows a second over the time of a run: in as an area, out as a line; breaks are in seconds."""
    top = nice(max([*rows_in, *rows_out, 0.0]))
    drawn = Markup(
        '<path class="area in" d="{}"/><path class="line in" d="{}"/><path class="line out" d="{}"/>'
    ).format(_area(rows_in, top), _line(rows_in, top), _line(rows_out, top))
    count = max(len(rows_in), 1)
    step = max(-(-count // _HOVERED), 1)
    titles = [
        (at / count, min(step, count - at) / count, _rate_title(rows_in, rows_out, at, elapsed=elapsed))
        for at in range(0, len(rows_in), step)
    ]
    marks = _breaks([(time / elapsed, told) for time, told in breaks if elapsed])
    return _figure(drawn + marks + _hovers(titles), Axis(top, words.short), label=label, below=_times(elapsed))


def histogram(bins: Mapping[int, int], *, label: str, noun: str = "call") -> Markup:
    """Draw how many calls, or rows, took how long, on a logarithmic scale of time."""
    if not bins:
        return Markup("")
    first, last = min(bins), max(bins)
    count, top, whole = last - first + 1, nice(max(bins.values())), sum(bins.values())
    marks = min(count, _MARKS)
    count += -count % marks  # so that each mark is at the edge of a bin
    bars = Markup("").join(
        Markup(
            '<rect class="bar" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>{}</title></rect>'
        ).format(
            (number - first) * _WIDTH / count + 1,
            _HEIGHT * (1 - bins[number] / top),
            max(_WIDTH / count - 2, 1),
            _HEIGHT * bins[number] / top,
            f"{words.latency(upper_edge(number - 1))} to {words.latency(upper_edge(number))}:"
            f" {words.plural(bins[number], noun)}, {words.share(bins[number] / whole)}",
        )
        for number in sorted(bins)
        if bins[number]
    )
    edges = [words.latency(upper_edge(first - 1 + at * count // marks)) for at in range(marks + 1)]
    return _figure(bars, Axis(top, words.short), label=label, below=edges)


def timeline(rows: Sequence[tuple[str, Sequence[Shares]]], *, height: float, label: str, breaks: Breaks = ()) -> Markup:
    """Draw who did what when, a row for each: its activities, stacked; breaks are shares of the axis."""
    count = max((len(shares) for _, shares in rows), default=0)
    drawn = Markup("").join(
        Markup('<g transform="translate(0 {:.1f})">{}<title>{}</title></g>').format(
            at * height,
            _row(shares, count, height=height - _GAP),
            name,
        )
        for at, (name, shares) in enumerate(rows)
    )
    return Markup(
        '<svg class="lane" role="img" aria-label="{}" viewBox="0 0 {} {:.1f}" height="{:.0f}" width="100%"'
        ' preserveAspectRatio="none">{}</svg>'
    ).format(label, _WIDTH, len(rows) * height, len(rows) * height, drawn + _breaks(breaks))


def bar(share: float | None, *, label: str, kind: str = "") -> Markup:
    """Draw a share of 1 as a bar; one that nobody knows as a moving one."""
    inside = Markup('<rect class="fill" width="{:.2f}" height="10"/>').format((share or 0.0) * 100)
    if share is None:
        inside = Markup('<rect class="fill unknown" width="25" height="10"/>')
    return Markup(
        '<svg class="progress {}" role="img" aria-label="{}" viewBox="0 0 100 10" preserveAspectRatio="none">'
        '<rect class="track" width="100" height="10"/>{}</svg>'
    ).format(kind, label, inside)


def progress(amounts: Sequence[tuple[str, str, float]], whole: float, *, label: str, kind: str = "") -> Markup:
    """Draw how much of a whole is done, as amounts, each of a kind and with a name, beside what is still to do."""
    drawn, begun = Markup(""), 0.0
    for one, name, amount in amounts:
        width = amount * 100 / whole
        drawn += Markup('<rect class="fill {}" x="{:.2f}" width="{:.2f}" height="10"><title>{}</title></rect>').format(
            one, begun, max(width, _SEEN) if amount else 0, name
        )
        begun += width
    return Markup(
        '<svg class="progress {}" role="img" aria-label="{}" viewBox="0 0 100 10" preserveAspectRatio="none">'
        '<rect class="track" width="100" height="10"/>{}</svg>'
    ).format(kind, label, drawn)


def stacked(amounts: Iterable[tuple[str, str, float]], *, label: str) -> Markup:
    """Draw what a whole consists of as one bar; each amount has a kind, which is its colour, and a name."""
    known = [(kind, name, amount) for kind, name, amount in amounts if amount > 0]
    whole, begun, drawn = sum(amount for _, _, amount in known) or 1.0, 0.0, Markup("")
    for kind, name, amount in known:
        drawn += Markup('<rect class="{}" x="{:.2f}" width="{:.2f}" height="10"><title>{}</title></rect>').format(
            kind, begun * 100 / whole, amount * 100 / whole, f"{name}: {words.share(amount / whole)}"
        )
        begun += amount
    return Markup(
        '<svg class="stacked" role="img" aria-label="{}" viewBox="0 0 100 10" preserveAspectRatio="none">{}</svg>'
    ).format(label, drawn)


def sparkline(values: Sequence[float], *, label: str) -> Markup:
    """Draw values as a small line without axes."""
    top = max(values, default=0.0) or 1.0
    few = _thin(values, 60)
    return Markup(
        '<svg class="spark" role="img" aria-label="{}" viewBox="0 0 {} {}" preserveAspectRatio="none">'
        '<path class="area in" d="{}"/><path class="line in" d="{}"/></svg>'
    ).format(label, _WIDTH, _HEIGHT, _area(few, top), _line(few, top))


def _figure(drawn: Markup, axis: Axis, *, label: str, below: Sequence[str]) -> Markup:
    grid = Markup("").join(
        Markup('<path class="grid" d="M0 {0:.1f}H{1}"/>').format(_HEIGHT * at / 4, _WIDTH) for at in range(5)
    )
    return Markup(
        '<div class="chart" role="img" aria-label="{}"><div class="y" aria-hidden="true">{}</div>'
        '<svg viewBox="0 0 {} {}" preserveAspectRatio="none" aria-hidden="true">{}{}</svg>'
        '<div class="x" aria-hidden="true">{}</div></div>'
    ).format(label, _spans(axis.labels()), _WIDTH, _HEIGHT, grid, drawn, _spans(below))


def _spans(texts: Iterable[str]) -> Markup:
    return Markup("").join(Markup("<span>{}</span>").format(text) for text in texts)


def _times(elapsed: float) -> list[str]:
    return [words.duration(elapsed * at / 4) if at else "0" for at in range(5)]


def _rate_title(rows_in: Sequence[float], rows_out: Sequence[float], at: int, *, elapsed: float) -> str:
    out = rows_out[at] if at < len(rows_out) else 0.0
    when = words.duration(elapsed * at / max(len(rows_in), 1))
    return f"after {when}: {words.pace(rows_in[at])} rows/s in, {words.pace(out)} rows/s out"


def _breaks(breaks: Breaks) -> Markup:
    """Mark where nobody was at work; the axis leaves that time out."""
    return Markup("").join(
        Markup('<rect class="break" x="{:.1f}" width="{}" height="100%"><title>{}</title></rect>').format(
            share * _WIDTH - _BREAK / 2, _BREAK, told
        )
        for share, told in breaks
    )


def _hovers(titles: Iterable[tuple[float, float, str]]) -> Markup:
    return Markup("").join(
        Markup('<rect class="hover" x="{:.1f}" width="{:.1f}" height="{}"><title>{}</title></rect>').format(
            start * _WIDTH, width * _WIDTH, _HEIGHT, title
        )
        for start, width, title in titles
    )


def _points(values: Sequence[float], top: float) -> list[str]:
    """Place values in the middle of their buckets, the first and the last at the edges."""
    count = len(values)
    places = [0.0, *((at + 0.5) / count for at in range(1, count - 1)), 1.0]
    return [f"{x * _WIDTH:.1f} {_HEIGHT * (1 - min(y / top, 1.0)):.1f}" for x, y in zip(places, values, strict=False)]


def _line(values: Sequence[float], top: float) -> str:
    drawn = [*values] * 2 if len(values) == 1 else values
    return "M" + "L".join(_points(drawn, top)) if drawn else ""


def _area(values: Sequence[float], top: float) -> str:
    line = _line(values, top)
    return f"{line}L{_WIDTH} {_HEIGHT}L0 {_HEIGHT}Z" if line else ""


def _thin(values: Sequence[float], count: int) -> list[float]:
    """Take means of neighbours, so that so many are left."""
    step = max(-(-len(values) // count), 1)
    return [sum(values[at : at + step]) / len(values[at : at + step]) for at in range(0, len(values), step)]


def _row(shares: Sequence[Shares], count: int, *, height: float) -> Markup:
    """Draw one worker: of each bucket its shares, stacked from the bottom; equal neighbours are one shape."""
    width = _WIDTH / max(count, 1)
    levels = [_levels(one) for one in shares]
    drawn = Markup("")
    for kind, name in enumerate(ACTIVITIES):
        path = "".join(
            _box(start * width, stop * width, top=height * (1 - high), bottom=height * (1 - low))
            for start, stop, low, high in _runs([(level[kind], level[kind + 1]) for level in levels])
        )
        if path:
            drawn += Markup('<path class="{}" d="{}"/>').format(name, path)
    return drawn


def _box(left: float, right: float, *, top: float, bottom: float) -> str:
    return f"M{left:.1f} {top:.1f}H{right:.1f}V{bottom:.1f}H{left:.1f}z"


def _levels(shares: Shares) -> list[float]:
    found = [0.0]
    for share in shares:
        found.append(min(found[-1] + round(share * _LEVELS) / _LEVELS, 1.0))
    if sum(shares) > 0.95:  # noqa: PLR2004 (what is nearly full is full)
        found[-1] = 1.0
    return found


def _runs(spans: Sequence[tuple[float, float]]) -> Iterable[tuple[int, int, float, float]]:
    """Put equal neighbours together: where they start and stop, and between which levels they lie."""
    start = 0
    for at in range(1, len(spans) + 1):
        if at == len(spans) or spans[at] != spans[start]:
            low, high = spans[start]
            if high > low:
                yield start, at, low, high
            start = at
