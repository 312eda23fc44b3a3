"""How a stream stands, as its process tells it to watchers and to the journal."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field

from muster._job import StreamLag
from muster._journal import events
from muster._journal.streaming import RowWaits


@dataclass(slots=True)
class StreamTold:
    """What is told of a stream; of a run that is none, nothing."""

    lag: Callable[[], StreamLag] | None = None
    """Tells how it stands."""
    waits: RowWaits = field(default_factory=RowWaits)
    """How long rows took until they were committed."""
    _before: events.Streamed | None = None
    """What the journal was told last."""

    def now(self) -> StreamLag | None:
        """Say how it stands; ``None`` where the run is no stream."""
        return self.lag() if self.lag is not None else None

    def news(self) -> events.Streamed | None:
        """Say for the journal how it stands; ``None`` where that is as before."""
        if (lag := self.now()) is None:
            return None
        told = events.Streamed(**dataclasses.asdict(lag), **self.waits.as_fields())
        if told == self._before:
            return None
        self._before = told
        return told

    def forget(self) -> None:
        """Know that the journal says nothing of it any more."""
        self._before = None
