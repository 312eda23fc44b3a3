"""The live page as a real process: who may ask what, what is pushed, where it listens, how it ends."""

import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from muster._watch.serving.feed import Follower, RunFeed
from muster._watch.serving.peers import is_stranger
from muster._watch.serving.server import read_token
from muster._watch.sums.moment import Moment
from muster._watch.sums.run import RunView
from muster.errors import UsageError
from watching import Served, going, rejecting, resumed, serving, stopped, streaming


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:{port}", 200),
        ("localhost:{port}", 200),
        ("LOCALHOST:{port}", 200),
        ("[::1]:{port}", 200),
        ("localhost", 200),
        ("evil.example", 400),
        ("evil.example:{port}", 400),
        ("localhost:1", 400),
        ("localhost.evil.example:{port}", 400),
        ("127.0.0.1.evil.example", 400),
        ("user@localhost:{port}", 400),
        ("localhost:{port}/x", 400),
        ("localhost:x", 400),
        ("", 400),
    ],
)
def test_only_names_of_this_computer_are_answered(host: str, status: int) -> None:
    with serving() as served:
        assert served.ask("/", Host=host.format(port=served.port))[0] == status


def test_pages_from_elsewhere_get_no_answer(tmp_path: Path) -> None:
    story = going(tmp_path)
    with serving() as served:
        for origin in ("http://evil.example", "null", f"https://localhost:{served.port}", "http://localhost:1", ""):
            for path in ("/", f"/runs/{story.run}", f"/runs/{story.run}/events", "/metrics", "/static/watch.js"):
                status, body, _ = served.ask(path, Origin=origin)
                assert status == 403, origin
                assert "classify" not in body
        assert served.ask("/", Origin=f"http://127.0.0.1:{served.port}")[0] == 200
        assert served.ask("/metrics", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="no-cors")[0] == 403
        assert (
            served.ask("/", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate", Sec_Fetch_Dest="iframe")[0] == 403
        )
        assert (
            served.ask("/", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate", Sec_Fetch_Dest="document")[0] == 200
        )


def test_the_page_can_only_be_read() -> None:
    with serving() as served:
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
            assert served.ask("/", method=method)[0] == 405
        assert served.ask("/", method="HEAD")[:2] == (200, "")
        assert served.ask("/events", method="HEAD")[:2] == (200, "")


def test_every_answer_forbids_what_the_page_needs_not(tmp_path: Path) -> None:
    story = going(tmp_path)
    with serving() as served:
        for path in ("/", f"/runs/{story.run}", "/nope", "/metrics", "/static/watch.css"):
            _, _, headers = served.ask(path)
            policy = headers["content-security-policy"]
            assert policy.startswith("default-src 'none'")
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert headers["cache-control"] == "no-store"
            assert "server" not in headers
        assert served.ask("/", Host="evil.example")[2]["x-content-type-options"] == "nosniff"


def test_pages_hold_no_script_or_style_of_their_own(tmp_path: Path) -> None:
    story = rejecting(tmp_path)
    with serving() as served:
        for path in ("/", f"/runs/{story.run}", f"/runs/{story.run}/steps/1", f"/runs/{story.run}/workers/1"):
            body = served.ask(path)[1]
            assert re.findall(r"<script[^>]*>", body) == ['<script src="/static/watch.js" defer>']
            assert not re.search(r"\s(style|on\w+)=", body)
            assert "<style" not in body
            assert not re.search(r"https?://", body)


def test_no_path_leads_out_of_the_runs_that_are_known(tmp_path: Path, home: Path) -> None:
    story = rejecting(tmp_path)
    (home / "secret.jsonl").write_text(json.dumps({"event": "started", "at": 1, "run": "secret", "job": {}}) + "\n")
    with serving() as served:
        for path in (
            "/runs/../secret",
            "/runs/..%2fsecret",
            "/runs/%2e%2e%2fsecret",
            "/runs/..%2f..%2fetc%2fpasswd",
            "/static/../server.py",
            "/static/..%2fserver.py",
            "/static/%2e%2e/server.py",
            "/static/watch.css%00",
            "/runs/" + "a" * 5000,
            f"/runs/{story.run[:-1]}",
            f"/runs/{story.run}/workers/..%2f..",
            f"/runs/{story.run}/__class__/x",
        ):
            status, body, _ = served.ask(path)
            assert status == 404, path
            assert "See all runs" in body
        assert "unfinished" not in served.ask("/runs/secret")[1]


def test_what_is_not_there_is_told_kindly() -> None:
    with serving() as served:
        status, body, headers = served.ask("/runs/%3Cscript%3Ealert(1)%3C/script%3E")
        assert status == 404
        assert headers["content-type"].startswith("text/html")
        assert "<script>alert" not in body
        assert "See all runs" in body


def test_changes_are_pushed_and_nothing_else(tmp_path: Path) -> None:
    story = going(tmp_path)
    with serving() as served, streaming(served, f"/runs/{story.run}/events") as stream:
        assert stream.answer.getheader("content-type", "").startswith("text/event-stream")
        first = stream.next()
        assert f"{story.rows_done:,}" in first["progress"]
        assert {"title", "head", "progress", "rates", "workers"} <= first.keys()
        story.at += 1
        story.work(0.1)
        while f"{story.rows_done:,}" not in (changed := stream.next()).get("progress", ""):
            pass
        assert "head" not in changed
        assert "plan" not in changed or changed["plan"] != first["plan"]


def test_a_page_that_nobody_sees_is_told_its_title_alone(tmp_path: Path) -> None:
    story = going(tmp_path)
    with serving() as served, streaming(served, f"/runs/{story.run}/events?only=title") as stream:
        before = stream.next()
        assert before.keys() == {"title"}
        story.at += 1
        story.work(8)
        assert stream.next().keys() == {"title"}


def test_a_server_says_that_it_is_there_where_nothing_changes(tmp_path: Path) -> None:
    story = rejecting(tmp_path)
    with serving() as served, streaming(served, f"/runs/{story.run}/events") as stream:
        stream.next()
        assert [stream.answer.readline() for _ in range(3)] == [b"\n", b"event: alive\n", b"data: {}\n"]


def test_a_stream_goes_on_when_the_journal_moves_to_the_archive(tmp_path: Path) -> None:
    story = going(tmp_path)
    with serving() as served, streaming(served, f"/runs/{story.run}/events") as stream:
        stream.next()
        story.finish()
        assert not story.path.exists()
        while "finished" not in stream.next().get("head", ""):
            pass
        assert "100%" in served.ask(f"/runs/{story.run}")[1]


def test_the_list_of_runs_shows_a_run_that_begins(tmp_path: Path) -> None:
    with serving() as served, streaming(served, "/events") as stream:
        assert "No runs yet" in stream.next()["runs"]
        going(tmp_path)
        while "classify" not in stream.next()["runs"]:
            pass


def test_the_list_puts_runs_that_go_on_first(tmp_path: Path) -> None:
    runs = [rejecting(tmp_path).run, stopped(tmp_path).run, resumed(tmp_path).run, going(tmp_path).run]
    with serving() as served:
        shown = re.findall(r'href="/runs/([^"]+)"', served.ask("/")[1])
    assert shown == [runs[3], runs[1], *sorted((runs[0], runs[2]), key=shown.index)]


def test_a_run_whose_process_is_killed_is_shown_as_killed(tmp_path: Path, home: Path) -> None:
    script = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r});"
        "from watching import going; from pathlib import Path;"
        f"going(Path({str(tmp_path)!r})); print(flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with serving(home=home) as served, streaming(served, "/runs/20261124-101500-c0de/events") as stream:
            assert ">running<" in stream.next()["head"]
            process.kill()
            process.wait()
            while ">killed<" not in (told := stream.next()).get("head", ""):
                pass
            assert "type the same command again" in told["progress"]


