"""One place has one identity, however it is spelled; and inputs are safe from a run whatever its output is called."""

import os
from datetime import timedelta
from email.utils import format_datetime, formatdate
from pathlib import Path
from typing import Final

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import muster
from conftest import Muster
from muster._private.secrets import set_options
from muster._urls.identity import identity, upwards
from web import serving

NAMES: Final = st.lists(
    st.text("abcXYZ 012._-", min_size=1, max_size=6).filter(lambda name: set(name) != {"."}), min_size=2
)
DETOURS: Final = st.lists(st.sampled_from(["", ".", "x/.."]), max_size=3)


def is_same(one: str, other: str) -> bool:
    return identity(one) == identity(other)


def is_within(path: str, folder: str) -> bool:
    return identity(folder) in set(upwards(path))


def detoured(names: list[str], detours: list[str]) -> str:
    return "/".join(
        [
            names[0],
            *[f"{detour}/{name}" for detour, name in zip(detours, names[1:], strict=False)],
            *names[len(detours) + 1 :],
        ]
    )


@settings(deadline=None)
@given(
    names=NAMES,
    detours=DETOURS,
    kind=st.sampled_from(["s3://", "S3://", "s3a://", "memory://"]),
    slashes=st.text("/", max_size=2),
)
def test_a_url_names_the_same_place_in_all_its_spellings_and_no_other(
    names: list[str], detours: list[str], kind: str, slashes: str
) -> None:
    protocol = "memory" if kind == "memory://" else "s3"
    plain = f"{protocol}://{'/'.join(names)}"
    url = kind + detoured(names, detours) + slashes
    assert is_same(plain, url)
    assert is_within(f"{url}/below", plain)
    assert not is_within(plain, f"{url}/below")
    assert not is_same(plain, f"{url}x/")
    assert not is_within(f"{plain}x", url)
    assert not is_same(plain, f"/{'/'.join(names)}")


@settings(deadline=None)
@given(names=NAMES, exists=st.integers(0, 3))
def test_a_path_names_the_same_place_in_all_its_spellings(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], exists: int
) -> None:
    folder = tmp_path_factory.mktemp("place")
    (folder / "link").symlink_to(folder)
    plain = folder.joinpath(*names)
    folder.joinpath(*names[:exists]).mkdir(parents=True, exist_ok=True)
    spelled = [
        f"{folder}/link/{'/'.join(names)}",
        f"file://{plain}",
        f"{plain}/",
        os.path.relpath(plain),
        f"{folder}/./{'//'.join(names)}",
    ]
    assert {identity(one) for one in spelled} == {identity(str(plain))}
    assert all(is_within(one, str(folder)) and not is_within(str(folder), one) for one in spelled)


def test_an_object_behind_a_web_address_is_the_object_of_its_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    for url in (
        "https://bkt.s3.amazonaws.com/in/a%20b.csv",
        "https://BKT.S3.eu-west-1.amazonaws.com:443/in//a%20b.csv?X-Amz-Signature=1",
        "https://s3.eu-west-1.amazonaws.com/bkt/in/a%20b.csv",
    ):
        assert is_same(url, "s3a://bkt/in/a b.csv"), url
    assert is_same("https://storage.googleapis.com/bkt/a.csv", "gs://bkt/a.csv")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://LOCALHOST:9000/")
    assert is_same("http://localhost:9000/bkt/a.csv", "s3://bkt/a.csv")
    assert not is_same("http://localhost:9001/bkt/a.csv", "s3://bkt/a.csv")
    there = identity("s3://bkt/a.csv")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://localhost:9001")
    assert identity("s3://bkt/a.csv") != there


def test_places_of_two_servers_are_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    assert not is_same("ftp://one/out.csv", "ftp://two/out.csv")
    assert is_same("ftp://anna:secret@ONE:21/out.csv", "ftp://anna@one:21/out.csv")
    there = identity("s3://bkt/a.csv")
    set_options({"s3": {"client_kwargs": {"endpoint_url": "http://localhost:9001"}}})
    try:
        assert identity("s3://bkt/a.csv") != there
        assert is_same("http://localhost:9001/bkt/a.csv", "s3://bkt/a.csv")
    finally:
        set_options({})


