"""Where the function of a step is found, and what it is called with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .code import Fact


@dataclass(frozen=True, slots=True)
class Carried:
    """A pickle; its large buffers are left out of it: they lie in a file that all workers of a machine share."""

    pickle: bytes = b""
    large: tuple[Any, ...] = field(default=(), compare=False, repr=False)
    """The large buffers themselves, in the process that has them, until they are laid down in a file."""
    file: str = ""
    """Where there is one, the pickle is at its beginning, too."""
    spans: tuple[tuple[int, int], ...] = ()
    """From which byte of the file to which the pickle lies, and then each buffer."""

    def __reduce__(self) -> tuple[type["Carried"], tuple[object, ...]]:
        """Travel without the large buffers."""
        return Carried, (self.pickle, (), self.file, self.spans)


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Arguments:
    """What a step's function is called with besides the batch, or its class built with: typed, or given in Python."""

    typed: tuple[tuple[str, str], ...] = ()
    """As they stand on a command line."""
    carried: Carried = Carried()
    """A dictionary of those that a caller in Python gave."""
    own: str = ""
    """What they are called in the process that has them itself."""
    values: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """Those given in Python, in that process."""
    facts: tuple[Fact, ...] = field(default=(), compare=False, repr=False)

    def __reduce__(self) -> tuple[type["Arguments"], tuple[object, ...]]:
        """Travel without the values themselves."""
        return Arguments, (self.typed, self.carried, self.own, {}, self.facts)


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Target:
    """Where a step's function is found: a file, a module, or a pickle of the function itself; what is known of it."""

    kind: str
    place: str = ""
    name: str = ""
    carried: Carried = Carried()
    own: str = ""
    """What the target is called in the process that has the function itself."""
    function: Callable[..., Any] | None = field(default=None, compare=False, repr=False)
    """The function itself, in that process."""
    facts: tuple[Fact, ...] = field(default=(), compare=False, repr=False)
    """What the rows of the function depend on, where only the process that has it can tell."""
    arguments: Arguments = Arguments()
    is_of_groups: bool = False
    """It is called with the rows of a key, and with the key where it takes two."""
    has_state: bool = False
    """It is called with rows, and with the states of their keys."""

    def __reduce__(self) -> tuple[type["Target"], tuple[object, ...]]:
        """Travel without the function itself."""
        own = (self.kind, self.place, self.name, self.carried, self.own, None, self.facts, self.arguments)
        return Target, (*own, self.is_of_groups, self.has_state)
