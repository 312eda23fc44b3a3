"""What a node of Ray's starts besides itself: nothing that others could ask, and nothing before it is asked."""

import os
import shlex
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from muster._clouds.there import node
from waiting import until

NODE = "b051b11e"
PORT = "--runtime-env-agent-port="
TOLD = (
    "import beside, sys; from ray._private.utils import get_dashboard_dependency_error as error\n"
    "print(*sys.argv[1:], __name__, isinstance(error(), ImportError))"
)
ANSWERS = (
    "\nimport socket; port = int(sys.argv[-1].split('=')[1])\n"
    "this = socket.socket(); this.bind(('127.0.0.1', port)); this.listen()\n"
    "this.accept()[0].sendall(b'heard'); print(this.getsockname()[1])"
)


def within(program: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-P", node.__file__, "within", str(program), *arguments]


def written(folder: Path, name: str, program_text: str = TOLD) -> Path:
    """Write a program of Ray's that tells how it was started."""
    (folder / name).mkdir()
    (folder / name / "beside.py").touch()
    program = folder / name / "agent.py"
    program.write_text(program_text)
    return program


def port_in(folder: Path, name: str) -> int:
    """Read a port where Ray looks for it; 0 before it is there."""
    with suppress(FileNotFoundError):
        return int((folder / f"{name}_{NODE}").read_text())
    return 0


def test_what_ray_starts_opens_no_dashboard(tmp_path: Path) -> None:
    command = within(written(tmp_path, "any"), "--node-ip-address=10.0.0.7", "--port=1")
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["--node-ip-address=10.0.0.7", "--port=1", "__main__", "True"]


def test_the_agent_of_environments_loads_once_it_is_asked_and_listens_to_this_computer_alone(tmp_path: Path) -> None:
    where = [f"--session-dir={tmp_path}", f"--node-id={NODE}", "--node-ip-address=10.0.0.7", f"{PORT}0"]
    command = within(written(tmp_path, "runtime_env", TOLD + ANSWERS), *where)
    environment = {**os.environ, "RAY_RAYLET_PID": str(os.getpid())}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as agent:
        until(lambda: port_in(tmp_path, "runtime_env_agent_port"))
        port = port_in(tmp_path, "runtime_env_agent_port")
        with socket.create_connection(("127.0.0.1", port), timeout=60) as asking:
            assert asking.recv(5) == b"heard"  # who asked first is answered, so the port was free at no moment
        told = agent.communicate()[0].split()
    assert told[2:] == ["--node-ip-address=127.0.0.1", f"{PORT}0", f"{PORT}{port}", "__main__", "True", str(port)]


@pytest.mark.parametrize(
    ("name", "listens"),
    [
        (
            "dashboard",
            {"metrics_agent_port": False, "metrics_export_port": False, "dashboard_agent_listen_port": False},
        ),
        ("runtime_env", {"runtime_env_agent_port": True}),
    ],
    ids=["dashboard", "environments"],
)
def test_an_agent_that_nobody_asks_ends_with_its_node(tmp_path: Path, name: str, listens: dict[str, bool]) -> None:
    command = within(written(tmp_path, name), f"--session-dir={tmp_path}", f"--node-id={NODE}")
    as_node = ["sh", "-c", f"RAY_RAYLET_PID=$$ {shlex.join(command)} & wait"]
    with subprocess.Popen(as_node, stdout=subprocess.PIPE, text=True) as raylet:
        until(lambda: all(port_in(tmp_path, one) for one in listens))
        assert {one: port_in(tmp_path, one) > 0 for one in listens} == listens
        raylet.kill()
        assert raylet.communicate(timeout=60)[0] == ""  # its end, and nothing of the program
