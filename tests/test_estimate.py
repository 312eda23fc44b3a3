"""How often the range that a sample foretells holds the truth, on costs that are made up: no clock is asked."""

import math
import random
from collections.abc import Callable, Iterator
from itertools import cycle

import pytest

from muster._formats.excerpt import spread_rows
from muster._run.telling.estimate import SampledTask, Trial

ROWS = 20_000
ROUNDS = 60
CALL_SECONDS = 0.002
WORKERS = 2


def seeded(number: int) -> random.Random:
    return random.Random(number)  # noqa: S311 (no secret)


def of_blocks(chance: random.Random) -> Iterator[float]:
    while True:
        yield from [chance.choice([0.0001, 0.003])] * chance.randint(50, 1500)


def by_place(cost: Callable[[random.Random, float], float], chance: random.Random) -> Iterator[float]:
    return (cost(chance, at / ROWS) for at in cycle(range(ROWS)))


COSTS: dict[str, Callable[[random.Random], Iterator[float]]] = {
    "all alike": lambda chance: by_place(lambda *_: 0.001, chance),
    "two kinds, the dear ones more towards the end": lambda chance: by_place(
        lambda one, at: 0.006 if one.random() < 0.2 + 0.3 * at else 0.00006, chance
    ),
    "a long tail": lambda chance: by_place(lambda one, _: 0.0005 * math.exp(one.gauss(0, 1.5)), chance),
    "dearer and dearer": lambda chance: by_place(lambda _, at: 0.0002 + 0.002 * at, chance),
    "neighbours alike": of_blocks,
}


def holds(costs: Iterator[float], chance: random.Random, count: int) -> bool:
    """Foretell by a sample of so many rows, where a run takes its rows' time and a little more or less."""
    cost = [next(costs) for _ in range(ROWS)]
    trial = Trial(ROWS, is_spread=True, before=0.3)
    for at, (lo, hi) in enumerate(spread_rows(ROWS, count)):
        seconds = (CALL_SECONDS + sum(cost[lo:hi])) * chance.uniform(0.97, 1.03)
        trial.tasks.append(SampledTask(str(at % WORKERS), hi - lo, seconds, hi - lo, 100 * (hi - lo)))
    spent = 0.3 + sum(one.seconds for one in trial.tasks) / WORKERS
    low, high = trial.estimate(spent, spent + 0.01, workers=WORKERS).seconds
    return low <= (0.3 + sum(cost) / WORKERS) * chance.uniform(0.97, 1.05) <= high


@pytest.mark.parametrize("count", [300, 1000])
@pytest.mark.parametrize("name", COSTS)
def test_at_least_nine_ranges_in_ten_hold_the_truth(name: str, count: int) -> None:
    held = 0
    for seed in range(ROUNDS):
        chance = seeded(seed)
        held += holds(COSTS[name](chance), chance, count)
    assert held >= 0.9 * ROUNDS


def test_what_a_sample_does_not_hold_it_cannot_foretell() -> None:
    def costs(chance: random.Random) -> Iterator[float]:
        return by_place(lambda one, _: 0.2 if one.random() < 0.002 else 0.0003, chance)

    held = [sum(holds(costs(seeded(at)), seeded(at), n) for at in range(ROUNDS)) for n in (300, 3000)]
    assert held[0] < 0.9 * ROUNDS <= held[1]
