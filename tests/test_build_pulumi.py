"""``.ci/build-pulumi``: what it leaves in the cache folder. Its ``go`` is a program of a few lines here."""

import fcntl
import os
import subprocess
from pathlib import Path

from waiting import until

SCRIPT = Path(__file__).parents[1] / ".ci" / "build-pulumi"
GO = """#!/usr/bin/env bash
# Write where -o says, once the other run has said where it writes, too.
set -euo pipefail
while [ "$1" != -o ]; do shift; done
echo "$2" >> "$BUILT"
echo built > "$2"
chmod +x "$2"
flock "$BUILT.turn" true
"""


def test_two_runs_at_a_time_write_different_files_and_leave_one_program_alone(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "go").write_text(GO)
    (tmp_path / "bin" / "go").chmod(0o755)
    built, home = tmp_path / "built", tmp_path / "home"
    environment = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "HOME": str(home), "BUILT": str(built)}
    turn = built.with_name("built.turn").open("w")
    fcntl.flock(turn, fcntl.LOCK_EX)
    runs = [
        subprocess.Popen([SCRIPT], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    until(lambda: built.exists() and built.read_text().count("\n") == 2)
    turn.close()
    said = [run.communicate(timeout=30)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    assert len(set(built.read_text().split())) == 2
    assert said[0] == said[1]
    assert [one.name for one in Path(said[0].strip()).iterdir()] == ["pulumi"]
    assert (Path(said[0].strip()) / "pulumi").read_text() == "built\n"
