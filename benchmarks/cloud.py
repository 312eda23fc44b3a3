"""Measure what AWS adds to a cluster: machines of a pretended region that boot at once, beside the same ones as hosts.

How long until the preview is shown, and until ``muster up`` is done; and, on machines that have all packages but not
this muster, with an image of ``muster image build`` and without. They download nothing. Prints markdown.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import yaml

import _starting
from _data import MUSTER

Times = dict[str, float]
GOAL_SECONDS = 8.0
"""How much longer machines may take that are made than those that are there."""

TEXTS = {
    "hosts": "as `hosts`",
    "aws": "made on AWS",
    "preview": "of that, until the preview is shown",
    "bare": "made on AWS, without muster on them",
    "image": "the same, from an image",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="of each way (default: %(default)s)")
    parser.add_argument("--machines", type=int, default=4, help="default: %(default)s")
    parser.add_argument("--ways", nargs="+", choices=[*WAYS], default=[*WAYS], help="default: all")
    parsed = parser.parse_args()
    if shutil.which("pulumi") is None:
        raise SystemExit("There is no pulumi. Type: PATH=$(.ci/build-pulumi):$PATH make bench-cloud")
    times: dict[str, list[float]] = {}
    for _ in range(parsed.rounds):
        for way in parsed.ways:
            for what, seconds in WAYS[way](parsed.machines).items():
                times.setdefault(what, []).append(seconds)
                print(f"{what}: {seconds:.1f} s", file=sys.stderr)
    found = {what: median(times[what]) for what in TEXTS if what in times}
    print(f"| `muster up` of {parsed.machines} machines, 2 workers each | |\n|---|---|")
    for what, seconds in found.items():
        print(f"| {TEXTS[what]} | {seconds:.1f} s |")
    if {"hosts", "aws"} <= found.keys():
        more = found["aws"] - found["hosts"]
        verdict = "met" if more <= GOAL_SECONDS else "not met"
        print(f"\nMaking them takes {more:.1f} s more (goal: at most {GOAL_SECONDS:g} s; {verdict}).")


def of_hosts(machines: int) -> Times:
    with _starting.ssh_hosts(machines) as (_, file), home():
        try:
            return {"hosts": up(machines, file)["up"]}
        finally:
            subprocess.run([MUSTER, "down"], check=True, capture_output=True)


def of_aws(machines: int) -> Times:
    with region(), home():
        times = up(machines, "aws")
    return {"aws": times["up"], "preview": times["preview"]}


def of_aws_with_nothing_installed(machines: int) -> Times:
    with region(), home(), bare() as file:
        return {"bare": up(machines, file)["up"]}


def of_an_image(machines: int) -> Times:
    with region() as made, home(), bare() as file:
        with subprocess.Popen([MUSTER, "image", "build", "--on", file], stderr=subprocess.DEVNULL) as building:
            while building.poll() is None and not is_there(made):
                time.sleep(0.1)
            building.kill()  # what it does then is to end its machine, and to wait for what AWS lists late
        return {"image": up(machines, file)["up"]}


def is_there(made: Any) -> bool:  # noqa: ANN401 (of the tests' own)
    filters = [{"Name": "tag-key", "Values": ["muster:image"]}, {"Name": "state", "Values": ["available"]}]
    return bool(made.client("ec2").describe_images(Owners=["self"], Filters=filters)["Images"])


WAYS: dict[str, Callable[[int], Times]] = {
    "hosts": of_hosts,
    "aws": of_aws,
    "bare": of_aws_with_nothing_installed,
    "image": of_an_image,
}


def up(machines: int, on: object) -> Times:
    """Make a cluster; tell how long that took, and how long it was until something was told of what is made."""
    began, preview = time.monotonic(), 0.0
    command = [MUSTER, "up", "--machines", str(machines), "--workers-per-machine", "2", "--on", str(on)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        said = []
        for line in process.stderr or ():
            said.append(line)
            preview = preview or time.monotonic() - began
    if process.returncode:
        raise SystemExit("".join(said))
    return {"up": time.monotonic() - began, "preview": preview}


@contextmanager
def region() -> Iterator[Any]:
    """Have a region in which machines boot at once. All that was made there ends with it."""
    sys.path.insert(0, str(_starting.TESTS))
    from aws.region import pretended_region  # noqa: PLC0415 (the tests' own)

    with pretended_region() as made:
        made.boots(starts=0, seconds=0)
        os.environ |= {**made.environment(), "PULUMI_DEBUG_PROVIDERS": f"aws:{made.provider()}"}
        yield made


@contextmanager
def home() -> Iterator[None]:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MUSTER_HOME"] = folder
        yield


@contextmanager
def bare() -> Iterator[str]:
    """Have an interpreter that machines see, with all packages of this one, and another muster; and a file for it."""
    sys.path.insert(0, str(_starting.TESTS))
    from hosts import interpreter_in  # noqa: PLC0415 (the tests' own)

    with tempfile.TemporaryDirectory(dir="/var/tmp") as place:
        folder = Path(place)
        site = interpreter_in(folder)
        (site / "muster").mkdir()
        (site / "muster" / "__init__.py").touch()
        file = folder / "aws.yml"
        file.write_text(yaml.safe_dump({"aws": {"python": str(folder / "python" / "bin" / "python")}}))
        yield str(file)


if __name__ == "__main__":
    main()
