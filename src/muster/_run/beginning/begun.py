"""What all phases of a run share, once nobody else works on its output."""

from dataclasses import dataclass

from muster._run.asking.questions import Asker
from muster._run.staffing.this_computer import ThisComputer
from muster._run.telling.teller import Teller

from .holding import Holding
from .run import Run


@dataclass(frozen=True, slots=True)
class Begun:
    """A run that has its output to itself, and who is there to ask and to tell."""

    run: Run
    holding: Holding
    teller: Teller
    home: ThisComputer
    asker: Asker
    """Where questions are put to this computer."""
