"""Outputs in a bucket, on moto's server: what another wrote stays, and whoever reads sees one output whole."""

import hashlib
import io
import json
import logging
import os
import secrets
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import boto3
import pandas as pd
import pytest
from werkzeug.serving import make_server

import muster
from conftest import MUSTER, Muster, begun, started
from muster._urls import objects
from muster.errors import OutputBusyError
from waiting import until
from web import moto_application, serving

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    from conftest import Ended

ROWS: Final = 2000
CSV: Final = b"x\n" + b"".join(b"%d\n" % at for at in range(ROWS))
FUNCTIONS: Final = """
import os, pathlib, time
def two(df): return df.assign(y=df["x"] * 2)
def three(df): return df.assign(y=df["x"] * 3)
def held(df):
    pathlib.Path("began").touch()
    while pathlib.Path("hold").exists(): time.sleep(0.01)
    return df.assign(y=df["x"] * 2)
"""


@dataclass
class Server:
    """A server that can be asked to look at each request that writes, before it is carried out."""

    port: int
    look: Callable[[], None] = field(default=lambda: None)
    refuse: Callable[["WSGIEnvironment"], str] = field(default=lambda _: "")
    """Tells the status with which a request is refused, if it is."""

    def object(self, name: str) -> bytes:
        return bytes(self.client.get_object(Bucket="bucket", Key=name)["Body"].read())

    def put(self, name: str, data: bytes) -> str:
        self.client.put_object(Bucket="bucket", Key=name, Body=data)
        return f"s3://bucket/{name}"

    def names(self, prefix: str = "") -> set[str]:
        return {one["Key"] for one in self.client.list_objects_v2(Bucket="bucket", Prefix=prefix).get("Contents", [])}

    @property
    def client(self) -> Any:  # noqa: ANN401 (boto has no types)
        return boto3.client("s3", endpoint_url=f"http://127.0.0.1:{self.port}")

    def uploads(self) -> list[str]:
        return [one["Key"] for one in self.client.list_multipart_uploads(Bucket="bucket").get("Uploads", [])]

    def seen(self) -> pd.DataFrame:
        """Read the folder by its manifest, and find each part as the manifest says."""
        frames = []
        for part in json.loads(self.object("out/_manifest.json"))["parts"]:
            data = self.object(f"out/{part['name']}")
            assert (len(data), hashlib.sha256(data).hexdigest()) == (part["bytes"], part["sha256"])
            frames.append(pd.read_csv(io.BytesIO(data)))
        return pd.concat(frames)

    def factor(self) -> int:
        """Tell by what the rows that are there were multiplied: all by the same."""
        frame = self.seen()
        assert len(frame) == ROWS
        (factor,) = (frame["y"] / frame["x"]).dropna().astype(int).unique()
        return int(factor)


@pytest.fixture(scope="module")
def served() -> Iterator[Server]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    application, server = moto_application(), Server(0)

    def looking(environment: "WSGIEnvironment", start: "StartResponse") -> Iterable[bytes]:
        if environment["REQUEST_METHOD"] != "GET" and "boto3" not in environment.get("HTTP_USER_AGENT", "").lower():
            server.look()
            if status := server.refuse(environment):
                start(status, [("Content-Type", "application/xml")])
                code = status.split()[1]
                return [f"<Error><Code>{code}</Code><Message>{status}</Message></Error>".encode()]
        answer: Iterable[bytes] = application(environment, start)
        return answer

    listening = make_server("127.0.0.1", 0, looking, threaded=True)
    server.port = listening.server_port
    thread = threading.Thread(target=listening.serve_forever)
    thread.start()
    yield server
    listening.shutdown()
    thread.join()
    listening.server_close()


@pytest.fixture
def server(served: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{served.port}",
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "fn.py").write_text(FUNCTIONS)
    served.client.create_bucket(Bucket="bucket")
    yield served
    served.look = lambda: None
    served.refuse = lambda _: ""
    for upload in served.client.list_multipart_uploads(Bucket="bucket").get("Uploads", []):
        served.client.abort_multipart_upload(Bucket="bucket", Key=upload["Key"], UploadId=upload["UploadId"])
    for name in served.names():
        served.client.delete_object(Bucket="bucket", Key=name)
    served.client.delete_bucket(Bucket="bucket")


