"""Files behind URLs: moto's S3 server on this computer, and what else fsspec knows."""

import contextlib
import gzip
import json
import logging
import re
import socket
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from werkzeug.serving import make_server

import muster
from conftest import Ended, Muster
from machines import living
from muster._clouds.base import Access
from muster._files.home import home
from muster._job import Job, Options, Snapshot
from muster._run.runner import run
from muster._user_code.targets import of_function, parse_target
from web import moto_application

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

ROWS: Final = 20_000
CSV: Final = b"a,b\n" + b"".join(b"%d,row %d\n" % (at, at) for at in range(ROWS))

ONCE: Final = """
import os, pathlib, signal
MARK = pathlib.Path(__file__).with_name("killed")
def once(df):
    if df.index[-1] > 12_000 and not MARK.exists():
        MARK.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return df
"""


@dataclass
class Bucket:
    """A bucket on a server that notes what it is asked for."""

    port: int
    asked: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def settings(self) -> dict[str, str]:
        """What those need in their environment who use it."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": "nobody",
            "AWS_SECRET_ACCESS_KEY": "nothing",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    @property
    def files(self) -> Any:  # noqa: ANN401 (fsspec has no types)
        files = fsspec.filesystem("s3")
        files.invalidate_cache()
        return files

    def put(self, name: str, data: bytes) -> str:
        self.files.pipe_file(f"bucket/{name}", data)
        return f"s3://bucket/{name}"

    def get(self, name: str) -> bytes:
        return bytes(self.files.cat_file(f"bucket/{name}"))

    def ranges(self, name: str) -> list[tuple[int, int]]:
        """List the byte ranges of an object that were asked for; the stop is exclusive."""
        found = [
            re.fullmatch(r"bytes=(\d+)-(\d+)", said)
            for how, path, said in self.asked
            if path.endswith(name) and how == "GET"
        ]
        return [(int(match[1]), int(match[2]) + 1) for match in found if match]


@pytest.fixture(scope="session")
def server() -> Iterator[Bucket]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    application, bucket = moto_application(), Bucket(0)

    def noting(environment: "WSGIEnvironment", start: "StartResponse") -> Iterable[bytes]:
        path, said = environment["PATH_INFO"], environment.get("HTTP_RANGE", "")
        bucket.asked.append((environment["REQUEST_METHOD"], path, said))
        answer: Iterable[bytes] = application(environment, start)
        return answer

    serving = make_server("127.0.0.1", 0, noting, threaded=True)
    bucket.port = serving.server_port
    thread = threading.Thread(target=serving.serve_forever)
    thread.start()
    yield bucket
    serving.shutdown()
    thread.join()
    serving.server_close()


@pytest.fixture(scope="module")
def access(server: Bucket, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Access]:
    """A cluster of one machine with two workers, which know the server."""
    with contextlib.ExitStack() as stack:
        with pytest.MonkeyPatch.context() as environment:
            for name, value in server.settings.items():
                environment.setenv(name, value)
            cloud = stack.enter_context(living(tmp_path_factory.mktemp("cluster"), workers=2))
        yield stack.enter_context(cloud.access())


@pytest.fixture
def bucket(server: Bucket, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    for name, value in server.settings.items():
        monkeypatch.setenv(name, value)
    fsspec.get_filesystem_class("s3").clear_instance_cache()  # one that knows the server of other tests
    server.files.mkdir("bucket")
    server.asked.clear()
    yield server
    server.files.rm("bucket", recursive=True)


@pytest.fixture(autouse=True)
def target(tmp_path: Path) -> None:
    (tmp_path / "same.py").write_text("def same(df):\n    return df\n")
    (tmp_path / "once.py").write_text(ONCE)


def same(frame: pd.DataFrame) -> pd.DataFrame:
    return frame


def refused(ended: Ended, *words: str, code: int = 2) -> None:
    assert ended.code == code, ended.err
    assert "Traceback" not in ended.err
    for word in words:
        assert word in ended.err


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "parquet", "jsonl"])
def test_rows_travel_from_a_bucket_to_a_bucket(bucket: Bucket, tmp_path: Path, suffix: str, workers: int) -> None:
    local, frame = tmp_path / f"in.{suffix}", pd.DataFrame({"a": range(3000), "b": [f"row {at}" for at in range(3000)]})
    if suffix == "parquet":
        frame.to_parquet(local, row_group_size=700)
    elif suffix == "jsonl":
        frame.to_json(local, orient="records", lines=True)
    else:
        frame.to_csv(local, index=False)
    url = bucket.put(f"in/rows.{suffix}", local.read_bytes())
    result = muster.run(same, url, f"s3://bucket/out/rows.{suffix}", workers=workers)
    muster.run(same, local, tmp_path / f"out.{suffix}", workers=0)
    assert (result.rows_out, result.output) == (3000, f"s3://bucket/out/rows.{suffix}")
    assert bucket.get(f"out/rows.{suffix}") == (tmp_path / f"out.{suffix}").read_bytes()


def test_workers_read_their_own_byte_ranges(bucket: Bucket, tmp_path: Path) -> None:
    url = bucket.put("big.csv", CSV)
    bucket.asked.clear()
    result = muster.run(same, url, tmp_path / "out.csv", workers=2)
    asked = bucket.ranges("big.csv")
    assert (tmp_path / "out.csv").read_bytes() == CSV
    assert len([path for how, path, said in bucket.asked if how == "GET" and path.endswith("big.csv")]) == len(asked)
    covered = 0
    for start, stop in sorted(asked):
        assert start <= covered
        covered = max(covered, stop)
    assert covered == len(CSV)
    assert result.parts > 4
    assert len([stop - start for start, stop in asked if stop - start < len(CSV) / 2]) > 4


def test_workers_read_the_row_groups_that_they_need(bucket: Bucket, tmp_path: Path) -> None:
    numbers = np.random.default_rng(1).integers(0, 1 << 60, 160_000)
    pq.write_table(pa.table({"a": numbers}), tmp_path / "in.parquet", row_group_size=20_000)
    data = (tmp_path / "in.parquet").read_bytes()
    url = bucket.put("in.parquet", data)
    bucket.asked.clear()
    muster.run(same, url, tmp_path / "out.parquet", workers=2)
    sizes = [stop - start for start, stop in bucket.ranges("in.parquet")]
    assert max(sizes) < len(data) / 6
    assert sum(sizes) < 2.5 * len(data)
    assert pq.read_table(tmp_path / "out.parquet")["a"].to_numpy().tolist() == numbers.tolist()


def test_globs_and_folders_of_a_bucket_are_read_in_name_order(bucket: Bucket, tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv", "_skip.csv", ".skip.csv", "deep/c.csv"):
        bucket.put(f"in/{name}", f"name\n{name}\n".encode())
    expected = {
        "s3://bucket/in/?.csv": ["a.csv", "b.csv"],
        "s3://bucket/in/**/c.csv": ["deep/c.csv"],
        "s3://bucket/in/": ["a.csv", "b.csv", "deep/c.csv"],
        "s3://bucket/in": ["a.csv", "b.csv", "deep/c.csv"],
    }
    for url, names in expected.items():
        muster.run(same, url, tmp_path / "out.csv", workers=0)
        assert (tmp_path / "out.csv").read_text().splitlines() == ["name", *names]


def test_folders_of_a_bucket_may_name_a_column(bucket: Bucket, tmp_path: Path) -> None:
    for code in ("01001", "02"):
        bucket.put(f"in/code={code}/_SUCCESS", b"")
        bucket.put(f"in/code={code}/a.csv", b"a\n1\n")
    for url in ("s3://bucket/in/", "s3://bucket/in/code=*/a.csv"):
        muster.run(same, url, tmp_path / "out.csv", workers=0)
        assert (tmp_path / "out.csv").read_text() == "a,code\n1,01001\n1,02\n"


def test_other_columns_in_a_bucket_are_named_with_their_url(bucket: Bucket, tmp_path: Path, muster: Muster) -> None:
    bucket.put("in/a.csv", b"x,y\n1,2\n")
    bucket.put("in/b.csv", b"w,z\n1,2\n")
    ended = muster("run", tmp_path / "same.py:same", "s3://bucket/in/", "-o", "out.csv", "--workers", "0")
    refused(ended, "s3://bucket/in/b.csv", "['w', 'z']", code=1)


def test_a_folder_in_a_bucket_has_parts_and_a_manifest(bucket: Bucket, tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": range(1_200_000)}), tmp_path / "in.parquet")
    muster.run(same, tmp_path / "in.parquet", "s3://bucket/out/", workers=0)
    parts = json.loads(bucket.get("out/_manifest.json"))["parts"]
    names = {name.rpartition("/")[2] for name in bucket.files.find("bucket/out")}
    assert names == {"_manifest.json", *(part["name"] for part in parts)}
    assert sum(part["rows"] for part in parts) == 1_200_000
    assert all(len(bucket.get(f"out/{part['name']}")) == part["bytes"] for part in parts)
    assert len(parts) > 1
    uploads = [path for how, path, _ in bucket.asked if how in {"PUT", "POST"} and "/out/" in path]
    assert uploads[-1].endswith("_manifest.json")


def test_a_second_run_replaces_the_folder_in_a_bucket(bucket: Bucket, tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": range(10)}), tmp_path / "in.parquet")
    muster.run(same, tmp_path / "in.parquet", "s3://bucket/out/", workers=0)
    (tmp_path / "in.csv").write_text("a\n1\n")
    muster.run(same, tmp_path / "in.csv", "s3://bucket/out/", workers=0)
    names = {name.rpartition("/")[2] for name in bucket.files.find("bucket/out")}
    assert names == {"_manifest.json", "part-00000.csv"}


def test_an_output_in_no_bucket_is_refused_before_the_work(bucket: Bucket, tmp_path: Path, muster: Muster) -> None:
    (tmp_path / "marking.py").write_text("def mark(df):\n    open('called', 'w').close()\n    return df\n")
    url = bucket.put("in.csv", b"a\n1\n")
    ended = muster("run", "marking.py:mark", url, "-o", "s3://nowhere/out.csv", "--workers", "0")
    refused(ended, "s3://nowhere/out.csv")
    assert not (tmp_path / "called").exists()


def test_a_server_that_is_gone_when_the_output_is_ready_is_said_so(
    bucket: Bucket, tmp_path: Path, muster: Muster
) -> None:
    (tmp_path / "cut.py").write_text(
        "import os\n"
        "import s3fs\n"
        "def cut(df):\n"
        "    os.environ['AWS_ENDPOINT_URL'] = 'http://127.0.0.1:9'\n"
        "    os.environ['AWS_MAX_ATTEMPTS'] = '1'\n"
        "    s3fs.S3FileSystem.clear_instance_cache()\n"
        "    return df\n"
    )
    (tmp_path / "in.csv").write_text("a\n1\n")
    assert bucket.port != 9
    ended = muster("run", "cut.py:cut", "in.csv", "-o", "s3://bucket/out.csv", "--workers", "0")
    refused(ended, "s3://bucket/out.csv", code=3)


def test_rejects_go_beside_the_output(bucket: Bucket) -> None:
    url = bucket.put("in.csv", b"a,b\n1,2\n3\n")
    result = muster.run(same, url, "s3://bucket/out.csv", workers=0)
    assert result.rejects == "s3://bucket/out.csv.rejects.jsonl"
    reject = json.loads(bucket.get("out.csv.rejects.jsonl"))
    assert (reject["file"], reject["row"], reject["raw"]) == (url, 1, "3")


@pytest.mark.parametrize("name", ["in.csv", "in.csv.gz"])
def test_a_killed_run_between_buckets_goes_on_where_it_stopped(
    bucket: Bucket, tmp_path: Path, muster: Muster, home: Path, name: str
) -> None:
    url = bucket.put(name, gzip.compress(CSV) if name.endswith("gz") else CSV)
    what = ("run", tmp_path / "once.py:once", url, "-o", "s3://bucket/out.csv")
    command = (*what, "--workers", "0", "--batch-rows", "1000", "--json")
    assert muster(*command).code == -9
    assert not bucket.files.exists("bucket/out.csv")
    ended = muster(*command)
    assert ended.code == 0, ended.err
    assert ended.json["resumed_parts"] > 0
    assert bucket.get("out.csv") == CSV
    assert list((home / "work").iterdir()) == []


def test_an_object_that_changed_between_attempts_is_refused(bucket: Bucket, tmp_path: Path, muster: Muster) -> None:
    url = bucket.put("in.csv", CSV)
    command = (
        "run",
        tmp_path / "once.py:once",
        url,
        "-o",
        "s3://bucket/out.csv",
        "--workers",
        "0",
        "--batch-rows",
        "999",
    )
    assert muster(*command).code == -9
    changed = CSV.replace(b"row 7\n", b"ROW 7\n")
    bucket.put("in.csv", changed)
    refused(muster(*command), url, "--fresh")
    assert not bucket.files.exists("bucket/out.csv")
    assert muster(*command, "--fresh").code == 0
    assert bucket.get("out.csv") == changed


@pytest.mark.parametrize(
    "url", ["s3://nowhere/in.csv", "s3://bucket/missing.csv", "s3://bucket/none/*.csv", "s3://bucket/folder/"]
)
def test_what_is_not_in_the_bucket_is_a_wrong_command(bucket: Bucket, tmp_path: Path, muster: Muster, url: str) -> None:
    bucket.put("in.csv", b"a\n1\n")
    ended = muster("run", tmp_path / "same.py:same", "s3://bucket/in.csv", url, "-o", "out.csv", "--workers", "0")
    refused(ended, url, "No input")


def test_a_server_that_does_not_answer_is_said_so(
    bucket: Bucket, tmp_path: Path, muster: Muster, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    assert bucket.port != port
    ended = muster("run", tmp_path / "same.py:same", "s3://bucket/in.csv", "-o", "out.csv", "--workers", "0")
    refused(ended, "s3://bucket/in.csv", str(port), code=3)


@pytest.mark.parametrize("url", ["nonsense://bucket/in.csv", "s4://bucket/in.csv"])
def test_a_protocol_that_nobody_knows_is_a_wrong_command(tmp_path: Path, muster: Muster, url: str) -> None:
    refused(muster("run", tmp_path / "same.py:same", url, "-o", "out.csv"), url)


def test_an_object_that_was_written_again_is_read_anew_by_the_next_run(bucket: Bucket, tmp_path: Path) -> None:
    for content in (b"a\none\n", b"a\n2ND\n", b"a\nthree\nand more\n"):
        bucket.put("in/a.csv", content)
        muster.run(same, "s3://bucket/in/", tmp_path / "out.csv", workers=0)
        assert (tmp_path / "out.csv").read_bytes() == content
    bucket.put("in/b.csv", b"a\nnew\n")
    muster.run(same, "s3://bucket/in/*.csv", tmp_path / "out.csv", workers=0)
    assert (tmp_path / "out.csv").read_bytes() == b"a\nthree\nand more\nnew\n"


def test_parquet_that_was_written_again_is_read_anew_by_the_next_run(bucket: Bucket, tmp_path: Path) -> None:
    for content in (["one", "two"], ["2ND", "RUN"]):
        pq.write_table(pa.table({"a": content}), tmp_path / "in.parquet")
        url = bucket.put("in.parquet", (tmp_path / "in.parquet").read_bytes())
        muster.run(same, url, tmp_path / "out.csv", workers=0)
        assert (tmp_path / "out.csv").read_text().splitlines() == ["a", *content]


# What else fsspec knows


def test_file_urls_name_files_of_this_computer(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_bytes(CSV)
    muster.run(same, f"file://{tmp_path}/in.csv", f"file://{tmp_path}/out.csv", workers=2)
    assert (tmp_path / "out.csv").read_bytes() == CSV


def test_memory_urls_work_in_the_process_that_has_the_memory() -> None:
    files = fsspec.filesystem("memory")
    files.pipe_file("/in/a.csv", b"a\n1\n")
    files.pipe_file("/in/b.csv", b"a\n2\n")
    muster.run(same, "memory://in/*.csv", "memory://out.csv", workers=0)
    assert files.cat_file("/out.csv") == b"a\n1\n2\n"


def test_urls_and_paths_may_be_mixed(bucket: Bucket, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("a\nlocal\n")
    url = bucket.put("in.csv", b"a\nremote\n")
    muster.run(same, [tmp_path / "in.csv", url], tmp_path / "out.csv", workers=0)
    assert (tmp_path / "out.csv").read_text() == "a\nlocal\nremote\n"


@pytest.mark.parametrize(("suffix", "shares_files"), [("csv", False), ("parquet", True)])
def test_workers_of_a_cluster_write_a_folder_in_a_bucket_themselves(
    bucket: Bucket, access: Access, tmp_path: Path, suffix: str, *, shares_files: bool
) -> None:
    url = bucket.put("in/rows.csv", CSV)
    options = Options(part_bytes=20_000, output_format=suffix)
    job = Job((parse_target(f"{tmp_path}/same.py:same"),), (url,), "s3://bucket/out/", options)
    came_home: list[Path] = []

    def watch(_: Snapshot) -> None:
        came_home.extend((home() / "work").glob("*/parts/*"))

    result = run(job, watch=watch, access=replace(access, shares_files=shares_files))
    assert result.rows_out == ROWS
    assert came_home == []
    written = [path for how, path, _ in bucket.asked if how == "PUT"]
    assert [path for path in written if path.startswith("/bucket/out.muster/")]
    assert not bucket.files.exists("bucket/out.muster")
    manifest = json.loads(bucket.get("out/_manifest.json"))
    names = [part["name"] for part in manifest["parts"]]
    there = {path.rpartition("/")[2] for path in bucket.files.ls("bucket/out")}
    assert there == {*names, "_manifest.json"}
    read = pd.read_csv if suffix == "csv" else pd.read_parquet
    found = pd.concat([read(f"s3://bucket/out/{name}") for name in names], ignore_index=True)
    pd.testing.assert_frame_equal(found, pd.read_csv(url))
    assert [len(bucket.get(f"out/{part['name']}")) for part in manifest["parts"]] == [
        part["bytes"] for part in manifest["parts"]
    ]


def test_a_run_into_a_bucket_that_was_stopped_on_a_cluster_goes_on_there(bucket: Bucket, access: Access) -> None:
    url = bucket.put("in/rows.csv", CSV)
    job = Job((of_function(same),), (url,), "s3://bucket/out/", Options(part_bytes=15_000))

    def stop(snapshot: Snapshot) -> None:
        if snapshot.rows_done > ROWS // 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(job, watch=stop, access=access)
    (mark,) = bucket.files.glob("bucket/out.muster/*/mark.json")
    (folder,) = {name.rpartition("/")[0] for name in bucket.files.find("bucket/out.muster")}
    assert folder == mark.rpartition("/")[0]
    assert json.loads(bucket.get(mark.removeprefix("bucket/")))["home"] == str(home())
    damaged = min(bucket.files.glob(f"{folder}/*.rows"))
    bucket.files.pipe_file(damaged, bucket.files.cat_file(damaged).replace(b"row", b"ROW"))
    bucket.put("out.muster/mine.csv", b"mine")
    result = run(job, watch=lambda _: None, access=access)
    assert (result.rows_out, result.resumed_parts > 0) == (ROWS, True)
    assert bucket.files.find("bucket/out.muster") == ["bucket/out.muster/mine.csv"]
    assert bucket.get("out/part-00000.csv") == CSV
