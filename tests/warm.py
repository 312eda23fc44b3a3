"""Processes of muster, or of a script, that need not load pandas anew: each is a fork of one that has, and waits.

Loading pandas, Arrow and muster takes nine tenths of the processor's time of a command on few rows. Each fork has a
process id, environment, folder and streams of its own, has run nothing of muster before, and ends as any process does.
Two wait and take turns, so that a set of texts has another order in each command than in that before it, as in
processes that were started one by one. What Python or a library reads when it starts has to be the same: who changes
anything of that has to start a process.

Where workers do the work, the process that forks them is the one that loads pandas. A fork of muster's process, made
before that has loaded anything, takes its place; for a run in the test's own process, a fork of what waits. In muster's
own process libraries are out of sight until they are imported.
"""

import atexit
import contextlib
import ctypes
import gc
import importlib
import json
import os
import platform
import runpy
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fcntl import F_DUPFD, fcntl
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from itertools import chain, pairwise
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import Any, NoReturn

from muster._engines.cores.starter import is_sure_to_need_workers, start_by
from muster._process.environment import KEEP_MEMORY, SINGLE_THREADED, interpreter_flags
from muster._user_code import loaded

ELSEWHERE = ("--cluster", "--machines", "--help", "-h")
"""Options with which no process of this computer works, so that muster starts others before the one that loads."""

OUTLIVED = ("up", "watch")
"""Commands that are outlived by what they start, or that run until somebody ends them."""

LIGHT = (
    "muster.cli",
    "muster._api.pipeline",
    "muster._verbs._answer",
    "muster._verbs._target",
    "muster._engines.cores.engine",
)
"""What muster's own process loads; none of it looks around when it is loaded."""

BODY = "muster._worker.task"
STAGES = "muster._worker.stages"
HEAVY = (
    "pandas",
    "orjson",
    "pyarrow.csv",
    "pyarrow.json",
    BODY,
    STAGES,
    "muster._formats.jsonl",
    "muster._formats.parquet",
)
"""What workers load, or muster's own process where nobody else works for it."""

FOR_STORES = ("s3fs",)
"""What is loaded besides where there is a store: as much again, in each worker."""

READ_LATE = ("MUSTER_", "AWS_", "GRPC_", "PATH", "PULUMI_", "PYTEST_", "RAY_", "_RJEM_")
"""How the names of variables begin that nobody reads while these modules are loaded.

muster, Ray and Polars set some where they are loaded: a test that does so would have all after it start processes anew.
"""

BY_SHELLS = ("OLDPWD", "PWD", "SHLVL", "_")
"""Variables that each shell sets anew for what it starts: none of them says anything to these modules."""

START = "import sys; sys.path.insert(1, sys.argv[3]); import warm; del sys.path[1]; warm.serve(*sys.argv[1:3])"
LARGEST = 1 << 20
AT_ONCE = 2
POPEN = subprocess.Popen
ZYGOTE = "muster._engines.cores.zygote"
CLONE = {"x86_64": 56, "aarch64": 220}
"""The number of the system call, by machine."""
CLONE_PARENT = 0x8000
CAN_FORK_SIBLINGS = sys.platform == "linux" and platform.machine() in CLONE
FLUSH_ALL = "_IO_flush_all"
NOT_FLUSHED = 120
"""How Python ends where it cannot write what its streams still hold."""
IN_SIGHT: set[str] = set()
"""Modules that are loaded in muster's own process too."""
WITH_PANDAS: set[str] = set()
"""Modules that are loaded where pandas is."""
NUMPY_RANDOM: list[Any] = []
"""Where NumPy's random numbers come from, also when it is out of sight."""
HIDDEN: "list[Hidden]" = []
"""What is out of sight of forks, put together once before them."""
LOADED: list[str] = []
LASTING: list[ModuleType] = []
"""Modules that are loaded before forks, and that they do not take down in the end."""


