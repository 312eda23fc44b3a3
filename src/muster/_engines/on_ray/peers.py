"""How a station reads what another keeps: a call of Ray's, whose answer Ray carries from machine to machine."""

import errno
from collections.abc import Sequence
from typing import Any, Final

from .couplings import cause_of
from .keeping import NotReadThereError, Peer, Slice

READING: Final = "reading"
"""The threads of a station that such calls have to themselves: none waits for another kind of call, or holds one up."""

READERS: Final = 4
"""Threads of a station that answer other machines: each waits for its disk most of the time. Not measured."""


def peer_of(number: int, actor: Any) -> Peer:  # noqa: ANN401 (Ray has no types)
    """Make what reads from the station of this number, an actor."""

    def ask(slices: Sequence[Slice]) -> Any:  # noqa: ANN401 (likewise)
        return actor.read.options(concurrency_group=READING).remote(slices)

    def get(asked: Any) -> bytes:  # noqa: ANN401 (likewise)
        import ray
        from ray.exceptions import OutOfDiskError, RayError

        try:
            data: bytes = ray.get(asked)
        except OutOfDiskError as error:
            raise OSError(errno.ENOSPC, "Ray finds no room for what comes from other machines") from error
        except RayError as error:
            raise NotReadThereError(number, cause_of(error)) from error
        return data

    return Peer(ask, get)
