"""What is done again, and what becomes of a task whose worker died: tried again, halved, rejected at last. Pure."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from muster._model import Part, Task

from .actions import DiesOfNothing
from .cuts import condemned, halves, last_row, some_rows
from .doubt import Doubt
from .openings import Openings
from .suspects import Key, Suspects, name_of

_DEATHS_BEFORE_HALVING: Final = 2
"""One death may come of memory that other programs took. From the second on, its halves are tried."""

_DEATHS_BEFORE_REJECTING: Final = 3
"""A single row has three tries: none is rejected by chance."""

_DEATHS_OF_READING: Final = 5
"""Two tries more than tasks that call the function: a condemned task only reads its rows."""

_DEATHS_OF_NOTHING: Final = 8
"""Three tries more of a condemned task that does not even read its rows."""

_TIMES_A_BYSTANDER: Final = 10
"""A task that waited behind another is not blamed for a death; each tenth time it is, or it might never end."""


class Retries:
    """Tasks that wait to be done again, in order, and how often each has cost a worker."""

    def __init__(
        self,
        parts: Sequence[Part],
        *,
        batch_rows: int | None,
        suspects: Suspects,
        doubt: Doubt,
        lanes_end: bool = False,
    ) -> None:
        """Begin with none; ``parts`` grow as more of the input is read.

        ``lanes_end``: each part is a lane, and a step may have something to do at its end.
        """
        self._parts = parts
        self._batch_rows = batch_rows
        self._suspects = suspects
        self._doubt = doubt
        self._lanes_end = lanes_end
        self._waiting: deque[Task] = deque()
        self._deaths: dict[Key, int] = {}
        self._bystander: dict[Key, int] = {}

    def __bool__(self) -> bool:
        """Tell whether any task waits."""
        return bool(self._waiting)

    @property
    def count(self) -> int:
        """Count the tasks that wait."""
        return len(self._waiting)

    def add(self, *tasks: Task) -> None:
        """Have tasks done again, after those that wait already."""
        self._waiting += tasks

    def add_first(self, tasks: Sequence[Task]) -> None:
        """Have tasks done before all others, in their order."""
        self._waiting.extendleft(reversed(tasks))

    def add_whole(self, lane: Task) -> None:
        """Have a lane done as a whole that was cut before: it has three tries, and is not cut again.

        It is done before all others: if its end is what ends workers, that stops the run, and better soon.
        """
        self._deaths[name_of(lane)] = 0
        self.add_first([lane])

    def hand_out(self, openings: Openings) -> Iterator[tuple[Task, str]]:
        """Take the tasks for which a worker is idle on a machine where they have not failed yet, each with that."""
        kept_back: list[Task] = []
        while self._waiting and openings.has_idle():
            task = self._waiting.popleft()
            machine = openings.idle(self._suspects.avoid(name_of(task)))
            if machine is None:
                kept_back.append(task)
            else:
                yield task, machine
        self.add_first(kept_back)

    def needs_another_machine(self) -> bool:
        """Tell whether one of the tasks waits for another machine than that which is idle."""
        return bool(self._waiting) and any(self._suspects.avoid(name_of(task)) for task in self._waiting)

    def has_cost_a_worker(self, task: Task) -> bool:
        """Tell whether a worker has died on these very rows."""
        return bool(self._deaths) and name_of(task) in self._deaths

    def judge(self, task: Task, reason: str, *, began: bool, machine: str) -> Sequence[DiesOfNothing]:
        """Decide what becomes of a task that was lost: it is tried again, then halved until what kills stands alone.

        One that had not begun is not to blame, unless it was so again and again: then it takes with it even those that
        would know. Where there are several machines, one that died on one of them is tried on another first.
        Tells of one that neither reads nor calls anything, where it is of no use to try it again.
        """
        key = name_of(task)
        if not began and self._is_a_bystander(key):
            self.add(task)
            return ()
        deaths = self._deaths[key] = self._deaths.get(key, 0) + 1
        both = self._smaller(task)
        if task.without is not None:
            self.add_first([task if deaths < _DEATHS_BEFORE_REJECTING else condemned(task, reason, deaths=deaths)])
        elif task.dies_unread and deaths >= _DEATHS_OF_NOTHING:
            return (DiesOfNothing(reason, deaths),)
        elif task.condemned:
            self.add(task._replace(dies_unread=deaths >= _DEATHS_OF_READING))
        elif not self._suspects.is_to_blame(key, machine) or deaths < (
            _DEATHS_BEFORE_HALVING if both else _DEATHS_BEFORE_REJECTING
        ):
            self.add(task)
        elif len(both) != 1 and self._doubt.is_open and not self._batch_rows:
            self._doubt_for(task, reason)
        elif both:
            self._inherit(task, both)
            self.add_first(both)
        else:
            self.add(condemned(task, reason, deaths=deaths))
        return ()

    def _smaller(self, task: Task) -> list[Task]:
        """Cut a task into two; of a lane of one row, leave out the end. Nothing is smaller than a row by itself."""
        both = halves(self._parts, task, batch_rows=self._batch_rows)
        is_lane = self._lanes_end and task.is_whole and not task.without_end
        return both or ([task._replace(without_end=True)] if is_lane else [])

    def _is_a_bystander(self, key: Key) -> bool:
        times = self._bystander[key] = self._bystander.get(key, 0) + 1
        return times % _TIMES_A_BYSTANDER != 0

    def _inherit(self, task: Task, pieces: Iterable[Task]) -> None:
        """Know that a task cost a worker of which these are pieces: one death more of one of them is proof."""
        for piece in pieces:
            self._deaths[name_of(piece)] = 1
            self._suspects.inherit(name_of(task), name_of(piece))

    def _doubt_for(self, task: Task, reason: str) -> None:
        """Know that a task kills workers while no row is known to be good: try single rows of it, before any other."""
        if task.hi - task.lo <= 1:
            self.add(*self._doubt.hold_death(task, reason, deaths=self._deaths[name_of(task)]))
        elif self._doubt.is_asking:
            self._doubt.put_off([task])
        else:
            self.add_first(self._apart(task, some_rows(self._parts, task))[::-1])

    def last_row_of(self, task: Task) -> Task:
        """Take the last row out of a task of one part, and put off the rest."""
        (row,) = self._apart(task, last_row(self._parts, task))
        return row

    def _apart(self, task: Task, cut: tuple[list[Task], list[Task]]) -> list[Task]:
        """Put off what is left of a task; for all of it, one death more is proof."""
        rows, left = cut
        self._doubt.put_off(left)
        self._inherit(task, (*rows, *left))
        return rows