@dataclass(frozen=True)
class Waiting:
    """A process that waits for commands, and the socket on which it gets them."""

    process: "subprocess.Popen[bytes]"
    control: socket.socket

    @classmethod
    def started(cls, more: Sequence[str]) -> "Waiting":
        """Start one that loads what not all need, too."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            arguments = ["-c", START, str(theirs.fileno()), " ".join(more), str(Path(__file__).parent), whose()]
            environment = {**read_at_start(os.environ), "OPENBLAS_NUM_THREADS": "1"}  # a fork has but one thread
            command = [sys.executable, *interpreter_flags(), *arguments]
            return cls(POPEN(command, pass_fds=[theirs.fileno()], env=environment), ours)

    def fork(self, order: Mapping[str, Any], descriptors: Sequence[int]) -> int:
        """Have it fork a child of this process; tell the child's id."""
        socket.send_fds(self.control, [json.dumps(order).encode()], list(descriptors))
        return int(self.control.recv(LARGEST))

    def end(self) -> None:
        self.control.close()
        self.process.wait()


class Warm:
    """Have Python run commands of muster in forks of processes that wait."""

    def __init__(self) -> None:
        self._environment = read_at_start(os.environ)
        self._waiting: dict[Sequence[str], list[Waiting]] = {(): [], FOR_STORES: []}
        self._one_at_a_time = Lock()

    def fits(self, words: Sequence[str], environment: Mapping[str, str] = os.environ) -> bool:
        """Tell whether a process for these words would read the same when it starts, and ends before its test."""
        is_outlived = list(words[:2]) == ["-m", "muster"] and any(verb in OUTLIVED for verb in words[2:3])
        return not is_outlived and self.would_read_the_same(environment)

    def would_read_the_same(self, environment: Mapping[str, str]) -> bool:
        return CAN_FORK_SIBLINGS and read_at_start(environment) == self._environment

    def run(self, words: Sequence[str], folder: Path, timeout: float) -> tuple[int, str, str]:
        """Have Python run ``-m muster``, ``-c`` or a script, with arguments, to its end.

        Return the exit code as ``subprocess`` does, and what was written.
        """
        with Forked(self, words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            try:
                out, err = process.communicate(timeout=timeout)
            except BaseException:
                process.kill()
                raise
        return process.returncode, out, err

    def begin(self, words: Sequence[str], **given: Any) -> "subprocess.Popen[Any]":  # noqa: ANN401 (as Popen)
        """Have Python begin with these words, as ``subprocess.Popen`` would: in a fork, where that reads the same."""
        if self.would_read_the_same(given.get("env") or os.environ):
            return Forked(self, words, **given)
        return POPEN([sys.executable, *words], **given)

    def fork(self, order: Mapping[str, Any], descriptors: Sequence[int]) -> int:
        has_store = any(name.startswith("AWS_") for name in order["environment"])
        with self._one_at_a_time:
            return self._next(FOR_STORES if has_store else ()).fork(order, descriptors)

    def _next(self, more: Sequence[str]) -> Waiting:
        """Choose the one that has waited longer."""
        waiting = self._waiting[more]
        waiting.append(Waiting.started(more) if len(waiting) < AT_ONCE else waiting.pop(0))
        return waiting[-1]

    def forks(self) -> list[int]:
        """Find the processes that are forks, or forks of forks: the kernel lists them with the words of what waits."""
        found = []
        for listed in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):  # it has ended
                words = listed.read_bytes().split(b"\0")
                if START.encode() in words and whose().encode() in words:
                    found.append(int(listed.parent.name))
        return [pid for pid in found if pid not in self.waiting]

    @property
    def waiting(self) -> set[int]:
        """Name those who wait to be forked: they start when they are first needed, and outlive that test."""
        return {one.process.pid for one in chain.from_iterable(self._waiting.values())}

    def close(self) -> None:
        for waiting in chain.from_iterable(self._waiting.values()):
            waiting.end()


def whose() -> str:
    """Name this process, as the last word of all that wait for it."""
    return f"for {os.getpid()}"


