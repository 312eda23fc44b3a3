"""The frozen nouns that travel between rooms. Nothing here knows how anything is done."""

from .aggregates import Measure
from .briefing import Briefing
from .code import LACKED, Code, DataFile, Fact, Global, Module
from .groups import (
    LANES,
    NO_FILE,
    PLACES_TOGETHER,
    Block,
    Exchange,
    Grouping,
    Keyed,
    LaneShare,
    PlaceRange,
    StageDone,
    StageKind,
    StepChain,
    chains_of,
)
from .inputs import NOTHING, PAYLOAD, PLACE, WRITTEN, Column, LocalCopy, Part, Source, Stored
from .measures import Load, Seconds, StepMeasure
from .outcomes import Fault, Outcome, Outcomes, Reason, Warned
from .pieces import Piece, PieceLocation, Span
from .positions import Position, Stretch
from .slots import Slots
from .steps import Arguments, Carried, Target
from .stored_states import LaneRecords, StoredStates
from .tasks import LethalKeys, Schema, Task
from .windows import (
    FOR_EVER,
    NEVER,
    NO_TIME,
    WINDOW,
    WINDOW_END,
    WINDOW_START,
    Window,
    WindowClock,
    WindowsDone,
    WindowsSeen,
)

__all__ = [
    "FOR_EVER",
    "LACKED",
    "LANES",
    "NEVER",
    "NOTHING",
    "NO_FILE",
    "NO_TIME",
    "PAYLOAD",
    "PLACE",
    "PLACES_TOGETHER",
    "WINDOW",
    "WINDOW_END",
    "WINDOW_START",
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
    "Keyed",
    "LaneRecords",
    "LaneShare",
    "LethalKeys",
    "Load",
    "LocalCopy",
    "Measure",
    "Module",
    "Outcome",
    "Outcomes",
    "Part",
    "Piece",
    "PieceLocation",
    "PlaceRange",
    "Position",
    "Reason",
    "Schema",
    "Seconds",
    "Slots",
    "Source",
    "Span",
    "StageDone",
    "StageKind",
    "StepChain",
    "StepMeasure",
    "Stored",
    "StoredStates",
    "Stretch",
    "Target",
    "Task",
    "Warned",
    "Window",
    "WindowClock",
    "WindowsDone",
    "WindowsSeen",
    "chains_of",
]
