"""What muster has made in a region is found by its tags alone, and removed; what AWS refuses is said in words."""

from typing import Any

import pytest

from aws.region import NAME, Region
from muster import UsageError
from muster._clouds.aws.asking import asking, client, region_of
from muster._clouds.aws.refusals import Refusal, Way
from muster._clouds.aws.remains import CLUSTER, OWNER, left, look, remove
from muster.errors import EngineError

pytestmark = pytest.mark.waits("together")
MINE = {OWNER: "me@here"}
UBUNTU = "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id"


@pytest.fixture
def ec2(region: Region) -> Any:  # noqa: ANN401 (its library makes it out of data)
    del region
    return client("ec2", NAME)


def tagged(kind: str, *, owner: str, cluster: str) -> list[dict[str, object]]:
    tags = [{"Key": OWNER, "Value": owner}, {"Key": CLUSTER, "Value": cluster}]
    return [{"ResourceType": kind, "Tags": tags}]


def make(region: Region, cluster: str, *, owner: str = "me@here") -> None:
    """Make all that a cluster has, as if whoever did so had been killed then, and its computer lost."""
    ec2, told = region.client("ec2"), {"owner": owner, "cluster": cluster}
    ec2.create_key_pair(KeyName=cluster, TagSpecifications=tagged("key-pair", **told))
    group = ec2.create_security_group(
        GroupName=cluster, Description="ours", TagSpecifications=tagged("security-group", **told)
    )["GroupId"]
    ec2.create_launch_template(
        LaunchTemplateName=cluster,
        LaunchTemplateData={"KeyName": cluster},
        TagSpecifications=tagged("launch-template", **told),
    )
    ec2.run_instances(
        MinCount=2,
        MaxCount=2,
        KeyName=cluster,
        InstanceType="m7i.large",
        SecurityGroupIds=[group],
        ImageId=region.client("ssm").get_parameter(Name=UBUNTU)["Parameter"]["Value"],
        TagSpecifications=[*tagged("instance", **told), *tagged("volume", **told)],
    )
    ec2.create_volume(Size=8, AvailabilityZone=f"{NAME}a", TagSpecifications=tagged("volume", **told))


def kinds(ec2: Any, wanted: dict[str, str]) -> dict[str, int]:  # noqa: ANN401 (likewise)
    found = [one.kind for one in look(ec2, wanted)]
    return {kind: found.count(kind) for kind in dict.fromkeys(found)}


def test_all_that_one_owner_has_is_found_and_removed_and_nothing_else(region: Region, ec2: Any) -> None:  # noqa: ANN401
    region.boots(way="never")
    make(region, "lost")
    make(region, "other", owner="you@there")
    region.client("ec2").create_key_pair(KeyName="nobodys")
    whole = {"instance": 2, "volume": 3, "launch template": 1, "security group": 1, "key pair": 1}
    assert kinds(ec2, MINE) == whole
    assert kinds(ec2, {CLUSTER: ""}) == {kind: 2 * number for kind, number in whole.items()}
    assert {one.cluster for one in look(ec2, MINE)} == {"lost"}
    assert remove(ec2, look(ec2, MINE)) == {}
    assert left(ec2, MINE, pause=0) == ()
    assert kinds(ec2, {OWNER: "you@there"}) == whole
    assert remove(ec2, look(ec2, {OWNER: "you@there"})) == {}
    assert len(region.client("ec2").describe_key_pairs()["KeyPairs"]) == 1


def test_what_may_not_be_removed_is_told_and_the_rest_goes(region: Region, ec2: Any) -> None:  # noqa: ANN401
    region.boots(way="never")
    make(region, "kept")
    region.permits_not("DeleteKeyPair")
    (told,) = remove(ec2, look(ec2, MINE)).values()
    assert "do not allow ec2:DeleteKeyPair" in told
    assert kinds(ec2, MINE) == {"key pair": 1}


def test_what_is_throttled_is_asked_again(region: Region, ec2: Any) -> None:  # noqa: ANN401
    region.throttles(2, "DescribeInstances")
    assert look(ec2, MINE) == ()
    asked = [one["Action"] for one in region.asked()]
    assert asked.count("DescribeInstances") == 3


def test_refusals_are_said_with_what_to_do(region: Region, ec2: Any, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ANN401
    region.permits_not("DescribeVolumes")
    with pytest.raises(EngineError, match=r"AWS refused DescribeVolumes.*do not allow ec2:DescribeVolumes"):
        look(ec2, MINE)
    region.knows_credentials_no_more()
    with pytest.raises(EngineError, match=r"RequestExpired.*Log in again"):
        look(ec2, MINE)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(EngineError, match=r"There are no credentials for AWS.*aws sso login"), asking():
        client("ec2", NAME).describe_instances()


def test_a_region_is_named_or_set_or_asked_for(region: Region, monkeypatch: pytest.MonkeyPatch) -> None:
    del region
    assert (region_of(), region_of("us-west-2")) == (NAME, "us-west-2")
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UsageError, match=r"No region of AWS is set. Type --region"):
        region_of()
    with pytest.raises(UsageError, match="is no region of AWS"):
        client("ec2", "not a region")


@pytest.mark.parametrize(
    ("code", "way"),
    [
        ("InsufficientInstanceCapacity", Way.ELSEWHERE),
        ("Unsupported", Way.ELSEWHERE),
        ("MaxSpotInstanceCountExceeded", Way.ON_DEMAND),
        ("VcpuLimitExceeded", Way.FEWER),
        ("RequestLimitExceeded", Way.LATER),
        ("UnauthorizedOperation", Way.NOTHING),
        ("ExpiredToken", Way.NOTHING),
        ("OptInRequired", Way.NOTHING),
    ],
)
def test_what_can_be_done_about_a_refusal_is_known(code: str, way: Way) -> None:
    refusal = Refusal(code, "No.", "RunInstances")
    assert refusal.way is way
    assert refusal.advice
