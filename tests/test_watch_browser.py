"""The live page in a real browser: numbers move, keys work, nothing overflows, nothing complains."""

import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Error, Page, Request, Response, expect, sync_playwright

from conftest import begun
from muster._api.generate import generate
from muster._watch.report import report
from waiting import until
from watching import Story, going, large, rejecting, resumed, serving, stopped

if TYPE_CHECKING:
    import subprocess

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome") or ""
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
Make = Callable[[Path], Story]
expect.set_options(timeout=60_000)  # a deadline, not a pause, so that a slow machine is no failure
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "has_touch": True}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("there is no Chromium here")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield found
        found.close()


@pytest.fixture(scope="module")
def screens(browser: Browser) -> "Screens":
    return Screens(browser)


@dataclass
class Screens:
    """The one page of each kind of screen: a page of its own for each test costs three times what it shows."""

    browser: Browser
    _pages: dict[bool, Page] = field(default_factory=dict)

    def page(self, *, phone: bool) -> Page:
        if phone not in self._pages:
            self._pages[phone] = self.browser.new_context(**(PHONE if phone else {})).new_page()
        return self._pages[phone]


@dataclass
class Opened:
    """A page in the browser, and what it complained of."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)

    def hear(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    def see_error(self, error: Error) -> None:
        self.complaints.append(str(error))

    def see_failure(self, asked: Request) -> None:
        if "/events" not in asked.url and not was_left(asked):  # events end with the page
            self.complaints.append(asked.url)

    def see_answer(self, answer: Response) -> None:
        if answer.status >= 400:
            self.complaints.append(answer.url)

    def see_request(self, asked: Request) -> None:
        if not asked.url.startswith(self.url[:17]):
            self.complaints.append(asked.url)


def was_left(asked: Request) -> bool:
    """Tell whether a page was left, by a click that came early, while its icon or script was on its way."""
    return "/static/" in asked.url and asked.failure == "net::ERR_ABORTED"


@contextmanager
def opened(screens: Screens, url: str, *, phone: bool = False) -> Iterator[Opened]:
    """Open a page; afterwards it must not have complained of anything, and have asked nobody else."""
    page = screens.page(phone=phone)
    found = Opened(page, url)
    listeners: dict[Any, Any] = {
        "console": found.hear,
        "pageerror": found.see_error,
        "requestfailed": found.see_failure,
        "response": found.see_answer,
        "request": found.see_request,
    }
    for event, listener in listeners.items():
        page.on(event, listener)
    try:
        page.goto(url)
        yield found
    finally:  # the next test has the same page
        page.goto("about:blank")
        page.emulate_media(color_scheme="light")
        for event, listener in listeners.items():
            page.remove_listener(event, listener)
    assert found.complaints == []


def overflow(page: Page) -> int:
    return int(page.evaluate("document.documentElement.scrollWidth - innerWidth"))


def rows_of(page: Page) -> int:
    return int(re.findall(r"[\d,]+", page.locator("#progress dd").first.inner_text())[0].replace(",", ""))


def on_with(story: Story) -> None:
    story.at += 1.0
    story.work(0.1)


def test_numbers_move_without_a_reload(screens: Screens, tmp_path: Path) -> None:
    story = going(tmp_path)
    with serving(story.run) as served, opened(screens, served.url) as found:
        page = found.page
        before, title = rows_of(page), page.title()
        assert re.match(r"\d+% · classify · muster", title)
        page.evaluate("window.isTheSame = true")
        for _ in range(12):
            on_with(story)
        expect(page.locator("#progress dd").first).to_contain_text(f"{story.rows_done:,}")
        assert rows_of(page) > before
        expect(page).not_to_have_title(title)
        assert page.evaluate("window.isTheSame")


def test_a_run_that_ends_is_seen_to_end(screens: Screens, tmp_path: Path) -> None:
    story = going(tmp_path)
    with serving(story.run) as served, opened(screens, served.url) as found:
        expect(found.page.locator(".badge")).to_have_text("running")
        story.work(1000)
        story.finish()
        expect(found.page.locator(".badge")).to_have_text("finished")
        expect(found.page.locator(".percent")).to_have_text("100%")
        expect(found.page).to_have_title("finished · classify · muster")


def test_the_keyboard_leads_from_the_runs_to_a_worker(screens: Screens, tmp_path: Path) -> None:
    story = large(tmp_path)
    with serving() as served, opened(screens, served.url) as found:
        page = found.page
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        tab_to(page, f"/runs/{story.run}")
        page.keyboard.press("Enter")
        page.wait_for_url(f"**/runs/{story.run}")
        tab_to(page, f"/runs/{story.run}/workers/m1-2")
        page.keyboard.press("Enter")
        page.wait_for_url("**/workers/m1-2")
        expect(page.locator("h1")).to_have_text("Worker m1-2")
        expect(page.locator("#calls")).to_contain_text("99.99%")


def tab_to(page: Page, address: str) -> None:
    for _ in range(200):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.getAttribute('href')") == address:
            return
    pytest.fail(f"no key leads to {address}")


def test_focus_and_what_is_open_outlive_a_push(screens: Screens, tmp_path: Path) -> None:
    story = large(tmp_path)
    with serving(story.run) as served, opened(screens, served.url) as found:
        page = found.page
        page.locator("#all-workers summary").click()
        link = page.locator(f'#workers a[href="/runs/{story.run}/workers/m4-7"]')
        link.focus()
        page.evaluate("document.querySelector('#workers .scroll').scrollLeft = 5")
        seen_at = "document.activeElement.getBoundingClientRect().top"  # also where the page grows above it meanwhile
        place = page.evaluate(seen_at)
        on_with(story)
        expect(page.locator("#progress dd").first).to_contain_text(f"{story.rows_done:,}")
        assert page.evaluate("document.activeElement.textContent") == "m4-7"
        assert page.locator("#all-workers").get_attribute("open") is not None
        assert page.evaluate(seen_at) == pytest.approx(place, abs=1)


def test_a_server_that_is_gone_is_told_calmly_and_found_again(browser: Browser, tmp_path: Path) -> None:
    story = going(tmp_path)
    with serving(story.run) as served:
        context = browser.new_context()
        page = context.new_page()
        page.goto(served.url)
        expect(page.locator("#connection")).to_have_text("")
        served.process.terminate()
        served.process.wait()
        expect(page.locator("#connection")).to_contain_text("Connection lost")
        on_with(story)
        with serving(story.run, port=served.port):
            expect(page.locator("#connection")).to_have_text("", timeout=15_000)
            expect(page.locator("#progress dd").first).to_contain_text(f"{story.rows_done:,}")
        context.close()


def test_a_server_that_is_silent_is_noticed(browser: Browser, tmp_path: Path) -> None:
    story = going(tmp_path)
    with serving(story.run) as served:
        context = browser.new_context()
        page = context.new_page()
        page.clock.install()
        page.goto(served.url)
        page.wait_for_function("() => source.readyState === EventSource.OPEN")

        def is_noticed() -> bool:
            page.clock.run_for(20_000)
            return "No news since" in page.locator("#connection").inner_text()

        served.process.send_signal(signal.SIGSTOP)
        try:
            until(is_noticed)  # at the second look where the server's last words were still on their way
        finally:
            served.process.send_signal(signal.SIGCONT)
        context.close()


def test_a_tab_that_nobody_sees_keeps_its_title(screens: Screens, tmp_path: Path) -> None:
    story = going(tmp_path)
    with serving(story.run) as served, opened(screens, served.url) as found:
        page = found.page
        seen, title = rows_of(page), page.title()
        page.evaluate(
            "Object.defineProperty(document, 'hidden', {value: true, configurable: true});"
            "document.dispatchEvent(new Event('visibilitychange'));"
        )
        story.at += 1
        story.work(12)
        expect(page).not_to_have_title(title, timeout=15_000)
        assert rows_of(page) == seen
        page.evaluate("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'));")
        expect(page.locator("#progress dd").first).to_contain_text(f"{story.rows_done:,}")


@pytest.mark.parametrize("make", [going, rejecting, large, resumed, stopped])
def test_every_kind_of_run_looks_right_in_light_and_in_dark(screens: Screens, tmp_path: Path, make: Make) -> None:
    story = make(tmp_path)
    with serving(story.run) as served:
        for phone in (False, True):
            with opened(screens, served.url, phone=phone) as found:
                assert overflow(found.page) == 0
                assert contrast(found.page) >= 4.5
                found.page.emulate_media(color_scheme="dark")
                found.page.reload()
                assert overflow(found.page) == 0
                assert contrast(found.page) >= 4.5


def contrast(page: Page) -> float:
    """Measure the least contrast of any text with what lies behind it, as WCAG counts it."""
    return float(
        page.evaluate(
            """() => {
      const parse = (c) => { const n = c.match(/[\\d.]+/g).map(Number); return n.length < 4 ? [...n, 1] : n; };
      const linear = (v) => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
      const light = ([r, g, b]) => [r, g, b].map((v) => linear(v / 255))
        .reduce((sum, v, at) => sum + v * [.2126, .7152, .0722][at], 0);
      const over = (top, under) => top.slice(0, 3).map((v, at) => v * top[3] + under[at] * (1 - top[3]));
      const behind = (node) => { if (!node) return [255, 255, 255];
        const back = parse(getComputedStyle(node).backgroundColor);
        return back[3] === 1 ? back.slice(0, 3) : over(back, behind(node.parentElement)); };
      let least = 21;
      const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
      while (walk.nextNode()) {
        const node = walk.currentNode.parentElement;
        if (!walk.currentNode.nodeValue.trim() || node.closest("svg, .skip, noscript")) continue;
        const back = behind(node), ink = over(parse(getComputedStyle(node).color), back);
        const [high, low] = [light(ink), light(back)].sort((a, b) => b - a);
        least = Math.min(least, (high + .05) / (low + .05));
      }
      return least;
    }"""
        )
    )


def test_the_other_pages_fit_a_phone(screens: Screens, tmp_path: Path) -> None:
    story = large(tmp_path)
    with serving() as served:
        for path in (
            "",
            f"runs/{story.run}/machines/m2",
            f"runs/{story.run}/workers/m2-3",
            f"runs/{story.run}/steps/1",
        ):
            with opened(screens, served.url + path, phone=True) as found:
                assert overflow(found.page) == 0


def test_the_page_says_what_it_is_to_those_who_do_not_see_it(screens: Screens, tmp_path: Path) -> None:
    story = large(tmp_path)
    with serving(story.run) as served, opened(screens, served.url) as found:
        page = found.page
        assert page.evaluate("document.documentElement.lang") == "en"
        levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3')].map((node) => +node.tagName[1])")
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after <= before + 1 for before, after in pairwise(levels))
        assert page.evaluate(
            "[...document.querySelectorAll('[role=img]')].every((node) => node.getAttribute('aria-label'))"
        )
        assert page.evaluate(
            "[...document.querySelectorAll('table')].every((table) => table.querySelector('th[scope]'))"
        )


def test_a_report_opens_without_any_network(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(report(large(tmp_path).run), encoding="utf-8")
    context = browser.new_context(offline=True)
    page, asked = context.new_page(), []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: asked.append(message.text))
    page.goto(path.as_uri())
    assert asked == [path.as_uri()]
    assert overflow(page) == 0
    page.pdf(path=tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").stat().st_size > 10_000
    context.close()


# Real runs

SLOW = """
import threading
from pathlib import Path

