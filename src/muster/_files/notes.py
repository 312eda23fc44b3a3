"""Notes: small files of JSON that processes leave for those that come later.

It needs nothing but Python's standard library: hosts run it too.
"""

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import whole


def write(path: Path, said: Mapping[str, Any], *, durable: bool = False) -> None:
    """Write a note, for this user alone, in place of the one before; see ``whole.write``. Raises ``OSError``."""
    whole.write(path, json.dumps(said), durable=durable)


def read(path: Path) -> dict[str, Any] | None:
    """Read a note; ``None`` where there is none, or one that is damaged, as a power cut or an editor leaves it."""
    with contextlib.suppress(OSError, ValueError):
        said = json.loads(path.read_bytes())
        if isinstance(said, dict):
            return said
    return None
