"""Machines boot: waited for until SSH answers and each is equipped, and kept alive meanwhile."""

import shlex
from collections.abc import Mapping, Sequence
from threading import Event
from time import monotonic
from typing import Final

from muster._clouds.base import ENDED
from muster._clouds.over_ssh import ssh
from muster._clouds.over_ssh.inventory import Host
from muster._clouds.over_ssh.touching import GONE, run_on_each
from muster.errors import EngineError

from .making import Making
from .remains import LATE_SECONDS
from .unanswered import PATIENCE_SECONDS, SilentMachines
from .user_data import FIRST_LEASE, LEASHED, READY

_ASK_SECONDS: Final = 20.0
"""A connection, and a command that reads one file, on a machine that is still busy with booting."""

_PAUSE_SECONDS: Final = 0.5
"""A machine boots for half a minute: to look more often would only load it."""

_LOOK_SECONDS: Final = 10.0
"""How often AWS is asked whether those that do not answer live at all."""

_START_SECONDS: Final = 180.0
"""What those that are ready need at the most of the time that all have: to be installed on, and started."""

_NOT_YET: Final = GONE

_ADVICE: Final = (
    "Type the command again; if that goes on, look at the image, at the way to them (ssh_from:, ssh_proxy_command:),"
    " and at theirs to the internet, from which they fetch Python."
)


def await_ready(
    making: Making, hosts: Sequence[Host], *, spare: int = 0, patience: float = PATIENCE_SECONDS
) -> Mapping[str, str]:
    """Wait until all that were made are ready, or until its deadline.

    Up to ``spare`` of them may fail, and are given up so early that the others can still be started in time: why each
    did is told. Raises ``EngineError`` where more are not ready by then, or cannot be. ``patience`` is how many seconds
    one may not answer that is up.
    """
    look_at = monotonic() + LATE_SECONDS  # until then AWS may not list what it has just made
    waiting = {host.name: ssh.command(host, _look(making.note.wanted.lease)) for host in hosts}
    # When some are given up, where enough others are ready: these have to be started in time.
    early = making.deadline - min(_START_SECONDS, max(0.0, making.deadline - monotonic()) / 2)
    silent = SilentMachines(making, hosts, patience=patience)
    lost: dict[str, str] = {}
    while waiting:
        answers = run_on_each(waiting, seconds=_ASK_SECONDS)
        waiting = {name: waiting[name] for name, why in answers.items() if why}
        lost |= {name: _said(why) for name, why in answers.items() if any(one in why for one in _FAILURES)}
        lost |= silent.given_up(answers)
        if waiting and monotonic() > look_at:
            there, look_at = making.living(), monotonic() + _LOOK_SECONDS
            lost |= {name: "it has ended, as AWS says." for name in waiting if name not in there}
        if monotonic() > (early if len({*waiting, *lost}) <= spare else making.deadline):
            lost |= {name: _said(answers[name]) for name in waiting if name not in lost}
        waiting = {name: command for name, command in waiting.items() if name not in lost}
        if len(lost) > spare:
            raise _not_ready(lost, silent.advice() or _ADVICE)
        if waiting:
            Event().wait(_PAUSE_SECONDS)
    return lost


def _not_ready(lost: Mapping[str, str], advice: str) -> EngineError:
    told = "\n".join(f"  {name}: {why}" for name, why in lost.items())
    return EngineError(f"Machines of AWS were made, and did not become ready:\n{told}\nThey are ended. {advice}")


def renewed(hosts: Sequence[Host], *, seconds: float) -> dict[str, str]:
    """Renew the first lease of machines that are not started yet; tell what went wrong, empty where nothing did."""
    return run_on_each(
        {
            host.name: ssh.command(host, f"test -e {FIRST_LEASE} || exit {GONE}; touch -c {FIRST_LEASE}")
            for host in hosts
        },
        seconds=seconds,
    )


_NO_PYTHON: Final = "muster could not be given Python: "
_NO_LEASH: Final = "muster's leash does not run on it, so nothing would end it: has its image cloud-init and python3?"
_FAILURES: Final = (_NO_PYTHON, _NO_LEASH)


def _look(lease: float) -> str:
    """Write the words of shell that write the first lease, and see whether a machine is on its leash, and ready.

    cloud-init starts the leash before anybody can log in.
    """
    return (
        f'kill -0 "$(cat {LEASHED})" 2> /dev/null || {{ echo {shlex.quote(_NO_LEASH)} >&2; exit 1; }};'
        f" test -e {FIRST_LEASE} || echo {lease:g} > {FIRST_LEASE}; test -e {READY} || exit {_NOT_YET};"
        f" test -s {READY} || exit 0; echo {shlex.quote(_NO_PYTHON)} >&2; cat {READY} >&2; exit 1"
    )


def _said(why: str) -> str:
    return "it answers, and was not equipped in time." if why == ENDED else why
