"""Ray still says and has what muster relies on, and nobody promises: where a version does not, this says so first."""

import importlib.util
import inspect
import mmap
import subprocess
import sys
from pathlib import Path

import pytest

from muster._clouds.base import STARTED, TOKEN_REFUSED
from muster._clouds.there import node
from muster._engines.on_ray import couplings

RAY = importlib.util.find_spec("ray")


def holds(file: Path, text: str) -> bool:
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(text.encode()) >= 0


@pytest.mark.parametrize(
    ("file", "text", "otherwise"),
    [
        ("_raylet.so", "InvalidAuthToken", "no token that does not fit is noticed (couplings.REFUSED)"),
        ("_raylet.so", "gcs_client.cc", "no token that does not fit is noticed (couplings.REFUSED)"),
        ("exceptions.py", couplings.NOT_LET_IN, "a token that does not fit is not explained (couplings.NOT_LET_IN)"),
        ("exceptions.py", TOKEN_REFUSED, "a token that does not fit is not explained (_clouds.base.TOKEN_REFUSED)"),
        ("core/src/ray/raylet/raylet", couplings._CAUSE, "deaths come with a page of advice (couplings._CAUSE)"),  # noqa: SLF001 (Ray's words)
        ("core/src/ray/raylet/raylet", couplings._ADVICE, "deaths come with a page of advice (couplings._ADVICE)"),  # noqa: SLF001 (likewise)
        ("scripts/scripts.py", STARTED, "no machine is ever seen to have started (_clouds.base.STARTED)"),
    ],
)
def test_ray_still_says_what_muster_listens_for(file: str, text: str, otherwise: str) -> None:
    assert RAY is not None
    assert RAY.submodule_search_locations is not None
    place = Path(RAY.submodule_search_locations[0], file)
    assert holds(place, text), f"this version of Ray does not say {text!r} in {file} any more: {otherwise}"


def test_ray_still_has_what_it_keeps_for_itself_and_muster_uses() -> None:
    from ray._private import node as of_ray  # noqa: PLC0415 (it takes a second to load)
    from ray._private import services, utils, worker  # noqa: PLC0415 (likewise)
    from ray.scripts import scripts  # noqa: PLC0415 (likewise)

    (name,) = couplings.address_of_this_node("")
    otherwise = "see _clouds/there/node.py and couplings.py"
    assert f'"{name}"' in inspect.getsource(worker.init), f"ray.init takes no {name} any more: {otherwise}"
    for module, names in (
        (services, ["_build_python_executable_command_memory_profileable", "resolve_ip_for_localhost"]),
        (utils, ["get_dashboard_dependency_error"]),
        (of_ray.Node, ["start_api_server"]),
        (scripts, ["get_ray_client_dependency_error", "main"]),
    ):
        for one in names:
            assert hasattr(module, one), f"{module.__name__} has no {one} any more: {otherwise}"


def test_a_machine_loads_no_other_command_of_rays_than_the_one_that_starts_it() -> None:
    words = [sys.executable, "-P", "-X", "importtime", node.__file__, "start", "--help"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert "--block" in done.stdout
    loaded = [line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")]
    assert "ray.scripts.scripts" in loaded
    assert not {"pandas", "ray.serve", "ray.util.state", "ray.dashboard.modules.job.utils"}.intersection(loaded)


SENDS = """
import sys
from ray._private.serialization import SerializationContext
from ray._private.worker import global_worker
from muster._engines.on_ray.couplings import send_only_plain_objects

send_only_plain_objects()
SerializationContext(global_worker).serialize(b"bytes")
print(*{"numpy", "pandas", "pyarrow", "pydantic"} & set(sys.modules))
"""


def test_a_driver_loads_no_library_only_to_know_how_its_objects_are_sent() -> None:
    done = subprocess.run([sys.executable, "-P", "-c", SENDS], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


def test_the_cause_of_a_death_is_told_without_advice() -> None:
    said = "The actor died.\n  Worker exit detail: killed by  SIGKILL. Some common causes include: (1) memory"
    assert couplings.cause_of(RuntimeError(said)) == "killed by SIGKILL."
    assert couplings.cause_of(RuntimeError("other words")) == "other words"
