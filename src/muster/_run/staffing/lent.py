"""Lend a cluster to a run: one that is there, or one that is made for it and ended with it."""

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from muster._job import Options
from muster._process.signals import undisturbed
from muster.errors import EngineError, MusterError

if TYPE_CHECKING:
    from muster._clouds.base import Access
    from muster._clouds.clusters import Cluster


def goes_elsewhere(options: Options) -> bool:
    """Tell whether a run asks for a cluster."""
    return options.cluster is not None or options.machines is not None


@contextlib.contextmanager
def machines_for(options: Options, *, say: Callable[[str], None]) -> "Iterator[Access | None]":
    """Lend a cluster to a run that asks for one; ``say`` is told where that takes its time."""
    if not goes_elsewhere(options):
        yield None
        return
    say("calling up machines")
    with lent(options.cluster, machines=options.machines, on=options.on) as access:
        yield access


@contextlib.contextmanager
def shared(options: Options, *, say: Callable[[str], None]) -> "Iterator[Callable[[], Access] | None]":
    """Lend one cluster to several runs, from when the first of them needs it; none where none is asked for."""
    if not goes_elsewhere(options):
        yield None
        return
    access: list[Access] = []
    failed: list[MusterError] = []
    with contextlib.ExitStack() as held:

        def call_up() -> "Access":
            if failed:
                raise failed[0]
            try:
                if not access and (found := held.enter_context(machines_for(options, say=say))) is not None:
                    access.append(found)
            except MusterError as error:
                failed.append(error)  # what cannot be called up is not called up for each run anew
                raise
            return access[0]

        yield call_up


@contextlib.contextmanager
def lent(name: str | None, *, machines: int | None, on: str | None) -> "Iterator[Access]":
    """Lend a cluster to a run: the one of that name, or one that is made for it and ended with it."""
    from muster._clouds.clusters import Cluster

    if name is not None:
        with Cluster(name).borrow() as access:
            yield access
        return
    cluster = Cluster(f"run-{os.getpid()}-{os.urandom(4).hex()}")
    try:
        cluster.up(machines or 1, on=on)
        with cluster.borrow(is_new=True) as access:
            yield access
    except BaseException as error:
        try:
            _dismiss(cluster)
        except MusterError as failure:  # what stopped the run is what the user has to know first
            error.add_note(f"Nor could its machines be ended: {failure}")
        raise
    try:
        _dismiss(cluster)
    except MusterError as failure:
        raise EngineError(f"The run is done, and its output is there. But its machines: {failure}") from failure


def _dismiss(cluster: "Cluster") -> None:
    with undisturbed(
        "Ending the machines that were called up for this run. Ctrl-C once more leaves them to their lease, and to"
        f" muster down {cluster.name}."
    ):
        cluster.down()
