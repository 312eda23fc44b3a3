"""Outputs in a store, where others write too: every order of requests, and a death at any of them."""

import contextlib
import hashlib
import json
import os
import time
import zlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import formatdate
from pathlib import Path
from typing import Any, ClassVar, Final

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import muster
from gated import Run
from muster._journal.runs import SECONDS_UNHEARD
from muster._model import Outcome, Piece, Task
from muster._output.folder import WorkFolder
from muster._output.growing import PieceLocations
from muster._output.owners import Owner
from muster._urls.objects import put
from muster.errors import OutputBusyError, UsageError

PARTS: Final = 2
FOREIGN: Final = {"out/notes.txt": b"mine", "out.csv": b"mine", "out/deep/part-00000.csv": b"mine"}


class Bucket:
    """A folder that stands for a bucket, with what is the user's own in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.output = f"gated://{folder}/out/"

    def run(self, label: str) -> None:
        """Do what a run does with its output, all rows of which say ``label``."""
        work = WorkFolder(self.output, home=self.folder.parent / f"home-{label}")
        work.take()
        try:
            work.begin(f"run-{label}")
            files = []
            for at, name in enumerate(work.names(".csv", parts=PARTS)):
                data = f"{label} {at}\n".encode()
                (work.sealed / name).write_bytes(data)
                said = {"rows": 1, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
                files.append({"name": name, **said})
            work.publish([], ready=lambda _: None, files=files)
            work.remove()
        finally:
            work.release()

    def began(self, label: str) -> Run:
        return Run.of(lambda: self.run(label))

    def seen(self) -> str:
        """Tell whose rows one sees who goes by the manifest; they are whole."""
        try:
            parts = json.loads((self.folder / "out/_manifest.json").read_bytes())["parts"]
        except FileNotFoundError:
            return ""
        data = [(self.folder / "out" / part["name"]).read_bytes() for part in parts]
        assert [hashlib.sha256(one).hexdigest() for one in data] == [part["sha256"] for part in parts]
        label: str = data[0].split()[0].decode()
        assert data == [f"{label} {at}\n".encode() for at in range(PARTS)]
        return label

    def put_foreign(self) -> None:
        for name, data in FOREIGN.items():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_bytes(data)

    def objects(self) -> dict[str, bytes]:
        found = (path for path in self.folder.rglob("*") if path.is_file())
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in found}


@pytest.fixture
def bucket(tmp_path: Path) -> Bucket:
    (tmp_path / "bucket").mkdir()
    return Bucket(tmp_path / "bucket")


def leaves_nothing_but(bucket: Bucket, label: str) -> None:
    """What is there is one output, whole, and what was the user's own."""
    assert bucket.seen() == label
    there = bucket.objects()
    parts = [part["name"] for part in json.loads(there["out/_manifest.json"])["parts"]]
    assert set(there) == {"out/_manifest.json", *(f"out/{name}" for name in parts), *FOREIGN}
    assert FOREIGN.items() <= there.items()


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(order=st.lists(st.sampled_from("aabb!"), min_size=5, max_size=150), dies=st.sampled_from("ab"))
def test_in_whatever_order_two_runs_write_and_wherever_one_dies_a_reader_sees_one_of_them_whole(
    tmp_path_factory: pytest.TempPathFactory, order: list[str], dies: str
) -> None:
    bucket = Bucket(tmp_path_factory.mktemp("store"))
    bucket.run("first")
    bucket.put_foreign()
    runs = {"a": bucket.began("a"), "b": bucket.began("b")}
    for turn in order:
        if turn == "!" and runs[dies].ended is None:
            runs[dies].kill()
        elif turn != "!" and runs[turn].ended is None:
            runs[turn].step()
        assert bucket.seen() in {"first", "a", "b"}
    ends = {label: run.finish() for label, run in runs.items()}
    assert set(ends.values()) <= {"", "killed", "OutputBusyError"}
    if "killed" not in ends.values():
        assert "" in ends.values()
    assert bucket.seen() in {"first", "a", "b"}
    bucket.run("last")
    leaves_nothing_but(bucket, "last")


def test_wherever_a_run_dies_a_reader_sees_one_output_whole_and_the_next_run_tidies_up(bucket: Bucket) -> None:
    bucket.run("first")
    bucket.put_foreign()
    before, steps, seen = "first", 0, set()
    while True:
        run = bucket.began(f"dying{steps}")
        for _ in range(steps):
            if run.ended is None:
                run.step()
        if run.ended is not None:
            break
        run.kill()
        seen.add(bucket.seen() == before)
        bucket.run(f"after{steps}")
        leaves_nothing_but(bucket, f"after{steps}")
        before, steps = f"after{steps}", steps + 1
    assert run.ended == ""
    assert seen == {True, False}
    assert steps > 20


