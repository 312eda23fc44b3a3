"""The leash of a rented machine, on hosts of a pretended region: the first that runs there, and it ends the machine."""

import os
import signal
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Final

import pytest

from aws.region import Region
from muster._clouds.aws.user_data import user_data
from muster._clouds.there import leash
from waiting import until

pytestmark = pytest.mark.waits("together")
CAP_SYS_RESOURCE: Final = 24  # its number in capabilities(7)
UBUNTU = "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id"


@pytest.fixture(autouse=True)
def template(region: Region) -> None:
    """Have a launch template whose machines are taken back where they power themselves off, and a key."""
    ec2 = region.client("ec2")
    template = {"InstanceInitiatedShutdownBehavior": "terminate"}
    ec2.create_launch_template(LaunchTemplateName="ends", LaunchTemplateData=template)
    ec2.create_key_pair(KeyName="ours")


def launch(region: Region, lease: float, host_key: str = "") -> None:
    region.client("ec2").run_instances(
        MinCount=1,
        MaxCount=1,
        InstanceType="m7i.large",
        KeyName="ours",
        ImageId=region.client("ssm").get_parameter(Name=UBUNTU)["Parameter"]["Value"],
        LaunchTemplate={"LaunchTemplateName": "ends"},
        UserData=user_data(host_key, lease=lease),
    )


def booted(region: Region, *, lease: float) -> Path:
    """Launch one, and wait until it has run what its user data put first; name its files as they are found from here.

    Both processes of its leash are there.
    """
    launch(region, lease=lease)
    until(lambda: "bootcmd ended with 0" in region.instances()[-1].log)
    root = Path(region.instances()[-1].root)
    until(lambda: len(processes(root)) == 2)
    return root


def have_ended(region: Region) -> bool:
    return all(one.state == "terminated" for one in region.instances())


def lease_of(root: Path, seconds: float) -> Path:
    place = root / "root" / ".muster" / "machines" / "mine@there" / "1-here"
    place.mkdir(parents=True)
    (place / "lease").write_text(f"{seconds:g}")
    return place / "lease"


def processes(root: Path) -> list[int]:
    """List the ids that a leash's processes have here."""
    inside = (root.parent / "ns" / "pid").readlink()
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit() and is_leash(path, inside)]


def is_leash(process: Path, inside: Path) -> bool:
    with suppress(OSError):  # it has ended
        command = (process / "cmdline").read_bytes()
        return b"leash.py SECONDS" in command and (process / "ns" / "pid").readlink() == inside
    return False


def test_a_machine_that_nobody_ever_reaches_ends_with_its_first_lease(region: Region) -> None:
    region.boots(way="silent")
    launch(region, lease=1)
    until(lambda: have_ended(region))
    assert region.living() == []


def test_a_machine_lives_for_as_long_as_a_lease_on_it_is_renewed_or_as_one_says_from_when_it_was_written(
    region: Region,
) -> None:
    lease_of(booted(region, lease=1), 3600)
    lease = lease_of(booted(region, lease=2), 2)
    started = monotonic()

    def renewed() -> bool:
        os.utime(lease)
        return monotonic() - started > 2 + leash.LATE_SECONDS + 3 * leash.TICK

    until(renewed)
    assert [one.state for one in region.instances()] == ["running", "running"]
    lease.unlink()
    until(lambda: region.instances()[1].state == "terminated")
    assert region.instances()[0].state == "running"


def test_whoever_kills_one_of_the_two_or_asks_both_to_end_ends_the_machine(region: Region) -> None:
    for which in (0, 1):
        os.kill(sorted(processes(booted(region, lease=3600)))[which], signal.SIGKILL)
    for pid in processes(booted(region, lease=3600)):
        with suppress(ProcessLookupError):  # the first has ended all already
            os.kill(pid, signal.SIGTERM)
    until(lambda: have_ended(region))


def test_a_machine_ends_with_its_lease_though_one_of_the_two_hangs_or_what_is_no_lease_is_there(
    region: Region,
) -> None:
    for which in (0, 1):
        os.kill(sorted(processes(booted(region, lease=1)))[which], signal.SIGSTOP)
    leases = booted(region, lease=1) / "root" / ".muster" / "machines" / "mine@there"
    for number, text in enumerate(("inf", "nan", "1e300", "much", "-5"), 1):
        place = leases / f"{number}-here"
        place.mkdir(parents=True)
        (place / "lease").write_text(text)
    (leases / "6-here").mkdir()
    os.mkfifo(leases / "6-here" / "lease")
    until(lambda: have_ended(region))


def may_be_spared() -> bool:
    """Tell whether root may keep a process from being killed for lack of memory, which not every machine allows."""
    effective = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff:"))
    return bool(int(effective.split()[1], 16) >> CAP_SYS_RESOURCE & 1)


@pytest.mark.skipif(not may_be_spared(), reason="root lacks CAP_SYS_RESOURCE here")
def test_no_lack_of_memory_kills_it(region: Region) -> None:
    root = booted(region, lease=3600)
    until(lambda: [Path(f"/proc/{pid}/oom_score_adj").read_text() for pid in processes(root)] == ["-1000\n"] * 2)
