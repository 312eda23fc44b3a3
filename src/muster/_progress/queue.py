"""The parts of the input that wait to be handed out, and how large the next task is. Pure."""

from bisect import bisect, insort
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from typing import Final

from muster._model import Part, Task

from .paces import Paces

TASK_SECONDS: Final = 1.0
"""How long a task should take: long enough that handing it over costs nothing, short enough to see and to lose."""

TASK_SECONDS_A_WORKER: Final = 0.02
"""How long it should take at least for each worker that there is, as one process hands them all out."""

LONGEST_TASK_SECONDS: Final = 10.0
"""A task that is lost costs no more than this, and a bar moves."""

LARGEST_TASK: Final = 8 << 20
"""Bytes of input: a worker's memory stays some ten times that."""

FIRST_TASK: Final = 32 << 10
"""How large one is while nobody knows how long the function takes."""

FIRST_TASK_WITHOUT_CALLS: Final = 1 << 20
"""How large one is while nobody knows how long it takes, where nothing of the user's is called: that is little."""

LEAST_SECONDS: Final = 0.02
"""How long a task takes at least: to hand one over and to begin it is as much as some milliseconds of work. Weighed: no
worker that is done waits for another one longer than that."""

_LEAST_SHARE: Final = 1 / 32
"""Of the input: no task need be larger. So of a small one there are several batches, of several sizes, from whose
results the user can be warned that they are those of batches."""

LEAST_SECONDS_WITHOUT_CALLS: Final = 0.05
"""Where nothing of the user's is called, whatever is left: a task then also reads what all before it have written."""

SHORTEST_TASK_SECONDS: Final = 0.2
"""No part is cut into tasks that are shorter: what it costs to hand one over is felt then."""

_MOST_PIECES: Final = 8
"""Of a part, as what becomes of each takes memory for as long as the run lasts."""

_SPARE_ROUNDS: Final = 2
"""How many tasks each worker should find at the least: what is left is cut smaller then, so that all end together."""


