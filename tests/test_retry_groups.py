"""``muster retry`` of groups that failed: the output is the one that a whole run would write, whatever is killed."""

import gzip
import json
import os
import signal
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any, ClassVar, Final

import pandas as pd
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import muster
from conftest import Muster
from muster import UsageError
from muster._journal import file as journal

KEYS: Final = 9
COUNT: Final = 60

FUNCTION: Final = """
import json, pathlib
import pandas as pd

PLAN = json.loads((pathlib.Path(__file__).parent / "plan.json").read_text())

def f(df, key):
    with (pathlib.Path(__file__).parent / "calls").open("a") as calls:
        calls.write(f"{key}\\n")
    if key in PLAN["fails"]:
        raise ValueError(f"no {key}")
    return of_group(df, key)

def of_group(df, key):
    n = PLAN["times"].get(str(key), 1)
    return pd.DataFrame({"key": [key], "at": df.index[:1], "text": [*df["text"][:1]]}).iloc[[0] * n]

def doubled(df):
    return df.loc[df.index.repeat(2)]
"""


def of_group(df: pd.DataFrame, key: object, times: Mapping[str, int]) -> pd.DataFrame:
    """Do what the function does with a group that it does not fail on."""
    n = times.get(str(key), 1)
    return pd.DataFrame({"key": [key], "at": df.index[:1], "text": [*df["text"][:1]]}).iloc[[0] * n]


@dataclass(frozen=True)
class Groups:
    """A folder with rows of a few keys, a function that fails on some of these, and how both are run."""

    folder: Path
    output: str = "out.csv"
    sort: bool = False
    doubles: bool = False
    part_bytes: int = 300

    def plan(
        self, *, fails: frozenset[int] = frozenset(), times: Mapping[str, int] | None = None, more: str = ""
    ) -> None:
        (self.folder / "plan.json").write_text(json.dumps({"fails": sorted(fails), "times": times or {}}))
        (self.folder / "f.py").write_text(FUNCTION + more)

    def frame(self) -> pd.DataFrame:
        """Make rows of which the first keys have many, in two files, so that row numbers begin anew."""
        frame = pd.DataFrame({"user": [at * at % KEYS + at % 2 for at in range(COUNT)], "text": "x"})
        frame["text"] = [f'row "{at}"\nof {COUNT}' * (at % 3) for at in range(COUNT)]
        frame.iloc[:25].to_csv(self.folder / "1.csv", index=False)
        frame.iloc[25:].to_csv(self.folder / "2.csv", index=False)
        frame.index = pd.Index([*range(25), *range(COUNT - 25)])
        return frame.assign(text=frame["text"].where(frame["text"] != ""))

    def pipeline(self, function: str = "f") -> muster.Pipeline:
        rows = muster.read_csv([self.folder / "1.csv", self.folder / "2.csv"])
        if self.doubles:
            rows = rows.map_batches(f"{self.folder}/f.py:doubled")
        groups = rows.group_by("user").map_groups(f"{self.folder}/f.py:{function}", sort=self.sort)
        output = f"{self.folder}/{self.output}"
        if self.output.endswith(".parquet"):
            return groups.write_parquet(output)
        return groups.write_json(output) if ".jsonl" in self.output else groups.write_csv(output)

    def run(self, **options: Any) -> muster.Result:  # noqa: ANN401 (any option)
        chosen = {"workers": 0, "max_bad_rows": 4 * COUNT, "part_bytes": self.part_bytes, **options}
        return quietly(lambda: self.pipeline().run(**chosen))

    def retry(self, **options: Any) -> muster.Result:  # noqa: ANN401 (likewise)
        return quietly(lambda: muster.retry(f"{self.folder}/{self.output}", **options))

    @property
    def text(self) -> str:
        return (self.folder / self.output).read_text()

    @property
    def files(self) -> dict[str, bytes]:
        """Read the output, a file or those of a folder, and its rejects."""
        path = self.folder / self.output
        files = [path] if path.is_file() else sorted(path.iterdir())
        return {one.name: one.read_bytes() for one in [*files, *self.folder.glob("*.rejects.jsonl")]}

    @property
    def written(self) -> pd.DataFrame:
        """Read the rows of the output."""
        name = f"{self.folder}/{self.output}"
        if self.output == "out.parquet":
            return pd.read_parquet(name)
        if ".jsonl" in self.output:
            return pd.read_json(name, lines=True, dtype=False)
        parts = sorted((self.folder / self.output).glob("*.csv")) if self.output == "out/" else [name]
        read = [pd.read_csv(part, sep="\t" if self.output == "out.tsv" else ",") for part in parts]
        return pd.concat(read, ignore_index=True)

    @property
    def rejected(self) -> list[tuple[str, int]]:
        """List the rows in the rejects, each with its key."""
        path = self.folder / f"{self.output.rstrip('/')}.rejects.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return sorted((one["key"], one["row"]) for one in map(json.loads, lines))