HELD = Path(__file__).with_name("held")

def slow(frame):
    while threading.Event().wait(0.002 * len(frame)) or HELD.exists():
        pass
    if (frame["ID"] % 1000 == 7).any():
        raise ValueError(f"row {frame['ID'].iloc[0]} is unlucky")
    return frame
"""


@contextmanager
def run(folder: Path, *options: str, rows: int = 12_000) -> Iterator["subprocess.Popen[str]"]:
    """Run a slow function over generated rows, as a real process, until the end of the context."""
    (folder / "slow.py").write_text(SLOW)
    if not (folder / "rows.csv").exists():
        generate(rows, folder / "rows.csv")
    command = ("run", "slow.py:slow", "rows.csv", "-o", "out.csv", "--batch-rows", "50", *options)
    with begun(folder, *command) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for_rows(page: Page) -> None:
    page.wait_for_function("() => /[1-9]/.test(document.querySelector('#progress dd')?.textContent)", timeout=60_000)


def seconds_left(page: Page) -> float:
    """Read the upper end of the range."""
    found = re.search(r"([\d.]+) (s|min|h) left", page.locator(".left").inner_text())
    assert found
    return float(found[1]) * {"s": 1, "min": 60, "h": 3600}[found[2]]


def test_a_page_that_a_run_serves_is_told_the_end_and_waits_for_nothing(screens: Screens, tmp_path: Path) -> None:
    generate(1000, tmp_path / "rows.csv")
    (tmp_path / "held").touch()
    with run(tmp_path, "--workers", "2", "--watch", "--port", "0") as process:
        assert process.stderr
        url = next(match[0] for line in process.stderr if (match := re.search(r"http://\S+", line)))
        with opened(screens, url) as found:
            found.page.wait_for_function("() => source?.readyState === EventSource.OPEN")  # or it comes too late
            (tmp_path / "held").unlink()
            process.stderr.read()
            assert process.wait(timeout=60) == 4
            expect(found.page.locator(".badge")).to_have_text("finished, with bad rows")
            expect(found.page.locator("#connection")).to_contain_text("its run has ended")
            found.page.wait_for_timeout(3000)  # longer than a browser waits until it tries again, which would be told


def test_a_real_run_is_watched_to_its_end(screens: Screens, tmp_path: Path) -> None:
    with serving() as served, opened(screens, served.url) as found, run(tmp_path, "--workers", "2") as process:
        page = found.page
        page.locator("table a").first.click(timeout=30_000)
        wait_for_rows(page)
        expect(page.locator(".left")).to_have_text(re.compile(r"\d.* left"), timeout=30_000)
        before, left = rows_of(page), seconds_left(page)
        until = f"() => +document.querySelector('#progress dd').firstChild.textContent.replace(/,/g, '') > {before}"
        page.wait_for_function(until)
        deadline = monotonic() + 60
        while seconds_left(page) >= left:
            assert monotonic() < deadline
            page.wait_for_timeout(200)
        expect(page.locator(".badge")).to_have_text("finished, with bad rows", timeout=90_000)
        assert process.wait(timeout=30) == 4
        assert rows_of(page) == 12_000
        expect(page.locator("#rejects")).to_contain_text("ValueError")
        expect(page.locator("#rejects .reason b").first).to_have_text("12")


def test_a_real_run_of_28_workers_fits_the_page(screens: Screens, tmp_path: Path) -> None:
    with serving() as served, run(tmp_path, "--workers", "28"), opened(screens, served.url) as found:
        page = found.page
        page.locator("table a").first.click(timeout=60_000)
        wait_for_rows(page)
        expect(page.locator("#workers tbody tr")).to_have_count(28, timeout=60_000)
        expect(page.locator("#timeline g")).to_have_count(28)
        assert overflow(page) == 0


def test_a_real_run_that_was_killed_and_resumed_is_one_run(screens: Screens, tmp_path: Path) -> None:
    with serving() as served, opened(screens, served.url) as found:
        page = found.page
        with run(tmp_path, "--workers", "2", rows=6_000):
            page.locator("table a").first.click(timeout=30_000)
            wait_for_rows(page)
        expect(page.locator(".badge")).to_have_text("killed", timeout=15_000)
        with run(tmp_path, "--workers", "2") as process:
            expect(page.locator(".badge")).to_have_text("running", timeout=30_000)
            assert process.wait(timeout=90) == 4
        expect(page.locator(".badge")).to_have_text("finished, with bad rows", timeout=15_000)
        expect(page.locator("#head")).to_contain_text("2 attempts")
