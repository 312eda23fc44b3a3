"""Call one step behind an exchange: what its calls have in common, whatever it is called with."""

from muster._formats.rows import type_of
from muster._journal.measures import StepSum
from muster._model import Briefing, StepMeasure, Target
from muster._user_code import loading

from .calling import Failure, MemoryBlame


class OneStepCaller:
    """Counts calls of a step, and the seconds that they took."""

    def __init__(self, briefing: Briefing, memory: MemoryBlame) -> None:
        """Count from nothing."""
        self._briefing = briefing
        self._memory = memory
        self._target: Target = briefing.steps[0]
        self._sum = StepSum()
        self.failed = 0.0
        """Seconds of the calls that raised."""

    @property
    def step(self) -> str:
        """Name the step."""
        return self._target.name

    @property
    def seconds(self) -> float:
        """Tell how long the step took."""
        return self._sum.seconds

    @property
    def measures(self) -> tuple[StepMeasure, ...]:
        """Tell what the step did, if it was called at all."""
        one = self._sum
        if not one.batches:
            return ()
        return (StepMeasure(one.rows_in, one.rows_out, one.batches, one.seconds, dict(one.bins)),)

    def cure(self, failure: Failure) -> str:
        """Say what would mend it, if anything is known to."""
        from .cures import cure_of

        exchange = self._briefing.exchange
        columns = () if exchange is None or exchange.agreed else self._briefing.columns  # else steps have made them
        return cure_of(
            failure.error,
            given=failure.given,
            function=loading.load(self._target),
            types={column.name: type_of(column) for column in columns},
            is_of_keys=True,
        )

    def _failure(self, error: BaseException, before: float, given: object) -> Failure:
        """Make a failure of a call on what was ``given``, that began when the step had taken ``before`` seconds."""
        self.failed += self.seconds - before
        return Failure(self.step, error, given)