class Beside:
    """What waits beside one process, which has forked it before it ran anything: more of them come from there."""

    def __init__(self) -> None:
        self._environment = read_at_start(os.environ)
        self._one_at_a_time = Lock()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            if not os.fork():
                self._control.close()
                let_go_of_streams()
                attend(theirs)
                os._exit(0)  # nobody can ask any more

    def would_read_the_same(self, environment: Mapping[str, str]) -> bool:
        return read_at_start(environment) == self._environment

    def fork(self, order: Mapping[str, Any], descriptors: Sequence[int]) -> int:
        with self._one_at_a_time:  # or threads would take each other's answers
            socket.send_fds(self._control, [json.dumps(order).encode()], list(descriptors))
            return int(self._control.recv(LARGEST))


def let_go_of_streams() -> None:
    """Hold no pipe open whose other end waits for its end."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nothing, number)
    os.close(nothing)


class Forked(POPEN[Any]):
    """A process of Python, started as by ``subprocess``, which is a fork of one that waits."""

    def __init__(self, warm: Warm | Beside, words: Sequence[str], **given: Any) -> None:  # noqa: ANN401 (as Popen)
        self._warm = warm
        super().__init__([sys.executable, *words], **given)

    def _execute_child(self, args: list[str], *given: Any) -> None:  # noqa: ANN401 (whatever Popen has made of it)
        _, _, _, kept, folder, environment, _, _, _, *pipes = given[:15]
        order = {
            "words": args[1:],
            "folder": os.fspath(folder or os.getcwd()),  # noqa: PTH109 (as Python names it)
            "environment": dict(os.environ if environment is None else environment),
            "keep": list(kept),
            "leads_session": given[-2],
        }
        ends = [end if end >= 0 else number for number, end in enumerate((pipes[0], pipes[3], pipes[5]))]
        self.pid = self._warm.fork(order, [*ends, *kept])
        self._child_created = True
        self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]


def starting(warm: Warm | Beside) -> type[POPEN[Any]]:
    """Make a ``Popen`` that forks what is to fork workers from what waits, and starts anything else."""

    class Popen(Forked):
        def __init__(self, words: Any, *more: Any, **given: Any) -> None:  # noqa: ANN401 (whatever Popen gets)
            if is_zygote(words) and warm.would_read_the_same(as_of_muster(given["env"])):
                super().__init__(warm, words[words.index("-P") :], **given)
            else:
                POPEN.__init__(self, words, *more, **given)

        def _execute_child(self, *given: Any) -> None:  # noqa: ANN401 (likewise)
            kind: Any = Forked if hasattr(self, "_warm") else POPEN
            kind._execute_child(self, *given)  # noqa: SLF001 (their own)

    return Popen


def is_zygote(words: object) -> bool:
    """Tell whether these words start what forks workers, by an interpreter with the flags of this one."""
    begin = [sys.executable, *interpreter_flags(), "-P", "-c"]
    return isinstance(words, list) and words[: len(begin)] == begin and ZYGOTE in words[len(begin)]


def as_of_muster(environment: Mapping[str, str]) -> dict[str, str]:
    """Take away what muster adds to the variables of what forks workers."""
    added = {**KEEP_MEMORY, **SINGLE_THREADED}
    return {name: value for name, value in environment.items() if added.get(name) != value}


def read_at_start(environment: Mapping[str, str]) -> dict[str, str]:
    """Choose what matters when a process starts."""
    late = {name for name in environment if name.startswith(READ_LATE) or name in BY_SHELLS}
    return {name: value for name, value in environment.items() if name not in late}


# What waits


def serve(descriptor: str, more: str) -> None:
    """Load, then have a fork run each command that comes, until nobody can send one; a fork returns from here."""
    atexit.register(let_be)  # before anything that is loaded registers what it does in the end, so that this is last
    for name in LIGHT:
        importlib.import_module(name)
    IN_SIGHT.update(sys.modules)
    for name in HEAVY:
        importlib.import_module(name)
    WITH_PANDAS.update(sys.modules)
    for name in more.split():
        importlib.import_module(name)
    NUMPY_RANDOM.append(importlib.import_module("numpy.random"))
    leave_libraries_alone()
    loaded.settle()
    LOADED.extend(name for name in sys.modules if name not in {"__main__", "builtins", "sys"})
    LASTING.extend(map(sys.modules.__getitem__, LOADED))
    HIDDEN.append(Hidden.but(IN_SIGHT))
    for lasting in (LASTING, HIDDEN):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(lasting))
    gc.freeze()
    attend(socket.socket(fileno=int(descriptor)))


def attend(control: socket.socket) -> None:
    """Fork a process for each command that comes, until nobody can send one; a fork returns from here."""
    while order := (received := socket.recv_fds(control, LARGEST, 16))[0]:
        has_session, session = os.pipe()
        if not (pid := sibling()):
            os.close(has_session)
            control.close()
            return become(**json.loads(order), ends=received[1], session=session)
        for end in (session, *received[1]):
            os.close(end)
        os.read(has_session, 1)  # as Popen does: from then on its group can be killed
        os.close(has_session)
        control.send(str(pid).encode())
    return None


def sibling() -> int:
    """Fork a process that is a child of this one's parent, which can wait for it as for any that it has started."""
    api = ctypes.pythonapi  # with which the interpreter's lock is kept, as os.fork() does
    api.PyOS_BeforeFork()
    pid = int(ctypes.PyDLL(None).syscall(CLONE[platform.machine()], CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0))
    (api.PyOS_AfterFork_Parent if pid else api.PyOS_AfterFork_Child)()
    return pid


