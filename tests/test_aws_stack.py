"""A cluster's resources, by Pulumi's real engine in a pretended region: made, changed, interrupted, and removed."""

import base64
import gc
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from aws.clusters import Cluster, planned
from aws.region import Instance, Region
from muster._clouds.aws import tools
from muster._clouds.aws.keys import key_of
from muster._clouds.aws.pulumi_locks import locks_in
from muster._clouds.over_ssh import ssh
from muster._clouds.over_ssh.inventory import Host
from muster.errors import EngineError
from waiting import until

pytestmark = [
    pytest.mark.waits("long", "together"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # Pulumi leaves its event loop open
]
UP = """
import sys
sys.path[:0] = [{tests!r}]
from pathlib import Path
from aws.clusters import Cluster
from aws.region import Region
import pickle
cluster = pickle.loads(bytes.fromhex({cluster!r}))
cluster.up("1", "2")
"""


@pytest.fixture
def cluster(region: Region, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    made = planned(region, tmp_path / "tested")
    monkeypatch.setenv("PULUMI_DEBUG_PROVIDERS", f"aws:{region.provider()}")
    yield made
    gc.collect()  # of the event loop: else the warning that is ignored here comes in another module's test


def instances(cluster: Cluster) -> list[Instance]:
    return cluster.region.living()


def test_only_the_difference_is_touched_and_nothing_is_left_in_the_end(cluster: Cluster) -> None:
    assert cluster.stack().preview(cluster.wanted("1")).made == 6  # stack, provider, key, group, template, machine
    (first,) = cluster.up("1").values()
    assert (first.outside, first.inside) == (instances(cluster)[0].public, instances(cluster)[0].private)
    assert not cluster.stack().preview(cluster.wanted("1"))
    three = cluster.up("1", "2", "3")
    assert (three["1"], len(instances(cluster))) == (first, 3)
    elsewhere = {"ssh_from": ("203.0.113.7/32", "2001:db8::/64"), "user_data": f"{cluster.blueprint.user_data}\n"}
    changes = cluster.stack().preview(cluster.wanted("1", "2", "3", **elsewhere))
    assert (changes.made, changes.changed, changes.replaced, changes.removed) == (0, 2, 0, 0)  # group and template
    two = cluster.up("1", "3", **elsewhere)
    assert two == {"1": first, "3": three["3"]}
    assert {one.id for one in instances(cluster)} == {first.instance, three["3"].instance}
    known = cluster.stack().known()
    assert (len(known.ids), known.machines) == (6, ("1", "3"))  # all but Pulumi's own stack, which has no id
    cluster.stack().destroy()
    assert cluster.left() == []
    gone = cluster.stack().known()
    assert (gone.ids, gone.machines) == (frozenset(), ())
    cluster.stack().destroy()  # nothing
    assert cluster.region.configured()["maxRetries"] == "3"


def test_everything_is_tagged_encrypted_and_closed_to_all_but_its_maker(cluster: Cluster) -> None:
    cluster.up("1", is_spot=True)
    ec2 = cluster.region.client("ec2")
    assert len(cluster.left()) == 5  # instance, volume, group, key, template
    (group,) = ec2.describe_security_groups(GroupNames=[cluster.blueprint.name])["SecurityGroups"]
    inside, caller = sorted(group["IpPermissions"], key=lambda rule: rule["IpProtocol"])
    assert ([one["GroupId"] for one in inside["UserIdGroupPairs"]], inside["IpRanges"]) == ([group["GroupId"]], [])
    assert (caller["FromPort"], caller["ToPort"], caller["Ipv6Ranges"]) == (22, 22, [])
    assert [one["CidrIp"] for one in caller["IpRanges"]] == [f"{cluster.region.address_here()}/32"]
    (version,) = ec2.describe_launch_template_versions(LaunchTemplateName=cluster.blueprint.name)[
        "LaunchTemplateVersions"
    ]
    told = version["LaunchTemplateData"]
    assert (told["MetadataOptions"]["HttpTokens"], told["InstanceInitiatedShutdownBehavior"]) == (
        "required",
        "terminate",
    )
    disk = told["BlockDeviceMappings"][0]["Ebs"]
    assert (disk["Encrypted"], disk["DeleteOnTermination"], disk["VolumeType"]) == (True, True, "gp3")
    assert told["InstanceMarketOptions"]["MarketType"] == "spot"
    tagged = {
        one["ResourceType"]: {tag["Key"]: tag["Value"] for tag in one["Tags"]} for one in told["TagSpecifications"]
    }
    assert set(tagged) >= {"instance", "volume", "network-interface", "spot-instances-request"}
    assert all(tags.items() >= cluster.blueprint.tags.items() for tags in tagged.values())
    data = base64.b64decode(told["UserData"])
    assert len(data) < 16 << 10
    first = json.loads(data.decode().removeprefix("#cloud-config\n"))
    assert next(iter(first)) == "bootcmd"
    (one,) = instances(cluster)
    assert one.is_spot
    cluster.stack().destroy()


def test_a_machine_is_reached_by_the_clusters_own_key_and_known_by_its_host_key(cluster: Cluster) -> None:
    made = cluster.up("1")["1"]
    public = key_of(cluster.folder / "host_key").public
    known = cluster.folder / "known_hosts"
    known.write_text(f"{made.outside} {public}\n")
    host = Host(
        "1", made.outside, user="root", key=str(cluster.folder / "key"), known_hosts=str(known), ssh_config="none"
    )
    until(lambda: subprocess.run(ssh.command(host, "true"), capture_output=True, check=False).returncode == 0)
    said = subprocess.run(ssh.command(host, "hostname"), capture_output=True, text=True, check=True).stdout
    assert said == f"{made.instance}\n"
    cluster.stack().destroy()


def test_a_machine_that_has_ended_is_made_anew(cluster: Cluster) -> None:
    made = cluster.up("1", "2")
    cluster.region.lose(next(one for one in instances(cluster) if one.id == made["2"].instance))
    again = cluster.up("1", "2")
    assert again["1"] == made["1"]
    assert again["2"].instance != made["2"].instance
    cluster.region.lose(instances(cluster)[0])
    cluster.stack().destroy()
    assert cluster.left() == []


def test_what_was_made_before_aws_refused_is_used_by_the_next_up_or_removed(cluster: Cluster) -> None:
    cluster.region.refuse("RunInstances", "VcpuLimitExceeded", "You have requested more.", where={"InstanceType": ""})
    with pytest.raises(EngineError, match="VcpuLimitExceeded: You have requested more"):
        cluster.up("1", "2")
    assert len(cluster.left()) == 3  # group, key, template
    cluster.region.mend()
    made = cluster.up("1", "2")
    with pytest.raises(EngineError, match="InvalidAMIID"):
        cluster.up("1", "2", "3", image="ami-00000000000000000")
    assert {one.id for one in instances(cluster)} == {one.instance for one in made.values()}
    cluster.stack().destroy()
    assert cluster.left() == []


def test_an_up_that_takes_too_long_is_ended_and_what_it_made_is_removed(cluster: Cluster) -> None:
    cluster.region.boots(starts=6)
    with pytest.raises(EngineError, match="took too long"):
        cluster.stack(seconds=4).up(cluster.wanted("1"))
    cluster.stack().destroy()
    assert cluster.left() == []


@pytest.mark.parametrize("also_the_engine", [False, True])
def test_an_up_that_was_killed_is_taken_up_by_the_next(
    cluster: Cluster, tmp_path: Path, *, also_the_engine: bool
) -> None:
    cluster.region.boots(starts=3)
    text = UP.format(tests=str(Path(__file__).parent), cluster=pickle.dumps(cluster).hex())
    with subprocess.Popen([sys.executable, "-c", text], cwd=tmp_path) as process:
        until(lambda: len(instances(cluster)) == 2)
        (lock,) = cluster.folder.glob("pulumi/state/.pulumi/locks/**/*.json")
        engine = json.loads(lock.read_text())["pid"]
        process.kill()
        if also_the_engine:
            os.kill(engine, signal.SIGKILL)
    until(lambda: not Path(f"/proc/{engine}").exists())
    cluster.region.boots()
    made = cluster.up("1", "2")
    assert {one.instance for one in made.values()} <= {one.id for one in instances(cluster)}
    lost = {one.id for one in instances(cluster)} - {one.instance for one in made.values()}
    assert lost <= set(cluster.left())  # whatever an interrupted request made is found by its tag
    cluster.stack().destroy()
    assert set(cluster.left()) == lost | {one for one in cluster.left() if one.startswith("vol-")}


def test_a_passphrase_that_was_lost_is_told_and_none_is_drawn_in_its_place(cluster: Cluster) -> None:
    cluster.up()
    passphrase = cluster.folder / "pulumi" / "passphrase"
    kept = passphrase.rename(passphrase.with_name("kept"))
    with pytest.raises(EngineError, match=r"passphrase' is gone.*Restore it"):
        cluster.stack().destroy()
    kept.rename(passphrase)
    cluster.stack().destroy()
    assert cluster.left() == []


def locked(cluster: Cluster, text: str, name: str = "1") -> Path:
    folder = cluster.folder / "pulumi" / "state" / ".pulumi" / "locks" / "organization" / "muster" / "tested"
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / f"{name}.json"
    lock.write_text(text)
    return lock


def test_who_is_at_work_on_a_cluster_is_told_and_a_lock_of_the_dead_is_taken_away(cluster: Cluster) -> None:
    cluster.up()
    mine = {"pid": os.getpid(), "username": "me", "hostname": socket.gethostname()}
    lock = locked(cluster, json.dumps(mine | {"timestamp": datetime.now(UTC).isoformat()}))
    with pytest.raises(EngineError, match=f"Process {os.getpid()} on .* is at work on this cluster"):
        cluster.stack(seconds=1).up(cluster.wanted())
    elsewhere = json.dumps(mine | {"hostname": "elsewhere.example"})
    lock.write_text(elsewhere)
    with pytest.raises(EngineError, match=r"on elsewhere.example is at work.*if that computer is gone, remove"):
        cluster.stack(seconds=1).up(cluster.wanted())
    before_this_process = json.dumps(mine | {"timestamp": "2001-01-01T00:00:00.123456789Z"})
    dead = [locked(cluster, text, str(at)) for at, text in enumerate((before_this_process, "", '{"pid": 1'), start=1)]
    assert not any(one.lives for one in locks_in(dead[0].parents[2], "tested"))
    cluster.up()
    assert not any(one.exists() for one in dead)
    cluster.stack().destroy()


def test_no_secret_lies_in_the_state_and_plugins_are_found_where_all_clusters_share_them(cluster: Cluster) -> None:
    cluster.up("1")
    private = key_of(cluster.folder / "host_key").private
    kept = [cluster.blueprint.user_data, base64.b64encode(cluster.blueprint.user_data.encode()).decode(), private]
    kept += [private.splitlines()[2], json.dumps(private)]
    files = [path for path in (cluster.folder / "pulumi").rglob("*") if path.is_file()]
    assert any("muster-tested" in path.read_text(errors="replace") for path in files)
    assert [path for path in files if any(text in path.read_text(errors="replace") for text in kept)] == []
    plugins = cluster.folder / "pulumi" / "home" / "plugins"
    assert plugins.readlink() == tools.home() / "plugins"
    cluster.stack().destroy()


def test_two_clusters_are_made_side_by_side(cluster: Cluster, tmp_path: Path) -> None:
    other = planned(cluster.region, tmp_path / "other")
    mine, theirs = cluster.up("1"), other.up("1")
    cluster.stack().destroy()
    assert (cluster.left(), [one.id for one in instances(other)]) == ([], [theirs["1"].instance])
    assert mine != theirs
    other.stack().destroy()
    assert other.left() == []
