"""A fork that was waiting is as a process that was just started, in all that a function can see."""

import json
import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from conftest import cold
from shells import muster_on_path
from warm import START, Forked, Warm

LOOK = """
import os, signal, sys, threading

SIGNALS = signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGALRM
NAMES = ("PWD", "MUSTER_WORKER", "MUSTER_HOME", "OMP_NUM_THREADS", "HOME")

def look(df):
    libraries = {name.partition(".")[0] for name in sys.modules} & {"muster", "numpy", "orjson", "pandas", "pyarrow"}
    return df.assign(
        argv=str(sys.argv),
        path=str(sys.path),
        folder=os.getcwd(),
        libraries=str(sorted(libraries)),
        named=str([(name, os.environ.get(name)) for name in NAMES]),
        main=str(sorted(vars(sys.modules["__main__"]))),
        streams=str([(stream.encoding, stream.errors, stream.isatty()) for stream in (sys.stdout, sys.stderr)]),
        signals=str([getattr(one, "__name__", type(one)) for one in map(signal.getsignal, SIGNALS)]),
        leads=str((os.getpid() == os.getpgid(0), threading.active_count(), threading.current_thread().name)),
    )
"""


@pytest.mark.parametrize("workers", ["0", "1"])
def test_what_waits_shows_a_function_what_a_new_process_shows_it(tmp_path: Path, warm: Warm, workers: str) -> None:
    (tmp_path / "look.py").write_text(LOOK)
    (tmp_path / "rows.csv").write_text("a\n1\n")
    command = ("-m", "muster", "run", "look.py:look", "rows.csv", "-o", "out.jsonl", "--workers", workers, "--fresh")
    assert warm.fits(command)
    seen = []
    for started in (cold, warm.run):
        code, _, err = started(command, tmp_path, 120)
        assert code == 0, err
        seen.append((tmp_path / "out.jsonl").read_text())
    assert seen[0] == seen[1]


def test_what_a_shell_starts_is_forked_though_shells_set_variables(tmp_path: Path, warm: Warm) -> None:
    (tmp_path / "look.py").write_text("def look(df):\n    return df.assign(words=open('/proc/self/cmdline').read())\n")
    (tmp_path / "rows.csv").write_text("a\n1\n")
    with muster_on_path(warm, tmp_path / "bin") as programs:
        command = f"cd .; {programs}/muster run look.py:look rows.csv -o out.jsonl --workers 0 && true"
        subprocess.run(["/bin/bash", "-c", command], cwd=tmp_path, env=dict(os.environ), check=True)  # as os has them
    assert START in json.loads((tmp_path / "out.jsonl").read_text())["words"]


def test_what_waits_does_not_stand_in_for_a_process_that_would_start_otherwise(
    warm: Warm, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("-m", "muster", "run", "f.py:f", "rows.csv", "-o", "out.csv")
    assert warm.fits(command)
    assert not warm.fits(("-m", "muster", "up", "--machines", "1"))
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    assert not warm.fits(command)


SCRIPT = """
import json, multiprocessing, os, sys
import muster
sys.path.insert(0, os.path.dirname(__file__))
from look import look

given = {"workers": 1, "fresh": True} if len(sys.argv) < 2 else {"workers": 1, "fresh": True, "batch_rows": 1}
for again in range(2):
    muster.run(look, "rows.csv", "out.jsonl", **given)
    print(open("out.jsonl").read())
"""


def test_workers_of_a_script_in_what_waits_see_what_those_of_a_new_process_see(tmp_path: Path, warm: Warm) -> None:
    (tmp_path / "look.py").write_text(LOOK)
    (tmp_path / "rows.csv").write_text("a\n1\n")
    (tmp_path / "script.py").write_text(SCRIPT)
    (code, out, err), new = warm.run(["script.py"], tmp_path, 60), cold(["script.py"], tmp_path, 60)
    assert (code, out) == new[:2], err
    assert out.count("MUSTER_WORKER") == 2


def test_a_script_ends_in_what_waits_as_in_a_new_process(tmp_path: Path, warm: Warm) -> None:
    (tmp_path / "script.py").write_text(
        "import sys\nprint(__name__, sys.argv, __file__, sys.path[0])\nsys.exit(3 if sys.argv[1:] else 1 / 0)\n"
    )
    for words in (["script.py"], ["script.py", "a"], ["-c", "import sys; print(sys.argv, sys.path[0]); 1 / 0", "b"]):
        assert warm.run(words, tmp_path, 60) == cold(words, tmp_path, 60)


FINALISED = """
import atexit, sys

class Told:
    def __init__(self, name):
        self.name = name

    def __del__(self):
        print(self.name, NAMED)
        raise ValueError(self.name)

NAMED, told, at_exit = "a global", Told("at the end"), Told("at exit")
atexit.register(lambda: globals().pop("at_exit"))
sys.exit(*map(int, sys.argv[1:]))
"""


def test_globals_are_finalised_in_what_waits_as_in_a_new_process(tmp_path: Path, warm: Warm) -> None:
    (tmp_path / "script.py").write_text(FINALISED)
    for words in (["script.py"], ["script.py", "3"], ["-c", FINALISED]):
        ends = [started(words, tmp_path, 60) for started in (warm.run, cold)]
        forked, new = [(code, out, re.sub("0x[0-9a-f]+", "", err)) for code, out, err in ends]
        assert forked == new
        assert new[2].count("Exception ignored in") == 2


def test_what_cannot_be_written_in_the_end_is_told_in_what_waits_as_in_a_new_process(warm: Warm) -> None:
    text = "import sys; print('no'); sys.exit(*map(int, sys.argv[1:]))"
    for more in ((), ("3",)):
        ends = []
        for begin in (partial(Forked, warm), as_new):
            with Path("/dev/full").open("w") as full:
                process = begin(["-c", text, *more], stdout=full, stderr=subprocess.PIPE, text=True)
            ends.append((process.communicate(timeout=60)[1], process.returncode))
        assert ends[0] == ends[1]
        assert ends[1][1] in {1, 120}  # as it is written at once, or in the end


def as_new(words: list[str], **given: Any) -> Any:  # noqa: ANN401 (as Popen has them)
    return subprocess.Popen([sys.executable, *words], **given)
