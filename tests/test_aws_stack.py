"""A cluster's resources, by Pulumi's real engine in a pretended region: made, changed, interrupted, and removed."""

import base64
import json
import os
import pickle
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from aws.clusters import Cluster, planned
from aws.region import NAME, Instance, Region
from muster._clouds.aws import tools
from muster._clouds.aws.buckets import Bucket, bucket_in
from muster._clouds.aws.keys import key_of
from muster._clouds.aws.states import StateFolder, check_state, state_in
from muster._clouds.over_ssh import ssh
from muster._clouds.over_ssh.inventory import Host
from muster.errors import EngineError, UsageError
from open_loops import open_loops
from waiting import until

pytestmark = pytest.mark.waits("long", "together")
BUCKET = "states"
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
    before = open_loops()
    yield made
    assert open_loops() <= before


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


def test_what_goes_wrong_here_is_told_also_where_it_has_no_words_and_what_was_made_stays(cluster: Cluster) -> None:
    made = cluster.up("1")
    with pytest.raises(EngineError) as caught:
        cluster.stack().up(replace(cluster.blueprint, machines=unanswered()))
    said = str(caught.value)
    assert re.search(r"It said: .*\bTimeoutError \(in test_aws_stack\.unanswered, line \d+\)\.$", said), said
    assert [one.id for one in instances(cluster)] == [made["1"].instance]
    cluster.stack().destroy()


def unanswered() -> Iterator[str]:
    """Fail as what waits for an answer does."""
    raise TimeoutError
    yield ""


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
    cluster.region.boots(held=True)
    text = UP.format(tests=str(Path(__file__).parent), cluster=pickle.dumps(cluster).hex())
    with subprocess.Popen([sys.executable, "-c", text], cwd=tmp_path) as process:
        until(lambda: len(instances(cluster)) == 2)
        (lock,) = cluster.folder.glob("pulumi/state/.pulumi/locks/**/*.json")
        engine = json.loads(lock.read_text())["pid"]
        process.kill()
        if also_the_engine:
            os.kill(engine, signal.SIGKILL)
    cluster.region.boots()
    until(lambda: not Path(f"/proc/{engine}").exists())
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
    locks = StateFolder(cluster.folder / "pulumi" / "state").locks("tested")
    assert [one.lives for one in locks] == [False] * 3
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


def objects(region: Region) -> dict[str, str]:
    """List what lies in the bucket, with its text."""
    s3 = region.client("s3")
    names = [one["Key"] for one in s3.list_objects_v2(Bucket=BUCKET).get("Contents", ())]
    return {name: s3.get_object(Bucket=BUCKET, Key=name)["Body"].read().decode(errors="replace") for name in names}


def made_bucket(region: Region, place: str = NAME) -> None:
    region.client("s3", place).create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": place})


