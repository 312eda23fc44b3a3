"""What was seen of machines that were to end, for each of them: one that nobody saw end is not said to have."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from muster.errors import EngineError


@dataclass(slots=True)
class Endings:
    """Machines that have ended, with what was seen of it, and what may go on on the others."""

    seen: dict[str, str] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)
    silent: dict[str, str] = field(default_factory=dict)
    """Those that did not answer."""

    def take(self, name: str, told: Mapping[str, Any]) -> None:
        """Note what a machine's agent, or what looked in its place, says."""
        if told.get("left"):
            pids = ", ".join(map(str, told["left"]))
            self.left[name] = f"{_processes(len(told['left']))} did not end ({pids})."
        elif told.get("files"):
            self.left[name] = f"all its processes have ended, but {', '.join(told['files'])} could not be removed."
        elif told.get("unseen"):
            self.seen[name] = "its agent was gone, so no process was looked for; its files are removed"
        else:
            ended = told.get("ended", 0)
            what = f"{_processes(ended)} ended" if ended else "no process was left there"
            self.seen[name] = f"{what}, and its files are removed"

    def believe_the_lease(self, names: Collection[str]) -> None:
        """Take for ended those that do not answer and whose lease nobody has renewed for as long as that lasts."""
        for name in set(names) & set(self.silent):
            said = self.silent.pop(name)
            self.seen[name] = f"its lease has ended, and with it what ran there. It was not seen to: {said}"

    def lines(self) -> Sequence[str]:
        """Write a line for each machine that has ended."""
        return [f"{name}: {text}" for name, text in self.seen.items()]

    def check(self, lease: float) -> None:
        """Raise ``EngineError`` where something may go on."""
        may_go_on = self.left | self.silent
        if not may_go_on:
            return
        told = [f"  {name}: {text}" for name, text in may_go_on.items()]
        done = [f"  {line}" for line in self.lines()]
        raise EngineError(
            "\n".join(["Not all machines could be seen to end:", *told, *done])
            + f"\nWhat still runs there ends by itself within its lease of {lease:g} s, which nobody renews any more."
            " To end it sooner, type the same command again once they answer."
        )


def _processes(number: int) -> str:
    return f"{number} process" if number == 1 else f"{number} processes"
