"""What a run over the whole input would take, as some of its rows tell."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run over the whole input would take, judged by some of its rows. Ranges: at the least, and at the most."""

    rows: int
    """How many the input has, exactly."""
    seconds: tuple[float, float]
    rows_out: tuple[int, int]
    bad_rows: tuple[int, int]
    bytes: tuple[int, int]
    """Of the output."""
    workers: int
    sampled: int
    """How many rows it is judged by."""
    is_spread: bool
    """Whether they were spread over the input; else they were its first ones."""

    @classmethod
    def of_fields(cls, fields: Mapping[str, Any] | None) -> "Estimate | None":
        """Read it from JSON, which has lists for ranges."""
        if not fields:
            return None
        read: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
        }
        return cls(**read)
