"""The view of a run, its charts, pages, metrics and report: all made of events alone."""

import json
import os
import random
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from muster import _words as words
from muster._journal import events
from muster._journal.measures import Measures, StepSum, WorkerSum, bin_of, bound
from muster._journal.runs import find, known
from muster._model import Seconds
from muster._run.history.past import Past
from muster._watch import charts, pages
from muster._watch.axes import nice
from muster._watch.metrics import text
from muster._watch.report import report
from muster._watch.sums import listing
from muster._watch.sums.figures import activity
from muster._watch.sums.moment import Moment
from muster._watch.sums.run import RunView
from muster._watch.sums.series import BUCKETS, Buckets, Series, rates
from muster._watch.sums.worker_paces import WorkerPaces
from muster.errors import UsageError
from watching import INJECTION, Story, going, large, rejecting, resumed, stopped

HELD_IN_ONE = re.compile(r"https?://", re.IGNORECASE)


def look_at(run: str | None = None, *, at: float | None = None) -> Moment:
    """Look at a run as the page does."""
    found = find(run)
    view = RunView(found.run)
    view.take_all(found.entries())
    return Moment(view, found.state, at or view.time.last_at)


def did(rows: int, seconds: float, *, waiting: float = 0.0) -> WorkerSum:
    """Make the measures of one task."""
    step = StepSum(rows, rows, 1, seconds, Counter({bin_of(seconds): 1}))
    return WorkerSum(
        1, rows, rows, rows * 100, rows * 120, 0, Seconds(0, seconds, 0, seconds, 0, waiting), 0, 1, [step]
    )


# Series


def test_series_keep_their_sums_when_their_buckets_double() -> None:
    clock, series, chance = Buckets(), Series(1), random.Random(1)  # noqa: S311 (no secret)
    wanted, now = 0.0, 0.0
    for _ in range(3000):
        now += chance.expovariate(0.5)
        clock.reach(now)
        amount, start = chance.uniform(0, 100), max(now - chance.expovariate(0.2), 0.0)
        series.add(clock, clock.split(start, now), [amount])
        wanted += amount
    assert sum(series.at(clock)[0]) == pytest.approx(wanted)
    assert len(series.at(clock)[0]) == BUCKETS
    assert BUCKETS / 2 * clock.width <= now < BUCKETS * clock.width


def test_what_took_long_is_spread_backwards_over_the_time_it_took() -> None:
    clock = Buckets()
    assert clock.split(1.0, 2.0) == [(2, 0.5), (3, 0.5), (4, 0.0)]
    shares = clock.split(0.25, 3.25)
    assert [bucket for bucket, _ in shares] == [0, 1, 2, 3, 4, 5, 6]
    assert sum(share for _, share in shares) == pytest.approx(1)
    assert shares[0][1] == pytest.approx(0.25 / 3)
    assert sum(share for _, share in clock.split(-5.0, 0.2)) == pytest.approx(1)


def test_rates_leave_out_a_bucket_that_has_hardly_begun() -> None:
    clock = Buckets()
    assert rates([1.0, 1.0, 0.1, 0.0], clock, 1.1) == [2.0, 2.0]
    assert rates([1.0, 1.0, 0.4, 0.0], clock, 1.4) == pytest.approx([2.0, 2.0, 1.0])


def test_the_pace_of_a_worker_is_that_of_the_last_minute() -> None:
    paces = WorkerPaces()
    for second in range(600):
        paces.add(second + 1.0, {"1": (100 if second < 500 else 200, float(second)), "2": (50, float(second))})
    assert paces.of_each_worker(600.0) == {"1": 200, "2": 50}
    assert paces.of_each_worker(630.0) == pytest.approx({"1": 200 * 30 / 60, "2": 50 * 30 / 60}, rel=0.05)
    assert len(paces.told) <= 61
    assert WorkerPaces().of_each_worker(1.0) == {}


# The view


def test_the_view_adds_up_what_workers_did(tmp_path: Path) -> None:
    story = large(tmp_path)
    moment = look_at(story.run)
    view = moment.view
    assert sum(worker.rows_in for worker in view.roster.workers.values()) == view.standing.rows_done == story.rows_done
    assert len(view.roster.workers) == 28
    assert len(view.roster.machines) == 4
    assert moment.figures.rows_in == view.standing.rows_done
    assert sum(moment.figures.bins.values()) == moment.figures.calls
    assert moment.steps[0].figures.rows_in == view.standing.rows_done
    assert sum(row.rows_in for row in moment.machines) == view.standing.rows_done
    assert [row.machine.name for row in moment.machines] == ["m1", "m2", "m3", "m4"]
    area = sum(rate * view.roster.clock.width for rate in moment.figures.rates_in)
    assert area == pytest.approx(view.standing.rows_done, rel=0.02)


