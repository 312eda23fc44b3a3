"""What a run in the terminal says at its end about how it went, from its journal."""

import contextlib

from muster._journal.runs import find
from muster._watch.sums.account import account_of
from muster._watch.sums.run import RunView
from muster.errors import UsageError

from .advice import closing


def closing_of(run: str) -> list[str]:
    """Say what to do about a run; nothing where there is nothing to say, or its journal is gone."""
    with contextlib.suppress(UsageError, OSError, KeyError, TypeError):
        view = RunView(run)
        view.take_all(find(run).entries())
        return closing(account_of(view, is_over=True))
    return []
