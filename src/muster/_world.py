"""What a function finds around it: the caller's arguments and ``__main__``, also in a worker."""

import sys
from typing import NamedTuple

from muster import _main


class World(NamedTuple):
    """What a worker takes over from the process that began the run."""

    arguments: tuple[str, ...]
    script: _main.Script

    @classmethod
    def here(cls) -> "World":
        """Take it from this process."""
        return cls(tuple(sys.argv), _main.script_of_this_process())

    def enter(self) -> None:
        """Have this process be like that one."""
        sys.argv[:] = self.arguments
        _main.become(self.script)
