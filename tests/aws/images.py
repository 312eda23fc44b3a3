"""Images of instances, as far as moto does not have them: whole after a while, their snapshots tagged, with files.

What an instance's machine has in root's home goes along: an instance of that image finds it there when it boots.
"""

import re
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode

from hosts import program

if TYPE_CHECKING:
    from aws.instances import Instances

SECONDS = 0.5
"""How long AWS copies a disk; the instance has to live until then."""
ROOT = "root"


def without_snapshots(body: bytes) -> bytes:
    """Take out of a request how snapshots are to be tagged: moto refuses that."""
    words = {name: values[0] for name, values in parse_qs(body.decode(), keep_blank_values=True).items()}
    of_snapshots = tuple(
        name.removesuffix("ResourceType")
        for name, value in words.items()
        if name.endswith(".ResourceType") and value == "snapshot"
    )
    return urlencode({name: value for name, value in words.items() if not name.startswith(of_snapshots)}).encode()


def make(asked: Mapping[str, str], answer: bytes, *, backend: Any, instances: "Instances", folder: Path) -> None:  # noqa: ANN401 (of moto)
    """Have the image that moto has just made as AWS has it."""
    if not (made := re.search(rb"<imageId>(ami-[0-9a-f]+)</imageId>", answer)):
        return
    image = backend.amis[made[1].decode()]
    image.state = "pending"
    if any(name.endswith(".ResourceType") and value == "snapshot" for name, value in asked.items()):
        image.ebs_snapshot.add_tags({tag["key"]: tag["value"] for tag in image.get_tags()})
    instance = backend.get_instance(asked["InstanceId"])
    if root := instances.root_of(instance.id):  # of its own disk alone: this computer's Python is there besides
        files = str(files_of(folder, image.id))
        subprocess.run([program("tar"), "--one-file-system", "-cf", files, "-C", root, ROOT], check=True)

    def finish() -> None:
        image.state = "available" if instance.state == "running" else "failed"

    Timer(SECONDS, finish).start()


def files_of(folder: Path, image: str) -> Path:
    """Tell where the files of an image lie."""
    return folder / f"{image}.tar"


def unpacked(folder: Path, image: str) -> list[str]:
    """Write, in words of shell, how a machine gets the files of its image."""
    files = files_of(folder, image)
    return [f"{program('tar')} -xf {shlex.quote(str(files))} -C /"] if files.exists() else []
