"""What ails a host: each of the usual ills is told apart by what programs say of it, with what to do."""

import pytest

from muster._clouds.over_ssh.ills import named

ADDRESS = "root@10.0.0.1"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (f"{ADDRESS}: Permission denied (publickey).", "it refuses the key. Name the right one, as key:"),
        ("Received disconnect from 10.0.0.1 port 22:2: Too many authentication failures", "it refuses the key."),
        ("ssh: connect to host 10.0.0.1 port 22: Connection refused", "it does not answer. Is it up"),
        ("ssh: connect to host 10.0.0.1 port 22: Connection timed out", "it does not answer. Is it up"),
        ("ssh: connect to host 10.0.0.1 port 22: No route to host", "it does not answer. Is it up"),
        (
            "Connection timed out during banner exchange\nConnection to UNKNOWN port 65535 timed out",
            "it does not answer",
        ),
        (
            "The machine did not start: its command ended with status 1. The current node timed out during startup.",
            "it is reached, but Ray does not start there in time. Is it busy?",
        ),
        ("kex_exchange_identification: read: Connection reset by peer", "it does not answer. Is it up"),
        ("ssh: Could not resolve hostname gpu: Name or service not known", "nobody knows its name. Mend address:"),
        (
            "@@@\n@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\n@@@\nHost key verification failed.",
            "its host key is not the one that is known for it",
        ),
        (
            "No ED25519 host key is known for 10.0.0.1.\nHost key verification failed.",
            "its host key is not known. Write it into host_key:",
        ),
        ("/home/a/config: line 1: Bad configuration option: usekeychain", "ssh does not take its settings"),
        ("mkdir: cannot create directory '/root/x': No space left on device", "its disk is full. Make room"),
        ("OSError: [Errno 28] No space left on device", "its disk is full. Make room"),
        ("OSError: [Errno 122] Disk quota exceeded: '/home/a/.muster'", "its disk is full. Make room"),
        ("OSError: [Errno 30] Read-only file system: '/root/.muster'", "its disk is read-only."),
        ("/bin/sh: 1: /usr/bin/nowhere: not found", "its Python does not work. Name another with python:"),
        ("/bin/sh: line 1: /usr/bin/nowhere: No such file or directory", "its Python does not work."),
        ("/bin/sh: 1: /root/python: Permission denied", "its Python does not work."),
        ("Fatal Python error: init_fs_encoding: failed to get the Python codec", "its Python does not work."),
        ("Traceback:\nModuleNotFoundError: No module named 'encodings'", "its Python does not work."),
        ("Task failed: Timed out after 60 second(s).", "Does its login shell wait for something?"),
        ("its login shell runs no command, it said 'This account is not available.'", "it lets nobody run commands."),
    ],
)
def test_each_ill_is_told_with_what_to_do_and_with_what_was_said(said: str, told: str) -> None:
    assert told in named(said)
    assert named(said).endswith(f"[{' '.join(said.split())}]")


def test_what_fits_no_ill_is_told_as_it_was_said_and_not_at_any_length() -> None:
    assert named("it\nrains") == "it rains"
    assert len(named("rain " * 1000)) < 500
