"""``muster setup aws``: what is missing before machines can be made, and the policy that allows no more than that."""

import json
import os
from pathlib import Path

import pytest

from aws.allowed import MAKES, TAG, allows
from aws.region import NAME, Region
from conftest import Muster
from muster._clouds.aws import tools
from muster._clouds.aws.permissions import PERMISSIONS, ActionScope, policy
from muster._clouds.aws.refusals import permission_of
from muster.errors import EngineError

pytestmark = pytest.mark.waits("together")
EC2 = "arn:aws:ec2:eu-central-1:123456789012"
COMMAND = """#!/bin/sh
# Pulumi's command, as far as it fetches a plugin.
set -e
[ "$1 $2 $3 $4" = "plugin install resource aws" ]
[ -z "$OFFLINE" ] || { echo "error: no such host" >&2; exit 1; }
mkdir -p "$PULUMI_HOME/plugins/resource-aws-$5"
cp "$0" "$PULUMI_HOME/plugins/resource-aws-$5/pulumi-resource-aws"
"""


@pytest.fixture
def bin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is first in PATH, where neither the command nor the plugin is to be found."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "pulumi"))
    monkeypatch.delenv("PULUMI_DEBUG_PROVIDERS", raising=False)
    return folder


def put(folder: Path, name: str) -> None:
    (folder / name).write_text(COMMAND)
    (folder / name).chmod(0o755)


def test_all_that_is_missing_is_told_and_what_to_type(region: Region, muster: Muster, bin_folder: Path) -> None:
    del bin_folder
    region.permits_not("RunInstances")
    done = muster("setup", "aws", "--json")
    assert done.code == 3
    found = {one["what"]: one for one in json.loads(done.out)}
    missing = [name for name, one in found.items() if one["state"] == "missing"]
    assert missing == ["pulumi", "pulumi-resource-aws", "ec2:RunInstances"]
    assert found["credentials"]["said"].startswith("arn:aws:sts::123456789012:")
    assert "--spot would be refused" in found["quota, spot"]["said"]
    assert found["quota, on demand"]["said"] == "32 virtual processors at a time"
    assert found["ec2:CreateSecurityGroup"]["state"] == found["ec2:ImportKeyPair"]["state"] == "ready"
    assert "900 MB" in found["pulumi-resource-aws"]["said"]
    done = muster("setup", "aws")
    assert done.code == 3
    assert "Type: muster setup aws --fetch" in done.err
    assert "muster setup aws --policy prints what has to be allowed" in done.err


def test_nothing_is_made_by_looking(region: Region, muster: Muster, bin_folder: Path) -> None:
    put(bin_folder, "pulumi")
    put(bin_folder, "pulumi-resource-aws")
    muster("setup", "aws")
    changing = [one for one in region.asked() if one["service"] == "ec2" and not one["Action"].startswith("Describe")]
    assert {one["Action"] for one in changing} >= MAKES.keys() - {"CreateImage"}
    assert all(one["DryRun"] == "true" for one in changing)
    ec2 = region.client("ec2")
    assert (region.instances(), ec2.describe_key_pairs()["KeyPairs"]) == ([], [])
    assert {one["GroupName"] for one in ec2.describe_security_groups()["SecurityGroups"]} == {"default"}


def test_credentials_that_aws_does_not_take_end_the_search_with_what_to_do(
    region: Region, muster: Muster, bin_folder: Path
) -> None:
    del bin_folder
    region.knows_credentials_no_more()
    done = muster("setup", "aws")
    assert done.code == 3
    assert "Log in again" in done.out
    assert "RunInstances" not in done.out


def test_a_quota_that_cannot_be_read_is_unknown_and_no_reason_to_stop(
    region: Region, muster: Muster, bin_folder: Path
) -> None:
    put(bin_folder, "pulumi")
    put(bin_folder, "pulumi-resource-aws")
    region.refuse("GetServiceQuota", "AccessDeniedException", "Not you.")
    done = muster("setup", "aws", "--json")
    assert (done.code, done.err) == (0, "")
    assert {one["what"] for one in json.loads(done.out) if one["state"] == "unknown"} == {
        "quota, on demand",
        "quota, spot",
    }


def test_where_pulumis_state_shall_lie_is_looked_at_and_the_policy_allows_that_place_alone(
    region: Region, muster: Muster, bin_folder: Path
) -> None:
    put(bin_folder, "pulumi")
    put(bin_folder, "pulumi-resource-aws")
    done = muster("setup", "aws", "--state", "s3://states/of-us")
    assert (done.code, "There is no bucket 'states'" in done.out) == (3, True)
    region.client("s3").create_bucket(Bucket="states", CreateBucketConfiguration={"LocationConstraint": NAME})
    assert "s3://states/of-us is there" in muster("setup", "aws", "--state", "s3://states/of-us").out
    allowed = json.loads(muster("setup", "aws", "--policy", "--state", "s3://states/of-us").out)
    assert allows(allowed, "s3:ListBucket", "arn:aws:s3:::states")
    assert allows(allowed, "s3:PutObject", "arn:aws:s3:::states/of-us/a/.pulumi/meta.yaml")
    assert not allows(allowed, "s3:GetObject", "arn:aws:s3:::states/of-others/a")
    assert "s3:" not in json.dumps(policy())
    assert muster("setup", "aws", "--state", "states").code == 2


