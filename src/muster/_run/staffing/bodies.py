"""What makes worker bodies, by name: a zygote imports this before it forks, so it imports no engine and no run."""

from muster._engines.base import Body
from muster._process.stdio import forgive


def make_body() -> Body:
    """Make the worker body in this process, which cannot be replaced by a fresh one."""
    from muster._worker.task import TaskBody

    return TaskBody(is_replaceable=False)


def make_body_of_a_process() -> Body:
    """Make the worker body in a process of its own, which has one core, and where a print fails no row."""
    from muster._worker.task import TaskBody, use_one_core

    use_one_core()
    forgive()
    return TaskBody()


def make_body_far_away() -> Body:
    """Make the worker body on a machine that does not see this computer's files."""
    from muster._travel.body import make_body

    return make_body()
