"""All of a cluster is removed, and looked for once more: what Pulumi does not know of is found by its tag."""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

from muster._words import plural
from muster.errors import EngineError

from . import remains
from .asking import client
from .making import Making, with_found
from .renewals import latest_ends
from .rentals import bill, ended_by_now


def removed(making: Making) -> Sequence[remains.Remain]:
    """Remove all of the cluster, and look whether it is gone; tell which machines that were. Raises ``EngineError``."""
    ec2, note = client("ec2", making.note.region), making.note
    seen = list(making.there())
    with suppress(EngineError):  # as the look says better what is left
        making.destroy()
    seen += (there := making.there())
    failed = remains.remove(ec2, there)
    pause = max(0.0, note.begun + remains.LATE_SECONDS - time.time())
    left = remains.left(ec2, note.owner, besides=note.mark, pause=pause)
    if left:
        seen += left
        failed = {**failed, **remains.remove(ec2, left)}
        left = making.there()
    if left:
        raise _not_gone(making, left, failed)
    return list({one.id: one for one in seen if one.is_machine}.values())


def _not_gone(making: Making, left: Sequence[remains.Remain], failed: Mapping[str, str]) -> EngineError:
    told = "\n".join(f"  {one.kind} {one.id}: {failed.get(one.id, 'it is there still.')}" for one in left)
    return EngineError(
        f"Not all of cluster {making.folder.name!r} is gone from {making.note.region}:\n{told}\nIts machines end by"
        f" themselves within {making.note.wanted.lease:g} s. Type the command again."
    )


def told(making: Making, ended: Sequence[remains.Remain], *, now: float) -> str:
    """Say which machines have ended, and what all of them have cost since they were asked for."""
    note = making.note
    rentals = ended_by_now(
        with_found(note, ended), [one.id for one in ended], now=now, latest=latest_ends(making.folder)
    )
    number = len(rentals)
    earlier = f" ({number - len(ended)} of them earlier)" if number > len(ended) else ""
    return (
        f"AWS, {note.region}: {plural(number, 'machine')} made, {number} ended{earlier}, 0 left, and nothing else of"
        f" the cluster; {bill(rentals, now)} since they were asked for"
    )
