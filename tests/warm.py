"""Processes of muster, or of a script, that need not load pandas anew: each is a fork of one that has, and waits.

Loading pandas, Arrow and muster takes nine tenths of the processor's time of a command on few rows. Each fork has a
process id, environment, folder and streams of its own, has run nothing of muster before, and ends as any process does.
Two wait and take turns, so that a set of texts has another order in each command than in that before it, as in
processes that were started one by one. What Python or a library reads when it starts has to be the same: who changes
anything of that has to start a process.

Where workers do the work, the process that forks them is the one that loads pandas: a fork of muster's process, made
before that has loaded anything, takes its place. In muster's own process libraries are out of sight until they are
imported.
"""

import contextlib
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from itertools import pairwise
from pathlib import Path
from threading import Lock
from time import monotonic
from types import ModuleType
from typing import Any, NoReturn

ELSEWHERE = ("--cluster", "--machines", "--help", "-h")
"""Options with which no process of this computer works, so that none is loaded ahead."""

READERS = ("check", "generate", "report", "retry", "runs")
"""Commands that start nothing which outlives them."""

LIGHT = (
    "muster.cli",
    "muster._pipeline",
    "muster._verbs._answer",
    "muster._verbs._target",
    "muster._engines.cores.engine",
)
"""What muster's own process loads; none of it looks around when it is loaded."""

BODY = "muster._worker.task"
HEAVY = ("pandas", "orjson", "pyarrow.csv", "pyarrow.json", BODY, "muster._formats.jsonl", "muster._formats.parquet")
"""What workers load, or muster's own process where nobody else works for it."""

READ_LATE = ("MUSTER_", "AWS_", "PYTEST_")
"""How the names of variables begin that nobody reads while these modules are loaded."""

START = "import sys; sys.path.insert(1, sys.argv.pop()); import warm; del sys.path[1]; warm.serve(int(sys.argv.pop()))"
LARGEST = 1 << 20
AT_ONCE = 2
POPEN = subprocess.Popen
IN_SIGHT: set[str] = set()
"""Modules that are loaded in muster's own process too."""
NUMPY_RANDOM: list[Any] = []
"""Where NumPy's random numbers come from, also when it is out of sight."""


@dataclass(frozen=True)
class Waiting:
    """A process that waits for commands, and the socket on which it gets them."""

    process: "subprocess.Popen[bytes]"
    control: socket.socket

    @classmethod
    def started(cls) -> "Waiting":
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, "-c", START, str(theirs.fileno()), str(Path(__file__).parent)]
            environment = {**read_at_start(os.environ), "OPENBLAS_NUM_THREADS": "1"}  # a fork has but one thread
            return cls(subprocess.Popen(command, pass_fds=[theirs.fileno()], env=environment), ours)

    def end(self) -> None:
        self.control.close()
        self.process.wait()


class Warm:
    """Run commands of muster in forks of processes that wait."""

    def __init__(self) -> None:
        self._environment = read_at_start(os.environ)
        self._waiting: list[Waiting] = []

    def fits(self, words: Sequence[str]) -> bool:
        """Tell whether these words make Python load what waits is loaded with, and it would read the same then."""
        module, (verb, *options) = list(words[:2]), list(words[2:]) or [""]
        is_elsewhere = any(word.partition("=")[0] in ELSEWHERE for word in options)
        if module == ["-m", "muster"] and verb not in READERS and (verb != "run" or is_elsewhere):
            return False
        return read_at_start(os.environ) == self._environment

    def run(self, words: Sequence[str], folder: Path, timeout: float) -> tuple[int, str, str]:
        """Have Python run ``-m muster``, ``-c`` or a script, with arguments, to its end.

        Return the exit code as ``subprocess`` does, and what was written.
        """
        with contextlib.ExitStack() as stack:
            (out, to_out), (err, to_err), (told, to_told) = pipes = [os.pipe() for _ in range(3)]
            for end, _ in pipes:
                stack.callback(os.close, end)
            order = json.dumps([list(words), str(folder), dict(os.environ)]).encode()
            socket.send_fds(self._next().control, [order], [to_out, to_err, to_told])
            for _, end in pipes:
                os.close(end)
            texts = read_all([out, err, told], monotonic() + timeout, command=words)
        return int(texts[told].split()[-1]), texts[out].decode(), texts[err].decode()

    def _next(self) -> Waiting:
        """Choose the one that has waited longer."""
        self._waiting.append(Waiting.started() if len(self._waiting) < AT_ONCE else self._waiting.pop(0))
        return self._waiting[-1]

    def close(self) -> None:
        for waiting in self._waiting:
            waiting.end()


