"""The work on one dispatch, and the schema that its results shall have."""

from typing import Final, NamedTuple

from .inputs import LocalCopy


class Schema(NamedTuple):
    """The columns of results, in order, and the kinds that each has in some batch.

    ``_progress.schema`` says what the kinds are.
    """

    columns: tuple[str, ...] = ()
    kinds: tuple[tuple[str, ...], ...] = ()


class LethalKeys(NamedTuple):
    """Keys of a lane that end workers, and why: those that begin at a row from ``lo`` to ``hi``, sorted by hashes."""

    lo: int
    hi: int
    why: str


class Task(NamedTuple):
    """Consecutive parts ``first`` to ``last`` (exclusive) of one file; of their ``rows`` only ``lo`` to ``hi``.

    A task of several small files is made of ``members``, a task for each file, and is about all of their rows: then
    ``file``, ``start`` and ``row`` are those of the first, and ``stop`` and ``rows`` are as if one file held them all.

    A ``condemned`` task is not run: its rows go to the rejects, for this reason. They are read once more, to tell
    whether that is what no worker survives; then it ``dies_unread``.
    """

    number: int
    first: int
    last: int
    file: int
    start: int
    stop: int
    row: int
    rows: int
    lo: int
    hi: int
    local_copy: LocalCopy | None = None
    expected: Schema | None = None
    """What is known already of the results of all batches."""
    bad_rows_left: int = 0
    condemned: str = ""
    is_doubted: bool = False
    """No row is known to be good yet: if the function fails on all of these alike, it is the function's fault."""
    dies_unread: bool = False
    members: tuple["Task", ...] = ()
    without: tuple[LethalKeys, ...] | None = None
    """The task is about a lane that was cut as it ended workers, and is done once more as a whole: these keys go to the
    rejects. ``None`` where it is about anything else."""
    without_end: bool = False
    """The task is a lane of one row that has ended workers: the step is called with the row, and not at the end of the
    lane, to tell which of the two is to blame."""

    def again(self, number: int, *, expected: Schema | None, bad_rows_left: int, is_doubted: bool) -> "Task":
        """Make the same task under another number; quickly, as it is made for every task there is.

        Each member has a number of its own, counted up from that of the first, which is the task's.
        """
        members = self.members and tuple(
            member.again(number + at, expected=expected, bad_rows_left=bad_rows_left, is_doubted=is_doubted)
            for at, member in enumerate(self.members)
        )
        of_rows = self[1:_AT_TERMS]
        terms = expected, bad_rows_left, self.condemned, is_doubted, self.dies_unread
        return Task._make((number, *of_rows, *terms, members, self.without, self.without_end))

    @property
    def is_whole(self) -> bool:
        """Tell whether the task is about all rows of its parts."""
        return (self.lo, self.hi) == (self.row, self.row + self.rows)

    @property
    def reaches_end(self) -> bool:
        """Tell whether the task's last row is the last one of its parts."""
        return self.hi == self.row + self.rows


_AT_TERMS: Final = Task._fields.index("expected")