def test_bounds_of_a_run_are_those_of_all_its_calls(tmp_path: Path) -> None:
    story = Story(tmp_path).begin()
    taken = [0.001 * 1.01**at for at in range(1000)]
    for at, seconds in enumerate(taken):
        story.at += 1
        story.measured(Measures({str(at % 2 + 1): did(10, seconds)}), span=1.0)
    found = look_at(story.run).figures.bounds
    for share, told in zip((0.5, 0.95, 0.99, 0.999), found, strict=False):
        truth = sorted(taken)[max(int(share * len(taken)) - 1, 0)]
        assert told is not None
        assert truth <= told * 1.01
        assert told <= truth * 1.3
    assert bound({}, 0.5) is None


def test_a_long_task_counts_as_busy_for_all_the_time_it_took(tmp_path: Path) -> None:
    story = Story(tmp_path, machines={"atlas": 1}).begin()
    story.at += 30
    story.measured(Measures({"1": did(1000, 20.0)}), span=0.5)
    moment = look_at(story.run)
    shares = activity(moment.view, moment.view.roster.workers["1"], moment.now)
    width = moment.view.roster.clock.width
    busy = [at * width for at, (_, function, *_) in enumerate(shares) if function > 0.9]
    assert busy[-1] - busy[0] == pytest.approx(19.5, abs=1.1)
    idle = sum(one[-1] for one in shares) * width
    assert idle == pytest.approx(10, abs=1.5)


def test_a_pause_between_attempts_is_not_time_at_work(tmp_path: Path) -> None:
    story = resumed(tmp_path)
    moment = look_at(story.run)
    assert moment.now < 120
    assert moment.view.time.paused == pytest.approx(3600, abs=1)
    assert len(moment.view.attempts) == 2
    assert moment.badge == ("finished", "finished")
    assert moment.spent.busy_share is not None
    assert moment.spent.busy_share > 0.85
    assert moment.spent.there == pytest.approx(2 * moment.now, rel=0.1)


def test_a_resumed_attempt_of_the_same_process_keeps_its_workers(tmp_path: Path) -> None:
    story = Story(tmp_path).begin().work(5)
    story.write(events.TryStarted(2, os.getpid() + 1, 2))
    story.work(5)
    assert look_at(story.run).there == 2


def test_the_rest_is_told_as_a_range_that_shrinks(tmp_path: Path) -> None:
    story = Story(tmp_path, rows_total=100_000).begin().work(5)
    early = look_at(story.run).left
    story.work(50)
    late = look_at(story.run).left
    assert early is not None
    assert late is not None
    assert late[1] - late[0] < early[1] - early[0]
    assert late[0] < (100_000 - story.rows_done) / 1425 < late[1]


def test_a_run_that_stopped_tells_why(tmp_path: Path) -> None:
    moment = look_at(stopped(tmp_path).run)
    assert moment.badge == ("failed", "failed")
    page = pages.whole(pages.overview(moment))
    assert "TooManyBadRowsError" in page
    assert "1,001 rows were rejected; 1,000 are allowed." in page
    assert "type the same command again" not in page  # the error says itself what to do


def test_the_list_tells_of_a_resumed_run_what_its_page_does(tmp_path: Path) -> None:
    run = resumed(tmp_path).run
    moment, line = look_at(run), listing.of_ended(find(run))
    assert line is not None
    assert (line.seconds, line.pace, line.rows) == (moment.now, moment.pace, moment.view.standing.rows_done)


def test_rows_that_were_done_but_never_measured_are_told_of(tmp_path: Path) -> None:
    story = Story(tmp_path).begin().work(5)
    story.rows_total = story.rows_done = story.rows_done + 91  # of tasks that ended just before a kill
    moment = look_at(story.finish().run)
    assert moment.unmeasured == 91
    assert "91 rows more were done" in pages.overview(moment).fragments["spent"]


def test_before_the_first_task_ends_time_passes_as_well(tmp_path: Path) -> None:
    story = Story(tmp_path).begin()
    story.at += 10
    story.measured(Measures({"1": did(1000, 10.0)}), span=0.5)
    pace = look_at(story.run).pace
    assert pace is not None
    assert 95 < pace <= 100