def test_the_state_of_two_clusters_of_one_name_lies_in_a_bucket_sealed_locked_and_goes_with_them(
    cluster: Cluster, tmp_path: Path
) -> None:
    made_bucket(cluster.region, "eu-west-1")
    mine, theirs = (replace(cluster, state=state_in(f"s3://{BUCKET}/of/us", name, NAME)) for name in ("a", "b"))
    (tmp_path / "theirs").mkdir()
    theirs = replace(theirs, folder=tmp_path / "theirs" / "tested")
    shutil.copytree(cluster.folder, theirs.folder)
    assert mine.state.url() == f"s3://{BUCKET}/of/us/a?region=eu-west-1"
    (first,) = mine.up("1").values()
    assert theirs.stack().known().machines == ()  # nor does any file say so
    assert mine.stack().known().machines == ("1",)
    assert not list((cluster.folder / "pulumi").rglob("tested.json"))
    private = key_of(cluster.folder / "host_key").private
    told = objects(cluster.region)
    assert all(name.startswith("of/us/a/.pulumi/") for name in told)
    assert first.instance in "".join(told.values())
    assert not [name for name, text in told.items() if json.dumps(private) in text or private.splitlines()[2] in text]

    lock = {"Bucket": BUCKET, "Key": "of/us/a/.pulumi/locks/organization/muster/tested/1.json"}
    me = {"pid": os.getpid(), "username": "me", "hostname": socket.gethostname()}
    s3 = cluster.region.client("s3")
    s3.put_object(**lock, Body=json.dumps(me | {"timestamp": datetime.now(UTC).isoformat()}))
    with pytest.raises(EngineError, match=rf"Process {os.getpid()} on .* at work .* as 's3://{BUCKET}/of/us/a/.*says"):
        mine.stack(seconds=1).up(mine.wanted("1"))
    s3.put_object(**lock, Body=json.dumps(me | {"timestamp": "2001-01-01T00:00:00Z"}))
    assert mine.up("1") == {"1": first}
    assert lock["Key"] not in objects(cluster.region)

    passphrase = cluster.folder / "pulumi" / "passphrase"
    kept = passphrase.rename(passphrase.with_name("kept"))
    with pytest.raises(EngineError, match=r"passphrase' is gone.*Restore it"):
        mine.stack().destroy()
    kept.rename(passphrase)
    s3.put_object(Bucket=BUCKET, Key="of/us/abc", Body=b"another's")
    mine.stack().destroy()
    assert cluster.left() == []
    mine.state.remove()
    assert list(objects(cluster.region)) == ["of/us/abc"]


def test_a_bucket_that_is_missing_or_may_not_be_used_is_told_before_anything_is_made(cluster: Cluster) -> None:
    mine = replace(cluster, state=state_in(f"s3://{BUCKET}", "a", NAME))
    with pytest.raises(UsageError, match=rf"no bucket '{BUCKET}'.*aws s3 mb s3://{BUCKET} .*mend state:"):
        check_state(f"s3://{BUCKET}", NAME)
    with pytest.raises(EngineError, match="no bucket"):
        mine.up("1")
    mine.state.remove()  # nothing
    made_bucket(cluster.region)
    cluster.region.refuse("ListBucket", "AccessDenied", "Access Denied", status=403)
    with pytest.raises(EngineError, match=rf"shall lie in s3://{BUCKET}/.* do not allow s3:ListBucket"):
        check_state(f"s3://{BUCKET}", NAME)
    cluster.region.mend()
    cluster.region.refuse("PutObject", "AccessDenied", "Access Denied", status=403)
    with pytest.raises(EngineError, match="do not allow s3:PutObject"):
        mine.up("1")
    cluster.region.mend()
    cluster.region.refuse("ListBucket", "ExpiredToken", "The provided token has expired.")
    with pytest.raises(EngineError, match="Log in again"):
        mine.up("1")
    cluster.region.mend()
    assert (cluster.left(), mine.stack().known().machines) == ([], ())


@pytest.mark.parametrize(
    "url", ["bucket", "gs://bucket", "s3://", "s3://B", "s3://b", "s3://b-b/a/../c", "s3://b-b?x=1"]
)
def test_what_names_no_place_in_s3_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"names no place in S3\. Write s3://BUCKET"):
        bucket_in(url)


def test_a_place_in_s3_is_a_bucket_and_a_folder() -> None:
    assert bucket_in("s3://some.bucket-1/") == Bucket("some.bucket-1")
    assert bucket_in("s3://bucket/of/us") == bucket_in("s3://bucket/of/us/") == Bucket("bucket", "of/us/")


def test_two_clusters_are_made_side_by_side(cluster: Cluster, tmp_path: Path) -> None:
    other = planned(cluster.region, tmp_path / "other")
    mine, theirs = cluster.up("1"), other.up("1")
    cluster.stack().destroy()
    assert (cluster.left(), [one.id for one in instances(other)]) == ([], [theirs["1"].instance])
    assert mine != theirs
    other.stack().destroy()
    assert other.left() == []
