"""Values are known again in every process by what they hold, whatever they are."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from muster._user_code.content import Contents

ZOO = Path(__file__).parent / "zoo.py"


def zoo(seed: int, n: int) -> "subprocess.Popen[str]":
    environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
    return subprocess.Popen([sys.executable, str(ZOO), str(n)], stdout=subprocess.PIPE, text=True, env=environment)


def test_all_kinds_of_things_are_known_again_in_another_process_and_told_apart() -> None:
    processes = [zoo(1, 1), zoo(2, 1), zoo(3, 2)]
    told = [process.communicate(timeout=120)[0] for process in processes]
    (changes, stays), (again, stays_again), (others, stays_there) = [json.loads(text) for text in told]
    assert changes == again
    assert stays == stays_again == stays_there
    assert [name for name in changes if changes[name] == others[name]] == []
    odd = [name for name, facts in (changes | stays).items() if any(value.startswith("?") for value in facts.values())]
    assert odd == []


def digest(value: object) -> bytes:
    return Contents(named=lambda one: getattr(one, "__qualname__", "?"), parts=lambda _: []).digest(value)


PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.binary(max_size=3)
KEYS = st.integers(-3, 3) | st.text(max_size=2) | st.booleans()
VALUES = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=4)
        | st.frozensets(KEYS, max_size=4)
    ),
    max_leaves=12,
)


def canonical(value: Any) -> str:  # noqa: ANN401 (any value)
    """Write a value with the types of all that it holds; sets in an order of their own."""
    if isinstance(value, dict):
        return f"dict{[canonical(item) for item in value.items()]}"
    if isinstance(value, frozenset):
        return f"frozenset{sorted(map(canonical, value))}"
    if isinstance(value, list | tuple):
        return f"{type(value).__name__}[{', '.join(map(canonical, value))}]"
    return f"{type(value).__name__}:{value!r}"


@settings(max_examples=300, deadline=None)
@given(VALUES, VALUES)
def test_digests_are_equal_where_values_are(one: object, other: object) -> None:
    assert (digest(one) == digest(other)) == (canonical(one) == canonical(other))
    assert digest([one, one]) == digest([one, copied(one)])


def copied(value: Any) -> Any:  # noqa: ANN401 (any value)
    """Make another object of the same content."""
    if isinstance(value, dict):
        return {key: copied(held) for key, held in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(copied, value))
    return value


def test_a_column_of_text_is_known_by_its_values_however_it_lies_in_memory() -> None:
    def digest(values: list[str | None], *, cut: int = 0, before: int = 0) -> bytes:
        column = pd.concat([pd.Series(part, dtype="str") for part in (["x"] * before + values[:cut], values[cut:])])
        return Contents(named=lambda _: None, parts=lambda one: [one]).digest(
            column.reset_index(drop=True)[before:].reset_index(drop=True)
        )

    columns: list[list[str | None]] = [["a", None, ""], ["", "a", None], ["a", "", None], ["ab", "c"], ["a", "bc"], []]
    assert len({digest(one) for one in columns}) == len(columns)
    for one in columns:
        assert {digest(one, cut=cut, before=before) for cut in (0, 1) for before in (0, 2)} == {digest(one)}
