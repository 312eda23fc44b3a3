"""What a command says of machines that are rented: it counts for whatever cluster is made while the command runs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Final

from muster.errors import UsageError

AWS_NOTE: Final = "aws.json"
"""What the folder of a cluster of AWS holds, and no other: so that it is known without loading what makes it."""
HOSTS_NOTE: Final = "hosts.json"
"""What the folder of a cluster holds whose machines are driven over SSH, those of AWS among them."""


def _say_nothing(_: str) -> None:
    pass


@dataclass(frozen=True, slots=True)
class RentalFlags:
    """Flags of a command; what is left out is as the file of ``--on`` says, or as it was."""

    region: str = ""
    types: tuple[str, ...] = ()
    is_spot: bool | None = None
    at_least: int | None = None
    """How many machines will do, where no more can be had."""
    workers: int | None = None
    """Of each machine, where that is said."""
    ready_within: float | None = None
    """Seconds until machines have to be made, booted and started."""
    agree: Callable[[str], None] = field(default=_say_nothing, compare=False)
    """Shown what would be made, before anything is; raises ``UsageError`` where the user does not want it."""
    tell: Callable[[str], None] = field(default=_say_nothing, compare=False)
    """Told what has ended, what is left and what it has cost, where that is no answer to the command itself."""

    def check_unused(self, on: str) -> None:
        """Raise ``UsageError`` for flags that mean nothing on a cloud that rents no machines."""
        flags = {
            "region": "--region",
            "types": "--instance-type",
            "is_spot": "--no-spot" if self.is_spot is False else "--spot",
            "at_least": "--at-least",
            "ready_within": "--ready-within",
        }
        defaults = RentalFlags()
        for one in fields(self):
            if one.name in flags and getattr(self, one.name) != getattr(defaults, one.name):
                raise UsageError(
                    f"{flags[one.name]} is about machines of AWS, and --on {on} makes none. Leave it out, or type"
                    " --on aws."
                )


_NOW: Final[list[RentalFlags]] = []


@contextmanager
def asking_for(asked: RentalFlags) -> Iterator[None]:
    """Have this count for as long as the context lasts."""
    _NOW.append(asked)
    try:
        yield
    finally:
        _NOW.remove(asked)


def asked_now() -> RentalFlags:
    """Tell what counts now."""
    return _NOW[-1] if _NOW else RentalFlags()
