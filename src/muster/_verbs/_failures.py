"""What is raised where a verb has done what it could, and some of it failed."""

from collections.abc import Mapping

from muster.errors import EngineError, MusterError, UsageError


def raise_any(failed: Mapping[str, MusterError]) -> None:
    """Raise what failed, by the name of its cluster: as it is where it is one, and else all in one."""
    if len(failed) == 1:
        raise next(iter(failed.values()))
    if failed:
        kind = UsageError if all(isinstance(error, UsageError) for error in failed.values()) else EngineError
        raise kind("\n".join(f"{name}: {error}" for name, error in failed.items()))
