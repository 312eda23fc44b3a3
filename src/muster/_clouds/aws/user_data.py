"""What a machine is told at its birth: the leash before all else, and the host key by which it is known."""

import json
from pathlib import Path
from typing import Final

from muster._clouds.there import leash

LEASES: Final = "/root/.muster/machines/*/*/lease"
"""Where ``over_ssh`` keeps leases on a machine: of root, as who has a machine to himself may do anything there."""

MOST_BYTES: Final = 16 << 10
"""What AWS takes, before it is written in base64."""


def user_data(host_key: str, *, lease: float) -> str:
    """Write user data, for cloud-init; ``host_key`` is a private key, ``lease`` how many seconds nobody need come.

    cloud-init runs ``bootcmd`` at each boot, before it does anything else with these. JSON is YAML to it.
    """
    program = Path(leash.__file__).read_text()
    told = {
        "bootcmd": [["python3", "-I", "-c", program, f"{lease:g}", LEASES]],
        "ssh_keys": {"ed25519_private": host_key},
        "ssh_deletekeys": True,
        "ssh_pwauth": False,
        "disable_root": False,
    }
    return f"#cloud-config\n{json.dumps(told)}\n"
