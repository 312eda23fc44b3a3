"""What workers did: all of it as sums, and what was done since the journal was told last."""

from muster._journal.measures import Measures
from muster._model import Outcome, Seconds


class Tally:
    """Adds up what became of tasks."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.seconds = Seconds()
        """What all tasks took."""
        self.untold = Measures()
        """What the journal does not say yet."""
        self.reasons: set[tuple[str, str]] = set()
        """Why rows were rejected, as far as the journal says it, with an example of each."""

    def done(self, worker: str, machine: str, outcome: Outcome, *, is_kept: bool) -> None:
        """Add up what a task came to; of one that is not kept, as it will be done again, only its time."""
        self.seconds += outcome.seconds
        self.untold.note(worker, machine, outcome, is_kept=is_kept)

    def lost(self, worker: str, seconds: float) -> None:
        """Add up the time of a task that was not finished."""
        spent = Seconds(total=seconds, lost=seconds)
        self.seconds += spent
        self.untold.spend(worker, spent)

    def tell(self) -> Measures:
        """Hand over what the journal does not say yet, to be written there."""
        untold, self.untold = self.untold, Measures()
        return untold
