"""The workers of this computer, which may be let go for a while, and are there again when somebody asks them."""

import contextlib
from collections.abc import Callable

from muster._engines.base import Engine


class ThisComputer:
    """The engine of this computer."""

    def __init__(self, make: Callable[[], Engine], *, is_given: bool) -> None:
        """Have its workers start; one that ``is_given``, by the caller, cannot be made again."""
        self._make = make
        self.is_given = is_given
        self._engine: Engine | None = make()
        self._briefing: bytes | None = None
        self._had_a_head_start = False

    def engine(self) -> Engine:
        """Give the engine; one that was let go is made again."""
        if self._engine is None:
            self._engine = self._make()
            if self._briefing is not None:
                self._engine.brief(self._briefing)
        return self._engine

    def begin_early(self) -> None:
        """Make the engine again, once, as somebody will soon ask: who then asks hears why it cannot be made."""
        if self._engine is None and not self._had_a_head_start:
            self._had_a_head_start = True
            with contextlib.suppress(OSError):
                self.engine()

    def brief(self, briefing: bytes) -> None:
        """Brief its workers, also those that are yet to come."""
        self._briefing = briefing
        if self._engine is not None:
            self._engine.brief(briefing)

    def let_go(self) -> None:
        """End the workers until somebody asks for them."""
        if not self.is_given:
            self.close()
            self._had_a_head_start = False

    def close(self) -> None:
        """End the workers."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None
