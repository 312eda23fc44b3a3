"""How rows are grouped, and cut into windows, in the words that the user has typed for it: where that has changed."""

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from muster._model import WINDOW, WINDOW_END, WINDOW_START

_OF_WINDOWS: Final = {WINDOW, WINDOW_START, WINDOW_END}

_OF_GROUPS: Final = "key|made|named|measures|has_key"
_OF_CUTS: Final = "size|every|gap|rows|time|late"
_OF_OWN_STEPS: Final = re.compile(
    rf"the (?:argument '(?:{_OF_GROUPS}|({_OF_CUTS}))'|state) of '(window|times|agg)'( \(step \d+\))?"
)
"""What is known of steps that ``window`` and ``agg`` add, and is told otherwise: the user has not typed it so.

Aggregations of the user's own are none of it.
"""

_UNITS: Final = {"d": 86_400_000_000, "h": 3_600_000_000, "m": 60_000_000, "s": 1_000_000, "ms": 1000}
"""How many microseconds each has."""


def groups_said(said: Sequence[Sequence[Any]] | None) -> str:
    """Say by what rows are grouped, from what the journal keeps of it."""
    each, told = [*(said or ())], list[str]()
    for at, one in enumerate(each):
        if at and _only_sorts(one, each[at - 1]):
            told[-1] = _group(each[at - 1], is_sorted=True)
        else:
            told.append(_group(one))
    return ", then ".join(told) or "not grouped"


def _measures(said: Sequence[Any]) -> list[Sequence[Any]]:
    return [one for each in said[4:] if isinstance(each, list) for one in each]


def _keeps_sums(said: Sequence[Any]) -> bool:
    """Tell whether it is of windows of a stream of which sums are kept: what a window has is worked out at once."""
    return "state" in said and bool(_measures(said))


def _only_sorts(said: Sequence[Any], before: Sequence[Any]) -> bool:
    """Tell whether it puts in order what the windows ``before`` it have: the user has typed ``sort=True`` there."""
    outputs = [one[0] for one in _measures(before)]
    return _keeps_sums(before) and [(one[1], [*one[2]]) for one in _measures(said)] == [("first", [o]) for o in outputs]


def _group(said: Sequence[Any], *, is_sorted: bool = False) -> str:
    _, columns, is_scalar, dropna, *rest = said
    names = [name.removesuffix("()") for name in columns if name not in _OF_WINDOWS]
    is_cut = len(names) < len(columns) or _keeps_sums(said)
    key = repr(names[0]) if len(names) == 1 and (is_scalar or is_cut) else repr(names) if names else "None"
    is_of_states = "state" in rest and not dropna and not is_cut
    call = f"key_by({key})" if is_of_states else f"group_by({key}{', dropna=False' * (not dropna and bool(names))})"
    asked = ["sort=True"] * (is_sorted or True in rest) + [*map(_measure, _measures(said))]
    return call + ".window(...)" * is_cut + (f" with {', '.join(asked)}" if asked else "")


def _measure(said: Sequence[Any]) -> str:
    output, how, columns, is_frame = said
    if not columns:
        return f"{output}='count'"
    return f"{output}=({columns if is_frame else columns[0]!r}, {repr(how) if how else '...'})"


def without_own(facts: Mapping[str, str]) -> dict[str, str]:
    """Leave out what is known of steps that muster has added."""
    return {what: value for what, value in facts.items() if not _is_own(what, facts)}


def _is_own(what: str, facts: Mapping[str, str]) -> bool:
    match = _OF_OWN_STEPS.fullmatch(what)
    name = match[2] if match else ""
    return bool(name) and not any(fact.startswith((f"the function {name!r}", f"the class {name!r}")) for fact in facts)


def windows_said(facts: Mapping[str, str]) -> str:
    """Say which windows rows are cut into."""
    steps = defaultdict[str, dict[str, Any]](dict)
    for what, value in facts.items():
        if (match := _OF_OWN_STEPS.fullmatch(what)) and match[1] and _is_own(what, facts):
            steps[match[3] or ""][match[1]] = json.loads(value)
    return ", then ".join(said for given in steps.values() if (said := _window(given))) or "none"


def _window(given: Mapping[str, Any]) -> str:
    asked = [
        repr(_span(given["size"])) if "size" in given else "",
        f"every={_span(given['every'])!r}" if given.get("every") != given.get("size") else "",
        f"session={_span(given['gap'])!r}" if "gap" in given else "",
        f"rows={given['rows']}" if "rows" in given else "",
    ]
    if not any(asked):
        return ""
    asked += [f"{name}={given[name]!r}" for name in ("time", "late") if given.get(name, "drop") not in {"", "drop"}]
    return f"window({', '.join(filter(None, asked))})"


def _span(microseconds: int) -> str:
    unit = next((unit for unit, size in _UNITS.items() if not microseconds % size), "ms")
    return f"{microseconds / _UNITS[unit]:g}{unit}"
