"""Programs for other computers: a module of ours, and those that it needs, in one text that runs alone there."""

import base64
import functools
import json
import zlib
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).parents[2]
_PACKAGES: Final = (
    "muster",
    "muster._clouds",
    "muster._clouds.there",
    "muster._files",
    "muster._private",
    "muster._process",
)
_PRIVATE: Final = (
    *("muster._private.files", "muster._files.locks", "muster._files.whole", "muster._files.notes"),
    *("muster._files.temporary", "muster._process.timers"),
    *(
        "muster._clouds.there.processes",
        "muster._clouds.there.host_folders",
        "muster._clouds.there.ports",
        "muster._clouds.there.scratch",
        "muster._clouds.there.guests",
        "muster._clouds.there.watchdog",
        "muster._clouds.there.agent",
        "muster._clouds.there.inspection",
        "muster._clouds.there.ending",
        "muster._clouds.there.environments",
    ),
)
"""What programs share, each behind what it needs itself."""

_RUN: Final = """\
import base64, json, sys, types, zlib
for name in {packages!r}:
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = []
for name, text in json.loads(zlib.decompress(base64.b64decode({texts!r}))).items():
    module = sys.modules[name] = types.ModuleType(name)
    exec(compile(text, name, "exec"), vars(module))
sys.modules[{main!r}].main()
"""


@functools.cache
def program(name: str) -> str:
    """Write a program out of a module that runs there, which may import what all programs share, and nothing else."""
    main = f"muster._clouds.there.{name}"
    texts = {module: _text(module) for module in (*_PRIVATE, main)}
    packed = base64.b64encode(zlib.compress(json.dumps(texts).encode())).decode()  # also: no mark that Ansible reads
    return _RUN.format(packages=_PACKAGES, texts=packed, main=main)


def _text(module: str) -> str:
    return _ROOT.joinpath(*module.split(".")).with_suffix(".py").read_text()
