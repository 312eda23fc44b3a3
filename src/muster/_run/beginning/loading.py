"""What the steps are, and what workers must have to load them as they were loaded here."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from muster._job import Job
from muster._model import Code, DataFile, Global, Module
from muster._run.asking.questions import Asker
from muster._user_code.described import Described
from muster._user_code.questions import Build, Describe
from muster._user_code.state import packed
from muster.errors import UsageError, UserCodeError


class Loading(NamedTuple):
    """What workers must have that load the steps."""

    state: tuple[Global, ...] = ()
    """What this program has set in modules that workers import anew."""
    code: Code = Code()
    """What those that load them later must find there, too."""
    packages: Mapping[str, str] = {}
    """What the steps import, with versions; asked only where a machine may have others."""
    modules: tuple[Module, ...] = ()
    """What the steps import of the user's own, likewise."""


def describe(job: Job, asker: Asker) -> tuple[list[Described], Loading]:
    """Have the steps imported: say what they are, and what that takes.

    No class is built: there may be nothing to do.
    """
    steps, limit = job.steps, job.options.timeout
    loading = Loading()
    with _of_function():
        described: list[Described] = asker.ask([Describe(steps, limit, builds=False)])[0]
        if set_here := [fact for step in described for fact in step.set_there]:
            loading = Loading(packed(set_here))
            described = asker.ask([Describe(steps, limit, loading.state, builds=False)])[0]
    if job.options.accept_changes:
        return described, loading
    files = dict.fromkeys(file for step in described for file in step.files)
    facts = frozenset((fact.what, fact.value) for step in described for fact in step.facts)
    return described, loading._replace(code=Code(tuple(files), facts))


def build(job: Job, asker: Asker, loading: Loading, *, builders: int) -> Loading:
    """Have so many workers of an engine build the steps side by side; wait for one of them."""
    request = Build(job.steps, job.options.timeout, loading.state)
    asker.mention(request, times=builders - 1)
    with _of_function():
        built: tuple[DataFile, ...] = asker.ask([request])[0]
    if job.options.accept_changes:
        return loading
    files = tuple(dict.fromkeys((*loading.code.files, *built)))
    return loading._replace(code=loading.code._replace(files=files))


def look_around(job: Job, asker: Asker, loading: Loading) -> Loading:
    """Find out what the steps need on machines that do not have what this computer has."""
    from muster._travel.packages import Packages
    from muster._user_code.modules import Reached

    packages, modules = asker.ask([Packages(job.steps), Reached(job.steps)])
    return loading._replace(packages=packages, modules=modules)


@contextlib.contextmanager
def _of_function() -> Iterator[None]:
    """Note of an error that the function is to blame, and no input."""
    try:
        yield
    except (UsageError, UserCodeError) as error:
        error.is_of_function = True
        raise
