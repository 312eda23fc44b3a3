"""Whether as many machines live as must, and what is said where they do not."""

from collections.abc import Mapping, Sequence

from muster.errors import EngineError

from .base import Machine, Seen


def expect(wanted: int, living: Sequence[Machine], silent: Mapping[str, str], *, cluster: str) -> None:
    """Raise ``EngineError`` when fewer machines live than were wanted."""
    if len(living) < wanted:
        names = ", ".join(machine.name for machine in living) or "none"
        raise EngineError(
            f"{wanted} machines were started, and {len(living)} of them live ({names}): others ended at once, or do not"
            f" answer.{_told(silent)} Type muster up {cluster} --machines {wanted} again."
        )


def expect_any(seen: Seen, *, cluster: str) -> None:
    """Raise ``EngineError`` where no machine can be worked on."""
    if seen.machines:
        return
    if seen.silent:
        raise EngineError(
            f"No machine of cluster {cluster!r} can be worked on.{_told(seen.silent)} Mend that, then type the same"
            " command again; machines that nobody renews end by themselves."
        )
    raise EngineError(
        f"No machine of cluster {cluster!r} lives any more: its lease has ended, or it was killed. Make it again:"
        f" muster up {cluster} --machines N."
    )


def _told(silent: Mapping[str, str]) -> str:
    return "".join(f"\n  {name}: {why}" for name, why in silent.items()) + ("\n" if silent else "")
