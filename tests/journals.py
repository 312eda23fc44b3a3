"""What a journal tells of a run that may be under way."""

from pathlib import Path

from muster._journal.events import Kept
from muster._journal.file import replay


def kept(journal: Path) -> int:
    """Count the tasks that it says are done; none where there is no journal yet."""
    return sum(isinstance(entry.event, Kept) for entry in replay(journal))
