"""What workers did: all of it as sums, and what was done since the journal was told last."""

from typing import Final

from muster._journal.measures import Measures
from muster._model import Outcome, Seconds

_MANY: Final = 1_000
"""Tasks whose times are kept to be added up: so few that nobody feels when they are."""


class Tally:
    """Adds up what became of tasks."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._seconds = [Seconds()]
        """What tasks took, to be added up."""
        self.untold = Measures()
        """What the journal does not say yet."""
        self.reasons: set[tuple[str, str]] = set()
        """Why rows were rejected, as far as the journal says it, with an example of each."""

    @property
    def seconds(self) -> Seconds:
        """Tell what all tasks took."""
        if len(self._seconds) > 1:
            self._seconds = [Seconds(*map(sum, zip(*self._seconds, strict=True)))]
        return self._seconds[0]

    def _add(self, seconds: Seconds) -> None:
        """Add up what many tasks took at a time, which is cheaper than one by one."""
        self._seconds.append(seconds)
        if len(self._seconds) >= _MANY:
            self._seconds = [self.seconds]

    def done(self, worker: str, machine: str, outcome: Outcome, *, is_kept: bool) -> None:
        """Add up what a task came to; of one that is not kept, as it will be done again, only its time."""
        self._add(outcome.seconds)
        self.untold.note(worker, machine, outcome, is_kept=is_kept)

    def lost(self, worker: str, seconds: float) -> None:
        """Add up the time of a task that was not finished."""
        spent = Seconds(total=seconds, lost=seconds)
        self._add(spent)
        self.untold.spend(worker, spent)

    def tell(self) -> Measures:
        """Hand over what the journal does not say yet, to be written there."""
        untold, self.untold = self.untold, Measures()
        return untold
