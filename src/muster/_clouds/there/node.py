"""Start a Ray node that opens to others only what its TLS keeps closed to strangers, for ``ray start`` does not.

``python node.py start ...`` takes what ``ray start`` takes, and is a file of its own, so that it can be copied alone.
Of all that Ray would open without TLS nothing is left on the network: the Ray Client server and what a dashboard needs
are off, also where their packages are installed, and the agent for runtime environments, which speaks plain HTTP,
listens on loopback. The dashboard's own process, which Ray starts with a head even without a dashboard, is left out.

``python node.py loopback start ...`` starts one whose address is 127.0.0.1. Ray's own command turns that into an
address of the network, and a node that is not on loopback alone listens on every interface; several nodes on one
computer, for its user alone, are what Ray has no option for.
"""

import runpy
import sys
from pathlib import Path
from typing import Final

_WITHIN: Final = "within"
"""What a program of Ray's own is started behind, such as an agent."""
_LOOPBACK: Final = "loopback"
_ADDRESS: Final = "--node-ip-address="
_LISTENS_IN_THE_CLEAR: Final = "runtime_env"
_COMMANDS: Final = ("ray.serve.scripts", "ray.dashboard.modules.job.cli", "ray.util.state.state_cli")
"""Other commands of Ray's, which load more than ``start`` does, pandas among it; Ray goes without those that fail."""


def start(arguments: list[str]) -> None:
    """Do what ``ray start`` does, and start Ray's own programs behind this one."""
    for command in _COMMANDS:
        sys.modules[command] = None  # type: ignore[assignment]  # so that its import fails at once
    from ray._private import services
    from ray._private.node import Node
    from ray.scripts import scripts

    build = services._build_python_executable_command_memory_profileable  # noqa: SLF001 (it has no other place)

    def behind_this(*told: object, **options: object) -> list[str]:
        return [*build(*told, **options), __file__, _WITHIN]  # type: ignore[arg-type]  # whatever Ray gives

    if arguments[0] == _LOOPBACK:
        services.resolve_ip_for_localhost = lambda host: host
        del arguments[0]
    services._build_python_executable_command_memory_profileable = behind_this  # noqa: SLF001 (likewise)
    Node.start_api_server = _not_started  # type: ignore[method-assign,assignment]  # it serves a page that nobody opens
    scripts.get_ray_client_dependency_error = _absent  # type: ignore[attr-defined]  # Ray imports it there
    _leave_dashboard_out()
    sys.argv[1:] = arguments
    scripts.main()  # type: ignore[no-untyped-call]  # Ray has few types


def run_within(program: str, arguments: list[str]) -> None:
    """Run a program of Ray's as it would run by itself, but for what it opens."""
    _leave_dashboard_out()
    if _LISTENS_IN_THE_CLEAR in Path(program).parts:
        arguments = [f"{_ADDRESS}127.0.0.1" if word.startswith(_ADDRESS) else word for word in arguments]
    sys.path[0] = str(Path(program).parent)  # as Python itself has it for a program
    sys.argv = [program, *arguments]
    runpy.run_path(program, run_name="__main__")


def _leave_dashboard_out() -> None:
    from ray._private import utils

    utils.get_dashboard_dependency_error = _absent


def _not_started(node: object, **given: object) -> None:
    del node, given


def _absent() -> ImportError:
    return ImportError("muster leaves it out")


if __name__ == "__main__":
    if sys.argv[1] == _WITHIN:
        run_within(sys.argv[2], sys.argv[3:])
    else:
        start(sys.argv[1:])
