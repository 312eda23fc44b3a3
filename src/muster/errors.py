"""The errors that muster raises, and the exit code that each one means on the command line.

    MusterError
     ├── UsageError            2  the command was wrong; nothing was started
     │    ├── OutputBusyError     another muster process works on this output
     │    └── ResumeError         what lies in OUTPUT.muster belongs to another job
     ├── DataError             1  the data stopped the run
     │    └── TooManyBadRowsError    more rows were rejected than --max-bad-rows allows
     ├── UserCodeError         1  the user's function or its imports stopped the run
     │    └── ColumnsError          the function gives other columns each time that it is called
     └── EngineError           3  the infrastructure failed: workers, disk, network
          ├── UnreachableError    a store did not answer; another try may do better
          └── FaultError          a worker raised what muster never raises on purpose

    UserWarning
     ├── NotRowWiseWarning        a function's result may depend on where batches end
     └── RejectedRowsWarning   4  finished, but some rows are in the rejects

Every message has three beats: what happened, why, what to type next.
"""

from collections.abc import Sequence
from typing import ClassVar, Self

from muster._private.secrets import scrubbed
from muster._words import bare


class MusterError(Exception):
    """The root of all errors that muster raises on purpose."""

    exit_code: ClassVar[int] = 3
    kind: ClassVar[str] = "engine"
    """What ``--json`` calls it."""

    def __init__(self, message: str = "") -> None:
        """Say what happened, without what nobody may see, wherever the words come from."""
        super().__init__(scrubbed(message))
        self.quoted: tuple[str, ...] = ()
        self.is_of_function = False
        """Whether the function cannot even be loaded, whatever the input is."""

    def quoting(self, *texts: str) -> Self:
        """Know what in the message are not muster's words, but the user's: nobody puts those in another way."""
        self.quoted = tuple(scrubbed(text) for text in texts if text)
        return self


class UsageError(MusterError):
    """Say that the command, or the call, was wrong; nothing was started."""

    exit_code = 2
    kind = "usage"


class OutputBusyError(UsageError):
    """Say that another muster process holds this output; ``who`` is the part of the message that says which."""

    def __init__(self, message: str = "", *, who: str = "") -> None:
        """Keep who it is beside the message, for who waits for it."""
        super().__init__(message)
        self.who = scrubbed(who)

    @classmethod
    def held(cls, output: str, *, by: object, until: str = "") -> Self:
        """Say which process works on an output, where that is known, and until when its lock counts."""
        who = f"Another muster process is writing {output!r}" + (f": {by}" if by else "")
        said = [who, "Two runs cannot share an output", *([until] if until else [])]
        return cls(". ".join([*said, "Wait for it, stop it, or choose another output."]), who=who)


class ResumeError(UsageError):
    """Say that the unfinished run in OUTPUT.muster belongs to another job."""


class DataError(MusterError):
    """Say that the input could not be read as what it claims to be."""

    exit_code = 1
    kind = "data"


class TooManyBadRowsError(DataError):
    """Say that more rows were rejected than the user allows; the run can be resumed."""

    @classmethod
    def of(cls, bad_rows: int, *, allowed: int, first_error: str) -> Self:
        """Say how many were bad, and show the first of them."""
        counts = f"{bad_rows} rows could not be processed, and {allowed} are allowed"
        counts = counts.replace("1 rows", "1 row", int(bad_rows == 1)).replace(" 1 are", " 1 is")
        return cls(
            f"{counts}. The first of them:\n"
            f"{first_error}\n"
            "Mend the function or the data, and type the command again with --fresh. Or allow more with --max-bad-rows,"
            " and the run goes on where it stopped. More: muster help bad-rows"
        ).quoting(first_error)


class UserCodeError(MusterError):
    """Say that the user's function stopped the run; ``details`` is their traceback, cut to their frames."""

    exit_code = 1
    kind = "user_code"

    def __init__(self, message: str, details: str = "") -> None:
        """Keep the traceback of the user's own frames beside the message."""
        super().__init__(message)
        self.details = scrubbed(details)

    @classmethod
    def on_everything(  # noqa: PLR0913 (what it says)
        cls, step: str, *, tried: int, of: str, error: str, cure: str, details: str, left: str
    ) -> Self:
        """Build the error for a function that fails on every row, or group, with what is likely to mend it."""
        many = f"all {tried} {of}s that were tried, from all over the input, in the same way"
        return cls(
            f"{step!r} fails on {many if tried > 1 else f'the only {of}'}: {error}\n"
            f"{cure}{' ' if cure else ''}{left}. Mend the function, or what it is given, then type the"
            " same command again. More: muster help functions",
            details,
        ).quoting(error)

    @classmethod
    def on_several_rows(cls, step: str, *, error: str, cure: str, details: str, left: str) -> Self:
        """Say that a function takes single rows only, and what would mend that."""
        return cls(
            f"{step!r} takes single rows, and fails wherever it gets several at once: {error}\n{cure}"
            f"{' ' if cure else ''}{left}. Mend the function, then type the same command again.",
            details,
        ).quoting(error)

    @classmethod
    def on_a_batch(cls, step: str, *, rows: int, error: str, cure: str, details: str) -> Self:
        """Build the error for a function that fails on a batch of ``muster check``."""
        return cls(
            f"{step!r} fails on a batch of {rows} row{'s' if rows != 1 else ''}: {error}\n{cure}{' ' if cure else ''}"
            "Mend the function, or what it is given, then type the same command again.",
            details,
        ).quoting(error)

    def __reduce__(self) -> tuple[type["UserCodeError"], tuple[str, str], dict[str, tuple[str, ...]]]:
        """Survive pickling with both arguments."""
        return type(self), (str(self), self.details), {"quoted": self.quoted}


class ColumnsError(UserCodeError):
    """Build the error for a function that gives other columns each time, for the same rows."""

    @classmethod
    def of(cls, columns: Sequence[str]) -> Self:
        """Say how many there are by now, and name the last ones, which are shown as pandas shows labels."""
        return cls(
            f"The function gives new columns each time that it is called on the same rows: there are {len(columns)} by"
            f" now, the last of them {', '.join(columns[-3:])}. So there is no header that fits all rows."
            " Have it name columns by what the rows hold, not by chance or time, and type the command again with"
            " --fresh."
        ).quoting(*columns)


class EngineError(MusterError):
    """Say that workers, disk or network failed; what was done so far is kept."""


class UnreachableError(EngineError):
    """Say that a store could not be read or written."""


class FaultError(EngineError):
    """Say that muster itself is at fault; ``details`` is the traceback, for whoever is to mend it."""

    def __init__(self, message: str, details: str = "") -> None:
        """Keep the traceback beside the message."""
        super().__init__(message)
        self.details = scrubbed(details)

    @classmethod
    def of(cls, error: Exception) -> Self:
        """Say what a worker raised; its traceback is a note of the error where that has travelled."""
        import traceback

        details = "\n".join(getattr(error, "__notes__", ())) or "".join(traceback.format_exception(error))
        return cls(
            f"A worker raised {type(error).__name__}: {bare(error)}. This is a fault of muster; please report it.",
            details,
        )

    def __reduce__(self) -> tuple[type["FaultError"], tuple[str, str]]:
        """Survive pickling with both arguments."""
        return type(self), (str(self), self.details)


class NotRowWiseWarning(UserWarning):
    """Issued when a function seems to mix rows, so that its result depends on where batches end."""


class RejectedRowsWarning(UserWarning):
    """Issued when a run has finished, and some rows are in the rejects instead of the output."""
