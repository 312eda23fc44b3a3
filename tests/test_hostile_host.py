"""What hosts answer, and what homes are called, is text to Ansible: nothing of it is run on this computer."""

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import Muster
from pretended import Pretended, pretended

pytestmark = pytest.mark.waits


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pretended]:
    with pretended(tmp_path / "hosts", monkeypatch) as made:
        yield made


def test_an_expression_of_ansibles_in_what_a_host_answers_is_text(
    muster: Muster, hosts: Pretended, tmp_path: Path
) -> None:
    file = hosts.name("a")
    trap = "{{ lookup('pipe', 'touch " + str(tmp_path / "owned") + "') }}"
    sed = shlex.quote(f's|"place": "\\([^"]*\\)"|"place": "\\1/{trap}"|')
    (hosts.folder / "a" / ".profile").write_text(
        'case "$said" in *" look"*) env -i HOME="$HOME" TMPDIR="$HOME/tmp" PATH="$PATH" sh -c "$said"'
        f" | sed {sed}; exit;; esac\n"
    )
    end = muster("up", "--machines", "1", "--on", file)
    muster("down")
    assert not (tmp_path / "owned").exists(), end.err


def test_braces_and_odd_letters_in_a_home_are_text(
    muster: Muster, hosts: Pretended, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "{{ 7 * 7 }} {% raw ä 😀"
    home.mkdir()
    monkeypatch.setenv("MUSTER_HOME", str(home))
    end = muster("up", "--machines", "1", "--on", hosts.name("a"))
    assert end.code == 0, end.err
    (owner,) = (hosts.folder / "a" / ".muster" / "machines").glob("*/*/owner")
    assert json.loads(owner.read_text())["home"] == str(home)
    assert muster("down").code == 0
