"""What ails a host, made out from what ssh, a shell, Ansible or a Python there say; each ill with what to do."""

import re
from typing import Final, NamedTuple

from muster._words import printable


class _Ill(NamedTuple):
    """Words of which one stands in what was said, and what that means."""

    words: tuple[str, ...]
    told: str


# The first that fits counts. What a host's programs say comes last: ssh's own words mean that none of them ran.
_ILLS: Final = (
    _Ill(
        (r"HOST IDENTIFICATION HAS CHANGED", r"Offending .*key"),
        "its host key is not the one that is known for it: it was made anew, or another machine is in its place. Ask"
        " who runs it; then write the new key into host_key:, or into the file of known hosts.",
    ),
    _Ill(
        (r"host key is known", r"Host key verification failed", r"no matching host key type"),
        "its host key is not known. Write it into host_key:, or into the file of known hosts, from a source that you"
        " trust.",
    ),
    _Ill(
        (
            *(r"Permission denied \([a-z,-]+\)", r"Too many authentication failures", r"no mutual signature"),
            *(r"sign_and_send_pubkey", r"Load key", r"no such identity"),
        ),
        "it refuses the key. Name the right one, as key: in the file, as IdentityFile in ssh's settings or in the"
        " agent; and the right user:.",
    ),
    _Ill(
        (r"Could not resolve hostname", r"Name or service not known"),
        "it does not answer: nobody knows its name. Mend address:, or its Host in ssh's settings.",
    ),
    _Ill(
        (r"node timed out during startup", r"The machine did not start: it took longer than"),
        "it is reached, but Ray does not start there in time. Is it busy? Type the command again once it is not.",
    ),
    _Ill(
        (
            *(r"Connection refused", r"timed out", r"No route to host", r"Network is unreachable", r"Host is down"),
            *(r"Connection (reset|closed|to .* closed)", r"banner exchange", r"kex_exchange", r"Broken pipe"),
            *(r"stdio forwarding failed", r"administratively prohibited"),
        ),
        "it does not answer. Is it up, is its SSH at that port, and does the network lead there?",
    ),
    _Ill(
        (r"Bad configuration option", r"bad configuration options", r"Bad owner or permissions"),
        "ssh does not take its settings on this computer. Mend them, or name others with ssh_config: in the file.",
    ),
    _Ill(
        (r"No space left on device", r"Errno 28\b", r"Disk quota exceeded", r"Errno 122\b"),
        "its disk is full. Make room in the home and in /tmp there.",
    ),
    _Ill((r"Read-only file system", r"Errno 30\b"), "its disk is read-only. Mend that there."),
    _Ill(
        (r"login shell runs no command",),
        "it lets nobody run commands. Is that the right user:, with a shell of its own?",
    ),
    _Ill(
        (r"expected time frame", r"Timed out after \d+ second"),
        "it is reached, but what it was asked for does not come to an end. Does its login shell wait for something?",
    ),
    _Ill(
        (
            *(r"sh: .*(not found|No such file|Permission denied|cannot execute)", r"interpreter .* not found"),
            *(r"command not found", r"Exec format error", r"Fatal Python error", r"ModuleNotFoundError"),
            *(r"ImportError", r"No module named", r"SyntaxError", r"Segmentation fault"),
        ),
        "its Python does not work. Name another with python: in the file, or mend it there.",
    ),
)
_MOST_SHOWN: Final = 400
"""Letters: five lines of a terminal."""


def named(said: str) -> str:
    """Say what is the matter, what to do, and what was said; words that fit no ill stand for themselves."""
    shown = printable(" ".join(said.split()))
    shown = shown if len(shown) <= _MOST_SHOWN else f"{shown[:_MOST_SHOWN]}..."
    ill = next((ill for ill in _ILLS if any(re.search(words, said) for words in ill.words)), None)
    return shown if ill is None else f"{ill.told} [{shown}]"
