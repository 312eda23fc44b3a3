"""The site of README and docs: whole, without a dead link, and without anything that would come from the web."""

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest
from playwright.sync_api import expect, sync_playwright

from test_watch_browser import ARGUMENTS, CHROMIUM

ROOT = Path(__file__).parents[1]
ASSETS = {("link", "href"), ("script", "src"), ("img", "src"), ("iframe", "src"), ("source", "src"), ("video", "src")}


def require(is_there: object, what: str) -> None:
    if not is_there:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(what)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require(importlib.util.find_spec("mkdocs"), "MkDocs is not installed here: make site installs it")
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


class Found(HTMLParser):
    """What a page of the site has: the names of places in it, its links, and what it loads."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.assets: list[str] = []
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.ids.add(value)
            elif tag == "a" and name == "href" and value:
                self.links.append(value)
            elif (tag, name) in ASSETS and value:
                self.assets.append(value)


def is_of_the_web(link: str) -> bool:
    return bool(re.match(r"(?:\w+:)?//|mailto:", link))


def dead_links(site: Path) -> Iterator[tuple[str, str]]:
    pages = {page: Found(page) for page in site.rglob("*.html") if page.name != "404.html"}
    assert len(pages) > 20
    for page, found in pages.items():
        for link in [*found.links, *found.assets]:
            file, anchor = urldefrag(unquote(link))
            there = (page.parent / file).resolve() if file else page
            there = there / "index.html" if there.is_dir() else there
            is_dead = not there.exists() or (anchor and there in pages and anchor not in pages[there].ids)
            if not is_of_the_web(link) and is_dead and not anchor.startswith("__"):
                yield str(page.relative_to(site)), link


def test_no_link_of_the_site_is_dead(site: Path) -> None:
    assert list(dead_links(site)) == []


def test_the_site_loads_nothing_from_the_web(site: Path) -> None:
    pages, sheets = [*site.rglob("*.html")], [*site.rglob("*.css")]
    assert pages
    assert sheets
    for page in pages:
        assert [asset for asset in Found(page).assets if is_of_the_web(asset)] == [], page.name
    for sheet in sheets:
        assert re.findall(r"(?:url\(|@import )[\"']?(?:https?:)?//[^)]*", sheet.read_text()) == [], sheet.name


def test_the_site_is_searched_without_a_server_and_without_a_network(site: Path) -> None:
    require(CHROMIUM, "there is no Chromium here")
    asked: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.goto((site / "examples/index.html").as_uri())
        page.focus(".md-search__input")
        page.keyboard.type("rejects")
        expect(page.locator(".md-search-result__meta")).to_contain_text("matching", timeout=30_000)
        browser.close()
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:", "about:"))] == []