def become(  # noqa: PLR0913 (a process has that many properties)
    words: list[str],
    folder: str,
    environment: dict[str, str],
    *,
    keep: list[int],
    leads_session: bool,
    ends: list[int],
    session: int,
) -> None:
    """Be as a process that Python has started for these words; ``session`` is closed once it leads one."""
    if leads_session:
        os.setsid()
    os.close(session)
    aside = [fcntl(end, F_DUPFD, 1 << 9) for end in ends]
    for end in ends:
        os.close(end)
    for end, number in zip(aside, [0, 1, 2, *keep], strict=True):
        os.dup2(end, number)
        os.close(end)
    os.chdir(folder)
    if "-P" in words[:1]:
        sys.meta_path.insert(0, HIDDEN[0])
        fork_workers(words[2:], environment, keep=keep, output=1)
    is_muster = words[0] == "-m"
    start_over(["-m", *words[2:]] if is_muster else words, environment)
    works_alone = ("--workers", "0") in pairwise(words)
    starts_others = not is_muster or any(word.partition("=")[0] in ELSEWHERE for word in words)
    if starts_others and not works_alone:
        start_by(starting(Beside()))
    if works_alone:
        HIDDEN[0].show(WITH_PANDAS)
    sys.meta_path.insert(0, HIDDEN[0])
    if not starts_others and not works_alone:
        start_by(started_first)
    del sys.modules[__name__]
    if is_muster and is_sure_to_need_workers(words[2:]):
        atexit.unregister(let_be)  # it ends without taking anything down
    if is_muster:
        sys.path[0] = folder
        run_muster()
    else:
        run_text(words)


def leave_libraries_alone() -> None:
    """Have what is compiled take nothing down either, once Python has ended, but write what it still has to."""
    libc = ctypes.CDLL(None)
    for last in ("_exit", FLUSH_ALL):  # what was registered last is called first, and all of it with the status
        libc.on_exit(getattr(libc, last), None)


def let_be() -> None:
    """Have Python, which is about to end, leave alone what was loaded before the fork.

    To take down a thousand modules would have the kernel copy nearly all memory that the fork shares.
    """
    for name in LOADED:
        sys.modules.pop(name, None)


@contextlib.contextmanager
def ending_soon() -> Iterator[None]:
    """Have the process end as ``Last`` does where what is run comes to an end, or exits."""
    try:
        yield
    except SystemExit as end:
        vars(sys)["the last"] = Last(end.code)
        raise
    vars(sys)["the last"] = Last(None)


