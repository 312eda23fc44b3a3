"""What earlier attempts left of a stream: how far its files were read, and what came of that."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from muster._journal.events import Committed, EpochBegan, Event, FilesMoved, StatesDone, Streamed, Totals
from muster._model import Position, Schema


@dataclass(slots=True)
class StreamPast:
    """The epochs of a stream, added up."""

    positions: dict[tuple[int, int], Position] = field(default_factory=dict)
    """How far the files were read whose rows are done, by device and inode."""
    totals: Totals = field(default_factory=Totals)
    begun: EpochBegan | None = None
    """The epoch that was begun and is not committed."""
    committed: Committed | None = None
    """The one that was committed last."""
    is_published: bool = True
    """Whether what it adds is surely in its place: the process went on behind it."""
    schema: Schema | None = None
    """That of all results."""
    agreed: bytes = b""
    """That of all parts of Parquet, in Arrow's form."""
    states: StatesDone | None = None
    """Where the states are that steps keep."""

    @property
    def is_of_use(self) -> bool:
        """Tell whether rows are done, or are copied, which may be gone where they came from."""
        return self.totals.epochs > 0 or self.begun is not None

    def add(self, event: Event) -> None:
        """Take an event into account if it is about that."""
        match event:
            case EpochBegan():
                self.begun, self.is_published = event, True
            case Streamed():
                self.is_published = True
            case Committed():
                self.committed, self.begun, self.totals, self.is_published = event, None, event.totals, False
                self._move(event.positions)
                self.schema = event.schema or self.schema
                self.agreed = event.agreed or self.agreed
                self._go_on(event.states)
            case FilesMoved(positions, gone):
                self._move(positions)
                for file_id in gone:
                    self.positions.pop(file_id, None)

    def _move(self, positions: Sequence[Position]) -> None:
        self.positions |= {position.file_id: position for position in positions}

    def _go_on(self, states: StatesDone | None) -> None:
        if states is not None and self.states is not None:
            states = states._replace(seen={**self.states.seen, **states.seen})
        self.states = states

    def read_up_to(self, *, with_begun: bool) -> list[Position]:
        """Tell how far files were read, perhaps with the epoch that was begun."""
        begun = self.begun.stretches if self.begun and with_begun else ()
        return [*(self.positions | {stretch.position.file_id: stretch.position for stretch in begun}).values()]
