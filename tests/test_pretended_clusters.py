"""Clusters of pretended machines in the real home of a user: they are in nobody's way once their program has ended."""

import json
from pathlib import Path

import pytest

import muster as api
from conftest import Muster
from muster import UsageError
from muster._clouds.clusters import Cluster, names
from muster._files import notes
from muster.testing import FakeCloud, FakeEngine

LEFT = """
import os
from muster._clouds.clusters import Cluster
from muster.testing import FakeCloud

with FakeCloud(name="mine") as cloud:
    Cluster("one").up(2, workers=1, on="mine")
    os._exit(0)
"""


def recorded(home: Path, name: str, on: str, *others: str) -> Path:
    """Write the record of a cluster that was made by a process that is not there any more."""
    folder = home / "clusters" / name
    folder.mkdir(parents=True)
    notes.write(folder / "cluster.json", {"on": on})
    for other in others:
        (folder / other).write_text("{}")
    return folder


def test_what_a_killed_test_has_left_is_shown_in_words_and_can_be_forgotten(
    muster: Muster, python: Muster, home: Path, tmp_path: Path
) -> None:
    (tmp_path / "left.py").write_text(LEFT)
    python("left.py")
    assert names() == ["one"]
    recorded(home, "two", "mine", "changing")  # killed before a machine was noted
    shown = muster("status")
    assert (shown.code, shown.err) == (0, "")
    for name in ("one", "two"):
        assert f"{name}: 0 machines, 0 workers, on mine" in shown.out
        assert f"nothing real is behind them. Forget them: muster down {name}." in shown.out
    assert [one["machines"] for one in json.loads(muster("status", "--json").out)] == [[], []]
    again = muster("up", "one", "--machines", "1")
    assert (again.code, "muster down one" in again.err) == (2, True)
    ended = muster("down", "one")
    assert (ended.code, ended.out) == (0, "one: gone\n  its machines were pretended, and are forgotten\n")
    assert muster("down", "--all").code == 0
    assert muster("status").out.startswith("There is no cluster")
    assert list((home / "clusters").iterdir()) == []


def test_a_cluster_that_cannot_be_read_hides_no_other_and_is_named(muster: Muster, home: Path) -> None:
    recorded(home, "one", "mine", "fake.json")
    (recorded(home, "bad", "mine") / "cluster.json").write_text("{")
    real = recorded(home, "real", "theirs", "theirs.json")
    for verb in ("status", "down"):
        end = muster(verb, *(["--all"] if verb == "down" else []))
        assert "one: " in end.out
        assert "cannot be read" in end.err
        assert f"{real}' to forget it" in end.err
    assert names() == ["bad", "real"]  # something may be behind them
    told, error = muster("status", "--json").out.splitlines()
    assert (json.loads(told), json.loads(error)["exit_code"]) == ([], 3)


def test_a_fake_cloud_that_is_left_leaves_no_record_though_machines_of_it_live(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in.csv").write_text("a\n1\n2\n")

    def engine(workers: int) -> FakeEngine:
        cloud.silence("machine 2")
        return FakeEngine(workers=workers)

    with FakeCloud(name="mine", make_engine=engine) as cloud:
        with pytest.raises(api.MusterError, match="machine 2: it does not answer"):
            api.run(_same, "in.csv", "out.csv", machines=2, on="mine")
        assert len(names()) == 1
    assert (names(), cloud.living()) == ([], ["machine 2"])


def test_a_cluster_that_has_left_for_another_cloud_is_kept_by_the_one_it_was_on() -> None:
    with FakeCloud(name="other") as other:
        with FakeCloud(name="mine"):
            Cluster("one").up(1, workers=1, on="mine")
            Cluster("one").down()
            Cluster("one").up(1, workers=1, on="other")
        assert (names(), other.living()) == (["one"], ["machine 1"])


@pytest.mark.parametrize("name", ["local", "aws", "hosts.yml", "twice"])
def test_a_fake_cloud_cannot_be_called_as_another_cloud_is(name: str) -> None:
    with (
        FakeCloud(name="twice"),
        pytest.raises(UsageError, match=f"cannot be called '{name}'"),
        FakeCloud(name=name),
    ):
        pass


def _same(df: object) -> object:
    return df
