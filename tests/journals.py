"""What a journal tells of a run that may be under way, and how a test changes what it tells."""

import re
from pathlib import Path

from muster._journal.events import Kept
from muster._journal.file import replay


def kept(journal: Path) -> int:
    """Count the tasks that it says are done; none where there is no journal yet."""
    return sum(isinstance(entry.event, Kept) for entry in replay(journal))


def without_checks(text: str) -> str:
    """Leave the checks of lines out, as earlier versions did, so that a line can be changed."""
    return re.sub(r',"check":"[0-9a-f]{8}"\}$', "}", text, flags=re.MULTILINE)
