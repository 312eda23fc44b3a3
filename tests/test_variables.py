"""What a playbook is told reaches Ansible as it is, whichever Ansible that is, and is never evaluated."""

import json
from pathlib import Path
from typing import Any

import pytest
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible.vars.manager import VariableManager
from hypothesis import given, settings
from hypothesis import strategies as st

from muster._clouds.over_ssh.inventory import Host
from muster._clouds.over_ssh.variables import inventory

TRAP = "{{ lookup('pipe', 'echo evaluated') }}"
TEXTS = (
    "010",
    "on",
    "no",
    "null",
    "~",
    "",
    "0x1F",
    "2026-01-02",
    "1:20",
    "2001:1:2:3:4:5:6:7",
    "1e3",
    "[",
    "# no",
    "ä",
)
EVALUATED = (TRAP, "{% raw", "{# no", "#jinja2: variable_start_string:'[['\n[[ 7 * 7 ]]", "{0}", 'a "{{" b')


def read_by_ansible(text: str, folder: Path) -> dict[str, Any]:
    """Have Ansible read an inventory of one host, and evaluate all that it would; return the host's variables."""
    file = folder / "hosts.json"
    file.write_text(text)
    loader = DataLoader()
    hosts = InventoryManager(loader=loader, sources=[str(file)])
    variables = VariableManager(loader=loader, inventory=hosts).get_vars(host=hosts.get_host("host0"))
    named = {name: variables[name] for name in ("ansible_host", "told", "each")}
    evaluated = Templar(loader=loader, variables=variables).template(named)
    plain: dict[str, Any] = json.loads(json.dumps(evaluated, default=str))
    return plain


@pytest.mark.parametrize("text", [*TEXTS, *EVALUATED])
def test_a_text_is_what_it_was_wherever_it_stands(tmp_path: Path, text: str) -> None:
    value = {"text": text, "list": [text, [text], {"deep": text}], text: 1}
    host = Host("a", text)
    found = read_by_ansible(inventory([host], {"told": value}, {"a": {"each": text}}), tmp_path)
    assert found == {"ansible_host": text, "told": value, "each": text}


LEAVES = st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from([*TEXTS, *EVALUATED])
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)


@settings(max_examples=60, deadline=None)
@given(value=VALUES)
def test_any_value_is_what_it_was(tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
    found = read_by_ansible(
        inventory([Host("a", "b")], {"told": value}, {"a": {"each": [value]}}), tmp_path_factory.mktemp("any")
    )
    assert (found["told"], found["each"]) == (value, [value])
