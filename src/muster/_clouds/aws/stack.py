"""What Pulumi knows of one cluster: its stack."""

import contextlib
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Final

from pulumi import automation
from pulumi.automation import errors

from muster._files.whole import write
from muster._private.files import own_folder
from muster.errors import EngineError

from . import tools
from .blueprint import Blueprint, Made, ResourceChanges
from .command import PulumiCommand
from .refusals import RefusedError, refusals_in
from .resources import MACHINE, MACHINES, declare, number_of
from .states import State, StateFolder
from .workspace import PulumiStack, Workspace

_PROJECT: Final = "muster"
_ORPHAN_SECONDS: Final = 60.0
"""An engine whose muster was killed ends once it has noted what it began: a step takes seconds."""

_PAUSE_SECONDS: Final = 0.2
"""To look costs a file to be read."""

_NO_REASON: Final = {"update failed", "preview failed"}
_CREATE, _UPDATE, _DELETE, _REPLACE = "create", "update", "delete", "replace"


@dataclass(frozen=True, slots=True)
class Known:
    """What a stack knows of: the ids of its resources, and the names of its machines."""

    ids: frozenset[str] = frozenset()
    machines: tuple[str, ...] = ()


class Stack:
    """The stack of one cluster. A step that was killed is found, and taken up, by the next."""

    def __init__(self, folder: Path, name: str, *, command: PulumiCommand, state: State | None = None) -> None:
        """Know it by its cluster's folder and name, and by its ``state``, which lies in that folder unless said.

        Nothing happens yet.
        """
        self._folder, self._name, self._command = folder / "pulumi", name, command
        self._state = state or StateFolder(self._folder / "state")

    def preview(self, wanted: Blueprint) -> ResourceChanges:
        """Tell what ``up`` would do: where there is nothing, make all. Raises ``EngineError``."""
        if not self._is_there():
            return ResourceChanges(made=number_of(wanted))
        with self._opened() as stack, stack.workspace.serving(lambda: declare(wanted)):
            return _changes(stack.preview(refresh=True).change_summary)

    def up(self, wanted: Blueprint) -> Mapping[str, Made]:
        """Make what is missing, change what differs, remove what is too much; tell of the machines, by name.

        Raises ``EngineError``. What was made by then is known to the next ``up`` and ``destroy``.
        """
        with self._opened() as stack, stack.workspace.serving(lambda: declare(wanted)):
            outputs = stack.up(refresh=True).outputs
        return {name: Made(**made) for name, made in outputs[MACHINES].value.items()}

    def known(self) -> Known:
        """Tell what it knows of, also where the last step was interrupted or has failed. Raises ``EngineError``."""
        if not self._is_there():
            return Known()
        with self._opened() as stack:
            resources = (stack.export_stack().deployment or {}).get("resources", [])
        names = (str(one["urn"]).rpartition("::")[2] for one in resources)
        return Known(
            frozenset(str(one["id"]) for one in resources if one.get("id")),
            tuple(sorted(name.removeprefix(MACHINE) for name in names if name.startswith(MACHINE))),
        )

    def destroy(self) -> None:
        """Remove all that the stack knows. Raises ``EngineError``."""
        if not self._is_there():
            return
        with self._opened() as stack:
            stack.destroy(refresh=True)
            stack.workspace.remove_stack(self._name)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[automation.Stack]:
        """Open the stack; say in words what Pulumi says. Raises ``EngineError``."""
        try:
            stack = self._selected()
            self._take_up(stack)
            yield stack
        except errors.CommandError as error:
            refusals = refusals_in(str(error))
            late = " It took too long, and was asked to end." if self._command.is_late else ""
            advice = "".join(dict.fromkeys(f" {one.advice}" for one in refusals))
            raise RefusedError(f"Pulumi could not do it.{late} It said: {_reason(error)}.{advice}", refusals) from error

    def _selected(self) -> automation.Stack:
        own_folder(self._folder)
        passphrase, is_there, url = self._passphrase(), self._is_there(), self._state.url()
        home, work = own_folder(self._folder / "home"), own_folder(self._folder / "work")
        _share_plugins(home)
        workspace = Workspace(
            work_dir=str(work),
            pulumi_home=str(home),
            env_vars={"PULUMI_CONFIG_PASSPHRASE": passphrase, "PULUMI_BACKEND_URL": url},
            project_settings=automation.ProjectSettings(
                _PROJECT, "python", main=str(work), backend=automation.ProjectBackend(url)
            ),
            pulumi_command=self._command,  # it has what Pulumi asks of one
        )
        if not is_there:
            workspace.create_stack(self._name)
        return PulumiStack(self._name, workspace)

    def _is_there(self) -> bool:
        return self._state.has(self._name)

    def _passphrase(self) -> str:
        """Read what the stack is sealed with; drawn once, as there is nobody to remember one."""
        path = self._folder / "passphrase"
        with contextlib.suppress(FileNotFoundError):
            return path.read_text()
        if self._is_there():
            raise EngineError(
                f"{str(path)!r} is gone, and nobody can read what Pulumi knows of the cluster without it. Restore it;"
                f" or type muster down {self._name}, which removes all that bears the cluster's tag without it."
            )
        write(path, drawn := secrets.token_urlsafe(), durable=True)
        return drawn

    # What a killed step has left

    def _take_up(self, stack: automation.Stack) -> None:
        """Take away a dead process's lock, and forget what it began to make: whether it was made, a census tells."""
        if not (locks := self._state.locks(self._name)):
            return
        # An engine whose muster was killed ends what it is at, and then itself.
        deadline = monotonic() + _ORPHAN_SECONDS
        while (living := [one for one in locks if one.lives]) and monotonic() < deadline and not self._command.is_late:
            Event().wait(_PAUSE_SECONDS)
            locks = self._state.locks(self._name)
        if living:
            raise EngineError(living[0].refusal)
        stack.cancel()
        stack.refresh(clear_pending_creates=True)


def _share_plugins(home: Path) -> None:
    """Have the engine find the plugins that were fetched for all clusters: each is hundreds of megabytes."""
    with contextlib.suppress(FileExistsError):
        (home / "plugins").symlink_to(tools.home().absolute() / "plugins")


def _changes(summary: Mapping[object, int]) -> ResourceChanges:
    counted = {str(getattr(kind, "value", kind)): number for kind, number in summary.items()}
    return ResourceChanges(*(counted.get(kind, 0) for kind in (_CREATE, _UPDATE, _REPLACE, _DELETE)))


def _reason(error: errors.CommandError) -> str:
    """Cut what Pulumi prints to what went wrong, without a stop at its end."""
    lines = [line.strip() for line in str(error).splitlines()]
    told = [line.removeprefix("error:").strip() for line in lines if line.startswith("error:")]
    told = [line for line in told if line not in _NO_REASON]
    return ("; ".join(dict.fromkeys(told)) or " ".join(filter(None, lines))).rstrip(".: ")