def test_wherever_the_first_run_into_a_folder_dies_the_next_one_takes_its_place(bucket: Bucket) -> None:
    for steps in range(100):
        run = bucket.began("dying")
        for _ in range(steps):
            if run.ended is None:
                run.step()
        if run.ended is not None:
            break
        run.kill()
        assert bucket.seen() in {"", "dying"}
        bucket.run("next")
        assert bucket.seen() == "next"
        fsspec.filesystem("gated").rm(f"{bucket.folder}/out", recursive=True)
        assert [name for name in bucket.objects() if "part" in name] == []
    assert run.ended == ""


def test_a_run_is_told_who_writes_there_and_since_when(bucket: Bucket) -> None:
    first = bucket.began("first")
    while not list(bucket.folder.glob("out.muster/lock-*")):
        first.step()
    with pytest.raises(OutputBusyError, match=rf"process {first.pid} on .*home-first.*, since 2.*Z"):
        bucket.run("second")
    assert first.finish() == ""
    assert bucket.seen() == "first"


@pytest.fixture
def lock(bucket: Bucket) -> Path:
    """The lock of a run on a computer that cannot be asked."""
    path = bucket.folder / "out.muster/lock-abc"
    path.parent.mkdir()
    owner = replace(Owner.me(Path("/home/far")), host="far", computer="another")
    path.write_bytes(owner.as_mark("lock"))
    return path


def test_a_lock_of_another_computer_counts_until_it_was_not_renewed_for_some_time(bucket: Bucket, lock: Path) -> None:
    os.utime(lock, (time.time() - SECONDS_UNHEARD / 2,) * 2)
    with pytest.raises(OutputBusyError, match=r"'far'.*If that run is dead.* ends in"):
        bucket.run("near")
    assert [*bucket.objects()] == ["out.muster/lock-abc"]
    os.utime(lock, (time.time() - SECONDS_UNHEARD - 5,) * 2)
    bucket.run("near")
    assert bucket.seen() == "near"
    assert not lock.exists()


class Telling(LocalFileSystem):  # type: ignore[misc]  # fsspec has no types
    """A store that tells times in its own way, or not at all."""

    protocol = ("telling",)
    way: ClassVar[Callable[[float], dict[str, object]]] = lambda _: {}

    def info(self, path: Any, **options: object) -> dict[str, object]:  # noqa: ANN401 (a name, or an entry of a folder)
        found = super().info(path, **options)
        return {name: found[name] for name in ("name", "size", "type")} | type(self).way(found["mtime"])


fsspec.register_implementation("telling", Telling, clobber=True)

WAYS: Final[dict[str, Callable[[float], dict[str, object]]]] = {
    "ftp": lambda at: {"modify": time.strftime("%Y%m%d%H%M%S", time.gmtime(at))},
    "smb": lambda at: {"last_write_time": at},
    "webhdfs": lambda at: {"modificationTime": int(at * 1000)},
    "http": lambda at: {"Last-Modified": formatdate(at, usegmt=True)},
    "naive": lambda at: {"mtime": datetime.fromtimestamp(at, UTC).replace(tzinfo=None)},
    "nothing": lambda _: {},
}


@pytest.mark.parametrize("way", WAYS)
def test_a_lock_ends_whatever_a_store_calls_its_clock(tmp_path: Path, lock: Path, way: str) -> None:
    Telling.way, far = WAYS[way], replace(Owner.me(Path("/home/far")), host="far", computer="another")
    for seconds, counts in ((60, True), (5000, False)):
        lock.write_bytes(far.as_mark("lock", at=time.time() - seconds))
        os.utime(lock, (time.time() - seconds,) * 2)
        work = WorkFolder(f"telling://{lock.parent.parent}/out/", home=tmp_path / "home")
        with pytest.raises(OutputBusyError, match="'far'") if counts else contextlib.nullcontext():
            work.take()
            work.release()
        assert lock.exists() == counts


@pytest.mark.parametrize(
    "mark",
    [b'{"muster": "lock", "of": "another"}', b'{\n "muster": "lock",\n "host": "far"', b"in another way"],
)
def test_a_lock_that_cannot_be_read_counts_until_it_is_old_and_is_not_removed(
    bucket: Bucket, lock: Path, mark: bytes
) -> None:
    lock = lock.rename(lock.with_name("lock-0123456789ab"))
    lock.write_bytes(mark)
    with pytest.raises(OutputBusyError, match="another version"):
        bucket.run("near")
    assert [*bucket.objects()] == ["out.muster/lock-0123456789ab"]
    os.utime(lock, (time.time() - SECONDS_UNHEARD - 5,) * 2)
    bucket.run("near")
    assert bucket.seen() == "near"
    assert lock.read_bytes() == mark


