"""The frozen nouns that travel between rooms. Nothing here knows how anything is done."""

from .briefing import Briefing
from .code import LACKED, Code, DataFile, Fact, Global, Module
from .groups import GROUPING, LANES, NO_FILE, ORDERING, SPLITTING, Block, Exchange, Grouping, Share
from .inputs import WRITTEN, Column, Part, Source, Spool, Stored
from .measures import Load, Seconds, StepMeasure
from .outcomes import Fault, Outcome, Outcomes, Reason, Warned
from .pieces import Piece, Place, Span
from .steps import Arguments, Carried, Target
from .tasks import Schema, Task

__all__ = [
    "GROUPING",
    "LACKED",
    "LANES",
    "NO_FILE",
    "ORDERING",
    "SPLITTING",
    "WRITTEN",
    "Arguments",
    "Block",
    "Briefing",
    "Carried",
    "Code",
    "Column",
    "DataFile",
    "Exchange",
    "Fact",
    "Fault",
    "Global",
    "Grouping",
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
    "Share",
    "Source",
    "Span",
    "Spool",
    "StepMeasure",
    "Stored",
    "Target",
    "Task",
    "Warned",
]