def test_an_interrupted_run_has_nobody_at_work(tmp_path: Path, home: Path) -> None:
    story = going(tmp_path)
    told = json.loads((home / "unfinished" / f"{story.run}.json").read_text())
    (home / "unfinished" / f"{story.run}.json").write_text(json.dumps({**told, "born": "0"}))
    moment = look_at(story.run)
    assert not moment.is_going
    assert "at work" not in pages.overview(moment).fragments["workers"]


def test_money_counts_machines_from_when_they_came_until_they_left(tmp_path: Path) -> None:
    story = Story(tmp_path, machines={"m1": 1, "m2": 1}, at=time.time() - 7200).begin(prices={"m1": 1.0, "m2": 2.0})
    story.at += 1800
    story.write(events.WorkerLeft("m2-1", "its lease ended"))
    story.at += 1800
    story.measured(Measures({"m1-1": did(10, 1.0)}))
    assert look_at(story.run).dollars == pytest.approx(1.0 + 1.0, rel=0.01)


def test_an_attempt_that_was_killed_costs_nothing_while_nobody_is_at_work(tmp_path: Path) -> None:
    story = Story(tmp_path, machines={"m1": 2}, at=time.time() - 10 * 3600).begin(prices={"m1": 1.0})
    story.at += 3600
    story.measured(Measures({"1": did(10, 1.0)}))
    story.at += 5 * 3600
    story.attempt(2, pid=2, prices={"m1": 3.0})
    story.at += 3600
    story.measured(Measures({"1": did(10, 1.0)}))
    moment = look_at(story.run)
    assert (moment.view.time.paused, moment.now) == pytest.approx((5 * 3600, 2 * 3600), rel=0.01)
    assert moment.view.dollars(moment.known) == pytest.approx(1.0 + 3.0, rel=0.01)
    assert Past.read(find(story.run).journal).tried.dollars == pytest.approx(1.0 + 3.0, rel=0.01)  # for who resumes it


def test_leases_run_down(tmp_path: Path) -> None:
    story = large(tmp_path)
    renewed = look_at(story.run).view.roster.machines["m1"].renewed
    assert look_at(story.run, at=renewed + 600).machines[0].lease_left == pytest.approx(300)


def test_a_view_stays_small_however_long_the_run(tmp_path: Path) -> None:
    story = Story(tmp_path, rows_total=10**12, at=time.time() - 10**7).begin()
    view = RunView()
    story.work(10**6, span=1000)
    view.take_all(find(story.run).entries())
    moment = Moment(view, find(story.run).state, view.time.last_at)
    assert all(len(channel) == BUCKETS for worker in view.roster.workers.values() for channel in worker.series.channels)
    assert len(moment.figures.rates_in) <= BUCKETS
    assert len(view.roster.worker_paces.told) < 400


def test_old_journals_without_measures_are_shown_as_well(tmp_path: Path) -> None:
    story = Story(tmp_path)
    story.write(events.Started(story.run, {"inputs": [["a.csv", 1, ""]], "steps": [["f", ""]], "output": "b"}))
    moment = look_at(story.run)
    assert "a.csv" in pages.whole(pages.overview(moment))


# Charts


@pytest.mark.parametrize("count", [0, 1, 2, 59, 240])
def test_charts_are_well_formed(count: int) -> None:
    values = [float(at % 7) for at in range(count)]
    shares = [(0.1, 0.4, 0.1, 0.1, 0.0, 0.0, 0.3)] * count
    for drawn in (
        charts.rate_chart(values, values, elapsed=count, label="<&>"),
        charts.timeline([("<a>", shares), ("b", [])], height=10, label="'\""),
        charts.sparkline(values, label="x"),
        charts.bar(None, label="x"),
        charts.bar(0.3, label="x"),
        charts.stacked([("read", "reading", float(count)), ("write", "writing", 0.0)], label="x"),
        charts.histogram({at: 1 + at for at in range(count)} or {0: 1}, label="x"),
    ):
        ET.fromstring(drawn)  # noqa: S314 (our own)
    assert charts.histogram({}, label="x") == ""


