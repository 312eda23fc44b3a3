"""Clusters of AWS as commands make them: a pretended region, with Pulumi's real engine, Ansible, SSH and Ray."""

import hashlib
import json
import os
import re
import signal
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from random import Random, randrange
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from aws.clusters import TAG, require_pulumi
from aws.leftovers import make
from aws.region import NAME, USER, Region
from aws.told import LISTED
from conftest import Ended, Muster, begun
from muster._clouds.asked import Asked
from muster._clouds.aws import note as note_of
from muster._clouds.aws.cloud import AwsCloud
from muster._clouds.aws.leases import RENEWED
from muster._clouds.aws.settings import Settings, settings_in
from muster._clouds.aws.user_data import NOTICE, user_data
from muster._clouds.base import Wanted
from muster._files import notes
from muster.errors import UsageError
from waiting import until

if TYPE_CHECKING:
    import subprocess

pytestmark = pytest.mark.waits("long", "together")
SECONDS = 240.0
KILLED = 20
LEASE = 30.0
SLACK = 20.0
"""A machine boots, ends some seconds later than its lease, and is seen to end later still where all is busy."""


@pytest.fixture(scope="module")
def provider(aws_served: Region) -> str:
    require_pulumi()
    return f"aws:{aws_served.provider()}"


@pytest.fixture
def aws(region: Region, provider: str, monkeypatch: pytest.MonkeyPatch) -> Region:
    monkeypatch.setenv("PULUMI_DEBUG_PROVIDERS", provider)
    return region


def left(region: Region) -> list[str]:
    """List all that bears a tag of muster's and is there, as nobody's record knows it."""
    ec2, ours = region.client("ec2"), [{"Name": "tag-key", "Values": [TAG]}]
    kinds = {"security_groups": "GroupId", "key_pairs": "KeyName", "launch_templates": "LaunchTemplateName"}
    return [
        *(one.id for one in region.living()),
        *(one["VolumeId"] for one in ec2.describe_volumes(Filters=ours)["Volumes"]),
        *(
            one[name]
            for kind, name in kinds.items()
            for one in getattr(ec2, f"describe_{kind}")(Filters=ours)[kind.title().replace("_", "")]
        ),
    ]


def machines(muster: Muster) -> list[dict[str, Any]]:
    (status,) = json.loads(muster("status", "--json").out)
    found: list[dict[str, Any]] = status["machines"]
    return found


def launched(region: Region) -> int:
    return sum(one["Action"] == "RunInstances" for one in region.asked())


def right(end: Ended) -> Ended:
    assert end.code == 0, end.err
    return end


def test_machines_are_made_more_and_fewer_and_made_anew_where_one_has_ended_and_nothing_is_left(
    aws: Region, muster: Muster, tmp_path: Path
) -> None:
    file = tmp_path / "aws.yml"
    file.write_text(yaml.safe_dump({"aws": {"ssh_from": [f"{aws.address_here()}/32"], "zone": f"{NAME}b"}}))
    shown = right(muster("up", "--machines", "1", "--on", file)).err
    assert f"1 machine (m7i.large, on demand, in {NAME}b), $0.2222 an hour (AWS, now)" in shown
    (first,) = aws.living()
    (head,) = machines(muster)
    assert (head["address"], head["workers"], first.zone) == (first.public, 2, f"{NAME}b")
    assert (first.tags["muster:lease"], first.tags[TAG]) == ("900", "default")
    assert head["price"] == float(LISTED["m7i.large"])
    renewed = datetime.fromisoformat(aws.living()[0].tags[RENEWED])
    assert time.time() - SECONDS < renewed.timestamp() <= time.time()

    right(muster("up", "--machines", "3"))
    assert ([one["name"] for one in machines(muster)], len(aws.living())) == (["m1", "m2", "m3"], 3)
    before = len(aws.asked())
    assert "resources" not in right(muster("up", "--machines", "3")).err
    changed = [one["Action"] for one in aws.asked()[before:] if not one["Action"].startswith(("Describe", "Get"))]
    assert set(changed) == {"CreateTags"}  # the lease is renewed

    aws.lose(next(one for one in aws.living() if one.id != first.id))
    right(muster("up", "--machines", "2"))
    assert (len(machines(muster)), len(aws.living()), aws.living()[0].id) == (2, 2, first.id)
    end = right(muster("down"))
    assert re.search(r"2 machines ended, 0 left, .*; \$0\.\d\d for 3 machines since they were asked for", end.out)
    assert left(aws) == []