def test_a_permission_is_named_as_policies_do() -> None:
    names = {one.action for one in PERMISSIONS if not one.action.startswith("ec2:")}
    assert {permission_of(name.partition(":")[2]) for name in names} == names
    assert permission_of("HeadBucket") == "s3:ListBucket"


# Fetching


def test_what_is_missing_is_fetched_once_its_size_and_place_are_told(
    region: Region, muster: Muster, bin_folder: Path, tmp_path: Path
) -> None:
    put(bin_folder, "pulumi")
    done = muster("setup", "aws", "--fetch", "--yes", "--json")
    place = tmp_path / "pulumi" / "plugins" / f"resource-aws-v{tools.plugin().version}"
    assert f"up to 900 MB, into {str(place)!r}" in done.err
    found = {one["what"]: one["said"] for one in json.loads(done.out)}
    assert found["pulumi-resource-aws"] == str(place / "pulumi-resource-aws")
    assert tools.found_command() == bin_folder / "pulumi"
    assert region.living() == []


def test_what_cannot_be_fetched_is_told_with_what_to_do(
    region: Region, muster: Muster, bin_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del region
    nowhere = "http://127.0.0.1:9"
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, nowhere)
    done = muster("setup", "aws", "--fetch", "--yes")
    assert done.code == 3
    assert "pulumi " in done.err
    assert "could not be fetched to" in done.err
    assert "type again: muster setup aws --fetch" in done.err
    put(bin_folder, "pulumi")
    monkeypatch.setenv("OFFLINE", "yes")
    done = muster("setup", "aws", "--fetch", "--yes")
    assert done.code == 3
    assert "error: no such host" in done.err


def test_without_the_command_who_needs_it_hears_what_to_type(bin_folder: Path) -> None:
    put(bin_folder, "pulumi-resource-aws")
    with pytest.raises(EngineError, match=r"made by pulumi, not installed here. Type: muster setup aws --fetch"):
        tools.found_command()


def test_a_disk_without_room_is_told_before_anything_is_fetched(bin_folder: Path) -> None:
    del bin_folder
    much = [tools.Tool("pulumi", "1", None, Path("/x"), size=os.statvfs("/").f_frsize << 60)]
    with pytest.raises(EngineError, match=r"are free there. Make room, or set PULUMI_HOME"):
        tools.check_room(much)


# The policy


def test_the_policy_lets_make_and_change_only_what_bears_the_tag() -> None:
    allowed = policy()
    for action, kind in (("ec2:RunInstances", "instance"), ("ec2:ImportKeyPair", "key-pair")):
        arn = f"{EC2}:{kind}/x"
        assert not allows(allowed, action, arn)
        assert not allows(allowed, action, arn, request_tags=["Name"])
        assert allows(allowed, action, arn, request_tags=["Name", TAG])
    for one in PERMISSIONS:
        is_read = one.action.partition(":")[2].startswith(("Describe", "Get"))
        if not is_read and one.action not in {"ec2:RunInstances", "ec2:CreateSecurityGroup"}:
            assert one.limit is not ActionScope.NONE, one
    for action, kind in (("TerminateInstances", "instance"), ("DeleteVolume", "volume"), ("CreateTags", "instance")):
        assert not allows(allowed, f"ec2:{action}", f"{EC2}:{kind}/x", tags=["Name"])
        assert allows(allowed, f"ec2:{action}", f"{EC2}:{kind}/x", tags=[TAG])
    assert not allows(allowed, "ssm:GetParameter", "arn:aws:ssm:eu-central-1:123456789012:parameter/secret")


def test_the_policy_is_small_enough_for_iam_and_lends_a_role_only_where_that_is_asked_for(muster: Muster) -> None:
    role = "arn:aws:iam::123456789012:role/reads-a-bucket"
    done = muster("setup", "aws", "--policy", "--pass-role", role, "--region", "cn-north-1")
    told = json.loads(done.out)
    assert len("".join(done.out.split())) <= 6144  # of a managed policy; IAM does not count white space
    (lending,) = (one for one in told["Statement"] if one["Action"] == ["iam:PassRole"])
    assert lending["Resource"] == [role]
    assert "arn:aws-cn:ec2:*:*:instance/*" in done.out
    assert "iam:PassRole" not in json.dumps(policy())
    assert muster("setup", "aws", "--pass-role", role).code == 2
    assert muster("setup", "aws", "--policy", "--region", "nowhere").code == 2