@pytest.mark.parametrize("said", ["endpoint_url = {}", "services = own\n[services own]\ns3 =\n  endpoint_url = {}"])
def test_the_server_of_buckets_is_the_one_that_the_profile_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    found = []
    for name, server in (
        ("a", "http://127.0.0.1:9001"),
        ("b", "http://two:2"),
        ("c", "https://s3.eu-west-1.amazonaws.com"),
    ):
        (tmp_path / "config").write_text(f"[profile {name}]\n{said.format(server)}\n")
        monkeypatch.setenv("AWS_PROFILE", name)
        assert is_same(f"{server}/bkt/a.csv?X-Amz-Signature=1", "s3://bkt/a.csv")
        found.append(identity("s3://bkt/a.csv"))
    assert len({*found}) == 3
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    assert identity("s3://bkt/a.csv") == found[-1]


def test_all_names_of_this_computer_to_itself_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9000")
    for host in (
        "localhost",
        "LOCALHOST.",
        "127.1",
        "127.0.0.2",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0",
        "0x7f000001",
    ):
        assert is_same(f"http://{host}:9000/bkt/a.csv", "s3://bkt/a.csv"), host
        assert is_same(f"ftp://{host}/a.csv", "ftp://localhost:21/a.csv"), host
    assert is_same("http://bkt.127.0.0.1:9000/a.csv", "s3://bkt/a.csv")
    assert not is_same("http://127.0.0.1:9000/bkt/a.csv", "http://127.0.0.1.example:9000/bkt/a.csv")


def test_web_addresses_are_compared_as_servers_read_them() -> None:
    assert is_same("http://Host:80/a%20b/../c.csv#x", "http://host/c.csv")
    assert not is_same("http://host/f?id=1", "http://host/f?id=2")


# Inputs and outputs of real runs


def same(frame: object) -> object:
    return frame


