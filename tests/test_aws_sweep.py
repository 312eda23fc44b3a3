"""``muster sweep``: without any file of muster's, all that a user has on AWS is found, and what nobody leases goes."""

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from aws.leftovers import ME, YOU, make, tagged
from aws.region import NAME, Region
from conftest import Muster, begun
from muster._clouds.aws.asking import client
from muster._clouds.aws.leases import BEGINNING_SECONDS, RENEWED
from muster._clouds.aws.remains import look
from muster._clouds.aws.sweeping import HeldByRegion, Sweep, regions_of
from muster._clouds.owner import me
from waiting import until

pytestmark = pytest.mark.waits("together")
NOW = ("sweep", "--on", "aws", "--region", NAME, "--pause", "0")
LATER = BEGINNING_SECONDS + 1000


def sweep(*, later: float = 0.0, wants_all: bool = False) -> Sweep:
    return Sweep(ME, [NAME], wants_all=wants_all, pause=0, clock=lambda: time.time() + later)


def clusters(seen: HeldByRegion) -> dict[str, int]:
    named = [one.remain.cluster for there in seen.things.values() for one in there]
    return {name: named.count(name) for name in dict.fromkeys(named)}


def left(owner: str = ME, *, with_images: bool = False) -> list[str]:
    return [one.kind for one in look(client("ec2", NAME), owner, with_images=with_images)]


def test_what_nobody_has_renewed_goes_and_what_has_a_living_lease_stays_whole(region: Region) -> None:
    region.boots(way="never")
    make(region, "lost", lease="600")
    make(region, "busy", lease="600")
    make(region, "theirs", owner=YOU, lease="600")
    ec2 = region.client("ec2")
    then = datetime.fromtimestamp(time.time() + LATER - 500, UTC).isoformat()
    (first, _) = (one for one in region.instances() if one.tags["muster:cluster"] == "busy")
    ec2.create_tags(Resources=[first.id], Tags=[{"Key": RENEWED, "Value": then}])
    swept = sweep(later=LATER)
    seen = swept.look()
    assert clusters(seen) == {"lost": 8, "busy": 8}
    left_behind = swept.remove(seen)
    assert (clusters(left_behind), swept.failed) == (
        {"busy": 6},
        {},
    )  # its other machine, and its disk, were not renewed
    assert all(one.is_leased for one in left_behind.things[NAME])
    assert len(left(YOU)) == 8


def test_what_another_owner_has_made_is_found_by_the_name_alone(region: Region, muster: Muster) -> None:
    region.boots(way="never")
    make(region, "theirs", owner=YOU)
    make(region, "mine")
    for nobody, code, said in (("*@*", 0, "of -@-: found 0"), ("", 2, "not USER@COMPUTER"), ("you", 2, "type for")):
        end = muster(*NOW, "--owner", nobody, "--all", "--yes")
        assert (end.code, said in end.out + end.err, len(left(YOU)), len(left())) == (code, True, 8, 8), end
    end = muster(*NOW, "--owner", YOU, "--all", "--yes")
    assert (end.code, "removed 8, left 0" in end.out) == (0, True), end.out
    assert (left(YOU), len(left())) == ([], 8)


def test_a_cluster_that_is_just_being_made_has_its_first_minutes(region: Region) -> None:
    ec2 = region.client("ec2")
    ec2.create_key_pair(KeyName="young", TagSpecifications=tagged("key-pair", owner=ME, cluster="young"))
    group = tagged("security-group", owner=ME, cluster="young")
    ec2.create_security_group(GroupName="young", Description="ours", TagSpecifications=group)
    swept = sweep()
    assert clusters(swept.remove(swept.look())) == {"young": 2}
    swept = sweep(later=LATER)
    assert clusters(swept.remove(swept.look())) == {}


def test_what_aws_lists_late_is_found_by_the_second_look(region: Region) -> None:
    ec2, looks = region.client("ec2"), 0

    def clock() -> float:
        nonlocal looks
        looks += 1
        if looks == 1:
            ec2.create_key_pair(KeyName="late", TagSpecifications=tagged("key-pair", owner=ME, cluster="late"))
        return time.time()

    swept = Sweep(ME, [NAME], wants_all=True, pause=0, clock=clock)
    first = swept.look()
    assert len(first) == 0
    assert len(swept.remove(first)) == 0
    assert (len(swept.removed), looks) == (1, 4)  # nothing; late; gone; gone indeed
    assert left() == []


