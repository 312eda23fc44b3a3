"""Machines that are up and do not answer this computer: found out, and told with who is let in by SSH."""

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from time import monotonic
from typing import Final

from muster._clouds.over_ssh.inventory import Host
from muster.errors import EngineError

from .choosing import ssh_from
from .making import Making
from .note import Note

PATIENCE_SECONDS: Final = 60.0
"""How long one may be silent that is up. Its network is, too, by then: where its SSH is not yet, a connection is
refused, and does not time out."""

_LOOK_SECONDS: Final = 10.0
"""How often consoles are read: about as often as ssh gives up connecting."""

_SILENCE: Final = re.compile(
    r"connect to host \S+ port \d+: (Connection timed out|Operation timed out|No route to host|Host is down)"
)
"""What ssh says where nothing at all comes back."""


class SilentMachines:
    """Watches for machines that say on their console that they are up, and at whose port 22 nothing answers."""

    def __init__(self, making: Making, hosts: Sequence[Host], *, patience: float = PATIENCE_SECONDS) -> None:
        """Know the machines, and how many seconds one may be up without an answer."""
        self._making, self._patience = making, patience
        # Another program is the way in where there is a proxy command, and AWS may let that in only after a while.
        self._hosts = {host.name: host for host in hosts if not host.proxy_command}
        self._up_since: dict[str, float] = {}
        self._look_at = 0.0
        self._none_answers = True
        self._given_up = False

    def given_up(self, answers: Mapping[str, str]) -> Mapping[str, str]:
        """Take what kept ssh from each, empty where nothing did; tell those that have been silent for too long."""
        silent = [name for name, why in answers.items() if name in self._hosts and _SILENCE.search(why)]
        self._none_answers = self._none_answers and len(silent) == len(answers)
        self._up_since = {name: since for name, since in self._up_since.items() if name in silent}
        unsure = [name for name in silent if name not in self._up_since]
        if unsure and monotonic() >= self._look_at:
            self._look_at = monotonic() + min(_LOOK_SECONDS, self._patience)
            self._up_since |= dict.fromkeys(self._making.booted(unsure), monotonic())
        over = [name for name in silent if monotonic() - self._up_since.get(name, monotonic()) > self._patience]
        self._given_up = self._given_up or bool(over)
        return {
            name: f"it is up, as its console says, and at {self._hosts[name].outside}, port 22, nothing has answered"
            f" this computer for {self._patience:g} s."
            for name in over
        }

    def advice(self) -> str:
        """Tell who is let in, and what to do; empty where that is not what machines have failed for."""
        if not (self._given_up and self._none_answers):
            return ""
        note = self._making.note
        if note.place is None:
            return ""
        try:
            (here,) = ssh_from(note.place, note.region, replace(note.settings, ssh_from=()))
        except EngineError as error:
            return _let_in(note.ssh_from) + f", and where this computer calls from is not known: {error}"
        return way_in(note.ssh_from, here, is_said=bool(note.settings.ssh_from))


def way_in(allowed: Sequence[str], here: str, *, is_said: bool) -> str:
    """Tell why SSH does not come through from ``here``, a block of one address, and what to type.

    ``is_said`` tells whether the user has written who is ``allowed``.
    """
    caller = ipaddress.ip_network(here).network_address
    if not any(caller in ipaddress.ip_network(block) for block in allowed):
        if is_said:
            return (
                f"{_let_in(allowed)}, as ssh_from: says, and AWS sees this computer at {caller}. Write ssh_from:"
                f" [{here}], or leave it out; then type the command again."
            )
        return (
            f"{_let_in(allowed)}, where this computer was, and AWS sees it at {caller} now. Type the command again,"
            " which lets that in; where the address changes often, write a block of such addresses as ssh_from:."
        )
    return (
        f"{_let_in(allowed)}, and AWS sees this computer at {caller}, which is let in. So something on the way keeps"
        " port 22 back: a firewall here, a VPN or proxy that SSH does not take and the web does, or a network ACL of"
        " the subnet. Mend that; or write, below aws: in a file, as ssh_from: the address that SSH calls from, or"
        " ssh_proxy_command: for another way in."
    )


def with_who_is_let_in(silent: Mapping[str, str], note: Note, *, cluster: str) -> Mapping[str, str]:
    """Add to why machines are silent, where nothing comes back from them, that this computer's address may be new."""
    if not note.ssh_from or note.settings.ssh_proxy_command or note.is_for_image:
        return silent
    mend = "mend ssh_from:, and " if note.settings.ssh_from else ""
    added = (
        f" {_let_in(note.ssh_from)}: if this computer calls from elsewhere now, {mend}type muster up {cluster}"
        f" --machines {note.wanted.machines}, which lets that in."
    )
    return {name: why + added if _SILENCE.search(why) else why for name, why in silent.items()}


def _let_in(allowed: Sequence[str]) -> str:
    return f"SSH is let in from {', '.join(allowed)} alone"