class Last:
    """Ends a process when Python lets go of ``sys``, once all that a program has made was finalised.

    After that Python takes itself down, which would have the kernel copy most of the memory that the fork shares.
    """

    def __init__(self, code: object) -> None:
        """Know the argument of ``sys.exit``."""
        self._status = code & 0xFF if isinstance(code, int) else int(code is not None)
        self._streams = sys.__stdout__, sys.__stderr__
        self._flush_all, self._end = getattr(ctypes.CDLL(None), FLUSH_ALL), os._exit

    def __del__(self) -> None:
        status = self._status
        for stream in self._streams:
            try:
                if stream is not None and not stream.closed:
                    stream.flush()
            except Exception:  # noqa: BLE001 (whatever it is)
                status = NOT_FLUSHED
        self._flush_all()
        self._end(status)


@ending_soon()
def run_muster() -> None:
    """Run ``-m muster`` as Python does."""
    runpy._run_module_as_main("muster")  # type: ignore[attr-defined]  # noqa: SLF001 (what -m does)


@ending_soon()
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
    was = vars(sys.modules["__main__"])
    main = sys.modules["__main__"] = ModuleType("__main__")  # of one that is frozen no object would be finalised
    vars(main).update({name: value for name, value in was.items() if name.startswith("__")})
    NUMPY_RANDOM[0].seed()  # as nobody else has drawn the numbers that a process of its own would draw


# The parent of workers


class Hidden(MetaPathFinder, Loader):
    """Modules that are loaded, but out of sight until they are imported."""

    def __init__(self, modules: dict[str, ModuleType]) -> None:
        self._modules = modules
        self._specs = {name: module.__spec__ for name, module in modules.items()}
        self._shown: set[str] = set()
        self._libraries: dict[str, list[str]] = {}
        for name in modules:
            self._libraries.setdefault(name.partition(".")[0], []).append(name)
        self._libraries["pandas"] = [name for name in modules if name in WITH_PANDAS and not name.startswith("muster.")]

    @classmethod
    def but(cls, seen: set[str]) -> "Hidden":
        """Put what is loaded out of sight, but for some of it."""
        names = [name for name in sys.modules.keys() - seen if name.partition(".")[0] not in sys.stdlib_module_names]
        return cls({name: sys.modules.pop(name) for name in names})

    def show(self, names: set[str]) -> None:
        """Have modules of these names be loaded as any are."""
        self._shown = names & self._modules.keys()
        for name in self._shown:
            sys.modules[name] = self._modules[name]

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        del path, target
        if name in self._shown or not (own := self._specs.get(name)):
            return None
        found = ModuleSpec(name, self, origin=own.origin)
        found.submodule_search_locations = own.submodule_search_locations
        return found

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Show a module, with all of its library; with the body of workers all, with pandas all libraries."""
        library = spec.name.partition(".")[0]
        for name in self._modules if spec.name == BODY else self._libraries[library] if library != "muster" else ():
            sys.modules.setdefault(name, self._modules[name])
        if spec.name == BODY:  # all that is shown was looked at before the fork
            sys.modules[loaded.__name__] = sys.modules.pop(loaded.__name__)
        return self._modules[spec.name]

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._specs[module.__name__]


def started_first(words: list[str], **given: Any) -> "subprocess.Popen[bytes]":  # noqa: ANN401 (whatever Popen gets)
    """Make the first process that is to fork workers a fork of this one; it has loaded more when a second is needed."""
    start_by(POPEN)
    at = words.index("-c") + 1
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
        atexit.unregister(let_be)  # neither it nor a worker ends as Python does
        start_over(["-c", *words[1:]], environment)
        exec(words[0], vars(sys.modules["__main__"]))  # noqa: S102 (what -c does)
    except BaseException:  # noqa: BLE001 (as Python does)
        traceback.print_exc()
    os._exit(1)