def quietly(call: Callable[[], muster.Result]) -> muster.Result:
    with warnings.catch_warnings(action="ignore", category=UserWarning):
        return call()


SOME: Final = st.frozensets(st.integers(0, KEYS), max_size=6)


@settings(max_examples=8, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(
    fails=SOME,
    still=SOME,
    times=st.dictionaries(st.integers(0, KEYS).map(str), st.integers(0, 3), max_size=6),
    output=st.sampled_from(["out.csv", "out.tsv", "out.jsonl", "out.csv.gz", "out.jsonl.gz", "out/", "out.parquet"]),
    sort=st.booleans(),
    doubles=st.booleans(),
    part_bytes=st.sampled_from([30, 300, 100_000]),
)
def test_the_output_is_that_of_pandas_however_often_and_in_whatever_order_groups_are_mended(  # noqa: PLR0913, PLR0917 (what may differ)
    fails: frozenset[int],
    still: frozenset[int],
    times: dict[str, int],
    output: str,
    sort: bool,  # noqa: FBT001 (hypothesis gives it by name)
    doubles: bool,  # noqa: FBT001 (likewise)
    part_bytes: int,
) -> None:
    times = {**times, "4": 2}
    with TemporaryDirectory() as name:
        groups = Groups(Path(name), output, sort=sort, doubles=doubles, part_bytes=part_bytes)
        frame = groups.frame()
        if doubles:
            frame = frame.iloc[[at // 2 for at in range(2 * COUNT)]].reset_index(drop=True)
        for failing in (fails - {4} | {0}, (fails | {0}) & still - {4}, frozenset[int]()):
            groups.plan(fails=failing, times=times)
            if (groups.folder / output).exists() and not groups.rejected:
                break
            result = groups.retry() if (groups.folder / output).exists() else groups.run()
            good = [(key, own) for key, own in frame.groupby("user", sort=sort) if key not in failing]
            expected = pd.concat([of_group(own, key, times) for key, own in good])
            pd.testing.assert_frame_equal(groups.written, expected.reset_index(drop=True), check_dtype=False)
            if output in {"out.csv", "out.tsv"}:
                assert groups.text == expected.to_csv(index=False, sep="\t" if output == "out.tsv" else ",")
            bad = frame[frame["user"].isin(failing)]
            assert groups.rejected == sorted(zip(bad["user"].map(str), bad.index, strict=True))
            assert (result.rows_in, result.rows_out, result.bad_rows) == (COUNT, len(expected), len(bad))
        mended, _ = groups.files, groups.run(fresh=True)
        assert mended == groups.files
        assert not list(groups.folder.glob("*.muster"))


@pytest.fixture
def groups(tmp_path: Path) -> Groups:
    made = Groups(tmp_path)
    made.frame()
    made.plan(fails=frozenset({0, 4, 5}))
    return made


def whole(groups: Groups) -> str:
    """Run all anew with the function as it is, and tell what comes of it."""
    groups.run(fresh=True)
    return groups.text


def test_only_groups_that_failed_are_called_again_on_workers_too(groups: Groups) -> None:
    groups.run(workers=2)
    (groups.folder / "calls").unlink()
    groups.plan(fails=frozenset({4}))
    assert groups.retry(workers=2).bad_rows == len(groups.rejected)
    assert sorted((groups.folder / "calls").read_text().split()) == ["0", "4", "5"]
    retried = groups.files
    groups.run(fresh=True)
    assert retried == groups.files


def test_a_pipeline_of_a_file_is_read_again_and_groups_may_all_fail_again(groups: Groups, muster: Muster) -> None:
    line = "rows = muster.read_csv(['1.csv', '2.csv']).group_by([by, 'user']).map_groups(f)\n"
    by = "def by(df):\n    return df['user'] % 2\n\ndef f(df, key):\n    return g(df, key[1])\n\n"
    more = f"g = f\nimport muster\n{by}{line}pipeline = rows.write_csv('out.csv')\n"
    groups.plan(fails=frozenset({0, 4, 5}), more=more)
    assert muster("run", "f.py", "--workers", "0", "--max-bad-rows", "99").code == 4
    before = groups.text, groups.rejected
    none = muster("retry", "out.csv")
    assert (none.code, groups.text, groups.rejected) == (4, *before)
    assert f"of {len(groups.rejected)} bad rows none succeeded" in none.err
    groups.plan(more=more)
    assert muster("retry", "out.csv").code == 0
    mended = groups.text
    assert muster("run", "f.py", "--workers", "0", "--fresh").code == 0
    assert (groups.text, groups.rejected) == (mended, [])


def test_an_output_of_several_volumes_has_the_rows_of_a_whole_run(groups: Groups) -> None:
    groups = replace(groups, output="out.csv.gz", part_bytes=1 << 20)
    wide = "\ndef of_group(df, key):\n    return pd.DataFrame([[key] * 1000] * 110)\n"  # 16 bytes a cell, as is counted
    groups.plan(fails=frozenset({0, 4}), more=wide)
    groups.run()
    groups.plan(fails=frozenset({4}), more=wide)
    groups.retry()
    assert groups.files["out.csv.gz"].count(b"\x1f\x8b\x08") > 1
    rows, bad = gzip.decompress(groups.files["out.csv.gz"]), groups.rejected
    groups.run(fresh=True)
    assert (rows, bad) == (gzip.decompress(groups.files["out.csv.gz"]), groups.rejected)


def test_types_that_a_mended_group_widens_are_those_of_a_whole_run_in_parquet(groups: Groups) -> None:
    groups = replace(groups, output="out.parquet")
    groups.run()
    wider = "\nof_some = of_group\ndef of_group(df, key):\n    made = of_some(df, key)\n"
    groups.plan(more=f"{wider}    return made.assign(more=1, at=1.5) if key == 5 else made\n")
    groups.retry()
    mended = groups.files
    groups.run(fresh=True)
    assert mended == groups.files


class Product(muster.Aggregation):
    """A product with a remainder of its own, which fails where that is one of some; it counts the rows that it gets."""

    fails: ClassVar[set[int]] = set()
    rows: ClassVar[list[int]] = []

    def initial(self) -> int:
        return 1

    def update(self, partial: int, rows: Any) -> int:  # noqa: ANN401 (a frame)
        self.rows.append(len(rows))
        for value in rows["value"]:
            partial = partial * (2 * value + 1) % 1009
        return partial

    def combine(self, partial: int, later: int) -> int:
        return partial * later % 1009

    def output(self, partial: int) -> int:
        if partial % 5 in self.fails:
            raise ValueError("no such product")
        return partial


@pytest.mark.parametrize("is_behind_a_step", [False, True])
@pytest.mark.parametrize("sort", [False, True])
def test_keys_that_an_aggregation_of_ones_own_failed_on_are_done_again(
    tmp_path: Path,
    is_behind_a_step: bool,  # noqa: FBT001 (pytest gives it by name)
    sort: bool,  # noqa: FBT001 (likewise)
) -> None:
    rows = pd.DataFrame({"key": [7 if at % 3 else at * at % 31 for at in range(20_000)], "value": range(20_000)})
    rows.to_csv(tmp_path / "in.csv", index=False)
    given = muster.read_csv(tmp_path / "in.csv")
    given = given.map_batches(lambda df: df.assign(key=df["key"] + 1)) if is_behind_a_step else given
    grouped = given.group_by("key").agg(sort=sort, n="count", own=(["value"], Product), sum=("value", "sum"))
    output, rejects = tmp_path / "out.csv", tmp_path / "out.csv.rejects.jsonl"
    pipeline = grouped.write_csv(output)

    def whole(fails: set[int]) -> tuple[bytes, bytes]:
        Product.fails = fails
        quietly(lambda: pipeline.run(workers=0, max_bad_rows=20_000, fresh=True))
        return output.read_bytes(), rejects.read_bytes() if fails else b""

    expected = [whole({1}), whole(set())]
    whole({1, 2, 3})
    bad_rows = len(rejects.read_bytes().splitlines())
    Product.fails, Product.rows[:] = {1}, []
    quietly(lambda: muster.retry(output, pipeline))
    assert (output.read_bytes(), rejects.read_bytes()) == expected[0]
    assert sum(Product.rows) == bad_rows
    Product.fails = set()
    assert muster.retry(output, pipeline).bad_rows == 0
    assert output.read_bytes() == expected[1][0]


# What it refuses


def test_what_cannot_be_put_into_place_is_refused_and_the_output_stays_as_it_is(groups: Groups) -> None:
    groups.run()
    before = groups.text
    wider = "\nof_some = of_group\ndef of_group(df, key):\n    made = of_some(df, key)\n"
    groups.plan(more=f"{wider}    return made.assign(more=1) if key == 5 else made\n")
    with pytest.raises(UsageError, match="give columns, or types of values, that the others do not have"):
        groups.retry()
    assert groups.text == before
    groups.plan()
    groups.retry(fresh=True)
    assert groups.text == whole(groups)


def test_a_retry_that_was_killed_is_refused_once_the_run_is_not_remembered_any_more(groups: Groups, home: Path) -> None:
    groups.run()
    groups.plan()
    assert killed_at(groups, 60)
    for run in (home / "runs").iterdir():
        run.unlink()
    with pytest.raises(UsageError, match=r"Run \S+ is not remembered any more"):
        groups.retry()


def test_rows_before_groups_that_are_others_now_are_refused(tmp_path: Path) -> None:
    groups = Groups(tmp_path, doubles=True)
    groups.frame()
    groups.plan(fails=frozenset({4}))
    groups.run()
    groups.plan(more="\ndef doubled(df):\n    return df\n")
    with pytest.raises(UsageError, match="do not have the rows any more that were rejected: 'doubled' gives others"):
        groups.retry()


Step = Callable[[pd.DataFrame], pd.DataFrame]


def failing_on_4(df: pd.DataFrame) -> pd.DataFrame:
    if 4 in set(df["user"]):
        raise ValueError("no 4")
    return df


REFUSED: Final[dict[str, Callable[[muster.Pipeline], muster.Pipeline]]] = {
    "grouped rows more than once": lambda rows: (
        rows.group_by("user").map_groups(failing_on_4).group_by("user").map_groups(failing_on_4)
    ),
    "had steps behind its groups": lambda rows: (
        rows.group_by("user").map_groups(failing_on_4).map_batches(lambda df: df)
    ),
    "rejected rows before they were in groups": lambda rows: (
        rows.map_batches(failing_on_4).group_by("user").map_groups(failing_on_4)
    ),
    "which is not kept. Define it in a file": lambda rows: (
        rows.map_batches(lambda df: df).group_by("user").map_groups(failing_on_4)
    ),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_cannot_be_done_is_refused_with_its_own_reason(groups: Groups, why: str) -> None:
    pipeline = REFUSED[why](muster.read_csv(groups.folder / "1.csv")).write_csv(groups.folder / "out.csv")
    quietly(lambda: pipeline.run(workers=0, max_bad_rows=99))
    with pytest.raises(UsageError, match=why):
        muster.retry(groups.folder / "out.csv", failing_on_4)


# Killed anywhere


def killed_at(groups: Groups, moment: int) -> bool:
    """Retry in a process that is killed at its so-many-th touch of a file or of the journal; tell whether it was."""
    if child := os.fork():
        return os.waitpid(child, 0)[1] != 0
    left = moment

    def count() -> None:
        nonlocal left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in {"os.rename", "os.remove", "os.link", "os.truncate"} and str(groups.folder) in str(arguments):
            count()

    def trace(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename == journal.__file__ and code.co_name in {"write", "hold", "flush"}:
            count()

    try:
        sys.addaudithook(hook)
        sys.settrace(trace)
        groups.retry()
    finally:
        os._exit(0)


@pytest.mark.parametrize("output", ["out.csv", "out/", "out.parquet"])
def test_killed_anywhere_the_same_again_comes_to_the_same_end(groups: Groups, output: str) -> None:
    groups = replace(groups, output=output)
    groups.run()
    groups.plan(fails=frozenset({4}))
    moment = 1
    while killed_at(groups, moment):
        moment += 4
    assert moment > 40, f"{moment}: too few deaths to come near all of its steps"
    retried = groups.files
    assert "out.csv.rejects.jsonl" in retried or output != "out.csv"
    groups.run(fresh=True)
    assert retried == groups.files