def read_at_start(environment: "os._Environ[str]") -> dict[str, str]:
    """Choose what matters when a process starts."""
    return {name: value for name, value in environment.items() if not name.startswith(READ_LATE)}


def read_all(ends: list[int], deadline: float, *, command: Sequence[str]) -> dict[int, bytes]:
    """Read pipes to their ends, the last of which tells a process's id first; kill that when it takes too long."""
    found = dict.fromkeys(ends, b"")
    with selectors.DefaultSelector() as selector:
        for end in ends:
            selector.register(end, selectors.EVENT_READ)
        while selector.get_map():
            if not (ready := selector.select(deadline - monotonic())) and monotonic() > deadline:
                os.kill(int(found[ends[-1]].split()[0]), signal.SIGKILL)
                raise subprocess.TimeoutExpired(list(command), 0, found[ends[0]], found[ends[1]])
            for key, _ in ready:
                if data := os.read(key.fd, 1 << 16):
                    found[key.fd] += data
                else:
                    selector.unregister(key.fd)
    return found


# What waits


def serve(descriptor: int) -> None:
    """Load, then have a fork run each command that comes, until nobody can send one; a fork returns from here."""
    for name in LIGHT:
        importlib.import_module(name)
    IN_SIGHT.update(sys.modules)
    for name in HEAVY:
        importlib.import_module(name)
    NUMPY_RANDOM.append(importlib.import_module("numpy.random"))
    gc.freeze()
    control = socket.socket(fileno=descriptor)
    while order := (received := socket.recv_fds(control, LARGEST, 3))[0]:
        if not os.fork():
            control.close()
            return become(*json.loads(order), ends=received[1])
        for end in received[1]:
            os.close(end)
        with contextlib.suppress(ChildProcessError):  # none is left
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
    return None


def become(words: list[str], folder: str, environment: dict[str, str], *, ends: list[int]) -> None:
    """Be the parent of a process that is as Python makes it for these words, and tell of it; or be that process."""
    out, err, told = ends
    if pid := os.fork():
        os.close(out)
        os.close(err)
        os.write(told, f"{pid} ".encode())
        os.write(told, str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode())
        os._exit(0)
    os.close(told)
    for end, number in ((out, 1), (err, 2)):
        os.dup2(end, number)
        os.close(end)
    os.chdir(folder)
    is_muster = words[0] == "-m"
    start_over(["-m", *words[2:]] if is_muster else words, environment)
    if ("--workers", "0") not in pairwise(words):
        sys.meta_path.insert(0, Hidden.from_sight())
        if words[1:3] == ["muster", "run"]:
            subprocess.Popen = started_first  # type: ignore[assignment,misc]
    del sys.modules[__name__]
    if is_muster:
        sys.path[0] = folder
        runpy._run_module_as_main("muster")  # type: ignore[attr-defined]  # noqa: SLF001 (what -m does)
    else:
        run_text(words)


def run_text(words: list[str]) -> None:
    """Run ``-c`` or a script as Python does."""
    main = sys.modules["__main__"]
    if words[0] == "-c":
        name, text = "<string>", words[1]
        sys.path[0], sys.argv[:] = "", ["-c", *words[2:]]
    else:
        name, text = os.path.abspath(words[0]), Path(words[0]).read_text()  # noqa: PTH100 (as Python names it)
        sys.path[0], main.__file__ = os.path.dirname(name), name  # noqa: PTH120
    try:
        exec(compile(text, name, "exec"), vars(main))  # noqa: S102 (what Python does)
    except Exception as error:  # noqa: BLE001 (likewise)
        error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next
        sys.excepthook(type(error), error, error.__traceback__)
        sys.exit(1)


