"""Ansible's action ``ask``: run a program on a host, with ``argv`` and ``stdin``, and take what it prints.

Ansible's own modules unpack themselves in a temporary folder, so that a full disk or a Python that does not start is
told as a fault of Ansible's; and they take a brace that a login shell prints for the beginning of their result. This
needs neither room nor a Python of the host's, and knows where its own program begins to speak.
"""

import shlex
from typing import Any

from ansible.plugins.action import ActionBase

_MARK = "muster speaks:"


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible has no types
    """What Ansible finds by the name of this file."""

    _VALID_ARGS = frozenset(("argv", "stdin"))

    def run(self, tmp: object = None, task_vars: "dict[str, Any] | None" = None) -> dict[str, Any]:
        """Run the program, and fail where it does, or where no shell runs it."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        told = self._task.args
        command = f"{self._compute_environment_string()} {shlex.join(map(str, told['argv']))}".strip()
        done = self._low_level_execute_command(
            # Whatever stands on the line already, the mark has one for itself.
            f"echo; echo {shlex.quote(_MARK)}; {command}",
            in_data=str(told.get("stdin", "\n")).encode(),  # where there is nothing, Ansible leaves the line open
            sudoable=False,  # or Ansible asks for a terminal
            executable="/bin/sh",  # and not the login shell, which may be another
        )
        noise, mark, printed = done["stdout"].partition(f"\n{_MARK}\n")
        result |= {"rc": done["rc"], "stdout": printed, "stderr": done["stderr"], "changed": False}
        if not mark:
            result |= {"failed": True, "msg": f"its login shell runs no command, it said {noise.strip()!r}"}
        elif done["rc"]:
            result |= {"failed": True, "msg": ""}
        return result