def test_everything_of_mine_goes_with_all_and_what_it_was_is_told(region: Region, muster: Muster) -> None:
    region.boots(way="never")
    make(region, "busy", owner=me(), lease="3600")
    make(region, "theirs", owner=YOU, lease="3600")
    done = muster(*NOW)
    assert (done.code, len(left(me()))) == (0, 8)
    assert "found 8, removed 0, left 0; 8 with a living lease, which --all removes too" in done.out
    assert "$0.2222 an hour (AWS, now)" in done.out
    assert "1h00m" in done.out
    refused = muster(*NOW, "--all")
    assert (refused.code, len(left(me()))) == (2, 8)
    assert "There is no terminal to ask on. Type --yes" in refused.err
    done = muster(*NOW, "--all", "--yes", "--json")
    assert done.code == 0
    assert (len(done.json["found"]), done.json["left"], done.json["failed"]) == (8, 0, {})
    assert (left(me()), len(left(YOU))) == ([], 8)


def test_images_go_only_if_they_are_asked_for(region: Region, muster: Muster) -> None:
    region.boots(way="never")
    make(region, "baked", owner=me(), machines=1)
    (one,) = region.living()
    ec2, image = region.client("ec2"), tagged("image", owner=me(), cluster="baked")
    ec2.create_image(InstanceId=one.id, Name="baked", TagSpecifications=image)
    snapshot = tagged("snapshot", owner=me(), cluster="baked")
    ec2.create_snapshot(VolumeId=ec2.describe_volumes()["Volumes"][0]["VolumeId"], TagSpecifications=snapshot)
    assert muster(*NOW, "--all", "--yes").code == 0
    assert left(me(), with_images=True) == ["image", "snapshot"]
    assert muster(*NOW, "--all", "--yes", "--images").code == 0
    assert left(me(), with_images=True) == []


@pytest.mark.parametrize("moment", ["TerminateInstances", "DeleteSecurityGroup"])
def test_a_sweep_that_was_killed_is_finished_by_the_next(
    region: Region, muster: Muster, tmp_path: Path, moment: str
) -> None:
    region.boots(way="never")
    make(region, "lost", owner=me(), lease="0")
    process = begun(tmp_path, *NOW, "--all", "--yes")
    until(lambda: any(one["Action"] == moment for one in region.asked()))
    process.kill()
    process.communicate()
    done = muster(*NOW, "--all", "--yes")
    assert done.code == 0
    assert "left 0" in done.out
    assert left(me()) == []


def test_what_cannot_be_looked_at_or_removed_is_told_and_the_rest_goes(region: Region, muster: Muster) -> None:
    region.boots(way="never")
    make(region, "lost", owner=me(), machines=1)
    region.permits_not("DeleteKeyPair")
    done = muster(*NOW, "--all", "--yes")
    assert done.code == 3
    assert "removed 5, left 1" in done.out
    assert "1 thing could not be removed." in done.err
    assert "do not allow ec2:DeleteKeyPair" in done.err
    assert left(me()) == ["key pair"]
    region.permits_not("DescribeVolumes")
    done = muster(*NOW, "--region", "us-east-1")
    assert (done.code, done.out) == (3, "")  # nothing was seen, which is not 0
    assert "2 regions could not be looked at" in done.err
    assert f"{NAME}: AWS refused DescribeVolumes" in done.err


@pytest.mark.usefixtures("region")
def test_a_region_that_is_none_is_a_wrong_use(muster: Muster) -> None:
    done = muster("sweep", "--on", "aws", "--region", NAME, "--region", "moon", "--pause", "0")
    assert (done.code, "'moon' is no region of AWS" in done.err) == (2, True), done.err


def test_all_regions_are_looked_at_where_none_is_named(region: Region) -> None:
    far = region.client("ec2", "us-west-2")
    far.create_key_pair(KeyName="far", TagSpecifications=tagged("key-pair", owner=ME, cluster="far"))
    assert regions_of(()) == sorted({*regions_of(()), NAME, "us-west-2"})
    assert regions_of(["us-west-2", NAME, NAME]) == ["us-west-2", NAME]
    swept = Sweep(ME, ["us-west-2", NAME], wants_all=True, pause=0)
    assert len(swept.remove(swept.look())) == 0
    assert far.describe_key_pairs()["KeyPairs"] == []