def rows(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("a\n1\n2\n")
    return path


@pytest.mark.parametrize(
    "output",
    [
        "file://{0}/in.csv",
        "local://{0}/in.csv",
        "file://{0}//./in.csv",
        "{0}/hard.csv",
        "{0}/soft.csv",
        "{0}/link/in.csv",
        "file://{0}/link/in.csv",
    ],
)
def test_an_input_is_not_overwritten_by_its_own_output_in_another_spelling(tmp_path: Path, output: str) -> None:
    path = rows(tmp_path / "in.csv")
    (tmp_path / "hard.csv").hardlink_to(path)
    (tmp_path / "soft.csv").symlink_to(path)
    (tmp_path / "link").symlink_to(tmp_path)
    for one, other in ((str(path), output.format(tmp_path)), (output.format(tmp_path), str(path))):
        with pytest.raises(muster.UsageError, match="both input and output"):
            muster.run(same, one, other, workers=0)
    assert path.read_text() == "a\n1\n2\n"


@pytest.mark.parametrize("kind", ["{0}", "file://{0}", "memory://bucket"])
def test_what_input_and_output_may_not_be_to_each_other_is_the_same_in_every_kind_of_place(
    tmp_path: Path, kind: str
) -> None:
    place = kind.format(tmp_path)
    files, root = fsspec.core.url_to_fs(place)
    for name in ("in/a.csv", "in/b.csv", "x.csv.rejects.jsonl", "other.csv.muster/parts/a.csv"):
        files.makedirs(f"{root}/{name}".rpartition("/")[0], exist_ok=True)
        files.pipe_file(f"{root}/{name}", b"a\n1\n" if name.endswith("csv") else b'{"a": 1}\n')
    files.pipe_file(f"{root}/other.csv.muster/lock", b"")
    files.pipe_file(f"{root}/other.csv.muster/lock-1", b"")
    refused = {
        ("in/a.csv", "in//a.csv"): "both input and output",
        ("in/", "in/a.csv"): "lies in .*which is an input",
        ("in", "in/out.csv"): "lies in .*which is an input",
        ("in/", "in/deep/out/"): "lies in .*which is an input",
        ("in/a.csv", "in/"): "both input and output",
        ("x.csv.rejects.jsonl", "x.csv"): "keeps its bad rows",
        ("other.csv.muster/parts/a.csv", "out.csv"): "keeps its work until it ends",
        ("in/a.csv", "other.csv.muster/out.csv"): "keeps its work until it ends",
    }
    before = {name: files.cat_file(name) for name in files.find(root)}
    for (source, output), words in refused.items():
        with pytest.raises(muster.UsageError, match=words):
            muster.run(same, f"{place}/{source}", f"{place}/{output}", workers=0)
    assert {name: files.cat_file(name) for name in files.find(root)} == before
    both = muster.run(same, [f"{place}/in/a.csv"] * 2, f"{place}/twice.csv", workers=0)
    assert both.rows_out == 2
    if kind.startswith("memory"):
        files.rm(root, recursive=True)


@pytest.mark.parametrize(("output", "name"), [("out.csv", "out.csv"), ("out/", "part-00000.csv")])
def test_an_input_is_not_replaced_under_an_address_that_nothing_shows_to_be_its_own(
    tmp_path: Path, output: str, name: str
) -> None:
    files = fsspec.filesystem("memory")
    local = rows(tmp_path / "in.csv")
    muster.run(same, local, f"memory://twins/{output}", workers=0)
    place = f"/twins/{output}" if output == name else f"/twins/{output}{name}"
    before, written = files.cat_file(place), files.info(place)["created"]
    with serving() as web:
        url = web.put(f"{name}", before, Last_Modified=format_datetime(written, usegmt=True))
        with pytest.raises(muster.UsageError, match="under another address"):
            muster.run(lambda df: df.assign(more=1), url, f"memory://twins/{output}", workers=0)
        assert files.cat_file(place) == before
        for changed in ({"Last_Modified": format_datetime(written - timedelta(hours=1), usegmt=True)}, {"ETag": '"1"'}):
            url = web.put(f"{name}", before, **changed)  # a copy, or a file of which nothing tells that it is the same
            assert muster.run(same, url, f"memory://twins/{output}", workers=0, fresh=True).rows_out
    files.rm("/twins", recursive=True)


@pytest.mark.parametrize(("output", "name"), [("in.csv", "in.csv"), ("out/", "out/part-00000.csv")])
@pytest.mark.parametrize("is_moved", [False, True])
def test_an_input_from_a_web_server_is_not_replaced_where_it_lies_in_a_folder_that_is_served(
    tmp_path: Path, output: str, name: str, *, is_moved: bool
) -> None:
    muster.run(same, rows(tmp_path / "first.csv"), f"{tmp_path}/{output}", workers=0)
    path = tmp_path / name
    before, written = path.read_bytes(), path.stat().st_mtime
    with serving() as web:
        url = web.put("latest.csv", before, ETag='"1"', Last_Modified=formatdate(written, usegmt=True))
        if is_moved:
            web.moved["/go"] = "/latest.csv"
            url = web.url("go")
        with pytest.raises(muster.UsageError, match="under another address"):
            muster.run(lambda df: df.assign(more=1), url, f"{tmp_path}/{output}", workers=0, format="csv")
        assert path.read_bytes() == before
        web.files["/latest.csv"] = before[:-2] + b"9\n"  # as large, and of the same second, but another file
        assert muster.run(same, url, f"{tmp_path}/{output}", workers=0, format="csv").rows_out


def test_an_input_that_a_redirect_leads_to_is_not_replaced_in_its_store(tmp_path: Path) -> None:
    files = fsspec.filesystem("memory")
    data = Path(rows(tmp_path / "in.csv")).read_bytes()
    files.pipe_file("/moved/in.csv", data)
    with serving() as web:
        web.put("x/object", data, Last_Modified=format_datetime(files.info("/moved/in.csv")["created"], usegmt=True))
        web.moved["/latest.csv"] = "/x/object"
        with pytest.raises(muster.UsageError, match="under another address"):
            muster.run(lambda df: df.assign(more=1), web.url("latest.csv"), "memory://moved/in.csv", workers=0)
    assert files.cat_file("/moved/in.csv") == data
    files.rm("/moved", recursive=True)


def test_files_of_the_users_own_in_an_output_of_this_computer_stay_where_they_are(tmp_path: Path) -> None:
    path = rows(tmp_path / "in.csv")
    for _ in range(2):
        muster.run(same, path, f"{tmp_path}/out/", workers=0)
        (tmp_path / "out" / "notes").mkdir(exist_ok=True)
        (tmp_path / "out" / "notes" / "a.txt").write_text("mine")
    assert sorted(one.name for one in (tmp_path / "out").iterdir()) == ["_manifest.json", "notes", "part-00000.csv"]
    assert (tmp_path / "out" / "notes" / "a.txt").read_text() == "mine"
    (tmp_path / "out" / "part-00007.csv").write_text("mine")
    with pytest.raises(muster.UsageError, match=r"part-00007\.csv"):
        muster.run(same, path, f"{tmp_path}/out/", workers=0)


@pytest.mark.parametrize("name", ["_manifest.json", "part-00000.csv", "part-00009.csv", "part-00000-other.csv"])
@pytest.mark.parametrize("kind", ["{}", "memory://bucket"])
def test_no_output_is_written_among_the_parts_of_another(tmp_path: Path, kind: str, name: str) -> None:
    path, place = rows(tmp_path / "in.csv"), kind.format(tmp_path)
    muster.run(same, path, f"{place}/out/", workers=0)
    files, root = fsspec.core.url_to_fs(f"{place}/out")
    before = {one: files.cat_file(one) for one in files.find(root)}
    with pytest.raises(muster.UsageError, match="is the output of another run"):
        muster.read_csv(path).map_batches(same).write_csv(f"{place}/out/{name}").run(workers=0)
    assert {one: files.cat_file(one) for one in files.find(root)} == before
    muster.run(same, path, f"{place}/out/notes.csv", workers=0)
    files.rm(root, recursive=True)


def test_a_manifest_of_another_program_is_not_replaced(tmp_path: Path, home: Path) -> None:
    path = rows(tmp_path / "in.csv")
    for kind in (f"file://{tmp_path}", "memory://bucket"):
        files, root = fsspec.core.url_to_fs(f"{kind}/theirs/_manifest.json")
        files.makedirs(files._parent(root), exist_ok=True)  # noqa: SLF001 (fsspec's own way)
        files.pipe_file(root, b'{"tables": []}')
        with pytest.raises(muster.UsageError, match="another program's"):
            muster.run(same, path, f"{kind}/theirs/", workers=0)
        assert files.cat_file(root) == b'{"tables": []}'
    assert not [*(home / "work").iterdir(), *tmp_path.glob("*.muster")]
    fsspec.filesystem("memory").rm("/bucket", recursive=True)


def test_a_file_of_the_users_own_where_bad_rows_go_is_neither_replaced_nor_removed(tmp_path: Path) -> None:
    path = rows(tmp_path / "in.csv")
    (tmp_path / "out.csv.rejects.jsonl").write_text('{"mine": 1}\n')
    with pytest.raises(muster.UsageError, match="did not write"):
        muster.run(same, path, tmp_path / "out.csv", workers=0)
    assert (tmp_path / "out.csv.rejects.jsonl").read_text() == '{"mine": 1}\n'


def test_a_run_in_another_spelling_goes_on_with_the_same_work(tmp_path: Path, muster: Muster) -> None:
    rows(tmp_path / "in.csv")
    (tmp_path / "same.py").write_text("def same(df):\n    return df\n")
    for output in (f"file://{tmp_path}/out.csv", "out.csv", f"{tmp_path}/./out.csv"):
        assert muster("run", "same.py:same", "in.csv", "-o", output, "--workers", "0").code == 0
        assert sorted(one.name for one in tmp_path.glob("out.csv*")) == ["out.csv"]


def test_urls_of_files_of_this_computer_are_paths_whatever_they_say_of_the_host_and_escape(tmp_path: Path) -> None:
    (tmp_path / "a b").mkdir()
    rows(tmp_path / "a b" / "in.csv")
    for place in (f"file://localhost{tmp_path}/a%20b", f"FILE://{tmp_path}/a b"):
        assert muster.run(same, f"{place}/in*.csv", f"{place}/out.csv", workers=0).rows_out
        (tmp_path / "a b" / "out.csv").unlink()
        with pytest.raises(muster.UsageError, match="which is an input"):
            muster.run(same, place, f"{place}/out.csv", workers=0)
    (tmp_path / "out%20.csv").touch()
    (tmp_path / "out .csv").write_text("mine")
    muster.run(same, f"file://{tmp_path}/a%20b/in.csv", f"file://{tmp_path}/out%20.csv", workers=0)
    assert (tmp_path / "out .csv").read_text() == "mine"
    assert identity("file://localhosts/in.csv") == identity("localhosts/in.csv")
