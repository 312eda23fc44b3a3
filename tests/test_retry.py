"""``muster retry``: after the function is mended, the output is the one that a whole run would write."""

import gzip
import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import muster

COUNT: Final = 60
OUTPUTS: Final = (
    *("out.csv", "out.tsv", "out.jsonl", "out.parquet", "out.csv.gz", "out.jsonl.zst", "csv/", "parquet/"),
)
INPUTS: Final = ("in.csv", "in.tsv", "in.jsonl", "in.parquet", "in.csv.gz", "two/")
FUNCTION: Final = """
import json, pathlib
import pandas as pd
PLAN = json.loads((pathlib.Path(__file__).parent / "plan.json").read_text())

def f(df):
    if bad := sorted(set(df["n"]) & set(PLAN["fails"])):
        raise ValueError(f"{bad[0]} is bad")
    frame = df.loc[df.index.repeat([PLAN["times"].get(str(n), 1) for n in df["n"]])]
    frame = frame.assign(m=[n + 0.5 if n in PLAN["halves"] else n * 2 for n in frame["n"]])
    if PLAN["wide"] and set(frame["n"]) & set(PLAN["wide"]):
        frame = frame.assign(extra=[f"w{n}" if n in PLAN["wide"] else None for n in frame["n"]])
    return frame
"""


@dataclass(frozen=True)
class Plan:
    """Which rows the function fails on, how often it gives each, and what it makes of some."""

    fails: frozenset[int]
    times: dict[str, int] = field(default_factory=dict)
    halves: frozenset[int] = frozenset()
    wide: frozenset[int] = frozenset()

    def write(self, folder: Path) -> None:
        said = {name: sorted(rows) for name in ("fails", "halves", "wide") if (rows := getattr(self, name)) is not None}
        (folder / "f.py").write_text(FUNCTION)
        (folder / "plan.json").write_text(json.dumps({**said, "times": self.times}))


def rows_in(folder: Path, name: str, *, unreadable: Sequence[int] = ()) -> Path:
    """Write numbered rows in a format; in text, some with a cell too many."""
    frame = pd.DataFrame({"n": range(COUNT), "text": [f"row {n}" * (n % 5) for n in range(COUNT)]})
    path = folder / name
    if name == "two/":
        path.mkdir()
        half = COUNT // 2
        frame[:half].to_csv(path / "a.csv", index=False)
        frame[half:].to_csv(path / "b.csv", index=False)
    elif name.endswith(".parquet"):
        frame.to_parquet(path, row_group_size=23)
    elif name.endswith(".jsonl"):
        frame.to_json(path, orient="records", lines=True)
    else:
        lines = frame.to_csv(index=False, sep="\t" if ".tsv" in name else ",").splitlines()
        lines = [line + (",,,\t\t\t" if at - 1 in unreadable else "") for at, line in enumerate(lines)]
        data = "\n".join([*lines, ""]).encode()
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def content(output: Path) -> dict[str, bytes]:
    """Read an output, a file or a folder, and its rejects."""
    files = sorted(output.iterdir()) if output.is_dir() else [output]
    rejects = output.with_name(output.name + ".rejects.jsonl")
    found = {path.name if output.is_dir() else "": path.read_bytes() for path in files}
    return found | ({"rejects": rejects.read_bytes()} if rejects.exists() else {})


def quietly(call: Callable[[], muster.Result]) -> muster.Result:
    with warnings.catch_warnings(action="ignore", category=UserWarning):
        return call()


ROWS = st.frozensets(st.integers(0, COUNT - 1), max_size=12)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    fails=ROWS,
    mended=ROWS,
    times=st.dictionaries(st.integers(0, COUNT - 1).map(str), st.integers(0, 3), max_size=8),
    halves=ROWS,
    wide=ROWS,
    unreadable=st.frozensets(st.integers(0, COUNT - 1), max_size=3),
    given=st.sampled_from(INPUTS),
    output=st.sampled_from(OUTPUTS),
    part_bytes=st.sampled_from([40, 150, 10_000]),
    batch_rows=st.sampled_from([None, None, 7]),
)
def test_output_and_rejects_are_those_of_a_whole_run_of_the_function_as_it_is_now(  # noqa: PLR0913, PLR0917 (what may differ)
    fails: frozenset[int],
    mended: frozenset[int],
    times: dict[str, int],
    halves: frozenset[int],
    wide: frozenset[int],
    unreadable: frozenset[int],
    given: str,
    output: str,
    part_bytes: int,
    batch_rows: int | None,
) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        rows = rows_in(folder, given, unreadable=sorted(unreadable))
        options: dict[str, Any] = {"workers": 0, "max_bad_rows": COUNT, "part_bytes": part_bytes}
        options["batch_rows"] = batch_rows
        target, place = f"{folder}/f.py:f", folder / output
        plan = Plan(fails | {7}, times, halves, wide)
        whole = folder / "whole" / output
        whole.parent.mkdir()

        def run(to: Path) -> muster.Result:
            name = f"{to}/" if output.endswith("/") else str(to)
            given_path = f"{rows}/" if given == "two/" else str(rows)
            return quietly(lambda: muster.run(target, given_path, name, **options))

        plan.write(folder)
        before = run(place)
        for still in (fails & mended, frozenset[int]()):
            if not before.bad_rows:
                break
            Plan(still, times, halves, wide).write(folder)
            before = quietly(lambda: muster.retry(f"{place}/" if output.endswith("/") else place))
            after = run(whole)
            assert content(place) == content(whole)
            assert (before.rows_in, before.rows_out, before.bad_rows) == (after.rows_in, after.rows_out, after.bad_rows)
        assert not list(folder.glob("*.muster"))
