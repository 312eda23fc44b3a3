"""How an output on this computer becomes visible: by a rename, of a file or of a folder that takes another's place."""

import contextlib
import shutil
from pathlib import Path

from muster._files.whole import rename, sync

from .manifest import MANIFEST, PART, named_in
from .modes import hand_over


def publish_file(path: Path, name: str) -> None:
    """Let a file appear under a name, in place of what has it."""
    # By a second name: all is still in the work folder should muster die before it has said that it is done.
    second = path.with_name(path.name + ".published")
    second.unlink(missing_ok=True)
    try:
        second.hardlink_to(path)
    except OSError:  # a file system without hard links
        second = path
    rename(second, name)


def publish_folder(sealed: Path, output: Path, *, replaced: Path) -> None:
    """Let a folder appear in place of an output, which goes to ``replaced``; the user's own files there stay.

    The two are exchanged at once: whoever looks finds one or the other. Only where a file system cannot do that is
    there neither for a moment.
    """
    hand_over(sealed, instead_of=output)
    settle(replaced, output)
    if output.exists():
        remove(replaced)
        _replace(output, sealed, replaced)
    else:
        sealed.replace(output)
    sync(output.absolute().parent)
    _carry(replaced, output)


def _replace(output: Path, sealed: Path, replaced: Path) -> None:
    from .exchange import exchanged

    sealed.replace(replaced)  # first: what stands there after a death, old or new, is settled by ``settle``
    if not exchanged(replaced, output):
        replaced.replace(sealed)
        output.replace(replaced)
        sealed.replace(output)


def settle(replaced: Path, output: Path) -> None:
    """End what a run began that died while it replaced a folder: nothing that only ``replaced`` has may be lost.

    That has the old output, with files of the user's own perhaps, or the new one, which a death kept from its place.
    """
    if not replaced.is_dir():
        return
    if output.exists():
        _carry(replaced, output)
    elif MANIFEST in names_in(replaced):  # or else it is what was left when it was removed
        replaced.replace(output)


def _carry(replaced: Path, output: Path) -> None:
    """Take the user's own files from a folder of which the output took the place.

    Without a manifest it was being removed when a run died: what has the name of a part then is one of the old output.
    """
    manifest = manifest_of(replaced)
    named = {MANIFEST, *named_in(manifest)}
    for name in names_in(replaced):
        is_part = name in named or (manifest is None and PART.fullmatch(name))
        if not is_part and not (output / name).exists():
            (replaced / name).replace(output / name)


def names_in(folder: Path) -> list[str]:
    """Name what lies in a folder; nothing where there is none."""
    return [path.name for path in folder.iterdir()] if folder.is_dir() else []


def manifest_of(folder: Path) -> bytes | None:
    """Read the manifest of a folder, if it has one."""
    with contextlib.suppress(OSError):
        return (folder / MANIFEST).read_bytes()
    return None


def remove(path: Path) -> None:
    """Remove a file, or a folder and all in it, if it is there; a manifest first, which says that a folder is whole."""
    if path.is_dir():
        (path / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
