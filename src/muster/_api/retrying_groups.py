"""Which bad groups can be retried, and what is said where they cannot."""

from collections.abc import Sequence

from muster._model import Keyed, Target, keyed_as_said
from muster._output.folder import WorkFolder
from muster._run.history.past import Past
from muster._run.history.retrying import are_groups_kept, count_unread, why_not
from muster._user_code import targets
from muster.errors import UsageError


def check_can_be_retried(past: Past, work: WorkFolder) -> None:
    """Raise ``UsageError`` where a run had groups or states whose bad rows cannot be done by themselves."""
    if past.finished is None:  # a retry that was checked when it began
        return
    bad_before, exchanged = sum(one.bad_rows for one in past.kept.values()), past.later.exchanged.get(2)
    why = why_not(
        past.asked,
        bad_before=bad_before,
        unread=count_unread(work) if bad_before else 0,
        has_gaps=exchanged is not None and bool(exchanged.gaps),
    )
    if why:
        raise UsageError(
            f"Run {past.run} {why}, so its bad rows cannot be retried by themselves. Mend the function or the input,"
            " then run the whole again, with --fresh."
        )


def exchanges_of(past: Past, steps: Sequence[Target]) -> tuple[Keyed, ...]:
    """Say how rows come to the groups of an earlier run. Raises ``UsageError`` where only its pipeline can tell."""
    if not are_groups_kept(past.asked, steps=len(steps)):
        raise UsageError(
            f"Run {past.run} was that of a pipeline, which is not kept. Define it in a file, and name that: muster"
            " retry OUTPUT file.py:pipeline. In Python, give it: muster.retry(output, pipeline)."
        )
    return tuple(map(keyed_as_said, past.asked.get("groups", ())))


def with_groups(steps: tuple[Target, ...], exchanges: Sequence[Keyed]) -> tuple[Target, ...]:
    """Have the steps called with groups that rows come to by their keys."""
    of_groups = {one.at for one in exchanges}
    return tuple(
        targets.of_groups(step) if at in of_groups and not step.is_of_groups else step for at, step in enumerate(steps)
    )
