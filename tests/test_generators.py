"""Random numbers: other rows get other ones, the same rows the same, wherever a generator hides and whoever draws."""

import functools
import pickle
import random
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pytest

import muster
from conftest import Muster
from muster._model import Target
from muster._user_code.loading import Loaded
from muster._user_code.targets import of_function

Draw = Callable[[int], list[float]]


def in_closure() -> Draw:
    generator = np.random.default_rng()
    return lambda count: generator.random(count).tolist()


def in_a_bound_method() -> Draw:
    draw = np.random.default_rng(1).random
    return lambda count: draw(count).tolist()


def in_a_default() -> Draw:
    def draw(count: int, generator: np.random.RandomState = np.random.RandomState(7)) -> list[float]:  # noqa: B008
        return list(generator.rand(count))

    return draw


def in_an_object_of_a_list() -> Draw:
    class Holder:
        __slots__ = ("generator",)

        def __init__(self) -> None:
            self.generator = random.Random(3)  # noqa: S311

    holders = [{"one": Holder()}]
    return lambda count: [holders[0]["one"].generator.random() for _ in range(count)]


def in_a_class() -> Draw:
    class Drawing:
        generator = np.random.Generator(np.random.Philox(5))

        def __call__(self, count: int) -> list[float]:
            return list(self.generator.random(count))

    return Drawing  # type: ignore[return-value]  # it is built by whoever loads it


def in_a_partial() -> Draw:
    def draw(generator: np.random.Generator, count: int) -> list[float]:
        return list(generator.random(count))

    return functools.partial(draw, np.random.default_rng(4))


def in_what_it_calls() -> Draw:
    code = "import numpy as np\nshared = np.random.default_rng()\ndef inner(count):\n    return shared.random(count)\n"
    module = types.ModuleType("made")
    exec(code + "def draw(count):\n    return inner(count).tolist()\n", vars(module))  # noqa: S102
    draw: Draw = vars(module)["draw"]
    return draw


def in_what_it_spawns() -> Draw:
    generator = np.random.default_rng(2)
    return lambda count: generator.spawn(1)[0].random(count).tolist()


def in_a_legacy_state_of_other_bits() -> Draw:
    generator = np.random.RandomState(np.random.SFC64(1))
    return lambda count: generator.rand(count).tolist()


def in_pythons_own() -> Draw:
    return lambda count: [random.random() for _ in range(count)]  # noqa: S311


def in_numpys_own() -> Draw:
    return lambda count: np.random.rand(count).tolist()  # noqa: NPY002


PLACES: Final = [
    *(in_closure, in_a_bound_method, in_a_default, in_an_object_of_a_list, in_a_class, in_a_partial),
    *(in_what_it_calls, in_what_it_spawns, in_a_legacy_state_of_other_bits, in_pythons_own, in_numpys_own),
]


def drawn(target: Target, *rows: int, count: int = 4) -> list[list[float]]:
    """Draw as a worker that gets the batches which begin with these rows."""
    worker = Loaded()
    try:
        numbers: list[list[float]] = []
        for row in rows:
            worker.sow((target,), 0, row)
            numbers.append(list(worker.get(target)(count)))  # type: ignore[call-overload]
    finally:
        worker.end()
    return numbers


@pytest.mark.parametrize("place", PLACES)
def test_each_batch_has_numbers_of_its_own_whoever_draws_them(place: Callable[[], Draw]) -> None:
    random.seed(11)
    np.random.seed(11)  # noqa: NPY002
    ours = of_function(place())
    theirs = pickle.loads(pickle.dumps(ours).replace(ours.own.encode(), b"0" * len(ours.own)))  # noqa: S301
    first, second, third = drawn(theirs, 0, 100, 200)
    assert len({*first, *second, *third}) == 12
    assert drawn(theirs, 200, 100) == [third, second]
    assert drawn(ours, 100, 0) == [second, first]


def test_what_was_drawn_from_meanwhile_has_its_state_again_when_the_run_is_over() -> None:
    own, pythons, numpys = np.random.default_rng(6), random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]  # noqa: NPY002
    before = own.bit_generator.state
    drawn(of_function(lambda _: [own.random(), random.random(), float(np.random.rand())]), 0, 50)  # noqa: NPY002, S311
    assert own.bit_generator.state == before
    assert random.getstate() == pythons
    assert np.random.get_state()[1].tolist() == numpys  # type: ignore[index]  # noqa: NPY002


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text("a\n" + "".join(f"{at}\n" for at in range(900)))
    return path


def test_any_number_of_workers_draws_the_same_for_the_same_batches_and_each_run_anew(
    tmp_path: Path, muster: Muster, rows: Path
) -> None:
    (tmp_path / "seeded.py").write_text(
        "import random\nimport numpy as np\nnp.random.seed(42)\nrandom.seed(42)\n"
        "generator = np.random.default_rng(42)\ndef draw(df):\n"
        "    drawn = [random.random() for _ in range(len(df))]\n"
        "    return df.assign(b=np.random.rand(len(df)), c=generator.random(len(df)), d=drawn)\n"
    )
    (tmp_path / "unseeded.py").write_text((tmp_path / "seeded.py").read_text().replace("seed(42)", "seed()"))
    outputs = []
    for at, (file, workers) in enumerate([("seeded", 0), ("seeded", 2), ("unseeded", 2)]):
        out = f"{at}.csv"
        ended = muster("run", f"{file}.py:draw", rows, "-o", out, "--workers", str(workers), "--batch-rows", "100")
        assert ended.code == 0, ended.err
        outputs.append(pd.read_csv(tmp_path / out))
        assert outputs[-1][["b", "c", "d"]].nunique().tolist() == [900, 900, 900]
    pd.testing.assert_frame_equal(outputs[0], outputs[1])
    assert not (outputs[1]["b"] == outputs[2]["b"]).any()


def test_two_runs_of_one_process_draw_other_numbers(tmp_path: Path, rows: Path) -> None:
    generator = np.random.default_rng()

    def draw(df: Any) -> Any:  # noqa: ANN401 (a frame)
        return df.assign(b=generator.random(len(df)))

    for at in range(2):
        muster.run(draw, rows, tmp_path / f"{at}.csv", workers=0)
    drawn = [pd.read_csv(tmp_path / f"{at}.csv")["b"] for at in range(2)]
    assert not (drawn[0] == drawn[1]).any()