def test_a_run_calls_up_machines_of_aws_and_dismisses_them_and_its_output_is_that_of_cores(
    aws: Region, muster: Muster, tmp_path: Path, home: Path
) -> None:
    (tmp_path / "work.py").write_text("def work(df):\n    df['b'] = df['a'] * 2\n    return df\n")
    (tmp_path / "rows.csv").write_text("a\n" + "".join(f"{number}\n" for number in range(20_000)))
    right(muster("run", "work.py:work", "rows.csv", "-o", "cores.csv", "--workers", "2"))
    told = right(
        muster(*("run", "work.py:work", "rows.csv", "-o", "aws.csv", "--json"), "--machines", "2", "--on", "aws")
    )
    assert (launched(aws), told.json["rows_out"]) == (2, 20_000)
    assert 0 < told.json["cost"] <= 2 * float(LISTED["m7i.large"]) * told.json["seconds"] / 3600 + 0.0001
    assert "2 machines (m7i.large" in told.err
    digests = [hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in ("cores.csv", "aws.csv")]
    assert digests[0] == digests[1]
    assert left(aws) == []
    assert not list((home / "clusters").glob("*"))


def test_a_spot_machine_that_is_taken_away_soon_is_drained_and_its_tasks_are_done_elsewhere(
    aws: Region, muster: Muster, tmp_path: Path, home: Path
) -> None:
    (tmp_path / "work.py").write_text("import time\ndef work(df):\n    time.sleep(0.25)\n    return df\n")
    (tmp_path / "rows.csv").write_text("a\n" + "".join(f"{number}\n" for number in range(3_000)))
    right(muster("up", "--machines", "2", "--on", "aws", "--spot"))
    one, other = aws.living()
    ((name, address),) = ((told["name"], told["address"]) for told in machines(muster) if not told["is_head"])
    taken, stays = (one, other) if address in (one.public, one.private) else (other, one)
    assert address in (taken.public, taken.private)
    aws.gives_notice(taken)
    until(Path(taken.root, NOTICE.lstrip("/")).exists)
    assert not Path(stays.root, NOTICE.lstrip("/")).exists()
    run = ("run", "work.py:work", "rows.csv", "-o", "out.csv", "--cluster", "default", "--batch-rows", "40")
    end = right(muster(*run, "--json"))
    assert re.search(rf"machine {name} will be taken away in 1?\d\d s by whoever made it", end.err), end.err
    assert (tmp_path / "out.csv").read_text() == (tmp_path / "rows.csv").read_text()
    (journal,) = (home / "runs").iterdir()
    told = list(map(json.loads, journal.read_text().splitlines()))
    reasons = {one["reason"] for one in told if one["event"] == "left" and one["worker"].startswith(name)}
    assert reasons == {"its machine is drained"}


def test_where_there_is_no_room_others_are_asked_for_and_a_cluster_that_may_not_grow_stays_or_is_content(
    aws: Region, muster: Muster
) -> None:
    aws.refuse("RunInstances", "InsufficientInstanceCapacity", "No room.", where={"Zone": f"{NAME}a"})
    aws.refuse(
        "RunInstances",
        "MaxSpotInstanceCountExceeded",
        "No more spot.",
        where={"InstanceMarketOptions.MarketType": "spot"},
    )
    end = right(muster("up", "--machines", "1", "--on", "aws", "--spot", "--instance-type", "m7i.large,m5.large"))
    assert "spot" in end.err
    tried = [one for one in aws.asked() if one["Action"] == "RunInstances"]
    asked = [(one["Zone"][-1], one.get("InstanceMarketOptions.MarketType", "on demand")) for one in tried]
    assert asked == [("a", "spot"), ("a", "on demand"), ("b", "on demand")]
    (one,) = aws.living()
    assert (one.zone, one.type, one.is_spot) == (f"{NAME}b", "m7i.large", False)

    aws.has_a_quota()
    end = muster("up", "--machines", "3")
    assert (end.code, "VcpuLimitExceeded" in end.err) == (3, True), end.err
    assert [one["name"] for one in machines(muster)] == ["m1"]
    end = right(muster("up", "--machines", "3", "--at-least", "1"))
    assert ("1 machine, 2 workers" in end.out, len(aws.living())) == (True, 1)


