"""The flags of a run, as tables; ``muster retry`` has some of them, with other defaults."""

import argparse
from collections.abc import Iterable, Mapping
from typing import Any, Final

from muster._run.beginning.busy import CHOICES

from ._flags import DTYPE, TIMEOUT, seconds

_COUNT: Final = {"type": int, "metavar": "N"}
_SWITCH: Final = {"action": "store_true"}

ROWS: Final[Mapping[str, Mapping[str, Any]]] = {
    "--output": {
        "metavar": "OUTPUT",
        "help": "a file, or a folder ending in / for numbered part files (default: what the pipeline of a file says)",
    },
    "--each": {
        **_SWITCH,
        "help": "one output for each input: OUTPUT is a folder ending in /, or has {name} where the input's name goes",
    },
    "--since-last": {
        **_SWITCH,
        "help": "what is new in the inputs since the last time goes into one output, with {date} or {time} in its name",
    },
    "--workers": {**_COUNT, "help": "processes; 0 runs in this one, for a debugger (default: all cores)"},
    "--batch-rows": {**_COUNT, "help": "hand the function exactly N rows each time (default: as is fast)"},
    "--dtype": DTYPE,
    "--max-bad-rows": {
        "metavar": "N|N%",
        "help": "stop when more rows are bad (default: 1000 or 10%%, whichever is less, but 10 in any case)",
    },
    "--strict": {**_SWITCH, "help": "stop at the first bad row"},
    "--fresh": {
        **_SWITCH,
        "help": "forget an unfinished run of this output, and start over; do again what is unchanged since it was done",
    },
    "--accept-changes": {
        **_SWITCH,
        "help": "go on with an unfinished run although code or data has changed",
    },
    "--if-running": {
        "choices": CHOICES,
        "default": "fail",
        "help": "while another process works on this output: fail (the default), skip with exit code 0, or wait",
    },
    "--timeout": {"type": seconds, "metavar": "60s", "help": TIMEOUT},
    "--limit": {**_COUNT, "help": "do only the first N rows, and say what all would take (default: all)"},
    "--sample": {
        **_COUNT,
        "help": "do N rows spread over the whole input, and say what all would take (default: all)",
    },
    "--calls-per-worker": {
        **_COUNT,
        "help": "replace a worker by a fresh one after N calls of the function (default: never)",
    },
    "--format": {
        "choices": ("csv", "parquet", "jsonl"),
        "help": "where a suffix does not say; also of a folder's files (default: csv)",
    },
}
"""Flags that say which rows are done, and how."""

CLUSTER: Final[Mapping[str, Mapping[str, Any]]] = {
    "--cluster": {"metavar": "NAME", "help": "run on the machines that muster up made (default: on none)"},
    "--machines": {
        **_COUNT,
        "help": "make a cluster of N machines for this run, and end it with the run (default: none)",
    },
    "--on": {
        "metavar": "CLOUD",
        "help": "where: local, which is this computer; aws; or a YAML file of hosts or of machines of AWS"
        " (default: local)",
    },
}
"""Flags that say where."""

SENT: Final[Mapping[str, Mapping[str, Any]]] = {
    "--env": {
        "action": "add",
        "metavar": "NAME,...",
        "help": "environment variables that go to hosts (default: none; this computer's machines have all)",
    },
    "--with": {
        "dest": "with_files",
        "action": "append",
        "default": [],
        "metavar": "PATH",
        "help": "what the function reads: it goes to hosts, and a resume compares it; may be repeated"
        " (default: nothing)",
    },
}
"""Flags that say what is sent there."""

LAST: Final[Mapping[str, Mapping[str, Any]]] = {
    "--on-failure": {
        "metavar": "COMMAND",
        "help": "what the shell runs if the exit code is not 0; MUSTER_EXIT_CODE and others are set (default: nothing)",
    },
    "--quiet": {**_SWITCH, "help": "say nothing but errors, that rows were rejected, and that results may be wrong"},
}

RETRIED: Final[Mapping[str, str]] = {
    "--workers": "processes; 0 runs in this one, for a debugger (default: that of the run)",
    "--max-bad-rows": "stop when more rows are bad, of all rows of the output (default: that of the run)",
    "--strict": "stop at the first bad row",
    "--fresh": "forget an unfinished retry of this output, and start over",
    "--accept-changes": "go on with an unfinished retry although code has changed",
    "--timeout": "how long one call of the function may take (default: that of the run)",
    "--calls-per-worker": "replace a worker by a fresh one after N calls (default: that of the run)",
    "--cluster": "run on the machines that muster up made (default: that of the run)",
    "--machines": "make a cluster of N machines for this, and end it afterwards (default: that of the run)",
    "--on": "local: this computer; aws; or a YAML file of hosts or of machines of AWS (default: that of the run)",
    "--env": "environment variables that go to hosts; this computer's machines have all (default: that of the run)",
    "--with": "a file that the function reads (default: that of the run)",
}
"""The flags that a retry has, with their help there."""


def add(verb: argparse.ArgumentParser, table: Mapping[str, Mapping[str, Any]], *, names: Iterable[str] = ()) -> None:
    """Add the flags of a table to a run: all, or some of them."""
    for name in names or table:
        short = ("-o",) if name == "--output" else ()
        verb.add_argument(*short, name, **table[name])


def add_retried(verb: argparse.ArgumentParser, table: Mapping[str, Mapping[str, Any]]) -> None:
    """Add to a retry those flags of a table that change no row that is done."""
    for name in (name for name in table if name in RETRIED):
        verb.add_argument(name, **{**table[name], "help": RETRIED[name]})
