"""A row buffer before a parallel step: readings of several files, in packs of exactly 100, whatever files they are in.

Run ``python examples/row_buffer.py``. The buffer is a step with one state for all rows: it holds rows back until a pack
is full, and gives the rest at the end. The step behind it gets a pack at a time, on all workers.
"""

from typing import Any

import numpy as np
import pandas as pd

import muster

PACK = 100


class Buffer:
    """Gives rows as soon as a pack is full; the column ``pack`` says its number."""

    def __call__(self, df: pd.DataFrame, states: dict[None, dict[str, Any]]) -> pd.DataFrame:
        state = states[None]
        rows = pd.concat([state["rows"], df]) if state else df
        packs, full = state.get("packs", 0), len(rows) // PACK * PACK
        state["rows"], state["packs"] = rows[full:], packs + full // PACK
        return rows[:full].assign(pack=packs + np.arange(full) // PACK)

    def at_end(self, states: dict[None, dict[str, Any]]) -> pd.DataFrame:
        state = states[None]
        return pd.DataFrame(state["rows"]).assign(pack=state["packs"])


def labelled(pack: pd.DataFrame) -> pd.DataFrame:
    """Say which readings are far from those of their pack: a function that wants all of it at once."""
    is_far = (pack["reading"] - pack["reading"].mean()).abs() > 2 * pack["reading"].std()
    return pack.assign(label=np.where(is_far, "unusual", "usual"), of=len(pack))


if __name__ == "__main__":
    readings = pd.DataFrame({"reading": [(at * 7919 % 1000) / 10 + 200 * (at % 97 == 0) for at in range(2_350)]})
    for at in range(3):
        readings[at * 800 : (at + 1) * 800].to_csv(f"readings{at}.csv", index=False)
    buffered = muster.read_csv("readings*.csv").map_batches(Buffer, state=dict)
    buffered.group_by("pack").map_groups(labelled).write_csv("labels.csv").run(workers=2)
    labels = pd.read_csv("labels.csv")
    sizes, unusual = labels.groupby("pack").size(), (labels["label"] == "unusual").sum()
    print(f"{len(labels):,} readings in {len(sizes)} packs, the last of {sizes.iloc[-1]}; {unusual} are unusual")
