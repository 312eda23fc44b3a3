"""What a machine is told at its birth: the leash before all else, and the host key by which it is known."""

import json
import shlex
from pathlib import Path
from typing import Final

from muster._clouds.over_ssh.inventory import DEFAULT_PYTHON
from muster._clouds.there import leash

LEASES: Final = "/root/.muster/machines/*/*/lease"
"""Where ``over_ssh`` keeps leases on a machine: of root, as who has a machine to himself may do anything there."""

FIRST_LEASE: Final = "/run/muster-lease"
"""The lease while the machine is equipped, until that of ``over_ssh`` is there."""

READY: Final = "/run/muster-ready"
"""It is there when all of this is done; what went wrong stands in it."""

MOST_BYTES: Final = 16 << 10
"""What AWS takes, before it is written in base64."""


_PYTHON: Final = """#!/bin/sh
# Have the Python that this cluster needs, and can make environments with; then say that the machine is ready.
equip() {{
    if {python} -c 'import ensurepip, venv'; then return 0; fi
    case {python} in */*) echo "the image has no {python}" >&2; return 1;; esac
    export UV_INSTALL_DIR=/opt/muster UV_NO_MODIFY_PATH=1 UV_PYTHON_INSTALL_DIR=/opt/muster/python
    curl -LsSf --retry 5 https://astral.sh/uv/install.sh | sh &&
    /opt/muster/uv python install {version} &&
    ln -sf "$(/opt/muster/uv python find --managed-python {version})" /usr/local/bin/{python}
}}
equip > {log} 2>&1 && : > {ready}.new || tail -n 5 {log} > {ready}.new
mv {ready}.new {ready}
"""


def user_data(host_key: str, *, lease: float, python: str = DEFAULT_PYTHON) -> str:
    """Write user data, for cloud-init; ``host_key`` is a private key, ``lease`` how many seconds nobody need come.

    cloud-init runs ``bootcmd`` at each boot, before it does anything else with these. JSON is YAML to it.
    """
    program = Path(leash.__file__).read_text()
    version = python.removeprefix("python")
    equip = _PYTHON.format(python=shlex.quote(python), version=shlex.quote(version), ready=READY, log=f"{READY}.log")
    told = {
        "bootcmd": [["python3", "-I", "-c", program, f"{lease:g}", LEASES, FIRST_LEASE]],
        "ssh_keys": {"ed25519_private": host_key},
        "ssh_deletekeys": True,
        "ssh_pwauth": False,
        "disable_root": False,
        "runcmd": [["sh", "-c", equip]],
    }
    return f"#cloud-config\n{json.dumps(told)}\n"