@pytest.mark.parametrize(("count", "marks"), [(1, 2), (2, 3), (3, 4), (4, 5), (5, 5), (13, 5), (64, 5)])
def test_the_marks_of_a_histogram_differ_and_stand_at_edges_of_bins(count: int, marks: int) -> None:
    drawn = charts.histogram(dict.fromkeys(range(-8, count - 8), 1), label="x")
    told = re.findall("<span>([^<]*)</span>", drawn.split('class="x"')[1])
    assert len(set(told)) == len(told) == marks


def test_scales_end_at_round_numbers() -> None:
    assert [nice(number) for number in (0, 0.7, 1, 1.1, 13, 999, 1000, 1001)] == [1, 0.8, 1, 1.2, 16, 1000, 1000, 1200]


def test_numbers_are_written_as_people_do() -> None:
    assert words.between(70, 110) == "1.2–1.8 min"  # noqa: RUF001
    assert words.between(8, 9) == "8–9 s"  # noqa: RUF001
    assert words.duration(3725) == "1h02m"
    assert words.latency(0.00123) == "1.23 ms"
    assert words.latency(0.0000123) == "12.3 µs"
    assert words.size(1_234_000_000) == "1.2 GB"
    assert words.short(1600) == "1.6k"
    assert words.share(0.043) == "4.3%"
    assert words.pace(None) == words.NOTHING


# Pages


def test_what_others_wrote_is_escaped_everywhere(tmp_path: Path) -> None:
    story = Story(tmp_path, steps=(f"x.py:{INJECTION}",), machines={f"m{INJECTION}": 1, "m2": 1})
    story.begin(inputs=(INJECTION,), output=INJECTION).work(3, waiting_for=INJECTION)
    story.write(events.UserTold(INJECTION), events.Retried(INJECTION))
    story.reject(INJECTION, 1, example=INJECTION + "'\">")
    moment = look_at(story.run)
    worker = next(iter(moment.view.roster.workers))
    shown = [
        pages.overview(moment),
        pages.part(moment, "steps", "1"),
        pages.part(moment, "machines", f"m{INJECTION}"),
        pages.part(moment, "workers", worker),
        pages.missing(INJECTION),
    ]
    for page in shown:
        assert page is not None
        html = pages.whole(page)
        assert "alert(" in html
        assert "<script>" not in html
    assert "<script" not in report(story.run)
    assert "alert(" in report(story.run)


def test_rejects_are_grouped_by_reason_with_one_in_full(tmp_path: Path) -> None:
    moment = look_at(rejecting(tmp_path).run)
    html = pages.overview(moment).fragments["rejects"]
    assert "could not convert string to float" in html
    assert "212" in html
    assert "215 in" in html
    assert "classified.csv.rejects.jsonl" in html
    assert html.index("212") < html.index("KeyError")
    assert "for instance ValueError: could not convert &#39;n/a&#39;" in html


def test_sections_with_nothing_to_say_are_empty(tmp_path: Path) -> None:
    story = Story(tmp_path)
    story.write(events.Started(story.run, {"inputs": [], "steps": [], "output": "o"}))
    fragments = pages.overview(look_at(story.run)).fragments
    assert fragments["head"]
    assert all(not fragments[name] for name in ("rates", "timeline", "machines", "workers", "spent", "rejects", "plan"))


def test_every_level_leads_to_the_next(tmp_path: Path) -> None:
    moment = look_at(large(tmp_path).run)
    html = pages.whole(pages.overview(moment))
    for address in re.findall(r'href="/runs/[^/"]+/(steps|machines|workers)/([^"]+)"', html):
        page = pages.part(moment, *address)
        assert page is not None
        below = pages.whole(page)
        assert f'href="/runs/{moment.view.run}"' in below
        if "m2-1" in address:  # it never had anything to do
            continue
        assert "That share of calls took less than" in below
        assert "99.99%" in below
    assert pages.part(moment, "workers", "m9-9") is None
    assert pages.part(moment, "steps", "2") is None
    assert pages.part(moment, "steps", "0") is None
    assert pages.part(moment, "friends", "1") is None


# Metrics


def metrics_of(*runs: str) -> tuple[str, dict[str, list[Sample]]]:
    told = text([look_at(run) for run in runs])
    return told, {family.name: family.samples for family in text_string_to_metric_families(told)}