def two(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(y=frame["x"] * 2)


def three(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(y=frame["x"] * 3)


def refused(ended: "Ended", *words: str) -> None:
    assert ended.code == 2, ended.err
    for word in words:
        assert word in ended.err


def test_objects_of_the_users_own_are_refused_and_not_deleted(server: Server) -> None:
    url = server.put("in.csv", CSV)
    for name, output in {
        "res.muster/precious.csv": "s3://bucket/res/",
        "out/precious.csv": "s3a://bucket/out/",
        "deep/er/precious.csv": "s3://bucket/deep/",
        "o.csv.muster/precious.csv": "s3://bucket/o.csv",
        "p.csv.rejects.jsonl": "s3://bucket/p.csv",
    }.items():
        server.put(name, b"x\n1\n")
        with pytest.raises(muster.UsageError, match="did not write"):
            muster.run(two, url, output, workers=0)
    assert {server.object(name) for name in server.names() - {"in.csv"}} == {b"x\n1\n"}
    assert len(server.names()) == 6


def test_what_is_a_file_a_folder_or_a_bucket_is_not_written_to_as_something_else(server: Server) -> None:
    url = server.put("in.csv", CSV)
    server.put("out.csv/a.csv", b"x\n1\n")
    server.put("x.csv", b"x\n1\n")
    for output, words in {
        "s3://bucket//o.csv": "empty name.* Type 's3://bucket/o.csv'",
        "s3://bucket/out.csv": "is a folder",
        "s3://bucket/x.csv/": "is a file",
        "s3://bucket/": "bucket",
    }.items():
        with pytest.raises(muster.UsageError, match=words):
            muster.run(two, url, output, workers=0)
    assert server.names() == {"in.csv", "x.csv", "out.csv/a.csv"}


@pytest.mark.parametrize(
    "output", ["s3a://bucket/in.csv", "s3://bucket//in.csv", "S3://bucket/x/../in.csv", "s3://bucket/./in.csv"]
)
def test_an_object_is_not_overwritten_by_its_own_output_in_another_spelling(server: Server, output: str) -> None:
    url = server.put("in.csv", CSV)
    with pytest.raises(muster.UsageError, match="both input and output"):
        muster.run(two, url, output, workers=0)
    server.client.put_object_acl(Bucket="bucket", Key="in.csv", ACL="public-read")
    for host in ("127.0.0.1", "localhost"):
        with pytest.raises(muster.UsageError, match="both input and output"):
            muster.run(two, f"http://{host}:{server.port}/bucket/in.csv", "s3://bucket/in.csv", workers=0)
    assert server.object("in.csv") == CSV


def test_an_object_is_not_overwritten_where_a_profile_or_nothing_names_its_server(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.put("in.csv", CSV)
    url = server.client.generate_presigned_url("get_object", Params={"Bucket": "bucket", "Key": "in.csv"})
    (tmp_path / "config").write_text(f"[default]\nendpoint_url = http://127.0.0.1:{server.port}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    with pytest.raises(muster.UsageError, match="both input and output"):
        muster.run(two, url, "s3://bucket/in.csv", workers=0)
    with serving() as web:  # a proxy in front of the bucket, as far as anyone can tell
        web.put("in.csv", CSV, ETag=server.client.head_object(Bucket="bucket", Key="in.csv")["ETag"])
        with pytest.raises(muster.UsageError, match="under another address"):
            muster.run(two, web.url("in.csv"), "s3://bucket/in.csv", workers=0)
    assert server.object("in.csv") == CSV


def test_an_object_that_is_named_as_a_version_is_refused_in_words_and_can_be_left_out(
    server: Server, tmp_path: Path
) -> None:
    for name in ("k.csv?versionId=3", "l.csv", "notes.txt?versionId=3"):
        server.put(f"in/{name}", CSV)
    with pytest.raises(muster.UsageError, match="in its own name"):
        muster.run(two, "s3://bucket/in/", str(tmp_path / "out.csv"), workers=0)
    assert muster.run(two, "s3://bucket/in/*.csv", str(tmp_path / "out.csv"), workers=0).parts


@pytest.mark.parametrize("name", ["out.csv?versionId=abc", "out?versionId=abc/", "a?versionId=1/out.csv"])
def test_no_output_is_named_by_a_version_of_an_object(server: Server, tmp_path: Path, name: str) -> None:
    (tmp_path / "in.csv").write_bytes(CSV)
    with pytest.raises(muster.UsageError, match="versionId"):
        muster.run(two, str(tmp_path / "in.csv"), f"s3://bucket/{name}", workers=0)
    assert server.names() == set()


@pytest.mark.parametrize("name", ["in.csv", "in.parquet"])
def test_rows_of_two_versions_are_not_mixed_where_the_first_is_back_at_the_end(
    server: Server, tmp_path: Path, name: str
) -> None:
    frames = [pd.DataFrame({"x": range(100_000), "t": [text] * 100_000}) for text in ("one", "two")]
    if name.endswith("csv"):
        one, two = (frame.to_csv(index=False).encode() for frame in frames)
    else:
        one, two = (frame.to_parquet(row_group_size=5000, compression=None) for frame in frames)
    url = server.put(name, one)

    def swap(frame: pd.DataFrame) -> pd.DataFrame:
        server.put(name, one if frame["x"].max() == 99_999 else two)
        return frame

    with pytest.raises(muster.MusterError, match="has changed"):
        muster.run(swap, url, tmp_path / "out.csv", workers=0)
    assert not (tmp_path / "out.csv").exists()


def is_commit(asked: "WSGIEnvironment", output: str) -> bool:
    """Tell whether a request is the one that makes an output appear."""
    name = "out/_manifest.json" if output.endswith("/") else output
    ends = "uploadId" in asked["QUERY_STRING"] and asked["REQUEST_METHOD"] == "POST"
    return asked["PATH_INFO"].endswith(f"/{name}") and (
        ends or (asked["REQUEST_METHOD"] == "PUT" and not asked["QUERY_STRING"])
    )


@pytest.mark.parametrize("is_there", [True, False])
@pytest.mark.parametrize("output", ["out/", "out.csv"])
def test_of_two_commits_the_later_one_is_refused(server: Server, output: str, *, is_there: bool) -> None:
    url = server.put("in.csv", CSV)
    place = "out/_manifest.json" if output == "out/" else output
    if is_there:
        muster.run(three, url, f"s3://bucket/{output}", workers=0)

    def replace(asked: "WSGIEnvironment") -> str:
        if is_commit(asked, output):
            server.put(place, b"another's")
        return ""

    server.refuse = replace
    with pytest.raises(OutputBusyError, match="was replaced by something else"):
        muster.run(two, url, f"s3://bucket/{output}", workers=0)
    assert server.object(place) == b"another's"


def test_a_large_object_that_comes_in_parts_takes_the_place_only_of_what_was_there(
    server: Server, tmp_path: Path
) -> None:
    url, path = server.put("large", b"before"), tmp_path / "large"
    path.write_bytes(bytes(101 << 20))

    def refuse(asked: "WSGIEnvironment") -> str:
        """Do as S3 does; moto ends an upload in parts whatever is there."""
        is_end = asked["REQUEST_METHOD"] == "POST" and "uploadId" in asked["QUERY_STRING"]
        there = server.client.head_object(Bucket="bucket", Key="large")["ETag"] if is_end else ""
        return "412 PreconditionFailed" if is_end and asked.get("HTTP_IF_MATCH", there) != there else ""

    server.refuse = refuse
    stands = objects.look(url)
    assert stands is not None
    server.put("large", b"another's")
    assert not objects.upload_if(path, url, before=stands.stamp)
    assert server.object("large") == b"another's"
    assert not server.uploads()
    stands = objects.look(url)
    assert stands is not None
    assert objects.upload_if(path, url, before=stands.stamp)
    assert objects.holds(url, path)


@pytest.mark.parametrize(
    ("status", "ends_well"), [("501 NotImplemented", True), ("400 InvalidArgument", True), ("403 AccessDenied", False)]
)
def test_a_commit_goes_without_a_condition_only_where_a_server_knows_none(
    server: Server, status: str, *, ends_well: bool
) -> None:
    url, conditions = server.put("in.csv", CSV), []

    def refuse(asked: "WSGIEnvironment") -> str:
        if is_commit(asked, "out/"):
            conditions.append(asked.get("HTTP_IF_NONE_MATCH"))
        return status if is_commit(asked, "out/") and conditions[-1] else ""

    server.refuse = refuse
    if ends_well:
        assert muster.run(two, url, "s3://bucket/out/", workers=0).rows_out == ROWS
        assert conditions == ["*", None]
        return
    with pytest.raises(muster.MusterError):
        muster.run(two, url, "s3://bucket/out/", workers=0)
    assert {*conditions} == {"*"}
    assert "out/_manifest.json" not in server.names()


def test_a_busy_server_is_asked_again_to_commit(server: Server) -> None:
    url, busy = server.put("in.csv", CSV), [True]

    def refuse(asked: "WSGIEnvironment") -> str:
        return "503 SlowDown" if is_commit(asked, "out/") and busy and busy.pop() else ""

    server.refuse = refuse
    assert muster.run(two, url, "s3://bucket/out/", workers=0).rows_out == ROWS
    assert not busy


def test_names_of_protocols_have_no_case(server: Server, tmp_path: Path) -> None:
    server.put("in/a.csv", CSV)
    for url in ("S3://bucket/in/a.csv", "S3://bucket/in/", "S3A://bucket/in/*.csv"):
        assert muster.run(two, url, tmp_path / "out.csv", workers=0).rows_out == ROWS
    assert muster.run(two, "S3://bucket/in/a.csv", "S3://bucket/out/", workers=0).rows_out == ROWS
    assert server.factor() == 2


def test_bad_rows_of_an_earlier_run_go_with_it(server: Server) -> None:
    url = server.put("in.csv", b"x\n1\n2,3\n")
    muster.run(two, url, "s3://bucket/o.csv", workers=0)
    assert "o.csv.rejects.jsonl" in server.names()
    server.put("in.csv", b"x\n1\n")
    muster.run(two, url, "s3://bucket/o.csv", workers=0)
    assert server.names() == {"in.csv", "o.csv"}


def test_of_two_homes_that_write_to_one_output_the_second_is_told_of_the_first(
    server: Server, tmp_path: Path, muster: Muster, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = server.put("in.csv", CSV)
    (tmp_path / "hold").touch()
    holding = ("run", "fn.py:held", url, "-o", "s3://bucket/out/", "--workers", "0")
    with started(tmp_path, *holding, start=begun) as first:
        until((tmp_path / "began").exists)
        monkeypatch.setenv("MUSTER_HOME", str(tmp_path / "other"))
        command = ("run", "fn.py:three", url, "-o", "s3a://bucket/out//", "--workers", "0")
        refused(muster(*command), f"process {first.pid} on", "since 2", os.environ["MUSTER_HOME"][:5])
        first.kill()
        first.wait()
    (tmp_path / "hold").unlink()
    ended = muster(*command)
    assert ended.code == 0, ended.err
    assert server.factor() == 3
    assert server.names("out.muster") == set()


@dataclass
class Reader:
    """Reads the output before each request that writes, and kills the writer at one of them."""

    server: Server
    dies_at: int = -1
    process: "subprocess.Popen[bytes] | None" = None
    requests: int = 0
    seen: set[int] = field(default_factory=set)

    def __call__(self) -> None:
        self.requests += 1
        self.seen.add(self.server.factor())
        if self.process is not None and self.requests >= self.dies_at:
            self.process.send_signal(signal.SIGKILL)


def test_a_reader_sees_one_output_whole_at_every_moment_of_runs_that_die_anywhere(
    server: Server, tmp_path: Path, muster: Muster
) -> None:
    url = server.put("in.csv", CSV)
    assert muster("run", "fn.py:two", url, "-o", "s3://bucket/out/", "--workers", "0").code == 0
    before = 2
    for function, factor in (("three", 3), ("two", 2), ("three", 3)):
        command = ("run", f"fn.py:{function}", url, "-o", "s3://bucket/out/", "--workers", "0")
        reader = Reader(server, dies_at=1 + secrets.randbelow(14))
        with subprocess.Popen([*MUSTER, *command], cwd=tmp_path, stderr=subprocess.DEVNULL) as reader.process:
            server.look = reader
        reader.process = None
        reader()
        ended = muster(*command)
        assert ended.code == 0, (reader.dies_at, ended.err)
        assert reader.seen <= {before, factor}, reader.dies_at
        server.look = lambda: None
        assert server.factor() == factor
        named = {part["name"] for part in json.loads(server.object("out/_manifest.json"))["parts"]}
        assert server.names("out") == {"out/_manifest.json", *(f"out/{name}" for name in named)}
        before = factor


DIES: Final = """
import os, pathlib, signal, sys, boto3
from muster._output.folder import WorkFolder
work = WorkFolder("s3://bucket/o.csv", home=pathlib.Path("home"))
work.take()
work.begin("run-1")
work.shelf.announce()
for key in ("o.csv", "o.csv.muster/" + work.shelf.staging.rpartition("/")[2] + "/1-1.rows"):
    boto3.client("s3").create_multipart_upload(Bucket="bucket", Key=key)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_uploads_in_parts_that_a_run_left_when_it_died_are_given_up_and_no_others(
    server: Server, tmp_path: Path
) -> None:
    url = server.put("in.csv", CSV)
    others = ["o.csv", "o.csv2", "o.csv.muster/mine", "else"]
    for key in others:
        server.client.create_multipart_upload(Bucket="bucket", Key=key)
    assert subprocess.run([sys.executable, "-c", DIES], cwd=tmp_path, check=False).returncode == -signal.SIGKILL
    assert len(server.uploads()) == 6
    muster.run(two, url, "s3://bucket/o.csv", workers=0)
    assert sorted(server.uploads()) == sorted(others)
    assert server.names() == {"in.csv", "o.csv"}


def test_what_is_left_beside_an_output_says_whose_it_is_and_no_secret(server: Server, tmp_path: Path) -> None:
    assert subprocess.run([sys.executable, "-c", DIES], cwd=tmp_path, check=False).returncode == -signal.SIGKILL
    left = {name: server.object(name).decode() for name in server.names()}
    (mark,) = (json.loads(text) for name, text in left.items() if name.endswith("/mark.json"))
    assert (mark["muster"], mark["run"], mark["home"]) == ("run", "run-1", str(tmp_path / "home"))
    assert {"host", "since", "pid"} < mark.keys()
    assert not any(secret in text for secret in ("nobody", "nothing") for text in left.values())


@pytest.mark.parametrize("output", ["out.csv", "out/", "out.parquet"])
def test_rows_of_a_retry_are_put_into_an_output_in_a_bucket(server: Server, tmp_path: Path, output: str) -> None:
    (tmp_path / "in.csv").write_bytes(CSV)
    (tmp_path / "whole").mkdir()
    function = "def f(df):\n    if not df['x'].isin(BAD).any(): return df.assign(y=df['x'] * 2)\n    raise ValueError\n"
    program = tmp_path / "f.py"
    program.write_text(f"BAD = [3, 4, 1999]\n{function}")
    with pytest.warns(muster.RejectedRowsWarning):
        muster.run(f"{program}:f", tmp_path / "in.csv", f"s3://bucket/{output}", workers=0)
    for bad in ([4], []):
        program.write_text(f"BAD = {bad}\n{function}")
        with warnings.catch_warnings(action="ignore", category=UserWarning):
            assert muster.retry(f"s3://bucket/{output}").bad_rows == len(bad)
            muster.run(f"{program}:f", tmp_path / "in.csv", f"{tmp_path}/whole/{output}", workers=0)
        if output == "out/":
            assert server.seen().equals(pd.read_csv(tmp_path / "whole/out/part-00000.csv"))
        else:
            assert server.object(output) == (tmp_path / "whole" / output).read_bytes()
        rejects = f"{output.rstrip('/')}.rejects.jsonl"
        found = server.object(rejects) if rejects in server.names() else b""
        path = tmp_path / "whole" / rejects
        assert found == (path.read_bytes() if path.exists() else b"")
    assert not [name for name in server.names() if ".muster" in name]


@pytest.mark.parametrize("output", ["out/", "out.parquet"])
def test_groups_of_a_retry_are_put_into_an_output_in_a_bucket(server: Server, tmp_path: Path, output: str) -> None:
    (tmp_path / "in.csv").write_bytes(CSV)
    bad = {1, 2}

    def first_of_each(df: pd.DataFrame, key: int) -> pd.DataFrame:
        if key in bad:
            raise ValueError("no such key")
        return df[:1]

    grouped = muster.read_csv(tmp_path / "in.csv").group_by(lambda df: df["x"] % 5).map_groups(first_of_each)
    name = f"s3://bucket/{output}"
    pipeline = grouped.write_parquet(name) if output == "out.parquet" else grouped.write_csv(name)

    def written() -> list[bytes]:
        return [server.object(name) for name in server.names() if "manifest" not in name]  # which has names by chance

    with pytest.warns(muster.RejectedRowsWarning):
        pipeline.run(workers=0, max_bad_rows="50%")
    bad.remove(1)
    with pytest.warns(muster.RejectedRowsWarning):
        muster.retry(name, pipeline)
    bad.clear()
    muster.retry(name, pipeline)
    mended = written()
    pipeline.run(workers=0, fresh=True)
    assert mended == written()
    assert not [name for name in server.names() if ".muster" in name]


def test_an_object_that_was_replaced_is_not_what_a_retry_mends(server: Server, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_bytes(CSV)
    (tmp_path / "f.py").write_text("def f(df):\n    if 3 in set(df['x']): raise ValueError\n    return df\n")
    with pytest.warns(muster.RejectedRowsWarning):
        muster.run(f"{tmp_path}/f.py:f", tmp_path / "in.csv", "s3://bucket/out.csv", workers=0)
    server.put("out.csv", b"mine")
    with pytest.raises(muster.UsageError, match="is not what run"):
        muster.retry("s3://bucket/out.csv")
    assert server.object("out.csv") == b"mine"
