"""The parts of the input that wait to be handed out, in order; of a part that is large some rows at a time. Pure."""

from bisect import bisect, insort
from collections.abc import Callable, Iterable, Iterator

from muster._model import Part, Task

from .cuts import task_of


class Queue:
    """Stretches of parts, in order, by the numbers of the first part and of the one behind the last."""

    def __init__(self, *, volume: int | None, most_files: int, batch_rows: int | None = None) -> None:
        """Begin without parts; what these mean, ``Progress`` says."""
        self.parts: list[Part] = []
        self.volumes: list[int] = []
        """Which volume of the output each part belongs to."""
        self.weight = 0
        """How much waits, in bytes (rows for Parquet)."""
        self._volume = volume
        self._in_volume = 0
        self._most_files = most_files
        self._grain = batch_rows or 1
        self._waiting: list[tuple[int, int]] = []
        self._begun: dict[int, int] = {}
        """Parts of which rows were taken: the row that those which wait begin with."""

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
            self._in_volume += weight_of(part)
            self.parts.append(part)
        self.put_back(known, len(self.parts))

    def put_back(self, first: int, last: int) -> None:
        """Have parts wait, again."""
        if first == last:
            return
        self.weight += sum(map(self._weight, range(first, last)))
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

    def take_out(self, index: int) -> Task:
        """Take what waits of one part, wherever it stands."""
        at = bisect(self._waiting, (index, len(self.parts))) - 1
        first, last = self._waiting[at]
        self._waiting[at : at + 1] = [one for one in ((first, index), (index + 1, last)) if one[0] < one[1]]
        self.weight -= self._weight(index)
        rows = self._rows(index)
        self._begun.pop(index, None)
        return task_of(self.parts, index, index + 1, rows=rows)

    def take(self, most: float, *, least_cut: float, joins: Callable[[int], bool]) -> Task:
        """Take what comes next, of about the weight ``most``; ``joins`` tells if a part may go with that before it.

        Of a part that weighs more only some rows are taken, or batches, but not fewer than weigh ``least_cut``.
        """
        first, end = self._waiting[0]
        if first in self._begun or self._weight(first) > max(most, least_cut):
            return self._take_rows(first, max(most, least_cut))
        last = self._end_of_task(first, end, most=most, joins=joins)
        if last < end:
            self._waiting[0] = (last, end)
        else:
            del self._waiting[0]
        return task_of(self.parts, first, last)

    def _take_rows(self, index: int, most: float) -> Task:
        """Take rows of a part, at least one or a batch; what is left of it comes next."""
        part, (lo, hi) = self.parts[index], self._rows(index)
        border = lo + max(int(min(most, weight_of(part)) * part.rows / weight_of(part)), 1)
        border -= border % self._grain
        border = max(border, lo - lo % self._grain + self._grain)
        if border >= hi:
            return self.take_out(index)
        self.weight -= self._weight(index)
        self._begun[index] = border
        self.weight += self._weight(index)
        return task_of(self.parts, index, index + 1, rows=(lo, border))

    def _end_of_task(self, first: int, end: int, *, most: float, joins: Callable[[int], bool]) -> int:
        """Find out how far a task goes that begins with a part, and take the weight of its parts away."""
        weight, last, files = weight_of(self.parts[first]), first + 1, 1
        while last < end and last not in self._begun and joins(last):
            more = weight_of(self.parts[last])
            files += self.parts[last].file != self.parts[last - 1].file
            if weight + more > most or files > self._most_files:
                break
            weight += more
            last += 1
        self.weight -= weight
        return last

    def weight_of(self, task: Task) -> float:
        """Tell how much a task is of the parts that it is cut out of."""
        if task.last - task.first == 1:
            weight = weight_of(self.parts[task.first])
        else:
            weight = sum(map(weight_of, self.parts[task.first : task.last]))
        return weight if task.is_whole else weight * (task.hi - task.lo) / task.rows

    @property
    def count(self) -> int:
        """Count the parts that wait."""
        return sum(last - first for first, last in self._waiting)

    @property
    def least(self) -> float:
        """Tell the weight of the smallest task that the next part can give."""
        part = self.parts[self._waiting[0][0]]
        return weight_of(part) * min(self._grain / max(part.rows, 1), 1)

    def _rows(self, index: int) -> tuple[int, int]:
        """Tell which rows of a part wait."""
        part = self.parts[index]
        return self._begun.get(index, part.row), part.row + part.rows

    def _weight(self, index: int) -> int:
        """Tell how much of a part waits."""
        part = self.parts[index]
        if index not in self._begun:
            return weight_of(part)
        lo, hi = self._rows(index)
        return weight_of(part) * (hi - lo) // part.rows


def weight_of(part: Part) -> int:
    """Tell how much input a part is, in bytes (rows for Parquet)."""
    return max(part.stop - part.start, 1)
