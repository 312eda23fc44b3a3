"""How a host is reached: the one ssh command, of Ansible as of runs and of renewals.

The settings of ssh that this user has count (``~/.ssh/config`` and the system's, or the file that ``ssh_config:``
names): host aliases, users, ports, keys, certificates, jump hosts, the agent. What the file of hosts says goes before
them; and whatever they say, host keys must be known, nobody is asked anything, and what is said on a line is what the
program at its other end says.
"""

import functools
import shlex
import subprocess
from typing import Final

from muster.errors import EngineError

from .inventory import Host

CONNECT_SECONDS: Final = 10
"""A way around the world and a slow login take two or three."""

# ssh goes by the first value that it gets for an option, and reads the command line before any file.
_ALWAYS: Final = {
    "BatchMode": "yes",
    "ConnectTimeout": str(CONNECT_SECONDS),
    "ServerAliveInterval": "10",
    "ServerAliveCountMax": "6",
    "LogLevel": "ERROR",  # or banners are taken for what went wrong
    # A key that is not known is refused, however careless the settings are about it.
    "StrictHostKeyChecking": "yes",
    "VerifyHostKeyDNS": "no",
    "CheckHostIP": "no",
    "NoHostAuthenticationForLocalhost": "no",
    "UpdateHostKeys": "no",
    # Settings for people at a terminal, which would change or add to what is said on the line.
    "RequestTTY": "no",
    "RemoteCommand": "none",
    "PermitLocalCommand": "no",
    "ClearAllForwardings": "yes",
    "Tunnel": "no",
    # Hosts have no business with this computer's keys and screen.
    "ForwardAgent": "no",
    "ForwardX11": "no",
}
_SINCE_8_7: Final = {"SessionType": "default", "StdinNull": "no", "ForkAfterAuthentication": "no"}
_ALONE: Final = {"ControlMaster": "no", "ControlPath": "none"}
_OWN_KEYS_ONLY: Final = {"GlobalKnownHostsFile": "none"}
_NO_COMMAND_FOR_KEYS: Final = {"KnownHostsCommand": "none"}  # since 8.5


def options(host: Host) -> list[str]:
    """List the options of ssh for a host, as every program of ours gives them; but for how connections are shared."""
    settings = {**_ALWAYS, **_known_to_ssh(tuple(_SINCE_8_7.items()))}
    if host.known_hosts:  # these keys bind, and no other
        settings |= {
            "UserKnownHostsFile": _literal(host.known_hosts),
            **_OWN_KEYS_ONLY,
            **_known_to_ssh(tuple(_NO_COMMAND_FOR_KEYS.items())),
        }
    if host.host_key:
        settings["HostKeyAlias"] = host.outside  # under which the key is kept, wherever HostName and Port lead
    if host.key:
        settings |= {"IdentityFile": _literal(host.key), "IdentitiesOnly": "yes"}
    if host.proxy_command:
        settings["ProxyCommand"] = host.proxy_command
        settings["ProxyJump"] = "none"
    if host.user:
        settings["User"] = host.user
    if host.port is not None:
        settings["Port"] = str(host.port)
    config = ["-F", host.ssh_config] if host.ssh_config else []
    return [*config, *_spelled(settings)]


def command(host: Host, *words: str) -> list[str]:
    """List the command that runs words of shell on a host, over a connection of its own."""
    return ["ssh", *options(host), *_spelled(_ALONE), "--", host.outside, *words]


def typed(host: Host) -> str:
    """Write a command with which the user can try for himself."""
    config = ["-F", host.ssh_config] if host.ssh_config else []
    key = ["-i", host.key] if host.key else []
    port = ["-p", str(host.port)] if host.port is not None else []
    return shlex.join(["ssh", *config, *key, *port, f"{host.user}@{host.outside}" if host.user else host.outside])


def network_name(host: Host) -> str:
    """Tell which name or number an address stands for in the settings. Raises ``EngineError``."""
    done = _ask("-G", *options(host), "--", host.outside)
    if done.returncode:
        raise EngineError(
            f"{host.name}: ssh does not take its settings: {' '.join(done.stderr.split())}. Mend them, or name others"
            " with ssh_config: in the file of hosts (none: without any)."
        )
    named = [line.partition(" ")[2] for line in done.stdout.splitlines() if line.startswith("hostname ")]
    return named[0] if named else host.outside


@functools.cache
def _known_to_ssh(settings: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """Leave out what an older ssh has no word for, and which no settings of it can therefore hold."""
    done = _ask("-G", "-F", "none", *_spelled(dict(settings)), "--", "localhost")
    return {} if done.returncode else dict(settings)


def _ask(*words: str) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(["ssh", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)  # noqa: S603, S607 (the user's ssh, with arguments of our own)
    except FileNotFoundError as error:
        raise EngineError(
            "There is no ssh on this computer, so hosts cannot be reached. Install OpenSSH's client, or use --on local."
        ) from error


def _literal(path: str) -> str:
    """Write the name of a file in which ssh shall see no blank and no token of its own."""
    return '"' + path.replace("%", "%%") + '"'


def _spelled(settings: dict[str, str]) -> list[str]:
    return [part for name, value in settings.items() for part in ("-o", f"{name}={value}")]
