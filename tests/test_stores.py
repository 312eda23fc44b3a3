"""What stores have: names of any kind, versions, many small files, options and credentials."""

import datetime as dt
import io
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import fsspec
import pandas as pd
import pytest
from werkzeug.serving import make_server

import muster
import web
from conftest import MUSTER, Muster, begun, started
from machines import living
from muster import UsageError
from muster._job import Job, Options
from muster._run.runner import run
from muster._urls.urls import stamp_of
from muster._user_code.targets import of_function
from waiting import until

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

NAMES: Final = (
    *("report[1].csv", "a*b.csv", "a?b.csv", "a%20b.csv", "a b.csv", "a#b.csv", "ü.csv", 'it\'s "q".csv'),
    *("[!x].csv", "a::b.csv", "{x}.csv", "a+b&c=d.csv", "q?x=1&y=2.csv"),
)


def same(frame: pd.DataFrame) -> pd.DataFrame:
    return frame


@dataclass
class Shop:
    """A moto server of S3, which lets in whoever has the right key, and notes what it is asked."""

    port: int = 0
    key: str = "nobody"
    asked: list[tuple[str, str]] = field(default_factory=list)
    sent: list[dict[str, str]] = field(default_factory=list)

    def settings(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": "nothing",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def put(self, name: str, data: bytes) -> str:
        fsspec.filesystem("s3").pipe_file(f"shop/{name}", data)
        return f"s3://shop/{name}"


@pytest.fixture(scope="module")
def server() -> Iterator[Shop]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    application, shop = web.moto_application(), Shop()

    def answer(environment: "WSGIEnvironment", start: "StartResponse") -> Iterable[bytes]:
        shop.asked.append((environment["REQUEST_METHOD"], environment["PATH_INFO"]))
        shop.sent.append({name: value for name, value in environment.items() if name.startswith("HTTP_")})
        signed = environment.get("HTTP_AUTHORIZATION", "")
        if signed and f"Credential={shop.key}/" not in signed:
            start("403 Forbidden", [("Content-Type", "text/plain"), ("Content-Length", "0")])
            return [b""]
        found: Iterable[bytes] = application(environment, start)
        return found

    serving = make_server("127.0.0.1", 0, answer, threaded=True)
    shop.port = serving.server_port
    thread = threading.Thread(target=serving.serve_forever)
    thread.start()
    yield shop
    serving.shutdown()
    thread.join()
    serving.server_close()


@pytest.fixture
def shop(server: Shop, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    server.key = "nobody"
    for name, value in server.settings().items():
        monkeypatch.setenv(name, value)
    fsspec.get_filesystem_class("s3").clear_instance_cache()  # one that has logged in with another test's key
    files = fsspec.filesystem("s3")
    files.mkdir("shop")
    server.asked.clear()
    server.sent.clear()
    yield server
    server.key = "nobody"
    files.invalidate_cache()
    files.rm("shop", recursive=True)


@pytest.fixture(params=["here", "file", "s3", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A folder, of this computer or of a store, that ends in a slash."""
    match request.param:
        case "s3":
            request.getfixturevalue("shop")
            yield "s3://shop/in/"
        case "memory":
            yield "memory://in/"
            fsspec.filesystem("memory").store.clear()
        case kind:
            (tmp_path / "in").mkdir()
            yield f"{'file://' * (kind == 'file')}{tmp_path}/in/"


def put(url: str, data: bytes) -> None:
    if "://" not in url or url.startswith("file://"):
        path = Path(url.removeprefix("file://"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    else:
        protocol, _, path_in_store = url.partition("://")
        fsspec.filesystem(protocol).pipe_file(path_in_store, data)


def read(tmp_path: Path, *inputs: str) -> list[str]:
    """Name the files that a run over inputs has read, each of which holds its name."""
    muster.run(same, list(inputs), tmp_path / "out.jsonl", workers=0, dtype="str")
    return pd.read_json(tmp_path / "out.jsonl", lines=True, dtype=False)["name"].tolist()


def named(name: str) -> bytes:
    return pd.DataFrame({"name": [name]}).to_csv(index=False).encode()


def test_names_are_literal_wherever_files_lie(place: str, tmp_path: Path) -> None:
    names = [name for name in NAMES if "::" not in name or not place.startswith("memory")]  # where fsspec loses it
    for name in names:
        put(place + name, named(name))
    assert read(tmp_path, place) == sorted(names)
    assert read(tmp_path, f"{place}*.csv") == sorted(names)
    assert read(tmp_path, *(place + name for name in names)) == names


def test_a_pattern_is_one_where_nothing_has_the_name(place: str, tmp_path: Path) -> None:
    for name in ("a1.csv", "a2.csv", "b1.csv", ".a3.csv", "deep/a4.csv"):
        put(place + name, named(name))
    assert read(tmp_path, f"{place}a[12].csv") == ["a1.csv", "a2.csv"]
    assert read(tmp_path, f"{place}*.csv") == ["a1.csv", "a2.csv", "b1.csv"]
    assert read(tmp_path, f"{place}**/a4.csv") == ["deep/a4.csv"]
    put(f"{place}a[12].csv", named("itself"))
    assert read(tmp_path, f"{place}a[12].csv") == ["itself"]


def test_folders_have_the_names_that_files_may_have(place: str, tmp_path: Path) -> None:
    for name in ("x[1]/a.csv", "x1/b.csv", "x?/c.csv", "x %20#/d.csv"):
        put(place + name, named(name))
    assert read(tmp_path, f"{place}x[1]/") == ["x[1]/a.csv"]
    assert read(tmp_path, f"{place}x?") == ["x?/c.csv"]
    assert read(tmp_path, f"{place}x %20#") == ["x %20#/d.csv"]


def test_what_is_hidden_or_stands_for_a_folder_is_no_input(place: str, tmp_path: Path) -> None:
    for name in ("a.csv", "_SUCCESS", ".a.csv.crc", "a.csv.crc", ".hidden/b.csv", "_temporary/c.csv", "day=1/d.csv"):
        put(place + name, named(name))
    if place.startswith("s3"):
        for name in ("", "empty/", "day=1/"):
            put(place + name, b"")
    assert read(tmp_path, place) == ["a.csv", "day=1/d.csv"]
    assert read(tmp_path, place.rstrip("/")) == ["a.csv", "day=1/d.csv"]


def test_an_escaped_file_url_names_the_file_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "a b.csv").write_bytes(named("escaped"))
    assert read(tmp_path, (tmp_path / "a b.csv").as_uri()) == ["escaped"]
    (tmp_path / "a%20b.csv").write_bytes(named("literal"))
    assert read(tmp_path, (tmp_path / "a b.csv").as_uri()) == ["literal"]


def test_a_key_and_a_folder_of_one_name_are_told_apart_by_the_slash(shop: Shop, tmp_path: Path) -> None:
    shop.put("in.csv", named("key"))
    shop.put("in.csv/a.csv", named("folder"))
    assert read(tmp_path, "s3://shop/in.csv") == ["key"]
    assert read(tmp_path, "s3://shop/in.csv/") == ["folder"]


# Versions


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"ETag": '"1"'}, {"ETag": '"2"'}),  # S3, Azure ("etag"), HTTP
        ({"etag": "a", "generation": "1"}, {"etag": "b", "generation": "2"}),  # Google
        ({"generation": "1"}, {"generation": "2"}),
        ({"content_settings": {}, "content_md5": "x"}, {"content_settings": {}, "content_md5": "y"}),
        ({"Last-Modified": "Sun, 09 Sep 2001 01:46:40 GMT"}, {"Last-Modified": "Sun, 09 Sep 2001 01:46:41 GMT"}),
        ({"LastModified": dt.datetime(2001, 1, 1, tzinfo=dt.UTC)}, {"LastModified": "later"}),
        ({"last_modified": "1"}, {"last_modified": "2"}),
        ({"modify": "20010909014640"}, {"modify": "20010909014641"}),  # FTP
        ({"mtime": 1.0}, {"mtime": 2.0}),  # SFTP, HDFS, files
        ({"created": dt.datetime(2001, 1, 1, tzinfo=dt.UTC)}, {"created": "later"}),  # memory
        ({"modificationTime": 1}, {"modificationTime": 2}),  # WebHDFS
        ({"last_write_time": 1}, {"last_write_time": 2}),  # SMB
        ({"sha": "a"}, {"sha": "b"}),  # GitHub
        ({"blob_id": "a"}, {"blob_id": "b"}),  # Hugging Face
    ],
)
def test_whatever_a_store_tells_of_a_version_counts(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert stamp_of({"name": "x", "size": 1, **before}) != stamp_of({"name": "x", "size": 1, **after})
    assert stamp_of({"name": "x", "size": 1, "type": "file", "VersionId": None, "islink": False}) == ""


@pytest.mark.parametrize("is_gone", [True, False])
@pytest.mark.parametrize("which", ["in/", "in/*.csv", "in/b.csv"])
def test_an_object_that_changes_in_the_middle_of_a_run_is_noticed(
    shop: Shop, tmp_path: Path, which: str, *, is_gone: bool
) -> None:
    (tmp_path / "f.py").write_text(
        "import pathlib, time\n"
        "def wait(df):\n"
        "    pathlib.Path('begun').touch()\n"
        "    while not pathlib.Path('changed').exists(): time.sleep(0.02)\n"
        "    return df\n"
    )
    for name in ("in/a.csv", "in/b.csv"):
        shop.put(name, named(name))
    command = ("run", "f.py:wait", f"s3://shop/{which}", "-o", "out.csv", "--workers", "1")
    with started(tmp_path, *command, start=begun) as muster_run:
        until((tmp_path / "begun").exists)
        if is_gone:
            fsspec.filesystem("s3").rm_file("shop/in/b.csv")
        else:
            shop.put("in/b.csv", named("IN/b.csv"))
        shop.put("in/c.csv", named("new, and nobody's business"))
        (tmp_path / "changed").touch()
        _, said = muster_run.communicate(timeout=100)
    assert muster_run.returncode == 1
    assert "'s3://shop/in/b.csv' has changed" in said
    assert not (tmp_path / "out.csv").exists()


def test_a_version_that_is_named_is_read(shop: Shop, tmp_path: Path) -> None:
    files = fsspec.filesystem("s3", version_aware=True)
    files.call_s3("put_bucket_versioning", Bucket="shop", VersioningConfiguration={"Status": "Enabled"})
    versions = []
    for text in ("first", "second"):
        shop.put("in.csv", named(text))
        files.invalidate_cache()
        versions.append(files.info("shop/in.csv")["VersionId"])
    assert read(tmp_path, f"s3://shop/in.csv?versionId={versions[0]}") == ["first"]
    assert read(tmp_path, f"s3://shop/in.csv?versionId={versions[1]}", "s3://shop/in.csv") == ["second", "second"]


# Many small files

SMALL: Final = 40
"""So many of them that one request more for each would show."""


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "jsonl", "parquet"])
def test_a_small_object_costs_one_request(shop: Shop, tmp_path: Path, suffix: str) -> None:
    for at in range(SMALL):
        frame, data = pd.DataFrame({"a": [at]}), io.BytesIO()
        if suffix == "parquet":
            frame.to_parquet(data)
        elif suffix == "jsonl":
            frame.to_json(data, orient="records", lines=True)
        else:
            frame.to_csv(data, index=False, compression="gzip" if suffix.endswith("gz") else None)
        shop.put(f"in/{at:03d}.{suffix}", data.getvalue())
    shop.asked.clear()
    muster.run(same, "s3://shop/in/", tmp_path / "out.csv", workers=2)
    assert pd.read_csv(tmp_path / "out.csv")["a"].tolist() == list(range(SMALL))
    assert len(shop.asked) < SMALL + 10
    assert len([path for how, path in shop.asked if how == "GET" and path.endswith(suffix)]) == SMALL


@pytest.mark.parametrize("rows", [3, 200_000])
def test_the_file_of_a_stores_credentials_is_none_that_the_function_has_read(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path, rows: int
) -> None:
    (tmp_path / "f.py").write_text("def same(df):\n    return df\n")
    (tmp_path / "keys4711").write_text("[default]\naws_access_key_id = nobody\naws_secret_access_key = nothing\n")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    shop.put("a.csv", b"a\n" + b"1\n" * rows)  # it is copied, or read in ranges
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "keys4711"))
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    command = [*MUSTER, "run", "f.py:same", "s3://shop/a.csv", "-o", "out.csv", "--workers", "2"]
    subprocess.run(command, cwd=tmp_path, env=dict(os.environ), check=True)
    kept = [path.read_text() for path in home.rglob("*") if path.is_file()]
    assert any("f.py" in text for text in kept)
    assert not any("keys4711" in text for text in kept)


def test_a_run_of_many_small_objects_that_was_killed_goes_on(shop: Shop, tmp_path: Path, muster: Muster) -> None:
    (tmp_path / "f.py").write_text(
        "import os, pathlib\n"
        "def once(df):\n"
        "    if df['a'][0] == 30 and not pathlib.Path('killed').exists():\n"
        "        pathlib.Path('killed').touch(); os._exit(9)\n"
        "    return df\n"
    )
    for at in range(40):
        shop.put(f"in/{at:02d}.csv", b"a\n%d\n" % at)
    command = ("run", "f.py:once", "s3://shop/in/", "-o", "out.csv", "--workers", "0", "--json")
    assert muster(*command).code == 9
    ended = muster(*command)
    assert ended.code == 0, ended.err
    assert 15 <= ended.json["resumed_parts"] <= 30  # the files of the task that was killed are done again
    assert pd.read_csv(tmp_path / "out.csv")["a"].tolist() == list(range(40))
    assert not (tmp_path / "out.csv.muster").exists()


# How stores are opened


def test_anonymous_reading_and_requester_pays_are_options(shop: Shop, tmp_path: Path, muster: Muster) -> None:
    (tmp_path / "f.py").write_text("def same(df):\n    return df\n")
    url = shop.put("in.csv", b"a\n1\n")
    fsspec.filesystem("s3").call_s3("put_object_acl", Bucket="shop", Key="in.csv", ACL="public-read")
    command = ("run", "f.py:same", url, "-o", "out.csv", "--workers", "0", "--json")
    for options, header, expected in (
        (("--storage-option", "s3.requester_pays=true"), "HTTP_X_AMZ_REQUEST_PAYER", "requester"),
        (("--storage-option", "anon=true"), "HTTP_AUTHORIZATION", None),
        (("--storage-option", "gs.anon=true"), "HTTP_X_AMZ_REQUEST_PAYER", None),
    ):
        shop.sent.clear()
        ended = muster(*command, *options)
        assert ended.code == 0, ended.err
        assert {one.get(header) for one in shop.sent} == {expected}
    shop.sent.clear()
    program = "import muster, sys; muster.run(lambda df: df, sys.argv[1], 'o.csv', storage_options={'anon': True})"
    subprocess.run([sys.executable, "-c", program, url], cwd=tmp_path, env=dict(os.environ), check=True)
    assert {one.get("HTTP_AUTHORIZATION") for one in shop.sent} == {None}


def test_secret_options_are_written_nowhere(shop: Shop, tmp_path: Path, home: Path, muster: Muster) -> None:
    (tmp_path / "f.py").write_text("def same(df):\n    return df\n")
    url = shop.put("in.csv", b"a\n1\n")
    for key in ("nobody", "SECRET4711"):
        options = [f"--storage-option={name}={value}" for name, value in (("key", key), ("secret", "SECRET4712"))]
        ended = muster("run", "f.py:same", url, "-o", "out.csv", "--workers", "2", "--json", *options)
        assert ended.code == (0 if key == "nobody" else 2), ended.err
        assert "SECRET47" not in ended.out + ended.err
    for path in (*home.rglob("*"), *tmp_path.rglob("*")):
        assert not path.is_file() or b"SECRET47" not in path.read_bytes()


@pytest.mark.waits
def test_new_credentials_reach_a_cluster_that_is_up_and_nobody_sees_them_there(
    shop: Shop, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = b"a\n" + b"".join(b"%d\n" % at for at in range(100_000))  # too large to be copied here
    folder = tmp_path_factory.mktemp("cluster")
    with living(folder, workers=1) as cloud:
        for key in ("nobody", "renewed"):
            shop.key = key
            monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
            fsspec.filesystem("s3", skip_instance_cache=True).pipe_file("shop/in.csv", data)
            with cloud.access() as access:
                job = Job((of_function(same),), ("s3://shop/in.csv",), str(tmp_path / "out.csv"), Options(fresh=True))
                assert run(job, watch=lambda _: None, access=access).rows_out == 100_000
        with web.serving() as site, cloud.access() as access:
            site.login = "anna:PASSWD77"
            site.put("in.csv", data + b"no\n", ETag='"1"')
            url = site.url("in.csv", login=site.login) + "?X-Amz-Signature=SIGNED123"
            job = Job((of_function(same),), (url,), str(tmp_path / "out.csv"), Options(dtype={"a": "int64"}))
            assert run(job, watch=lambda _: None, access=access).bad_rows == 1
        files = [path for place in (folder, tmp_path, home) for path in place.rglob("*") if path.is_file()]
        assert not [path for path in files if b"PASSWD77" in path.read_bytes() or b"SIGNED123" in path.read_bytes()]


@pytest.mark.parametrize(
    ("url", "package"),
    [
        ("gs://b/in.csv", "gcsfs"),
        ("gcs://b/in.csv", "gcsfs"),
        ("az://c/in.csv", "adlfs"),
        ("abfs://c@account.dfs.core.windows.net/in.csv", "adlfs"),
        ("adl://c/in.csv", "adlfs"),
        ("sftp://host/in.csv", "paramiko"),
        ("hf://datasets/a/b/in.csv", "huggingface_hub"),
        ("smb://host/share/in.csv", "smbprotocol"),
    ],
)
def test_the_package_that_a_store_needs_is_named(url: str, package: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"pip install {package}$"):
        muster.run(same, url, tmp_path / "out.csv", workers=0)


@pytest.mark.parametrize(
    "url", ["simplecache::s3://shop/in.csv", "zip://a.csv::s3://shop/in.zip", "filecache::https://h/in.csv"]
)
def test_a_chain_of_file_systems_is_refused_in_words(url: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="chains file systems with ::"):
        muster.run(same, url, tmp_path / "out.csv", workers=0)