def test_a_port_that_is_taken_leaves_the_next() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with serving(port=port) as served:
            assert served.port > port
            assert served.said.startswith(f"Port {port} is taken. Watch at http://127.0.0.1:")
            assert served.ask("/")[0] == 200


def test_the_page_of_a_named_run_is_told(tmp_path: Path) -> None:
    story = going(tmp_path)
    with serving(story.run[:12]) as served:
        assert served.url.endswith(f"/runs/{story.run}")


def test_it_listens_on_loopback_alone() -> None:
    with serving() as served:
        listening = Path("/proc/net/tcp").read_text().splitlines()[1:]
        mine = [
            line.split()[1]
            for line in listening
            if line.split()[1].endswith(f":{served.port:04X}") and line.split()[3] == "0A"
        ]
        assert mine == [f"0100007F:{served.port:04X}"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_quietly_while_somebody_looks(number: signal.Signals, tmp_path: Path) -> None:
    story = going(tmp_path)
    with serving() as served, streaming(served, f"/runs/{story.run}/events") as stream:
        stream.next()
        served.process.send_signal(number)
        out, err = served.process.communicate(timeout=10)
        assert (served.process.returncode, out, err) == (0, "", "")


def test_it_ends_with_its_parent() -> None:
    with serving(with_parent=True) as served:
        assert served.ask("/")[0] == 200
        assert served.process.stdin is not None
        served.process.stdin.close()
        served.process.stdin = None
        assert served.process.communicate(timeout=10) == ("", "")
        assert served.process.returncode == 0


def test_metrics_are_served_for_runs_of_late(tmp_path: Path) -> None:
    runs = {going(tmp_path).run, rejecting(tmp_path).run}
    with serving() as served:
        _, body, headers = served.ask("/metrics")
    assert headers["content-type"].startswith("text/plain")
    families = {family.name: family for family in text_string_to_metric_families(body)}
    assert {sample.labels["run"] for sample in families["muster_run_progress_ratio"].samples} == runs


def test_many_who_look_get_the_same(tmp_path: Path) -> None:
    story = going(tmp_path)
    found: list[str] = []

    def look(served: Served) -> None:
        with streaming(served, f"/runs/{story.run}/events") as stream:
            found.append(stream.next()["progress"])

    with serving() as served:
        lookers = [threading.Thread(target=look, args=(served,)) for _ in range(20)]
        for looker in lookers:
            looker.start()
        for looker in lookers:
            looker.join()
    assert len(found) == 20
    assert len(set(found)) <= 3


def test_a_socket_of_this_user_is_no_stranger() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with socket.create_connection(listener.getsockname()) as client:
            server, _ = listener.accept()
            with server:
                assert not is_stranger(client.getsockname(), server.getsockname())
                assert is_stranger(("127.0.0.1", 1), ("127.0.0.1", 2))  # nobody's


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells whose a socket is")
def test_another_user_of_this_computer_gets_no_answer() -> None:
    script = (
        "import encodings.idna, os, sys, urllib.request\n"
        "os.setuid(65534)\n"
        "asked = urllib.request.Request(sys.argv[1], headers={'X-Forwarded-For': '127.0.0.1'})\n"
        "print(urllib.request.urlopen(asked).status)"
    )
    with serving() as served:
        done = subprocess.run([sys.executable, "-c", script, served.url], capture_output=True, text=True, check=False)
        if "PermissionError" in done.stderr:
            pytest.skip("only root can become another user")
        assert "403" in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells whose a socket is")
def test_another_user_of_this_computer_reads_the_metrics_alone_with_the_token_that_is_said(tmp_path: Path) -> None:
    script = (
        "import encodings.idna, os, sys, urllib.error, urllib.request\n"
        "os.setuid(65534)\n"
        "for path, token in (('metrics', 'a-token-of-my-own'), ('metrics', 'another'), ('metrics', ''),"
        " ('', 'a-token-of-my-own')):\n"
        "    asked = urllib.request.Request(sys.argv[1] + path, headers={'Authorization': f'Bearer {token}'})\n"
        "    try:\n        print(urllib.request.urlopen(asked).status)\n"
        "    except urllib.error.HTTPError as error:\n        print(error.code)"
    )
    (tmp_path / "token").write_text("a-token-of-my-own\n")
    with serving(token=read_token(str(tmp_path / "token"))) as served:
        url = served.url.rstrip("/") + "/"
        done = subprocess.run([sys.executable, "-c", script, url], capture_output=True, text=True, check=False)
        if "PermissionError" in done.stderr:
            pytest.skip("only root can become another user")
        assert done.stdout.split() == ["200", "403", "403", "403"], done.stderr


@pytest.mark.parametrize("token", [None, "", "short", "two words of many letters", "\u00e9" * 30])
def test_a_token_that_is_none_or_could_be_guessed_is_refused_with_how_to_make_one(
    tmp_path: Path, token: str | None
) -> None:
    path = tmp_path / "token"
    if token is not None:
        path.write_text(token, encoding="utf-8")
    with pytest.raises(UsageError, match=r"--metrics-token .*base64 >"):
        read_token(str(path))


def test_runs_that_are_asked_again_and_again_are_all_followed(tmp_path: Path) -> None:
    names = [f"20261124-1015{number:02d}-c0de" for number in range(20)]
    for name in names:
        going(tmp_path / name, run=name).close()

    async def asked() -> list[list[Follower | None]]:
        feed = RunFeed()
        return [[await feed.follower(name) for name in names] for _ in range(2)]

    once, again = asyncio.run(asked())
    assert None not in once
    assert all(one is other for one, other in zip(once, again, strict=True))


def test_a_second_scrape_of_many_recent_runs_reads_no_journal_again_also_where_others_look_at_more(
    tmp_path: Path,
) -> None:
    names = [f"20261124-1015{number:02d}-c0de" for number in range(20)]
    for name in names:
        going(tmp_path / name, run=name).close()

    def views(looks: list[Moment]) -> list[RunView]:
        return [moment.view for moment in looks]

    async def scraped() -> list[list[RunView]]:
        feed = RunFeed()
        once = await feed.tell(names[:18], views)
        for name in names[18:]:
            await feed.look(name, lambda moment: moment.share)
        return [once, await feed.tell(names[:18], views)]

    once, again = asyncio.run(scraped())
    assert [view.run for view in once] == names[:18]
    assert all(one is other for one, other in zip(once, again, strict=True))


def test_a_journal_is_followed_without_reading_it_again(tmp_path: Path) -> None:
    story = going(tmp_path)
    with serving() as served, streaming(served, f"/runs/{story.run}/events") as stream:
        seen = stream.next()
        for _ in range(5):
            story.at += 0.5
            story.work(0.1)
            while f"{story.rows_done:,}" not in (seen := stream.next()).get("progress", ""):
                pass
    assert seen
