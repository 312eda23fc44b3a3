"""What all phases of a run share, once nobody else works on its output."""

from dataclasses import dataclass

from .holding import Holding
from .known import Run
from .questions import Desk
from .teller import Teller
from .this_computer import ThisComputer


@dataclass(frozen=True, slots=True)
class Begun:
    """A run that has its output to itself, and who is there to ask and to tell."""

    run: Run
    holding: Holding
    teller: Teller
    home: ThisComputer
    desk: Desk
    """Where questions are put to this computer."""