def test_a_run_that_was_taken_for_dead_replaces_nothing(bucket: Bucket) -> None:
    slow = bucket.began("slow")
    while not list(bucket.folder.glob("out/part-*")):
        slow.step()
    (lock,) = bucket.folder.glob("out.muster/lock-*")
    lock.unlink()
    assert slow.finish() == "EngineError"
    assert bucket.seen() == ""


def test_objects_of_the_users_own_beside_the_work_of_a_run_stay(bucket: Bucket) -> None:
    run = bucket.began("mine")
    while not list(bucket.folder.glob("out.muster/run-*/publishing.json")):
        run.step()
    (folder,) = bucket.folder.glob("out.muster/run-*")
    own = ["out.muster/notes.txt", "out.muster/0-1.rows", "out.muster/old/0-1.rows", f"out.muster/{folder.name}/a.csv"]
    for name in own:
        (bucket.folder / name).parent.mkdir(exist_ok=True)
        (bucket.folder / name).write_bytes(b"mine")
    assert run.finish() == ""
    assert {name for name in bucket.objects() if name.startswith("out.muster/")} == set(own)


def test_objects_that_muster_did_not_write_are_refused_and_stay(bucket: Bucket) -> None:
    for name in ("out.muster/precious.csv", "out/precious.csv", "out/deep/part-00000.csv", "out.rejects.jsonl"):
        path = bucket.folder / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(b"x\n1\n")
        with pytest.raises(UsageError, match="did not write"):
            bucket.run("mine")
        assert bucket.objects() == {name: b"x\n1\n"}
        path.unlink()


def test_a_part_that_no_manifest_names_is_not_taken_for_the_outputs(bucket: Bucket) -> None:
    bucket.run("first")
    (bucket.folder / "out/part-00009.csv").write_bytes(b"mine")
    with pytest.raises(UsageError, match=r"part-00009\.csv"):
        bucket.run("second")
    assert bucket.seen() == "first"
    assert (bucket.folder / "out/part-00009.csv").read_bytes() == b"mine"


def test_a_first_output_has_plain_names_and_one_that_replaces_it_names_of_its_run(bucket: Bucket) -> None:
    bucket.run("first")
    assert {"out/part-00000.csv", "out/part-00001.csv"} < set(bucket.objects())
    bucket.run("second")
    assert {"out/part-00000-run-second.csv", "out/part-00001-run-second.csv"} < set(bucket.objects())
    bucket.run("second")
    assert {"out/part-00000-run-second-2.csv", "out/part-00001-run-second-2.csv"} < set(bucket.objects())


def test_a_piece_of_the_same_size_that_is_not_what_was_written_is_done_anew(bucket: Bucket, tmp_path: Path) -> None:
    work = WorkFolder(bucket.output, home=tmp_path / "home")
    work.take()
    work.begin("run")
    work.use_staging()
    task = Task(number=0, first=0, last=1, file=0, start=0, stop=1, row=0, rows=1, lo=0, hi=1)
    pieces = [Piece(f"1-{at}.rows", 4, zlib.crc32(b"rows"), 1) for at in range(4)]
    stamps = [put(f"{work.staging}/{piece.name}", b"rows") for piece in pieces]
    for changed in (1, 3):
        put(f"{work.staging}/{pieces[changed].name}", b"ROWS")
    stamped = [piece._replace(stamp=stamp) for piece, stamp in zip(pieces[:2], stamps, strict=False)]
    found = [work.is_intact(Outcome(task, 1, 1, output=piece), PieceLocations()) for piece in (*stamped, *pieces[2:])]
    assert found == [True, False, True, False]
    work.release()


class Folders(LocalFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Files as ``sftp://`` has them: in folders that somebody has to make."""

    protocol = ("folders", "sftp")


fsspec.register_implementation("folders", Folders, clobber=True)


def test_a_store_that_has_folders_gets_those_that_a_run_needs_and_keeps_none(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("a\n1\n")
    for output in ("there/out.csv", "there/deep/out/", "there/deep/out/"):
        muster.run(lambda df: df, tmp_path / "in.csv", f"folders://{tmp_path}/{output}", workers=0, fresh=True)
    found = sorted(str(path.relative_to(tmp_path / "there")) for path in (tmp_path / "there").rglob("*"))
    manifest, part = found[2:4]
    assert found == ["deep", "deep/out", manifest, part, "out.csv"], found
    assert (manifest, part.startswith("deep/out/part-00000-")) == ("deep/out/_manifest.json", True)
