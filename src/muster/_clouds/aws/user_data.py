"""The user data of a machine: it starts the leash before all else, and sets the host key by which SSH knows it."""

import json
import shlex
from pathlib import Path
from typing import Final

from muster._clouds.over_ssh.inventory import DEFAULT_PYTHON
from muster._clouds.there import leash, notice

LEASES: Final = "/root/.muster/machines/*/*/lease"
"""Where ``over_ssh`` keeps leases on a machine: of root, as who has a machine to himself may do anything there."""

FIRST_LEASE: Final = "/run/muster-lease"
"""The lease while the machine is equipped, until that of ``over_ssh`` is there."""

LEASHED: Final = "/run/muster-leash"
"""It holds the id of a process of the leash: where that does not run, nothing ends the machine."""

READY: Final = "/run/muster-ready"
"""It is there when all of this is done; what went wrong stands in it."""

NOTICE: Final = "/run/muster-notice"
"""It says in how many seconds a spot machine is taken away, from when AWS has said so."""

UP: Final = "muster: this machine is up"
"""It says so on its console, where AWS keeps it, once it has a network and its leash; never without that."""

_UV: Final = "0.13.9"
"""Machines that are made years apart get Python from the same program."""

_PYTHON: Final = """#!/bin/sh
# Have the Python that this cluster needs, and can make environments with; then say that the machine is ready.
works() {{
    {python} -c 'import ensurepip, venv' && {python} -m venv --without-pip {tried} && {tried}/bin/python -c 'import ssl'
    set -- $?
    rm -rf {tried}
    return $1
}}
equip() {{
    if works; then return 0; fi
    case {python} in */*) echo "the image has no {python} that can make environments" >&2; return 1;; esac
    export HOME="${{HOME:-/root}}"
    export UV_INSTALL_DIR=/opt/muster UV_NO_MODIFY_PATH=1 UV_PYTHON_INSTALL_DIR=/opt/muster/python
    curl -LsSf --retry 5 https://astral.sh/uv/{uv}/install.sh | sh &&
    /opt/muster/uv python install {version} &&
    found="$(readlink -f "$(/opt/muster/uv python find --managed-python {version})")" &&
    # An environment that is made through a link looks for Python's library beside the link: so there is none.
    printf '#!/bin/sh\\nexec %s "$@"\\n' "$found" > /usr/local/bin/{python} &&
    chmod 755 /usr/local/bin/{python} || return
    works || {{ echo "the {python} that uv has brought makes no environments" >&2; return 1; }}
}}
equip > {log} 2>&1 && : > {ready}.new || tail -n 5 {log} > {ready}.new
mv {ready}.new {ready}
"""


def user_data(host_key: str, *, lease: float, python: str = DEFAULT_PYTHON, is_spot: bool = False) -> str:
    """Write user data, for cloud-init; ``host_key`` is a private key, ``lease`` how many seconds nobody need come.

    cloud-init runs ``bootcmd`` at each boot, before it does anything else with these. JSON is YAML to it.
    """
    boot = [_started(leash.__file__, f"{lease:g}", LEASHED, LEASES, FIRST_LEASE, then=f"echo {shlex.quote(UP)}")]
    if is_spot:
        boot.append(_started(notice.__file__, NOTICE))
    version = python.removeprefix("python")
    equip = _PYTHON.format(
        python=shlex.quote(python),
        version=shlex.quote(version),
        uv=_UV,
        ready=READY,
        log=f"{READY}.log",
        tried=f"{READY}.tried",
    )
    told = {
        "bootcmd": boot,
        "ssh_keys": {"ed25519_private": host_key},
        "ssh_deletekeys": True,
        "ssh_pwauth": False,
        "disable_root": False,
        "runcmd": [["sh", "-c", equip]],
    }
    return f"#cloud-config\n{json.dumps(told)}\n"


def _started(program: str, *words: str, then: str = ":") -> list[str]:
    """Write the command that starts a program of ``there``, which goes along whole, and does more where it started.

    cloud-init has what it runs write to the console.
    """
    return ["sh", "-c", f'python3 -I -c "$@" && {then}', "sh", Path(program).read_text(), *words]