def test_metrics_follow_the_conventions(tmp_path: Path) -> None:
    story = large(tmp_path)
    story.write(events.Streamed(3, 10, 2, 1.0, story.at, 5, 600, [[0, 9]], 1.0, 10**6, 4, sinks=[["a", 7, 1.0, ""]]))
    told, _ = metrics_of(story.run, rejecting(tmp_path).run)
    families = list(text_string_to_metric_families(told))
    assert len(families) > 20
    assert len({family.name for family in families}) == len(families)
    for family in families:
        assert re.fullmatch(r"muster(_[a-z]+)+", family.name)
        assert family.documentation.endswith(".")
        assert family.type in {"counter", "gauge", "histogram", "info"}
        assert not re.search(r"_(ms|kb|mb|minutes|hours|percent|count|sum|bucket)$", family.name)
        if family.type != "counter":
            assert not family.name.endswith("_total")
        for sample in family.samples:
            if family.type == "counter":
                assert sample.name == f"{family.name}_total"
            assert "run" in sample.labels
        keys = [(sample.name, *sorted(sample.labels.items())) for sample in family.samples]
        assert len(keys) == len(set(keys))
        assert f"# HELP {family.name}" in told


def test_metrics_tell_what_the_view_does(tmp_path: Path) -> None:
    story = large(tmp_path)
    _, families = metrics_of(story.run)
    assert sum(sample.value for sample in families["muster_worker_input_rows"]) == story.rows_done
    assert families["muster_run_workers"][0].value == 28
    buckets = [one for one in families["muster_batch_duration_seconds"] if one.name.endswith("_bucket")]
    assert [one.value for one in buckets] == sorted(one.value for one in buckets)
    moment = look_at(story.run)
    assert buckets[-1].labels["le"] == "+Inf"
    assert buckets[-1].value == moment.figures.calls
    for one in buckets[:-1]:
        below = sum(
            n for number, n in moment.figures.bins.items() if 2 ** ((number + 1) / 4) <= float(one.labels["le"]) * 1.001
        )
        assert one.value == below


def test_the_dashboard_uses_metrics_that_there_are(tmp_path: Path) -> None:
    story = large(tmp_path)
    story.reject("ValueError", 3)
    story.write(events.Streamed(3, 10, 2, 1.0, story.at, 5, 600, [[0, 9]], 1.0, sinks=[["a", 7, 1.0, ""]]))
    told, _ = metrics_of(story.run)
    dashboard = json.loads((Path(__file__).parents[1] / "docs" / "grafana.json").read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    used = {name for expression in expressions for name in re.findall(r"muster_\w+", expression)}
    assert len(used) > 15
    for name in used:
        assert re.search(rf"^{name}[{{ ]", told, re.MULTILINE), name
    labels = {label for expression in expressions for label in re.findall(r"by \(([^)]+)\)", expression)}
    for label in {one.strip() for some in labels for one in some.split(",")}:
        assert f'{label}="' in told


# The report


def test_a_report_needs_nothing_but_itself(tmp_path: Path) -> None:
    html = report(rejecting(tmp_path).run)
    assert "clean | Score" in html
    assert "Workers busy" in html
    assert "The plan beside what happened" in html
    assert not HELD_IN_ONE.search(html)
    assert not re.search(r"<(script|link|img|iframe|object|base)\b", html)
    assert not re.search(r"\b(src|href)=", html.replace('href="#', ""))
    assert "@import" not in html
    assert "url(" not in html
    assert "Step 2, score.py:Score" in html


def test_a_report_of_a_damaged_journal_is_refused(home: Path) -> None:
    (home / "runs").mkdir()
    (home / "runs" / "1.jsonl").write_text("junk\n")
    with pytest.raises(UsageError, match="tells nothing of a run"):
        report("1")


def test_a_report_of_no_run_says_what_there_is(tmp_path: Path) -> None:
    going(tmp_path)
    with pytest.raises(UsageError, match="There is no run"):
        report("nope")
    assert len(known()) == 1
    assert "classify" in report(None)


def test_the_page_loads_nothing_that_a_run_needs_not() -> None:
    script = (
        "import sys, muster, muster.cli, muster._watch.serving.server, muster._watch.report;"
        "late = ('starlette', 'uvicorn', 'jinja2', 'prometheus_client', 'pandas');"
        "print([name for name in late if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_a_missing_package_is_told_with_what_to_install() -> None:
    script = (
        "import sys; sys.modules['uvicorn'] = None;"
        "from muster._watch.serving.server import serve, check_installed\n"
        "from muster.errors import UsageError\n"
        "try: serve(None, 0)\n"
        "except UsageError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert "pip install 'muster-run[watch]'" in done.stdout
