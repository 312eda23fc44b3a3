"""Start a Ray node that opens to others only what its TLS keeps closed to strangers, for ``ray start`` does not.

``python node.py start ...`` takes what ``ray start`` takes, and is a file of its own, so that it can be copied alone.
Of all that Ray would open without TLS nothing is left on the network: the Ray Client server and what a dashboard needs
are off, also where their packages are installed, and the agent for runtime environments, which speaks plain HTTP,
listens on loopback. The dashboard's own process, which Ray starts with a head even without a dashboard, is left out.
A node needs an agent for a dashboard, and one for runtime environments, though nobody may ever ask them: the first is
only pretended, and the second loads, which takes a second of a processor and 80 MB, once somebody asks it.

``python node.py loopback start ...`` starts one whose address is 127.0.0.1. Ray's own command turns that into an
address of the network, and a node that is not on loopback alone listens on every interface; several nodes on one
computer, for its user alone, are what Ray has no option for.
"""

import os
import runpy
import select
import socket
import sys
from pathlib import Path
from threading import Event
from typing import Any, Final

_WITHIN: Final = "within"
"""What a program of Ray's own is started behind, such as an agent."""
_LOOPBACK: Final = "loopback"
_ADDRESS: Final = "--node-ip-address="
_LOOPBACK_ADDRESS: Final = "127.0.0.1"
_LISTENS_IN_THE_CLEAR: Final = "runtime_env"
_OF_A_DASHBOARD: Final = ("dashboard", "agent.py")
_PORTS_OF_A_DASHBOARD: Final = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port")
_PORT: Final = "--runtime-env-agent-port="
_PORT_OF_ENVIRONMENTS: Final = "runtime_env_agent_port"
_NO_PORT: Final = -1
"""What Ray itself writes for what does not listen."""
_LOOK_SECONDS: Final = 1.0
"""How often it is looked whether a node lives: an agent that outlives it for a second holds 10 MB until then."""
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
    """Run a program of Ray's as it would run by itself, but for what it opens, and not before it is of any use."""
    if Path(program).parts[-2:] == _OF_A_DASHBOARD:
        _be_an_agent_without_ports(arguments)
        return
    if _LISTENS_IN_THE_CLEAR in Path(program).parts:
        arguments = [f"{_ADDRESS}{_LOOPBACK_ADDRESS}" if word.startswith(_ADDRESS) else word for word in arguments]
        if (listener := _asked(arguments)) is None:
            return
        arguments = [*arguments, f"{_PORT}{_have_bound(listener)}"]
    _leave_dashboard_out()
    sys.path[0] = str(Path(program).parent)  # as Python itself has it for a program
    sys.argv = [program, *arguments]
    runpy.run_path(program, run_name="__main__")


def _be_an_agent_without_ports(arguments: list[str]) -> None:
    """Be what a node takes for an agent that serves no page and no metrics, until the node ends."""
    for name in _PORTS_OF_A_DASHBOARD:
        _tell_port(arguments, name, _NO_PORT)
    while _node_lives():
        Event().wait(_LOOK_SECONDS)


def _asked(arguments: list[str]) -> socket.socket | None:
    """Wait until somebody asks, and return what listens, where whoever asked waits; ``None`` where the node ends."""
    port = next((int(word.removeprefix(_PORT)) for word in arguments if word.startswith(_PORT)), 0)
    listener = socket.create_server((_LOOPBACK_ADDRESS, port))
    _tell_port(arguments, _PORT_OF_ENVIRONMENTS, int(listener.getsockname()[1]))
    while _node_lives():
        if select.select([listener], [], [], _LOOK_SECONDS)[0]:
            return listener
    return None


def _have_bound(listener: socket.socket) -> int:
    """Have what this process binds to the port of what listens already be that; tell the port.

    Were it free for a moment, another user could take it, to whom the node would then talk.
    """
    bind, port = socket.socket.bind, int(listener.getsockname()[1])

    def be_the_listener(this: socket.socket, address: Any) -> None:  # noqa: ANN401 (as varied as families of addresses)
        if address != (_LOOPBACK_ADDRESS, port):
            bind(this, address)
            return
        os.dup2(listener.fileno(), this.fileno(), inheritable=False)
        listener.close()

    socket.socket.bind = be_the_listener  # type: ignore[method-assign,assignment]
    return port


def _tell_port(arguments: list[str], name: str, port: int) -> None:
    """Write down a port where Ray looks for it: in a file for each, which appears with its number in it."""
    told = dict(word.partition("=")[::2] for word in arguments)
    if (session := told.get("--session-dir")) and (node := told.get("--node-id")):
        path = Path(session, f"{name}_{node}")
        unfinished = path.with_name(f"{path.name}.unfinished")
        unfinished.write_text(str(port))
        unfinished.replace(path)


def _node_lives() -> bool:
    return os.getppid() == int(os.environ["RAY_RAYLET_PID"])


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
