"""The pages of ``docs``, which are also in the package: as text for a terminal."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from muster._words.near import with_guess
from muster.errors import UsageError

from . import VERBS

_WIDEST: Final = 100
"""How many columns of a terminal a page uses at most: longer lines are hard to read."""

_HEADING: Final = re.compile(r"^(#+) ([^\n]*)$|^```.*?^```$", re.MULTILINE | re.DOTALL)
_COMMENT: Final = re.compile(r"^ *<!--.*?-->\n", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"(!?)\[([^\]]*)\]\(([^)#\s]*)(?:#([^)\s]*))?\)")


def topics() -> dict[str, Path]:
    """Find the pages by their names. A page with the name of a verb is typed with ``.md``."""
    package = Path(__file__).parents[1]
    inside = package / "_pages"  # in a wheel; in a clone they are in docs
    folder = inside if inside.is_dir() else package.parents[1] / "docs"
    return {path.name if path.stem in VERBS else path.stem: path for path in sorted(folder.glob("*.md"))}


def listed() -> str:
    """List the topics, each with the title of its page."""
    lines = (f"  {name:19} {_title(path)}\n" for name, path in topics().items())
    return f"\ntopics:\n{''.join(lines)}\nmuster help TOPIC prints the page on one.\n"


def _title(path: Path) -> str:
    with path.open(encoding="utf-8") as page:
        return page.readline().strip("# \n").replace("`", "")


def page_on(topic: str, *, chapter: str = "") -> str:
    """Read a page, or a chapter of it. Raises ``UsageError`` where there is none."""
    there = topics()
    named = {**there, **{path.name: path for path in there.values()}, **{f"docs/{p.name}": p for p in there.values()}}
    topic, _, anchor = topic.partition("#")
    if topic not in named:
        guess = with_guess(topic, [*VERBS, *there], shown=repr(topic))
        raise UsageError(f"{guess} is neither a verb nor a topic. Type muster help for what there is.")
    text = named[topic].read_text(encoding="utf-8")
    return _chapter_of(text, chapter or anchor, topic=topic) if chapter or anchor else text


def _headings(page: str) -> Iterator[tuple[str, int, int]]:
    """Yield anchor, level and place of each heading."""
    for match in _HEADING.finditer(page):
        if match[1]:
            yield _anchor_of(match[2]), len(match[1]), match.start()


def anchors(page: str) -> list[str]:
    """Name the chapters of a page, as links to them do."""
    return [anchor for anchor, level, _ in _headings(page) if level > 1]


def _anchor_of(title: str) -> str:
    return re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", title).strip().lower())


def _chapter_of(page: str, chapter: str, *, topic: str) -> str:
    headings = list(_headings(page))
    for at, (anchor, level, begin) in enumerate(headings):
        if anchor == _anchor_of(chapter):
            ends = [place for _, other, place in headings[at + 1 :] if other <= level]
            return page[begin : ends[0] if ends else None]
    chapters = anchors(page)
    guess = with_guess(chapter, chapters, shown=repr(chapter))
    raise UsageError(f"{topic!r} has no chapter {guess}. It has: {', '.join(chapters)}")


def as_text(page: str, *, width: int = 0) -> str:
    """Lay a page out for a terminal: without Markdown's marks, links as commands, tables in columns."""
    from rich.console import Console
    from rich.markdown import Heading, Markdown
    from rich.text import Text

    class Underlined(Heading):
        def __rich_console__(self, *_: object) -> Iterator[Text]:
            sign = "=" if self.tag == "h1" else "-"
            yield from (Text(""), self.text, Text(sign * self.text.cell_len))

    class TopicPage(Markdown):
        elements = {**Markdown.elements, "heading_open": Underlined}  # noqa: RUF012 (as rich has it)

    names = {path.name: name for name, path in topics().items()}
    plain = _LINK.sub(lambda match: _said(match, names), _COMMENT.sub("", page))
    console = Console(width=width or min(shutil.get_terminal_size().columns, _WIDEST), color_system=None)
    with console.capture() as capture:
        console.print(TopicPage(plain, hyperlinks=False))
    lines = "\n".join(line.rstrip() for line in capture.get().splitlines())
    return re.sub(r"\n{3,}", "\n\n", lines).strip("\n") + "\n"


def _said(link: "re.Match[str]", names: dict[str, str]) -> str:
    """Replace a link by the command that prints its page."""
    picture, text, target, chapter = link.groups(default="")
    if picture:
        return ""
    if re.match(r"\w+:", target):
        return link[0]
    if target not in names:
        return text
    typed = f"`muster help {names[target]}{' ' if chapter else ''}{chapter}`"
    return typed if text.strip("`") == target else f"{text} ({typed})"
