"""The pipeline that a command line names: a function of a file or module, or a pipeline that a file defines."""

import argparse
import dataclasses
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from muster._api import of_commands
from muster._api.pipeline import Pipeline
from muster._job import Options
from muster._model import Target
from muster._user_code import arguments, loading, main_module, targets
from muster._user_code.at_the_top import may_be_pipeline
from muster.errors import UsageError

from . import _csv_flags


def of_target(parsed: argparse.Namespace, options: Options, *, output: str | None, lacks: str) -> Pipeline:
    """Make a pipeline of the function that a command line names, or take the one that the file defines.

    ``lacks`` is the error for a command that names a function and not all else that it needs; empty if it does.
    """
    _check_order(parsed.target, parsed.inputs)
    target = targets.parse_target(parsed.target)
    be_as_if_run(target)
    path = list(sys.path)
    # a command that lacks something may name a pipeline that does not look like one, or nothing that there is
    defined = loading.find(target) if lacks or may_be_pipeline(target) else None
    if not isinstance(defined, Pipeline):  # a function, too, may look like one
        sys.path[:] = path  # workers put its folder first themselves, once muster's own modules are loaded
        if defined is not None and not callable(defined):
            raise UsageError(
                f"{target.name!r} in {target.place} is of type {type(defined).__name__}, not a pipeline of muster."
            )
        if lacks:
            raise UsageError(lacks)
        target = targets.with_arguments(target, arguments.typed(parsed.arguments))
        return of_commands.of_command(
            target, tuple(parsed.inputs), output or "", options, csv=_csv_flags.chosen(parsed)
        )
    if parsed.arguments:
        name, file = parsed.arguments[0][0], parsed.target.partition(":")[0]
        raise UsageError(
            f"--arg {name}=...: {target.place} defines a pipeline, whose steps have arguments of their own. Give them"
            f" there, .map_batches(function, args={{{name!r}: ...}}), or name a function: {file}:function"
        )
    whole = of_commands.with_command(defined, tuple(parsed.inputs), output, options, csv=_csv_flags.chosen(parsed))
    return dataclasses.replace(whole, typed=parsed.target)


def _check_order(target: str, inputs: Sequence[str]) -> None:
    """Raise ``UsageError`` where an input is named before the function."""
    function = next((name for name in inputs if Path(name.partition(":")[0]).suffix == ".py"), "")
    if function and Path(target).suffix != ".py" and Path(target).exists():
        swapped = " ".join(shlex.quote(target if name == function else name) for name in inputs)
        raise UsageError(
            f"{target!r} is an input, and {function!r} the function: the function comes first. Type {function}"
            f" {swapped}"
        )


def be_as_if_run(target: Target) -> None:
    """Set ``__main__`` and ``sys.argv`` as ``python file.py`` has them, without arguments."""
    file = target.place if target.kind == "file" else main_module.script_of_this_process().file
    main_module.become(main_module.MainScript(file))
    sys.argv[:] = [target.place]
