"""The file of hosts: what may stand in it, and what is said of a typo."""

from pathlib import Path

import pytest

from muster import UsageError
from muster._clouds._hosts_file import read


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("hosts: [", "is not YAML"),
        ("- a", "must hold words and values"),
        ("hosts: []", "names no host"),
        ("host: [{address: a}]", "'host' means nothing there. Known are: hosts"),
        ("hosts: [{adress: a}]", "host 1: 'adress' means nothing there"),
        ("hosts: [{name: a}]", "host 1: it has no address"),
        ("hosts: [{address: a, port: x}]", "port must be a whole number"),
        ("hosts: [{address: a, port: 0}]", "must be from 1"),
        ("hosts: [{address: a, workers: 0}]", "must be from 1"),
        ("hosts: [{address: a}, {address: a, name: b}]", "two hosts have the address 'a'"),
        ("hosts: [{address: a, key: nowhere}]", "there is no key"),
    ],
)
def test_a_file_with_a_typo_is_refused_with_the_word_that_is_wrong(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "hosts.yml"
    path.write_text(text)
    with pytest.raises(UsageError, match="(?s).*" + told):
        read(path)


def test_what_is_said_for_all_hosts_counts_unless_a_host_says_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "hosts.yml"
    path.write_text("user: anna\nworkers: 7\nhosts:\n- address: one\n- {address: two, user: bert, name: second}\n")
    one, two = read(path).hosts
    assert (one.name, one.user, one.workers, one.port) == ("one", "anna", 7, 22)
    assert (two.name, two.user, two.workers) == ("second", "bert", 7)
