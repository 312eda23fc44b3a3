"""Pieces of HTML for notebooks, without style sheets. All arguments are text, and are escaped."""

import html
from collections.abc import Iterable, Mapping, Sequence


def block(title: str, *pieces: str) -> str:
    """Put pieces below a title."""
    return f"<div><p><b>{html.escape(title)}</b></p>{''.join(pieces)}</div>"


def facts(pairs: Mapping[str, str]) -> str:
    """Lay out names and values in two columns; those without a value are left out."""
    left = 'style="text-align:left"'
    rows = (
        f"<tr><th {left}>{html.escape(name)}</th><td {left}>{html.escape(value)}</td></tr>"
        for name, value in pairs.items()
        if value
    )
    return f"<table>{''.join(rows)}</table>"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay out rows under heads; text keeps its blanks and line breaks."""
    style = 'style="text-align:left;white-space:pre-wrap"'
    top = "".join(f'<th style="text-align:left">{html.escape(head)}</th>' for head in heads)
    body = "".join(f"<tr>{''.join(f'<td {style}>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def note(text: str, command: str = "") -> str:
    """Write a sentence, and a command to type after it."""
    typed = f" <code>{html.escape(command)}</code>" if command else ""
    return f"<p>{html.escape(text)}{typed}</p>"


def bar(text: str, done: int, total: int | None) -> str:
    """Draw a progress bar with a line beside it. ``total`` is ``None`` while it is unknown."""
    value = f' value="{done}" max="{max(total, 1)}"' if total is not None else ""
    return f'<div><progress{value} style="width:16em"></progress> {html.escape(text)}</div>'