def test_a_quota_stops_at_once_and_names_itself_unless_fewer_machines_will_do(aws: Region, muster: Muster) -> None:
    aws.refuse("RunInstances", "VcpuLimitExceeded", "Your vCPU limit is 32.", where={"Zone": f"{NAME}a"})
    end = muster("up", "--machines", "2", "--on", "aws")
    assert (end.code, "VcpuLimitExceeded: Your vCPU limit is 32." in end.err) == (3, True), end.err
    assert ("Service Quotas" in end.err, "Traceback" in end.err) == (True, False)
    assert (left(aws), 1 <= launched(aws) <= 2) == ([], True)
    assert muster("status").out.startswith("There is no cluster")
    aws.mend()
    aws.refuse("RunInstances", "VcpuLimitExceeded", "Your vCPU limit is 32.", after=1)
    end = right(muster("up", "--machines", "2", "--on", "aws", "--at-least", "1"))
    assert "1 machine, 2 workers" in end.out
    assert (len(machines(muster)), len(aws.living())) == (1, 1)


def test_what_a_killed_run_has_made_is_removed_by_a_down(aws: Region, muster: Muster, tmp_path: Path) -> None:
    (tmp_path / "work.py").write_text("def work(df):\n    return df\n")
    (tmp_path / "rows.csv").write_text("a\n1\n")
    with begun(tmp_path, "run", "work.py:work", "rows.csv", "-o", "o.csv", "--machines", "1", "--on", "aws") as half:
        until(lambda: aws.living() or half.poll() is not None)
        half.send_signal(signal.SIGKILL)
    assert "0 left" in right(muster("down", "--all")).out
    assert left(aws) == []


def test_of_what_is_killed_at_any_moment_nothing_outlives_its_lease_and_one_sweep_leaves_nothing(
    aws: Region, muster: Muster, tmp_path: Path, home: Path
) -> None:
    seed = int(os.environ.get("MUSTER_TEST_SEED", randrange(2**32)))  # noqa: S311 (it opens nothing)
    print(f"MUSTER_TEST_SEED={seed}")  # noqa: T201 (shown where it fails; set, it draws the same commands)
    draw, killed = Random(seed), 0  # noqa: S311 (likewise)
    (tmp_path / "work.py").write_text("def work(df):\n    return df\n")
    (tmp_path / "rows.csv").write_text("a\n1\n")
    aws.boots(way="silent")  # each machine has its leash, and nobody reaches it to renew anything
    left_behind(aws, tmp_path / "lost", machines=1)
    while killed < KILLED or not any(one["Action"] == "RunInstances" and one["key"] == USER for one in aws.asked()):
        machines = ("--machines", str(draw.randint(1, 3)), "--on", "aws")
        up = ("up", "one", *machines, "--lease", f"{LEASE:g}s")
        run = ("run", "work.py:work", "rows.csv", "-o", f"{killed}.csv", *machines)
        (first,) = draw.choices([up, run, ("down", "one")], weights=[4, 2, 1])
        second = ("down", draw.choice(["two", "--all"]))
        left_behind(aws, home / "clusters" / "two", machines=draw.randint(1, 2))
        with begun(tmp_path, *first) as one, begun(tmp_path, *second) as other:
            killed += killed_at_any_moment(aws, [one, other], draw)
    until(lambda: not any(one.tags[TAG] == "lost" for one in aws.living()))
    for instance in aws.instances():
        assert instance.lived < float(instance.tags["muster:lease"]) + SLACK
    end = right(muster("sweep", "--on", "aws", "--region", NAME, "--pause", "0", "--all", "--yes"))
    assert "left 0" in end.out
    assert left(aws) == []


