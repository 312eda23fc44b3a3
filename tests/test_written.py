"""What is told to type for a column of text that should be dates or numbers works when it is typed."""

import re
import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import Muster
from muster._dialects import Reading
from muster._show.arguments import in_python
from muster._worker.written import as_dates, as_numbers

YEARS = "def years(df):\n    return df.assign(y=df['Datum'].dt.year)\n"
DOUBLED = "def doubled(df):\n    return df.assign(y=df['Preis'] * 2.5)\n"
DATES = [
    ("iso", ["2025-10-05", "2025-10-31"], []),
    ("points", ["05.10.2025", "06.10.2025"], []),
    ("points that were asked for", ["05.10.2025", "31.10.2025"], ["--parse-dates", "Datum"]),
    ("points and a time", ["05.10.2025 14:30", "31.10.2025 08:00"], []),
    ("day first", ["05/10/2025", "31/10/2025"], []),
    ("a stray cell", ["05.10.2025", "k.A.", "31.10.2025"], []),
    ("a stray cell among dates", ["2025-10-05", "offen", "2025-10-31"], ["--parse-dates", "Datum"]),
    ("words", ["5 Oct 2025", "31 Oct 2025"], []),
]
NUMBERS = [
    ("plain but for a word", ["1.5", "2", "k.A.", "3"], []),
    ("commas", ["1,5", "2,25", "10"], []),
    ("points and commas", ["1.250,50", "2,5", "1.000.000", "7"], []),
    ("commas and points", ["1,250.50", "2.5", "7"], []),
    ("both, and a word", ["1.250,50", "2,5", "n. v.", "7"], []),
    ("another word after one", ["1", "x y", "offen", "3", "4"], ["--na-values", "x y"]),
]


def cure_and_end(folder: Path, muster: Muster, case: tuple[str, str, list[str], list[str]]) -> tuple[str, list[str]]:
    """Run a function that takes text for something else; then type what the error says, and list the results."""
    code, name, cells, typed = case
    (folder / "f.py").write_text(code)
    (folder / "rows.csv").write_text(f"{name};n\n" + "".join(f"{cell};1\n" for cell in cells * 5))
    command = ["run", f"f.py:{code[4:].partition('(')[0]}", "rows.csv", "-o", "out.csv", "--sep", ";", "--workers", "0"]
    failed = muster(*command, *typed)
    assert failed.code == 1, failed.err
    told = re.search(r"is text here[^:]*: (--.*) makes it", failed.err)
    assert told, failed.err
    done = muster(*command, *typed, *shlex.split(told[1]), "--strict")
    assert done.code == 0, (told[1], done.err)
    return told[1], [line.rpartition(",")[2] for line in (folder / "out.csv").read_text().splitlines()[1:]]


@pytest.mark.parametrize(("cells", "typed"), [case[1:] for case in DATES], ids=[case[0] for case in DATES])
def test_what_makes_a_column_dates_does_so_when_it_is_typed(
    tmp_path: Path, muster: Muster, cells: list[str], typed: list[str]
) -> None:
    _, years = cure_and_end(tmp_path, muster, (YEARS, "Datum", cells, typed))
    assert {float(year) for year in years if year} == {2025}
    assert years.count("") == 5 * sum("2025" not in cell for cell in cells)


@pytest.mark.parametrize(("cells", "typed"), [case[1:] for case in NUMBERS], ids=[case[0] for case in NUMBERS])
def test_what_makes_a_column_numbers_does_so_when_it_is_typed(
    tmp_path: Path, muster: Muster, cells: list[str], typed: list[str]
) -> None:
    told, results = cure_and_end(tmp_path, muster, (DOUBLED, "Preis", cells, typed))
    assert results.count("") == 5 * sum(not re.search(r"\d", cell) for cell in cells)
    first = {"1.250,50": 3126.25, "1,250.50": 3126.25, "1.5": 3.75, "1,5": 3.75, "1": 2.5}
    assert float(results[0]) == first[cells[0]], told


def test_python_is_told_lists_where_an_argument_is_one() -> None:
    assert in_python("--parse-dates 'a,b' --date-format '%d.%m.%Y' --na-values 'k.A.' --decimal ',' makes it") == (
        "parse_dates=['a', 'b'] date_format='%d.%m.%Y' na_values=['k.A.'] decimal=',' makes it"
    )
    assert in_python("See --na-values.") == "See na_values."


def test_where_day_and_month_may_be_either_both_are_told() -> None:
    found = as_dates("d", ["05/10/2025", "06/11/2025"], Reading())
    assert found is not None
    assert (found.typed, found.month_first) == ("--parse-dates 'd'", True)


@given(st.lists(st.text("0123456789.,' -kA", max_size=9).filter(str.strip), min_size=1, max_size=6))
def test_of_any_cells_only_a_minority_is_made_missing(cells: list[str]) -> None:
    for looks in (as_dates, as_numbers):
        found = looks("a", cells, Reading())
        assert found is None or sum(cell in found.strays for cell in cells) * 2 < len(cells)
