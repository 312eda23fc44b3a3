"""Small questions put to a worker together: a small file is looked at sooner than a question about it is sent."""

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

_MOST: Final = 64
"""Questions that travel together: more would keep one worker busy while others wait."""

_BYTES: Final = 1 << 20
"""To be read for one bundle; a question that reads so much is put by itself."""
_SHARES: Final = 4
"""How many bundles each worker gets, at the least, so that all end at about the same time."""


class Bundle(NamedTuple):
    """Ask several questions at once."""

    questions: tuple[Any, ...]

    def answer(self) -> list[Any]:
        """Answer them in order. Raises what one of them raises."""
        return [question.answer() for question in self.questions]


class WaitingQuestions:
    """Questions that wait to be put, by their numbers; those that tell a ``weight``, in bytes, are put together."""

    def __init__(self, questions: Sequence[Any], numbers: Iterable[int]) -> None:
        """Begin with some of these questions, in order."""
        self._questions = questions
        self._numbers = list(numbers)[::-1]
        self._alone: set[int] = set()

    def __bool__(self) -> bool:
        """Tell whether any waits."""
        return bool(self._numbers)

    def again(self, numbers: Sequence[int]) -> None:
        """Put these once more, each by itself: whatever went wrong with them is told of the one whose fault it is."""
        self._alone.update(numbers)
        self._numbers += reversed(numbers)

    def take(self, *, workers: int) -> tuple[list[int], Any]:
        """Take the next, or the next few, as one question; one must be waiting."""
        numbers = [self._numbers.pop()]
        weight, most = self._weight(numbers[0]), min(len(self._numbers) // (_SHARES * max(workers, 1)), _MOST)
        while len(numbers) < most and weight + (more := self._weight(self._numbers[-1])) <= _BYTES:
            numbers.append(self._numbers.pop())
            weight += more
        questions = [self._questions[number] for number in numbers]
        return numbers, questions[0] if len(questions) == 1 else Bundle(tuple(questions))

    def _weight(self, number: int) -> int:
        own = getattr(self._questions[number], "weight", _BYTES)
        return _BYTES + 1 if number in self._alone else own
