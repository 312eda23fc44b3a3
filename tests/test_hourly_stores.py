"""``--each``, ``--since-last`` and ``--if-running`` in a bucket, on moto's server."""

import json
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from werkzeug.serving import make_server

from conftest import Muster, begun, started
from muster._output.folder import WorkFolder
from waiting import until
from web import moto_application

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "nobody",
    "AWS_SECRET_ACCESS_KEY": "nothing",
    "AWS_DEFAULT_REGION": "us-east-1",
}
INLINE = ("--workers", "0", "--json")


@dataclass
class Server:
    """A server that notes what muster asks of it, and can be told to look at each request first."""

    port: int = 0
    asked: list[str] = field(default_factory=list)
    look: Callable[[str], bool] = field(default=lambda _: True)
    """Is told of each request before it is carried out, and whether it is, depends on the answer."""
    after: Callable[[str], None] = field(default=lambda _: None)
    """Is told of each once it was carried out, before the answer is sent."""

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def lists(self, prefix: str) -> int:
        """Count how often a folder was listed."""
        return sum(one.startswith("GET ") and f"prefix={prefix}" in one.replace("%2F", "/") for one in self.asked)


@pytest.fixture(scope="module")
def served() -> Iterator[Server]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    application, server = moto_application(), Server()

    def looking(environment: "WSGIEnvironment", start: "StartResponse") -> Iterable[bytes]:
        if "boto3" not in environment.get("HTTP_USER_AGENT", "").lower():
            said = f"{environment['REQUEST_METHOD']} {environment['PATH_INFO']}?{environment['QUERY_STRING']}"
            server.asked.append(said)
            if not server.look(said):
                start("503 Slow Down", [])
                return []
            answer: Iterable[bytes] = application(environment, start)
            server.after(said)
            return answer
        plain: Iterable[bytes] = application(environment, start)
        return plain

    serving = make_server("127.0.0.1", 0, looking, threaded=True)
    server.port = serving.server_port
    thread = threading.Thread(target=serving.serve_forever)
    thread.start()
    yield server
    serving.shutdown()
    thread.join()
    serving.server_close()


@pytest.fixture
def bucket(served: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:  # noqa: ANN401 (boto3 has no types)
    for name, value in {"AWS_ENDPOINT_URL": served.address, **ENVIRONMENT}.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "f.py").write_text("def double(df):\n    df['b'] = df['a'] * 2\n    return df\n")
    store = boto3.resource("s3", endpoint_url=served.address)
    made = store.Bucket(f"b{abs(hash(str(tmp_path)))}")
    made.create()
    served.asked.clear()
    return made


def put(bucket: Any, **files: str) -> None:  # noqa: ANN401 (likewise)
    for name, text in files.items():
        bucket.put_object(Key=f"in/{name}.csv", Body=text.encode())


def texts(bucket: Any, prefix: str = "out/") -> dict[str, str]:  # noqa: ANN401 (likewise)
    return {
        one.key.removeprefix(prefix): one.get()["Body"].read().decode() for one in bucket.objects.filter(Prefix=prefix)
    }


def test_each_file_of_a_bucket_has_an_output_and_what_is_unchanged_is_left_alone(bucket: Any, muster: Muster) -> None:  # noqa: ANN401
    put(bucket, a="a\n1\n", b="a\n2\n")
    place = f"s3://{bucket.name}"
    command = ("run", "f.py:double", f"{place}/in/", "-o", f"{place}/out/", "--each", *INLINE)
    assert muster(*command).json["done"] == 2
    put(bucket, b="a\n3\n")
    again = muster(*command)
    assert (again.json["done"], again.json["unchanged"]) == (1, 1), again
    assert texts(bucket) == {"a.csv": "a,b\n1,2\n", "b.csv": "a,b\n3,6\n"}


def test_what_is_new_in_a_bucket_is_done_once_by_content(bucket: Any, muster: Muster) -> None:  # noqa: ANN401
    put(bucket, a="a\n1\n", b="a\n2\n")
    place = f"s3://{bucket.name}"
    command = ("run", "f.py:double", f"{place}/in/*.csv", "-o", f"{place}/out/{{date}}.csv", "--since-last", *INLINE)
    assert muster(*command).json["new_files"] == 2
    put(bucket, renamed="a\n1\n", c="a\n3\n")
    bucket.Object("in/a.csv").delete()
    second = muster(*command)
    assert second.json["new_files"] == 1, second
    third = muster(*command)
    assert (third.code, third.json["new_files"], third.json["outputs"]) == (0, 0, [])
    made = texts(bucket)
    ledger = made.pop(".date.csv.since-last.json")
    assert sorted(made.values()) == ["a,b\n1,2\n2,4\n", "a,b\n3,6\n"]
    assert '"begun": null' in ledger