def left_behind(region: Region, folder: Path, *, machines: int) -> None:
    """Have a cluster as a killed up leaves it, and its machines; unless an earlier one is there."""
    if not folder.exists():
        folder.mkdir(parents=True)
        notes.write(folder / "cluster.json", {"on": "aws"}, durable=True)
        note = note_of.begun(Settings(), NAME, Wanted(machines, 2, LEASE))
        note_of.remember(folder, replace(note, begun=time.time(), is_unsure=True))
        data, lease = user_data("", lease=LEASE), f"{LEASE:g}"
        make(region, folder.name, owner=note.owner, machines=machines, data=data, id=note.id, lease=lease)


def killed_at_any_moment(aws: Region, commands: "list[subprocess.Popen[str]]", draw: Random) -> int:
    """Kill each command once so much was asked of AWS, and so many seconds later; count those that had not ended."""
    asked, began = len(aws.asked()), time.monotonic()
    due = {one: (draw.randrange(40), draw.uniform(0, 1), draw.uniform(5, 10)) for one in commands}
    reached: dict[object, float] = {}

    def all_have_ended() -> bool:
        requests, now = len(aws.asked(asked)), time.monotonic()
        for one, (most, later, longest) in due.items():
            if requests >= most:
                reached.setdefault(one, now)
            if now >= min(reached.get(one, began + longest) + later, began + longest):
                one.kill()
        return all(one.poll() is not None for one in commands)

    until(all_have_ended)
    return sum(one.returncode == -signal.SIGKILL for one in commands)


def test_what_is_not_permitted_or_not_there_is_named_and_nothing_is_left(aws: Region, muster: Muster) -> None:
    up = ("up", "--machines", "1", "--on", "aws")
    cases = [
        (("--instance-type", "m7i.enormous"), 2, "no such type of machine"),
        (("--region", "moon"), 2, "'moon' is no region"),
        (("--at-least", "2"), 2, "from 1 to 1"),
        (("--lease", "5s"), 2, "--lease 30s at the least"),
    ]
    for words, code, said in cases:
        end = muster(*up, *words)
        assert (end.code, said in end.err) == (code, True), end.err
    aws.permits_not("CreateSecurityGroup")
    end = muster(*up)
    assert (end.code, "do not allow ec2:CreateSecurityGroup" in end.err) == (3, True), end.err
    aws.knows_credentials_no_more()
    end = muster(*up)
    assert (end.code, "Log in again" in end.err) == (3, True), end.err
    aws.mend()
    assert left(aws) == []
    end = muster("up", "--machines", "1", "--spot")
    assert (end.code, "--spot is about machines of AWS" in end.err) == (2, True), end.err


def test_an_up_that_was_killed_is_finished_by_the_next_or_ended_by_a_down(
    aws: Region, muster: Muster, tmp_path: Path
) -> None:
    aws.boots(starts=3)
    with begun(tmp_path, "up", "--machines", "2", "--on", "aws") as half:
        until(lambda: len(aws.living()) == 2 or half.poll() is not None)
        half.send_signal(signal.SIGKILL)
    aws.boots()
    with begun(tmp_path, "down") as half:
        until(
            lambda: (
                (launched(aws) and any(one["Action"] == "TerminateInstances" for one in aws.asked()))
                or half.poll() is not None
            )
        )
        half.send_signal(signal.SIGKILL)
    right(muster("up", "--machines", "1", "--on", "aws"))
    assert (len(machines(muster)), len(aws.living())) == (1, 1)
    right(muster("down"))
    assert left(aws) == []


