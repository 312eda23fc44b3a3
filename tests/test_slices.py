"""Stretches of a frame: what ``iloc`` gives, in whatever order they are asked for, and nobody else's."""

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from muster._worker.slices import Slices

SIZES = st.lists(st.sampled_from([0, 1, 2, 5, 1023, 1024, 3000]), min_size=1, max_size=12)


@settings(max_examples=30)  # a few sizes that differ are enough
@given(sizes=SIZES, data=st.data())
def test_stretches_are_what_iloc_gives_in_any_order(sizes: list[int], data: st.DataObject) -> None:
    rows = sum(sizes)
    frame = pd.DataFrame({"x": np.arange(rows), "t": pd.Series(["é", None] * rows)[:rows]}, index=np.arange(rows)[::-1])
    hi = np.cumsum(sizes)
    asked = data.draw(st.permutations([at for at, size in enumerate(sizes) if size]))
    turned = data.draw(st.permutations(range(len(sizes))))
    lo, hi = (hi - sizes)[turned], hi[turned]
    for whole in (frame, frame["x"]):
        slices = Slices(whole, lo, hi)
        for number in [turned.index(at) for at in asked]:
            expected = whole.iloc[lo[number] : hi[number]]
            assert slices[number].equals(expected)
            assert slices[number].index.equals(expected.index)


def test_a_small_stretch_that_is_changed_changes_no_other_and_not_the_frame() -> None:
    frame = pd.DataFrame({"x": [1, 2, 3, 4]})
    slices = Slices(frame, [0, 2], [2, 4])
    slices[0].loc[:, "x"] = 9
    slices[0]["y"] = 1
    assert slices[1]["x"].tolist() == [3, 4]
    assert frame["x"].tolist() == [1, 2, 3, 4]
