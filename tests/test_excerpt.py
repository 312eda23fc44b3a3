"""Some rows of an input, the first or spread ones, are as those rows are in the output of a whole run."""

import bz2
import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import muster
from conftest import Muster
from muster._formats.excerpt import first_rows, spread_rows

Frame = pd.DataFrame


def marked(frame: Frame) -> Frame:
    return frame.assign(row=frame.index, twice=frame["a"] * 2)


def dropping(frame: Frame) -> Frame:
    return marked(frame)[frame["b"].astype(str).str.len() != 3]


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write rows in the format that the name says."""
    frame = pd.DataFrame(rows)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), path, row_group_size=7)
        return path
    text = io.StringIO()
    if ".jsonl" in path.name:
        text.writelines(json.dumps(row) + "\n" for row in rows)
    else:
        made = csv.DictWriter(text, rows[0], quoting=csv.QUOTE_MINIMAL, lineterminator="\n")
        made.writeheader()
        made.writerows(rows)
    data = text.getvalue().encode()
    if path.suffix == ".gz":
        data = gzip.compress(data)
    path.write_bytes(bz2.compress(data) if path.suffix == ".bz2" else data)
    return path


def some(count: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """Rows of which one, far from most samples, decides the type of a column."""
    odd = count * 2 // 3
    return [
        {"a": n + 0.5 if n == odd else n, "b": f'x "{n}",\n{"y" * ((n + seed) % 5)}' if n % 3 else f"{n}"}
        for n in range(count)
    ]


def blocks(path: Path) -> list[str]:
    """The rows of an output as text, each whole: none begins within a quoted line break."""
    if path.suffix == ".jsonl":
        return path.read_text().splitlines()
    return [json.dumps(row) for row in csv.reader(io.StringIO(path.read_text()))]


FORMATS = ("in.csv", "in.tsv.gz", "in.csv.bz2", "in.jsonl", "in.jsonl.gz", "in.parquet")


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_sample_and_the_first_rows_are_those_of_a_whole_run(tmp_path: Path, name: str, suffix: str) -> None:
    rows = some(300)
    if name.endswith("tsv.gz"):
        text = pd.DataFrame(rows).to_csv(sep="\t", index=False)
        (tmp_path / name).write_bytes(gzip.compress(text.encode()))
    else:
        written(tmp_path / name, rows)
    options: dict[str, Any] = {"workers": 0, "part_bytes": 256}
    whole, first, spread = (tmp_path / f"{kind}{suffix}" for kind in ("whole", "first", "spread"))
    muster.run(marked, tmp_path / name, whole, **options)
    assert muster.run(marked, tmp_path / name, first, limit=41, **options).rows_in == 41
    header = suffix == ".csv"
    assert whole.read_bytes().startswith(first.read_bytes())
    assert len(blocks(first)) == 41 + header
    result = muster.run(marked, tmp_path / name, spread, sample=41, **options)
    assert (result.rows_in, result.estimate and result.estimate.rows) == (41, 300)
    every = blocks(whole)
    places = [every.index(row) for row in blocks(spread)]
    assert len(set(places)) == 41 + header
    assert places == sorted(places)
    fifths = [sum((at - header) // 60 == fifth for at in places[header:]) for fifth in range(5)]
    assert fifths == pytest.approx([8] * 5, abs=4)


@settings(max_examples=12, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 40), min_size=1, max_size=4).filter(any),
    wanted=st.integers(1, 90),
    atom=st.integers(16, 300),
    is_first=st.booleans(),
    seed=st.integers(0, 4),
)
def test_rows_of_any_excerpt_of_any_files_have_the_bytes_of_a_whole_run(  # noqa: PLR0913 (what is drawn)
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], wanted: int, atom: int, seed: int, *, is_first: bool
) -> None:
    folder = tmp_path_factory.mktemp("excerpt")
    (folder / "in").mkdir()
    for at, size in enumerate(sizes):
        name = f"{at}.csv" if at % 2 == 0 else f"{at}.csv.gz"
        written(folder / "in" / name, some(size, seed=seed) or [{"a": "", "b": ""}])
        if not size:
            (folder / "in" / name).write_bytes(b"a,b\n" if at % 2 == 0 else gzip.compress(b"a,b\n"))
    options: dict[str, Any] = {"workers": 0, "part_bytes": atom}
    muster.run(marked, folder / "in", folder / "whole.jsonl", **options)
    chosen: dict[str, Any] = {"limit": wanted} if is_first else {"sample": wanted}
    result = muster.run(marked, folder / "in", folder / "some.jsonl", **chosen, **options)
    every = (folder / "whole.jsonl").read_text().splitlines()
    got = (folder / "some.jsonl").read_text().splitlines()
    stretches = (first_rows if is_first else spread_rows)(len(every), wanted)
    assert got == [every[row] for lo, hi in stretches for row in range(lo, hi)]
    assert result.rows_in == len(got) == min(wanted, len(every))


@given(total=st.integers(0, 10_000), count=st.integers(1, 12_000))
@example(total=36, count=34)
@example(total=1_000, count=999)
def test_a_sample_has_its_share_of_every_region(total: int, count: int) -> None:
    rows = [row for lo, hi in spread_rows(total, count) for row in range(lo, hi)]
    assert len(rows) == len(set(rows)) == min(total, count)
    assert rows == sorted(rows)
    assert all(0 <= row < total for row in rows)
    for tenth in range(10):
        here = sum(total * tenth // 10 <= row < total * (tenth + 1) // 10 for row in rows)
        assert abs(here - len(rows) / 10) <= 2 * 3 * len(rows) / 64 + 3  # two of the longest stretches


def test_bad_rows_of_a_sample_are_told_with_their_place_in_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    lines = ["a,b\n", *(f"{n},x\n" if n % 2 else f"{n},x,too many\n" for n in range(200))]
    path.write_text("".join(lines))
    with pytest.warns(muster.RejectedRowsWarning):
        result = muster.run(marked, path, tmp_path / "out.csv", sample=20, workers=0, max_bad_rows="90%", part_bytes=90)
    rejects = [json.loads(line) for line in (tmp_path / "out.csv.rejects.jsonl").read_text().splitlines()]
    assert result.rows_in == 20 == result.bad_rows + result.rows_out
    for one in rejects:
        assert path.read_bytes()[one["byte_offset"] :].startswith(one["raw"].encode())
        assert one["raw"].startswith(f"{one['row']},")
    assert result.estimate is not None
    assert result.estimate.bad_rows[0] <= 100 <= result.estimate.bad_rows[1]


def test_a_batch_is_never_of_rows_that_do_not_follow_each_other(tmp_path: Path) -> None:
    written(tmp_path / "in.csv", some(2000))

    def spans(frame: Frame) -> Frame:
        return frame.assign(first=frame.index[0], last=frame.index[-1], rows=len(frame))

    muster.run(spans, tmp_path / "in.csv", tmp_path / "out.csv", sample=200, workers=0)
    found = pd.read_csv(tmp_path / "out.csv")
    assert ((found["last"] - found["first"] + 1) == found["rows"]).all()


def test_the_terminal_tells_what_all_would_take_and_json_too(tmp_path: Path, muster: Muster) -> None:
    written(tmp_path / "in.csv", some(500))
    (tmp_path / "f.py").write_text("def f(df):\n    return df\n")
    end = muster("run", "f.py:f", "in.csv", "-o", "out.csv", "--sample", "100", "--workers", "0", "--json")
    assert end.code == 0
    assert "These rows are spread over all 500. A run of all would take" in end.err
    estimate = end.json["estimate"]
    assert (estimate["rows"], estimate["sampled"], estimate["rows_out"]) == (500, 100, [500, 500])
    assert 0 < estimate["seconds"][0] <= estimate["seconds"][1]
    end = muster("run", "f.py:f", "in.csv", "-o", "out.csv", "--limit", "9", "--workers", "0")
    assert "These rows are the first of 500." in end.err
    assert "estimate" not in muster("run", "f.py:f", "in.csv", "-o", "out.csv", "--workers", "0", "--json").json


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--limit", "3", "--sample", "3"], "--limit, or how many of all over, --sample"),
        (["--limit", "0"], "--limit 0: it must be a whole number, 1 or more"),
        (["--sample", "-1"], "--sample -1: it must be a whole number, 1 or more"),
    ],
)
def test_what_no_excerpt_is_is_refused(tmp_path: Path, muster: Muster, flags: list[str], says: str) -> None:
    written(tmp_path / "in.csv", some(5))
    (tmp_path / "f.py").write_text("def f(df):\n    return df\n")
    end = muster("run", "f.py:f", "in.csv", "-o", "out.csv", *flags)
    assert (end.code, says in end.err) == (2, True), end.err


def test_a_sample_that_was_stopped_goes_on_as_a_sample_and_never_as_the_whole_run(
    tmp_path: Path, muster: Muster
) -> None:
    written(tmp_path / "in.csv", some(500))
    (tmp_path / "f.py").write_text(
        "from pathlib import Path\ndef f(df):\n"
        "    if 400 < df.index[0] and not Path('go').exists():\n        raise KeyboardInterrupt\n"
        "    return df.assign(row=df.index)\n"
    )
    sample = ("run", "f.py:f", "in.csv", "-o", "out.csv", "--sample", "64", "--workers", "0")
    assert muster(*sample).code == 130
    (tmp_path / "go").touch()
    refused = muster("run", "f.py:f", "in.csv", "-o", "out.csv", "--workers", "0", "--accept-changes")
    assert (refused.code, "sample was 64, and is not given now" in refused.err) == (2, True), refused.err
    end = muster(*sample, "--accept-changes", "--json")
    assert (end.code, end.json["rows_in"]) == (0, 64), end.err
    assert end.json["resumed_parts"] > 0
    assert muster("run", "f.py:f", "in.csv", "-o", "out.csv", "--workers", "0", "--json").json["rows_in"] == 500