class Queue:
    """Stretches of parts, in order, by the numbers of the first part and of the one behind the last."""

    def __init__(
        self,
        *,
        workers: int,
        volume: int | None,
        unit_bytes: int,
        most_files: int,
        groups: AbstractSet[tuple[int, int]] = frozenset(),
    ) -> None:
        """Begin without parts; what these mean, ``Progress`` says."""
        self.paces = Paces()
        self.parts: list[Part] = []
        self.volumes: list[int] = []
        """Which volume of the output each part belongs to."""
        self.weight = 0
        """How much waits, in bytes (rows for Parquet)."""
        self._known = 0
        """How much of the input there is by now, likewise."""
        self._volume = volume
        self._in_volume = 0
        self._unit_bytes = unit_bytes
        self.calls_nothing = False
        """Whether tasks call nothing of the user's: each row is known to take little time."""
        self._most_files = most_files
        self._groups = groups
        self._waiting: list[tuple[int, int]] = []
        self.workers = workers

    @property
    def workers(self) -> int:
        """Tell how many workers there are, or will be."""
        return self._workers

    @workers.setter
    def workers(self, count: int) -> None:
        self._workers = count
        self._task_seconds = min(max(TASK_SECONDS, count * TASK_SECONDS_A_WORKER), LONGEST_TASK_SECONDS)

    @property
    def _spare_tasks(self) -> int:
        return self._workers * _SPARE_ROUNDS

    def __bool__(self) -> bool:
        """Tell whether any part waits."""
        return bool(self._waiting)

    def __iter__(self) -> Iterator[int]:
        """Go through the numbers of the parts that wait."""
        return (index for first, last in self._waiting for index in range(first, last))

    def add(self, parts: Iterable[Part]) -> None:
        """Take more of the input, in order."""
        known = len(self.parts)
        for part in parts:
            if self._volume and self._in_volume >= self._volume:
                self.volumes.append(self.volumes[-1] + 1)
                self._in_volume = 0
            else:
                self.volumes.append(self.volumes[-1] if self.volumes else 0)
            weight = weight_of(part)
            self._known += weight
            self._in_volume += weight
            self.parts.append(part)
        self.put_back(known, len(self.parts))

    def put_back(self, first: int, last: int) -> None:
        """Have parts wait, again."""
        if first == last:
            return
        self.weight += sum(map(weight_of, self.parts[first:last]))
        if self._waiting and self._waiting[-1][1] == first:
            self._waiting[-1] = (self._waiting[-1][0], last)
        else:
            insort(self._waiting, (first, last))

    def keep(self, waits: Callable[[int], bool]) -> None:
        """Forget the parts that need not wait any more."""
        left = [index for index in self if waits(index)]
        self._waiting, self.weight = [], 0
        for index in left:
            self.put_back(index, index + 1)

    def take_out(self, index: int) -> None:
        """Take one part, wherever it stands."""
        at = bisect(self._waiting, (index, len(self.parts))) - 1
        first, last = self._waiting[at]
        self._waiting[at : at + 1] = [one for one in ((first, index), (index + 1, last)) if one[0] < one[1]]
        self.weight -= weight_of(self.parts[index])

    def take(self, machine: str, *, joins: Callable[[int], bool]) -> tuple[int, int]:
        """Take the parts of a machine's next task; ``joins`` tells whether a part may go with the part before it."""
        first, end = self._waiting[0]
        last = self._end_of_task(first, end, most=self._size(machine), joins=joins)
        if self._groups:
            last = self._end_of_group(first, last, end, most=self._longest(machine), joins=joins)
        self.weight -= self._weigh(first, last)
        if last < end:
            self._waiting[0] = (last, end)
        else:
            del self._waiting[0]
        return first, last

    def _end_of_task(self, first: int, end: int, *, most: float, joins: Callable[[int], bool]) -> int:
        """Find out how far a task goes that begins with a part."""
        weight, last, files = weight_of(self.parts[first]), first + 1, 1
        while last < end and weight + (more := weight_of(self.parts[last])) <= most and joins(last):
            files += self.parts[last].file != self.parts[last - 1].file
            if files > self._most_files:
                break
            weight += more
            last += 1
        return last

    def _end_of_group(self, first: int, last: int, end: int, *, most: float, joins: Callable[[int], bool]) -> int:
        """Have a task go on to the end of its group, unless that is too much: who reads the rest reads all again."""
        weight, stop = self._weigh(first, last), last
        while stop < end and joins(stop) and not self._begins_a_group(stop):
            weight += weight_of(self.parts[stop])
            if weight > most:
                return last
            stop += 1
        return stop

    def _begins_a_group(self, index: int) -> bool:
        """Tell whether a part is the first of its group, or of its file: not of every file are groups known."""
        part = self.parts[index]
        return part.file != self.parts[index - 1].file or (part.file, part.row) in self._groups

    def _longest(self, machine: str) -> float:
        """Tell how large a task may be that goes on: a task's time, and so that as much is left for each worker."""
        return min(self.paces.of(machine) * self._task_seconds, self.weight / self._workers)

    def _weigh(self, first: int, last: int) -> int:
        return weight_of(self.parts[first]) if last - first == 1 else sum(map(weight_of, self.parts[first:last]))

    @property
    def _first_size(self) -> float:
        """Tell how large a task is at most while nobody knows how long one takes."""
        return (FIRST_TASK_WITHOUT_CALLS if self.calls_nothing else FIRST_TASK) / self._unit_bytes

    @property
    def _largest_size(self) -> float:
        """Tell how large any task is at most, but one of a single part."""
        return LARGEST_TASK / self._unit_bytes

    def has_plenty(self) -> bool:
        """Tell whether there is work enough to hand some of it out ahead of time: more than a mean task for each."""
        return self.weight > self._spare_tasks * min(self.paces.mean * self._task_seconds, self._largest_size)

    def _size(self, machine: str) -> float:
        """Size a machine's next task: by what a worker of it does in the time that a task should take.

        It is less towards the end, so that none idles, and for a machine that has done nothing yet.
        """
        mean = self.paces.mean
        share = self.weight / self._spare_tasks
        if not mean:
            return min(self._first_size, share / _SPARE_ROUNDS)
        if not (pace := self.paces.of(machine)):
            return min(self._first_size, mean * self._task_seconds, share / _SPARE_ROUNDS)
        if self.calls_nothing:
            least = pace * LEAST_SECONDS_WITHOUT_CALLS
        else:
            least = min(pace * LEAST_SECONDS, self._known * _LEAST_SHARE, self.weight / self._workers)
        return min(pace * self._task_seconds, self._largest_size, max(share * pace / mean, least))

    def pieces_of(self, index: int, machine: str) -> int:
        """Tell into how many tasks a part is best cut that was just taken for a machine: several towards the end.

        Else the last parts would be with a few workers, and all others would wait for these.
        """
        mean, weight = self.paces.mean, weight_of(self.parts[index])
        if not mean:  # nobody knows how long it takes
            return 1
        pace = self.paces.of(machine) or mean
        share = (self.weight + weight) / self._spare_tasks * pace / mean
        return min(max(int(weight / max(share, pace * SHORTEST_TASK_SECONDS)), 1), _MOST_PIECES)

    def learn(self, task: Task, *, seconds: float, machine: str) -> None:
        """Know how long a machine took for some parts, or for a share of their rows."""
        if seconds > 0:
            share = (task.hi - task.lo) / task.rows if task.rows else 1.0
            self.paces.learn(machine, self._weigh(task.first, task.last) * share / seconds)


def weight_of(part: Part) -> int:
    """Tell how much input a part is, in bytes (rows for Parquet)."""
    return part.stop - part.start or 1  # asked several times for every part there is
