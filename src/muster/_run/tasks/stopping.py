"""The error that ends a run before its time, made of what progress says."""

from collections.abc import Sequence

from muster._formats.labels import shown_name
from muster._model import Fault, Target
from muster._progress.actions import Blame, DiesOfNothing, GiveUp, NeverSettles
from muster._words import plural
from muster.errors import ColumnsError, EngineError, MusterError, TooManyBadRowsError, UserCodeError


def reason_to_stop(
    action: GiveUp | NeverSettles | Blame | DiesOfNothing, *, steps: Sequence[Target], of: str, allowed: int, left: str
) -> MusterError:
    """Make the error that ends the run.

    ``of`` is what the function fails on, a row or a group; ``allowed`` is how many rows may be bad, ``left`` says what
    was written.
    """
    match action:
        case NeverSettles(columns):
            return ColumnsError.of([*map(shown_name, columns)])
        case GiveUp(bad_rows, first_error):
            return TooManyBadRowsError.of(bad_rows, allowed=allowed, first_error=first_error)
        case DiesOfNothing(reason, deaths):
            return EngineError(
                f"Workers die of whatever they are given: of one task {plural(deaths, 'time')}, at last though it was"
                f" to read no row and to call nothing. The last died as {reason}. What was done is kept. Find out what"
                " ends them: memory that others take, or a limit of this computer; then type the same command again."
            )
        case Blame(fault):
            return _blame(fault, steps, of=of, left=left)


def _blame(fault: Fault, steps: Sequence[Target], *, of: str, left: str) -> UserCodeError:
    if fault.is_of_batches:
        return UserCodeError.on_several_rows(
            fault.step, error=fault.error, cure=fault.cure, details=fault.traceback, left=left
        )
    step = fault.step or " or ".join(step.name for step in steps)  # whoever died could not tell in which it was
    return UserCodeError.on_everything(
        step, tried=fault.rows, of=of, error=fault.error, cure=fault.cure, details=fault.traceback, left=left
    )