def start_over(words: Sequence[str], environment: Mapping[str, str]) -> None:
    """Have arguments and variables, and nothing of what this process was until now."""
    os.environ.clear()
    os.environ.update(environment)
    sys.argv[:] = words
    main = sys.modules["__main__"]
    for name in [name for name in vars(main) if not name.startswith("__")]:
        delattr(main, name)
    NUMPY_RANDOM[0].seed()  # as nobody else has drawn the numbers that a process of its own would draw


# The parent of workers


class Hidden(MetaPathFinder, Loader):
    """Modules that are loaded, but out of sight until they are imported."""

    def __init__(self, modules: dict[str, ModuleType]) -> None:
        self._modules = modules
        self._specs = {name: module.__spec__ for name, module in modules.items()}

    @classmethod
    def from_sight(cls) -> "Hidden":
        names = [
            name for name in sys.modules.keys() - IN_SIGHT if name.partition(".")[0] not in sys.stdlib_module_names
        ]
        return cls({name: sys.modules.pop(name) for name in names})

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        del path, target
        if not (own := self._specs.get(name)):
            return None
        found = ModuleSpec(name, self, origin=own.origin)
        found.submodule_search_locations = own.submodule_search_locations
        return found

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Show a module, with all of its library; with the body of workers all, with pandas all libraries."""
        top = spec.name.partition(".")[0]
        for name, module in self._modules.items():
            library = name.partition(".")[0]
            if spec.name in {BODY, name} or (library != "muster" and top in {"pandas", library}):
                sys.modules.setdefault(name, module)
        return self._modules[spec.name]

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._specs[module.__name__]


def started_first(words: list[str], **given: Any) -> "subprocess.Popen[bytes]":  # noqa: ANN401 (whatever Popen gets)
    """Start the first process that muster starts; what is to fork workers becomes a fork of this process."""
    subprocess.Popen = POPEN  # type: ignore[misc]
    at = words.index("-c") + 1
    if "muster._engines.cores.zygote" not in words[at]:
        return POPEN(words, **given)
    has_session, session = os.pipe()
    if not (pid := os.fork()):
        os.setsid()
        os.close(session)
        fork_workers(words[at:], given["env"], keep=given["pass_fds"], output=given["stdout"])
    os.close(session)
    os.read(has_session, 1)  # as Popen does: from then on its group can be killed
    os.close(has_session)
    process: subprocess.Popen[bytes] = POPEN.__new__(POPEN)  # type: ignore[arg-type]  # of bytes
    vars(process).update(args=words, pid=pid, returncode=None, stdin=None, stdout=None, stderr=None)
    vars(process).update(_child_created=True, _waitpid_lock=Lock(), _sigint_wait_secs=0.25)
    return process


def fork_workers(words: list[str], environment: Mapping[str, str], *, keep: Sequence[int], output: int) -> NoReturn:
    """Be as what Python starts with ``-c``, but for the libraries that are loaded."""
    try:
        nothing = os.open(os.devnull, os.O_RDWR)
        for number, end in enumerate((nothing, output, output)):
            os.dup2(end, number)
        for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 (these are numbers)
            if int(name) > 2 and int(name) not in keep:  # the standard streams are there
                with contextlib.suppress(OSError):  # it was that of the list itself
                    os.dup2(nothing, int(name))  # not closed: an object that still has it would close what has it next
        encoding, errors = sys.__stdout__.encoding, sys.__stdin__.errors  # type: ignore[union-attr]  # there are both
        sys.stdout = open(1, "w", encoding=encoding, errors=errors, closefd=False)  # noqa: SIM115 (as Python has it)
        sys.stderr = sys.__stderr__
        start_over(["-c", *words[1:]], environment)
        exec(words[0], vars(sys.modules["__main__"]))  # noqa: S102 (what -c does)
    except BaseException:  # noqa: BLE001 (as Python does)
        traceback.print_exc()
    os._exit(1)