def test_machines_that_a_killed_up_has_made_end_with_their_lease_and_a_down_finds_the_rest(
    aws: Region, muster: Muster, tmp_path: Path
) -> None:
    with begun(tmp_path, "up", "--machines", "2", "--on", "aws", "--lease", "30s") as half:
        until(lambda: any(one.root for one in aws.living()) or half.poll() is not None)
        half.send_signal(signal.SIGKILL)
    until(lambda: launched(aws) and not aws.living())
    right(muster("down"))
    assert left(aws) == []


def test_aws_knows_that_leases_are_renewed_of_machines_that_are_still_being_equipped(
    aws: Region, tmp_path: Path, home: Path
) -> None:
    with begun(tmp_path, "up", "--machines", "1", "--on", "aws") as half:
        until(lambda: any((Path(one.root) / "run" / "muster-lease").exists() for one in aws.living() if one.root))
        half.send_signal(signal.SIGKILL)
    (one,) = aws.living()
    assert RENEWED not in one.tags
    assert AwsCloud(home / "clusters" / "default", None, asked=Asked()).renew().remark == ""
    (one,) = aws.living()
    assert datetime.fromisoformat(one.tags[RENEWED]).timestamp() > time.time() - SECONDS
    assert one.tags["muster:lease"] == "900"


def test_a_machine_that_ends_while_it_is_waited_for_is_told_and_nothing_is_left(
    aws: Region, muster: Muster, tmp_path: Path
) -> None:
    aws.boots(way="never")
    with begun(tmp_path, "up", "--machines", "1", "--on", "aws") as waiting:
        until(lambda: any(one.state == "running" for one in aws.living()) or waiting.poll() is not None)
        aws.lose(aws.living()[0])
        _, err = waiting.communicate(timeout=SECONDS)
    assert (waiting.returncode, "it has ended" in err or "Pulumi could not do it" in err) == (3, True), err
    assert left(aws) == []
    assert muster("status").out.startswith("There is no cluster")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("aws: {colour: red}", "'colour' means nothing there"),
        ("aws: {types: m7i.large}", "types must be a list"),
        ("aws: {types: []}", "types is empty"),
        ("aws: {types: [1]}", "types must be a list of texts"),
        ("aws: {spot: 1}", "spot must be true or false"),
        ("aws: {disk: 2}", "disk is 2. It must be from 8"),
        ("aws: {workers: true}", "workers must be a whole number"),
        ("aws: {workers: 0}", "workers is 0"),
        ("aws: {ssh_from: [10.0.0.1/8]}", "has host bits set"),
        ("aws: {ssh_from: [0.0.0.0/0]}", "the whole world"),
        ("aws: {ssh_from: [0.0.0.0/1, 128.0.0.0/1]}", "the whole world"),
        ("aws: {ssh_from: [2000::/3]}", "lets in 2000::/3"),
        ("aws: {ssh_from: [203.0.113.7/32, 10.0.0.0/8, 11.0.0.0/8]}", "lets in 10.0.0.0/7"),
        ("aws: {vpc: v, subnet: s}", "a subnet lies in one VPC"),
        ("aws: {python: '{{ x }}'}", "would mean something to Ansible"),
        ("aws: {}\nhosts: []", "and also hosts:"),
        ("aws: 3", "it must hold words and values"),
    ],
)
def test_a_word_of_the_file_that_is_wrong_is_named(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "aws.yml"
    file.write_text(text)
    with pytest.raises(UsageError, match=r"aws\.yml.*") as caught:
        settings_in(file)
    assert said in str(caught.value)


def test_flags_count_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / "aws.yml"
    file.write_text("aws: {region: eu-west-1, types: [a.large], spot: true, ssh_from: [203.0.113.7/32]}")
    said = settings_in(file)
    assert (said.region, said.types, said.is_spot, said.ssh_from) == (
        "eu-west-1",
        ("a.large",),
        True,
        ("203.0.113.7/32",),
    )
    assert said.but(Asked(region="us-east-1", types=("b.large",))).region == "us-east-1"
    file.write_text("aws:")
    assert settings_in(file) == Settings()