def test_who_may_write_a_bucket_leads_no_run_out_of_the_folder_of_its_outputs(
    bucket: Any,  # noqa: ANN401
    muster: Muster,
    tmp_path: Path,
) -> None:
    put(bucket, a="a\n1\n")
    (tmp_path / "mine").mkdir()
    places = [bucket.Object("others/2026-11-01.csv"), bucket.Object("out/precious.csv")]
    files = [tmp_path / "mine" / "2026-11-01.csv", tmp_path / "2026-11-01.csv"]
    names = [f"s3://{bucket.name}/{place.key}" for place in places]
    for place in places:
        place.put(Body=b"precious")
    for path in files:
        path.write_text("precious")
    place, found = f"s3://{bucket.name}", bucket.Object("in/a.csv")
    known = [found.content_length, found.e_tag, 0, f"{found.content_length}:{found.e_tag}"]
    command = ("run", "f.py:double", f"{place}/in/*.csv", "-o", f"{place}/out/{{date}}.csv", "--since-last", *INLINE)
    for name in [*names, *map(str, files), files[1].name, f"{place}/out/../others/2026-11-01.csv"]:
        begun = {"output": name, "files": {f"{place}/in/a.csv": known}}
        said = {"done": {}, "seen": {}, "begun": begun, "of": ["{date}.csv", "double"]}
        bucket.Object("out/.date.csv.since-last.json").put(Body=json.dumps({"since-last": said}).encode())
        refused = muster(*command)
        assert (refused.code, refused.json["kind"], "Nothing was written" in refused.err) == (2, "usage", True), name
    assert {place.get()["Body"].read() for place in places} == {b"precious"}
    assert {path.read_text() for path in files} == {"precious"}


def test_who_waits_looks_at_the_lock_now_and_then_and_lists_the_inputs_once_more_at_the_end(
    bucket: Any,  # noqa: ANN401
    served: Server,
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put(bucket, a="a\n1\n")
    place = f"s3://{bucket.name}"
    other = WorkFolder(f"{place}/out.csv", home=home.parent / "another")
    other.take()
    (lock,) = [one.key for one in bucket.objects.filter(Prefix="out.csv.muster/lock-")]
    writers = {os.getpid()}

    def note(said: str) -> None:
        if said.startswith("PUT") and f"/{lock}?" in said:
            writers.add(json.loads(bucket.Object(lock).get()["Body"].read())["pid"])

    monkeypatch.setattr(served, "after", note)
    command = ("run", "f.py:double", f"{place}/in/*.csv", "-o", f"{place}/out.csv", "--if-running", "wait", *INLINE)
    with started(tmp_path, *command, start=begun) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert line.startswith(
            f"muster: waits. Another muster process is writing '{place}/out.csv': process {os.getpid()}"
        )
        before, looks = len(served.asked), served.lists("out.csv.muster")
        until(lambda: served.lists("out.csv.muster") > looks + 1)
        renewed = ("GET", "PUT")  # which its owner does too, here
        meanwhile = [one for one in served.asked[before:] if not (one.startswith(renewed) and f"/{lock}?" in one)]
        assert not [one for one in meanwhile if one.startswith(("PUT", "POST", "DELETE")) or "in/" in one], meanwhile
        assert writers == {os.getpid()}  # nobody else has written the lock
        put(bucket, b="a\n2\n")  # what has come meanwhile is done, too
        other.leave()
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert '"rows_in": 2' in out


@pytest.mark.parametrize(("arrives", "expected"), [(False, [1, 7]), (True, [1, 2, 7])])
def test_a_folder_of_which_a_death_left_the_half_is_not_taken_for_done(  # noqa: PLR0913 (fixtures)
    bucket: Any,  # noqa: ANN401
    served: Server,
    muster: Muster,
    tmp_path: Path,
    *,
    arrives: bool,
    expected: list[int],
) -> None:
    put(bucket, a="a\n1\n", b="a\n2\n")
    place = f"s3://{bucket.name}"
    command = ("run", "f.py:double", f"{place}/in/", "-o", f"{place}/out/{{date}}/", "--since-last", *INLINE)
    running: list[int] = []

    def kill(said: str) -> bool:
        """Kill it when it writes the manifest."""
        if said.startswith("PUT") and "_manifest.json" in said:
            until(lambda: running)
            os.kill(running[0], signal.SIGKILL)
            return False
        return True

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(served, "after" if arrives else "look", kill)
        with started(tmp_path, *command, start=begun) as process:
            running.append(process.pid)
            process.communicate(timeout=100)
    assert process.returncode == -signal.SIGKILL
    there = texts(bucket)
    assert any("/part-" in name for name in there)
    put(bucket, b="a\n7\n")
    ended = muster(*command)
    assert ended.code == 0, ended
    there = texts(bucket)
    named = {
        f"{name.rpartition('/')[0]}/{part['name']}"
        for name, text in there.items()
        if name.endswith("_manifest.json")
        for part in json.loads(text)["parts"]
    }
    assert named == {name for name in there if "/part-" in name}  # nothing is left of the half
    rows = [int(line.split(",")[0]) for name in named for line in there[name].splitlines()[1:]]
    assert sorted(rows) == expected
    assert muster(*command).json["new_files"] == 0
