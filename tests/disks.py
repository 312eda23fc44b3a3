"""Small file systems, which run full."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small(folder: Path) -> Iterator[Path]:
    """Mount a file system of two megabytes."""
    folder.mkdir()
    mounted = os.geteuid() == 0 and mount(folder, "size=2m") == 0
    if not mounted and not os.environ.get("CI"):
        pytest.skip("mounting a small file system takes root")
    assert mounted
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)  # noqa: S607 (wherever it is)


def mount(folder: Path, options: str) -> int:
    return subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=False).returncode  # noqa: S607
