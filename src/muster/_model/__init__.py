"""The frozen nouns that travel between rooms. Nothing here knows how anything is done."""

from .briefing import Briefing
from .code import LACKED, Code, DataFile, Fact, Global, Module
from .inputs import WRITTEN, Column, Part, Source, Spool, Stored
from .measures import Load, Seconds, StepMeasure
from .outcomes import Fault, Outcome, Outcomes, Reason, Warned
from .pieces import Piece, Place, Span
from .steps import Arguments, Carried, Target
from .tasks import Schema, Task

__all__ = [
    "LACKED",
    "WRITTEN",
    "Arguments",
    "Briefing",
    "Carried",
    "Code",
    "Column",
    "DataFile",
    "Fact",
    "Fault",
    "Global",
    "Load",
    "Module",
    "Outcome",
    "Outcomes",
    "Part",
    "Piece",
    "Place",
    "Reason",
    "Schema",
    "Seconds",
    "Source",
    "Span",
    "Spool",
    "StepMeasure",
    "Stored",
    "Target",
    "Task",
    "Warned",
]
