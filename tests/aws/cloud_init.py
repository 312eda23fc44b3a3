"""What cloud-init does with user data, as far as muster needs it: run as root inside a host, once it has booted.

In cloud-init's order: ``bootcmd``, ``write_files``, host keys, root's authorized key, sshd, ``runcmd``. A command that
fails is logged, and the rest goes on. A word that is not known here is an error: the real one would overlook it.
"""

import contextlib
import gzip
import os
import shlex
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

METADATA = "http://169.254.169.254/latest"
KNOWN = {"bootcmd", "write_files", "ssh_keys", "ssh_deletekeys", "ssh_pwauth", "disable_root", "runcmd"}
NO_PYTHON = "has-no-python"
HOST_KEY = Path("/run/ssh_host_ed25519_key")
NO_ROOT = 'command="echo \'Please login as the user \\"ubuntu\\" rather than the user \\"root\\".\'; exit 142" '
"""What stands before root's key unless ``disable_root`` is false."""

SSHD = """\
Port 22
PidFile /run/sshd.pid
HostKey {key}
AuthorizedKeysFile .ssh/authorized_keys
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
UseDNS no
MaxStartups 100
MaxSessions 100
Subsystem sftp internal-sftp
SetEnv PATH={path}
"""


def fetched(path: str) -> bytes:
    """Ask the metadata service, which may not be up yet."""
    for _ in range(500):
        with contextlib.suppress(urllib.error.URLError):
            asked = urllib.request.Request(  # noqa: S310 (it is HTTP)
                f"{METADATA}/api/token", method="PUT", headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"}
            )
            token = urllib.request.urlopen(asked).read().decode()  # noqa: S310 (likewise)
            break
        threading.Event().wait(0.01)
    try:
        asked = urllib.request.Request(f"{METADATA}/{path}", headers={"X-aws-ec2-metadata-token": token})  # noqa: S310
        body: bytes = urllib.request.urlopen(asked).read()  # noqa: S310 (likewise)
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return b""
        raise
    return body


def parsed(data: bytes) -> dict[str, Any]:
    """Read user data: a script is what ``runcmd`` would run."""
    if data.startswith(b"\x1f\x8b"):
        data = gzip.decompress(data)
    text = data.decode()
    if text.startswith("#!"):
        return {"runcmd": [text]}
    if not text:
        return {}
    if not text.startswith("#cloud-config\n"):
        raise ValueError(f"user data begin with {text[:40]!r}")
    config: dict[str, Any] = yaml.safe_load(text)
    if odd := set(config) - KNOWN:
        raise ValueError(f"no such words of cloud-config here: {odd}")
    return config


def script(commands: Sequence[object]) -> str:
    """Write commands as cloud-init does: a list is words, a text is a line of shell."""
    lines = [shlex.join(map(str, one)) if isinstance(one, list) else str(one) for one in commands]
    return "\n".join(["#!/bin/sh", *lines, ""])


def run(name: str, commands: Sequence[object]) -> None:
    if not commands:
        return
    path = Path("/run") / name
    path.write_text(str(commands[0]) if str(commands[0]).startswith("#!") else script(commands))
    path.chmod(0o700)
    environment = {**os.environ, "PATH": without_python()} if NO_PYTHON in sys.argv else None
    done = subprocess.run([str(path)], stdin=subprocess.DEVNULL, check=False, env=environment)
    print(name, "ended with", done.returncode, flush=True)  # noqa: T201 (its log)


def without_python() -> str:
    """Have a folder that holds a shell, and nothing else."""
    folder = Path("/run/no-python")
    folder.mkdir(exist_ok=True)
    if not (shell := folder / "sh").exists():
        shell.symlink_to("/bin/sh")
    return str(folder)


def write_files(files: Sequence[Mapping[str, str]]) -> None:
    for file in files:
        path = Path(file["path"])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file["content"])
        path.chmod(int(file.get("permissions", "0644"), 8))


def keys(config: Mapping[str, Any], authorized: str) -> None:
    """Have the host's own keys, and root's authorized ones."""
    if private := config.get("ssh_keys", {}).get("ed25519_private"):
        HOST_KEY.write_text(private if private.endswith("\n") else f"{private}\n")
        HOST_KEY.chmod(0o600)
    else:
        subprocess.run([sys.argv[2], "-q", "-t", "ed25519", "-N", "", "-f", str(HOST_KEY)], check=True)
    folder = Path.home() / ".ssh"
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / "authorized_keys").write_text(f"{NO_ROOT if config.get('disable_root', True) else ''}{authorized}\n")


def main() -> None:
    config = parsed(fetched("user-data"))
    run("bootcmd", config.get("bootcmd", ()))
    write_files(config.get("write_files", ()))
    keys(config, fetched("meta-data/public-keys/0/openssh-key").decode().strip())
    settings = Path("/run/sshd_config")
    settings.write_text(SSHD.format(key=HOST_KEY, path=os.environ["PATH"]))
    subprocess.run([sys.argv[1], "-f", str(settings), "-E", "/run/sshd.log"], check=True)
    run("runcmd", config.get("runcmd", ()))


if __name__ == "__main__":
    main()
