"""What Pulumi knows of one cluster: its stack, kept in the cluster's folder."""

import contextlib
import json
import os
import secrets
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pulumi import automation
from pulumi.automation import errors

from muster._files.whole import write
from muster._private.files import own_folder
from muster.errors import EngineError

from .blueprint import Blueprint, Made
from .command import PulumiCommand
from .resources import MACHINES, declare

_PROJECT: Final = "muster"
_CREATE, _UPDATE, _DELETE, _REPLACE, _SAME = "create", "update", "delete", "replace", "same"


@dataclass(frozen=True, slots=True)
class Changes:
    """How many resources a step makes, changes, replaces and removes."""

    made: int = 0
    changed: int = 0
    replaced: int = 0
    removed: int = 0

    def __bool__(self) -> bool:
        """Tell whether there are any."""
        return self != Changes()


class Stack:
    """The stack of one cluster. A step that was killed is found, and taken up, by the next."""

    def __init__(self, folder: Path, name: str, *, command: PulumiCommand) -> None:
        """Know it by its cluster's folder and name; nothing happens yet."""
        self._folder, self._name, self._command = folder / "pulumi", name, command

    def preview(self, wanted: Blueprint) -> Changes:
        """Tell what ``up`` would do. Raises ``EngineError``."""
        with self._opened(wanted) as stack:
            return _changes(stack.preview(refresh=True).change_summary)

    def up(self, wanted: Blueprint) -> Mapping[str, Made]:
        """Make what is missing, change what differs, remove what is too much; tell of the machines, by name.

        Raises ``EngineError``. What was made by then is known to the next ``up`` and ``destroy``.
        """
        with self._opened(wanted) as stack:
            outputs = stack.up(refresh=True).outputs
        return {name: Made(**made) for name, made in outputs[MACHINES].value.items()}

    def destroy(self) -> int:
        """Remove all that the stack knows; tell how many resources that were. Raises ``EngineError``."""
        if not self._folder.exists():
            return 0
        with self._opened(None) as stack:
            changes = _changes(stack.destroy(refresh=True).summary.resource_changes or {})
            stack.workspace.remove_stack(self._name)
        return changes.removed

    @contextlib.contextmanager
    def _opened(self, wanted: Blueprint | None) -> Iterator[automation.Stack]:
        """Open the stack; say in words what Pulumi says. Raises ``EngineError``."""
        try:
            stack = self._selected(wanted)
            self._take_up(stack)
            yield stack
        except errors.CommandError as error:
            late = " It took too long, and was asked to end." if self._command.is_late else ""
            raise EngineError(f"Pulumi could not do it.{late} It said: {_reason(error)}") from error

    def _selected(self, wanted: Blueprint | None) -> automation.Stack:
        own_folder(self._folder)
        state, home = own_folder(self._folder / "state"), own_folder(self._folder / "home")
        work = own_folder(self._folder / "work")
        url = state.absolute().as_uri()
        settings = automation.ProjectSettings(_PROJECT, "python", backend=automation.ProjectBackend(url))
        return automation.create_or_select_stack(
            self._name,
            project_name=_PROJECT,
            program=lambda: declare(wanted) if wanted else None,
            opts=automation.LocalWorkspaceOptions(
                work_dir=str(work),
                pulumi_home=str(home),
                env_vars={"PULUMI_CONFIG_PASSPHRASE": self._passphrase(), "PULUMI_BACKEND_URL": url},
                project_settings=settings,
                pulumi_command=self._command,  # it has what Pulumi asks of one
            ),
        )

    def _passphrase(self) -> str:
        """Read what the stack is sealed with; drawn once, as there is nobody to remember one."""
        path = self._folder / "passphrase"
        with contextlib.suppress(FileNotFoundError):
            return path.read_text()
        if any(self._folder.glob("state/.pulumi/stacks/**/*.json")):
            raise EngineError(
                f"{str(path)!r} is gone, and nobody can read what Pulumi knows of the cluster without it. Restore it;"
                f" or remove {str(self._folder)!r}, once its machines have ended with their lease."
            )
        write(path, drawn := secrets.token_urlsafe(), durable=True)
        return drawn

    # What a killed step has left

    def _take_up(self, stack: automation.Stack) -> None:
        """Take away a dead process's lock, and forget what it began to make: whether it was made, a census tells."""
        if (lock := self._lock()) is None:
            return
        if lock.lives:
            raise EngineError(
                f"Process {lock.pid} on {lock.host} is at work on this cluster with Pulumi. Wait until it has ended,"
                " and type the command again."
            )
        stack.cancel()
        stack.refresh(clear_pending_creates=True)

    def _lock(self) -> "_Lock | None":
        for path in sorted(self._folder.glob(f"state/.pulumi/locks/**/{self._name}/*.json")):
            with contextlib.suppress(FileNotFoundError):
                told = json.loads(path.read_text())
                return _Lock(int(told["pid"]), str(told["hostname"]))
        return None


@dataclass(frozen=True, slots=True)
class _Lock:
    """Who has the stack: Pulumi's locks have no lease."""

    pid: int
    host: str

    @property
    def lives(self) -> bool:
        if self.host != socket.gethostname():
            return True  # nobody here can tell
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True


def _changes(summary: Mapping[object, int]) -> Changes:
    counted = {str(getattr(kind, "value", kind)): number for kind, number in summary.items()}
    return Changes(*(counted.get(kind, 0) for kind in (_CREATE, _UPDATE, _REPLACE, _DELETE)))


def _reason(error: errors.CommandError) -> str:
    """Cut what Pulumi prints to what went wrong."""
    lines = [line.strip() for line in str(error).splitlines()]
    told = [line.removeprefix("error: ") for line in lines if line.startswith("error:")]
    return "; ".join(dict.fromkeys(told)) or " ".join(filter(None, lines))
