"""A stream whose tasks a machine does that does not see this computer's files."""

import threading
from pathlib import Path

import pytest

from muster._clouds.base import Access
from muster._job import Follow, Job, Options, Snapshot
from muster._run.runner import run
from muster._user_code import targets
from waiting import until

pytestmark = pytest.mark.waits


def test_epoch_after_epoch_is_done_by_the_same_workers_far_away(
    tmp_path: Path, far: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # without code, which would go along
    (tmp_path / "in").mkdir()
    path, texts = tmp_path / "in" / "a.csv", ["n\n1\n2\n", "3\n", "4\nfive\n"]
    parts = [tmp_path / "out" / f"part-{at:08}.csv" for at in range(len(texts))]

    def write() -> None:
        for text, part in zip(texts, parts, strict=True):
            with path.open("a") as file:
                file.write(text)
            until(part.exists)
        (tmp_path / "out.muster" / "stop").touch()

    writer = threading.Thread(target=write)
    writer.start()
    job = Job(
        (targets.of_function(lambda df: df.assign(worker=__import__("os").getpid())),),
        ("in/",),
        "out/",
        Options(input_format="csv", output_format="csv"),
        follow=Follow(every=0.0),
    )
    told = list[Snapshot]()
    result = run(job, watch=told.append, access=far)
    writer.join()
    assert (result.rows_in, result.rows_out, result.bad_rows, result.epochs) == (5, 4, 1, 3)
    rows = [line.split(",") for part in parts for line in part.read_text().splitlines()[1:]]
    assert [number for number, _ in rows] == ["1", "2", "3", "4"]
    assert [one.stream.epochs for one in told if one.stream][-1] == 3
    assert any("rows/s, 2 epochs" in str(one) for one in told)
    assert any(one.stream is not None and one.stream.bytes for one in told)
    assert len({worker for _, worker in rows}) <= 2
