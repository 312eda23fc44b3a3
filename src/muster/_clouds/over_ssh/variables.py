"""What a playbook is told, written so that Ansible takes all of it for text and none of it for an expression.

Some of it comes from hosts and from files of others. Ansible evaluates expressions in variables here at home, and an
expression can run any program: so each text that may hold one bears the tag ``!unsafe``, which forbids that. Others do
without: Ansible of 2.19 and later takes a tagged ``"010"`` for a number, whatever its quotes; and Ansible before that
loses what is in a list that is tagged as a whole.
"""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, Final

from . import ssh
from .inventory import Host

_SHARED: Final = ("-o", "ControlMaster=auto", "-o", "ControlPersist=5s")
"""One connection for all tasks of a playbook, at a socket that Ansible names whatever the user's settings say."""

_MAY_BE_EVALUATED: Final = re.compile(r"\{|#jinja2")
"""Where an expression begins, and where it is said that expressions begin otherwise."""


def key(at: int) -> str:
    """Name a host for Ansible, which takes a colon in a name, or brackets, for more than that."""
    return f"host{at}"


def inventory(hosts: Sequence[Host], told: Mapping[str, Any], each: Mapping[str, Mapping[str, Any]]) -> str:
    """Write Ansible's inventory: ``told`` is for all hosts, ``each`` for every one by its name."""
    described = {key(at): {**_reached(host), **each.get(host.name, {})} for at, host in enumerate(hosts)}
    heads = [name for name, variables in described.items() if variables.get("is_head")]
    others = [name for name in described if name not in heads]
    return _mapping(
        {
            "all": _mapping(
                {
                    "vars": _variables(told),
                    "hosts": _mapping({name: _variables(variables) for name, variables in described.items()}),
                    "children": _mapping({"head": _group(heads), "others": _group(others)}),
                }
            )
        }
    )


def _reached(host: Host) -> dict[str, str]:
    return {
        "ansible_host": host.outside,
        "ansible_ssh_args": shlex.join([*ssh.options(host), *_SHARED]),
    }


def _group(names: Sequence[str]) -> str:
    return _mapping({"hosts": _mapping(dict.fromkeys(names, "{}"))})


def _variables(values: Mapping[str, Any]) -> str:
    return _mapping({name: _value(value) for name, value in values.items()})


def _value(value: Any) -> str:  # noqa: ANN401 (what JSON is)
    if isinstance(value, Mapping):
        return _variables(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    return f"!unsafe {_text(value)}" if isinstance(value, str) and _MAY_BE_EVALUATED.search(value) else _text(value)


def _mapping(written: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{_text(name)}: {text}" for name, text in written.items()) + "}"


def _text(value: Any) -> str:  # noqa: ANN401 (likewise)
    """Write a value as JSON that YAML reads alike: it knows no pairs of surrogates, and only what can be printed."""
    return re.sub("[^ -~]", lambda odd: f"\\U{ord(odd[0]):08x}", json.dumps(value, ensure_ascii=False))
