"""Pulumi's Automation API with fewer starts of its command: each takes from 0.2 s to more than 1 s.

To unseal what is secret takes most of a second of a processor. Nobody here asks for what is. Methods are called as
Pulumi calls them.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from pulumi import automation

from .hosting import served


class Workspace(automation.LocalWorkspace):  # type: ignore[misc] # Pulumi's types are not read
    """The folder in which Pulumi works for a stack."""

    served_at = ""
    """Where the program of the step that is done now is served, if it has one."""

    @contextmanager
    def serving(self, program: Callable[[], None]) -> Iterator[None]:
        """Have the engine run this program in a step."""
        with served(program) as address:
            self.served_at = address
            try:
                yield
            finally:
                self.served_at = ""

    def serialize_args_for_op(self, stack_name: str) -> list[str]:
        """Tell the command of a step where its program is."""
        del stack_name
        return [f"--client={self.served_at}"] if self.served_at else []

    def stack_outputs(self, stack_name: str) -> automation.OutputMap:
        """Ask for the outputs once: a second time would tell those that are secret, and none is."""
        told = json.loads(self._said("output", "--json", "--stack", stack_name))
        return {name: automation.OutputValue(value, secret=False) for name, value in told.items()}

    def export_stack(self, stack_name: str) -> automation.Deployment:
        """Ask for all that Pulumi knows, with what is secret still sealed."""
        told = json.loads(self._said("export", "--stack", stack_name))
        return automation.Deployment(version=told.get("version"), deployment=told.get("deployment"))

    def _said(self, *words: str) -> str:
        environment = {"PULUMI_HOME": self.pulumi_home, **self.env_vars}
        said: str = self.pulumi_command.run(["stack", *words], self.work_dir, environment).stdout
        return said


class PulumiStack(automation.Stack):  # type: ignore[misc] # likewise
    """A stack that is there. None is selected: each command names the stack that it means."""

    def __init__(self, name: str, workspace: Workspace) -> None:
        """Know a stack by its name."""
        self.name, self.workspace = name, workspace

    def info(self, show_secrets: bool = True) -> automation.UpdateSummary:  # noqa: FBT001, FBT002 (as Pulumi has it)
        """Sum up the last step as what it is where there was no error; Pulumi would look it up in its history."""
        del show_secrets
        now = datetime.now(UTC)
        return automation.UpdateSummary("", now, "", {}, {}, "succeeded", end_time=now)
