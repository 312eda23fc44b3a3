"""Call the user's function on one group after another. For small groups, what a call costs besides is what counts."""

import time
from collections.abc import Callable
from typing import Any

import pandas as pd

from muster._formats.results import Reply
from muster._formats.unmade import Unmade, reply_in_time
from muster._model import Briefing
from muster._process.limit import TimeLimit
from muster._user_code import frames, loading
from muster._user_code.signature import takes_key

from .calling import Failure, MemoryBlame, as_kind, given_back, rows_are_to_blame
from .calling_one import OneStepCaller


class GroupCaller(OneStepCaller):
    """Calls the function of a group's step, and counts calls and seconds."""

    def __init__(self, briefing: Briefing, memory: MemoryBlame) -> None:
        """Count from nothing; the function is loaded at the first call."""
        super().__init__(briefing, memory)
        self._function: Callable[..., object] | None = None
        self._sow: Callable[[int], None] | None = None
        self._kind = "pandas"
        self._takes_key = False

    def on_group(self, rows: pd.DataFrame, key: object, *, place: int) -> Reply | Unmade | Failure:
        """Call the function on the rows of a group, whose place in the input is ``place``.

        Raises ``MemoryError`` where that may not be the fault of these rows, but of calls before.
        """
        self._memory.calls += 1
        before, count = self.seconds, len(rows)
        try:
            function, sow = (self._function, self._sow) if self._function and self._sow else self._loaded()
            sow(place)
            given: Any = rows if self._kind == "pandas" else as_kind(rows, self._kind)
            result = self._called(function, (given, key) if self._takes_key else (given,))
            reply = reply_in_time(result, use=self._briefing.format)
        except BaseException as error:
            if not rows_are_to_blame(error, self.step, self._memory):
                raise
            return self._failure(error, before, rows)
        self._memory.has_called = True
        self._sum.rows_in += count
        self._sum.rows_out += reply.rows
        return reply

    def _called(self, function: Callable[..., object], given: tuple[Any, ...]) -> Any:  # noqa: ANN401 (a frame)
        """Call the function, and count the call."""
        began = time.perf_counter()
        try:
            if self._briefing.timeout is None:
                return given_back(function(*given))
            with TimeLimit(self._briefing.timeout):
                return given_back(function(*given))
        finally:
            self._sum.count_call(time.perf_counter() - began)

    def _loaded(self) -> tuple[Callable[..., object], Callable[[int], None]]:
        function, sow = loading.load(self._target), loading.sower_of_groups(self._briefing.steps)
        self._kind, self._takes_key = frames.wants(function), takes_key(function)
        self._function, self._sow = function, sow
        return function, sow
