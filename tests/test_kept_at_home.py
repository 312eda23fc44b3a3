"""What lies in MUSTER_HOME besides journals: notes on outputs and on runs at work, and what clusters are made with."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import Muster, begun
from muster._clouds.certificates import Authority
from pretended import Pretended, pretended
from waiting import until

ROW, CODE, SECRET = "telling-row", "telling code", "telling-secret"
FUNCTION = f"""
import os, threading
KEY = {SECRET!r}

def f(df):
    # {CODE}
    if os.path.exists("wait"):
        threading.Event().wait()
    return df.assign(b=KEY + os.environ["TELLING"])
"""
COMMAND = ("run", "f.py:f", "rows.csv", "-o", "out.csv", "--workers", "1")
OLD = 20_001
ENDING = -29.5 * 86_400 / 4
"""A lease so long ago that certificates have half a day left."""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "f.py").write_text(FUNCTION)
    (tmp_path / "rows.csv").write_text(f"a\n{ROW}\n")
    monkeypatch.setenv("TELLING", SECRET)
    return tmp_path


def assert_closed_and_silent(notes: list[Path]) -> None:
    assert notes
    for note in notes:
        assert (note.stat().st_mode & 0o077, note.parent.stat().st_mode & 0o077) == (0, 0)
        assert [word for word in (ROW, CODE, SECRET) if word in note.read_text()] == []


def test_a_note_on_an_output_tells_no_row_no_code_and_no_secret_and_the_oldest_over_20_000_are_forgotten(
    home: Path, muster: Muster
) -> None:
    (home / "done").mkdir(mode=0o700)
    for number in range(OLD):
        os.close(os.open(home / "done" / f"{number}.json", os.O_CREAT))
    assert muster(*COMMAND).code == 0
    left = [path for path in (home / "done").iterdir() if path.stat().st_size]
    assert_closed_and_silent(left)
    assert len(left) == 1
    assert len(list((home / "done").iterdir())) < OLD


def test_a_journal_and_a_report_quote_what_an_error_quotes_and_no_other_cell_line_or_secret(
    folder: Path, home: Path, muster: Muster
) -> None:
    quoted, line = "a cell that is quoted", 'n=df["b"].map(int)'
    (folder / "f.py").write_text(f"KEY = {SECRET!r}\n\ndef f(df):\n    # {CODE}\n    return df.assign({line})\n")
    rows = [f"{ROW}-{number},{number}" for number in range(50)]
    (folder / "rows.csv").write_text("\n".join(["a,b", *rows, f"{ROW}-of-it,{quoted}", ""]))
    assert muster(*COMMAND).code == 4
    assert muster("report", "-o", "report.html").code == 0
    (journal,) = (home / "runs").iterdir()
    assert_closed_and_silent([journal])
    assert (quoted in journal.read_text(), json.dumps(line)[1:-1] in journal.read_text()) == (True, True)
    report = (folder / "report.html").read_text()
    assert [word for word in (ROW, CODE, SECRET) if word in report] == []
    assert quoted in report


def test_a_note_on_a_run_at_work_tells_no_row_no_code_and_no_secret_and_goes_with_the_run(
    folder: Path, home: Path, muster: Muster
) -> None:
    (folder / "wait").touch()
    notes = home / "unfinished"
    journal = folder / "out.csv.muster" / "journal.jsonl"
    with begun(folder, *COMMAND) as running:
        try:
            until(lambda: notes.is_dir() and list(notes.glob("*.json")) and journal.exists())
            assert_closed_and_silent(list(notes.glob("*.json")))
        finally:
            running.kill()
    assert list(notes.glob("*.json"))
    (folder / "wait").unlink()
    assert muster(*COMMAND).code == 0
    assert list(notes.iterdir()) == []


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pretended]:
    with pretended(tmp_path / "hosts", monkeypatch) as made:
        yield made


def keys_on(hosts: Pretended, name: str) -> dict[str, str]:
    found = (hosts.folder / name / ".muster").rglob("*")
    return {path.name: path.read_text() for path in found if path.name in {"token", "node.key", "node.crt", "ca.crt"}}


@pytest.mark.waits
def test_hosts_that_live_get_new_credentials_when_theirs_are_to_end_and_what_ansible_is_told_is_for_this_user_alone(
    hosts: Pretended, home: Path, muster: Muster
) -> None:
    up = ("up", "--machines", "2", "--on", hosts.name("ab"))
    look = f'find {home} -name "playing-*" {{}} >> ~/{{}}'
    (hosts.folder / "a" / ".profile").write_text(f"{look.format('', 'seen')}; {look.format('-perm /077', 'open')}\n")
    assert muster(*up).code == 0
    folder = home / "clusters" / "default"
    before = keys_on(hosts, "b")
    assert set(before) == {"token", "node.key", "node.crt", "ca.crt"}
    assert muster(*up).code == 0
    assert [keys_on(hosts, "b")[name] == before[name] for name in ("token", "ca.crt")] == [True, True]  # there is time
    Authority(folder).begin(ENDING)
    assert muster(*up).code == 0
    after = keys_on(hosts, "b")
    assert [name for name in before if after[name] == before[name]] == []
    assert after["ca.crt"] == (folder / "ca.crt").read_text()
    assert after["token"] == (folder / "token").read_text()
    assert [one["name"] for one in json.loads(muster("status", "--json").out)[0]["machines"]] == ["a", "b"]
    assert muster("down").code == 0
    assert keys_on(hosts, "b") == {}
    assert (hosts.folder / "a" / "seen").read_text()
    assert (hosts.folder / "a" / "open").read_text() == ""
    assert not list(home.rglob("playing-*"))
