"""What muster has made in a region is found by its tags alone, and removed; what AWS refuses is said in words."""

from typing import Any

import pytest

from aws.leftovers import ME, YOU, make
from aws.region import NAME, Region
from muster import UsageError
from muster._clouds.aws.asking import asking, client, region_of
from muster._clouds.aws.refusals import Refusal, Way, refusals_in
from muster._clouds.aws.remains import CLUSTER, OWNER, Remain, left, look, remove
from muster.errors import EngineError

pytestmark = pytest.mark.waits("together")


@pytest.fixture
def ec2(region: Region) -> Any:  # noqa: ANN401 (its library makes it out of data)
    del region
    return client("ec2", NAME)


def kinds(ec2: Any, owner: str, **besides: str) -> dict[str, int]:  # noqa: ANN401 (likewise)
    found = [one.kind for one in look(ec2, owner, besides={f"muster:{name}": value for name, value in besides.items()})]
    return {kind: found.count(kind) for kind in dict.fromkeys(found)}


WHOLE = {"instance": 2, "volume": 3, "launch template": 1, "security group": 1, "key pair": 1}


def test_all_that_one_owner_has_is_found_and_removed_and_nothing_else(region: Region, ec2: Any) -> None:  # noqa: ANN401
    region.boots(way="never")
    make(region, "lost")
    make(region, "other")
    make(region, "theirs", owner=YOU)
    region.client("ec2").create_key_pair(KeyName="nobodys")
    assert kinds(ec2, ME) == {kind: 2 * number for kind, number in WHOLE.items()}
    assert {one.cluster for one in look(ec2, ME)} == {"lost", "other"}
    assert kinds(ec2, ME, cluster="lost") == WHOLE
    assert remove(ec2, look(ec2, ME, besides={CLUSTER: "lost"})) == {}
    assert kinds(ec2, ME) == WHOLE
    assert remove(ec2, look(ec2, ME)) == {}
    assert left(ec2, ME, pause=0) == ()
    assert kinds(ec2, YOU) == WHOLE
    assert {one["KeyName"] for one in region.client("ec2").describe_key_pairs()["KeyPairs"]} == {"theirs", "nobodys"}


def test_what_everybody_has_is_never_listed_and_no_name_stands_for_others(region: Region, ec2: Any) -> None:  # noqa: ANN401
    region.boots(way="never")
    make(region, "theirs", owner=YOU)
    with pytest.raises(ValueError, match="everything in the region"):
        look(ec2, "")
    assert (look(ec2, "*"), look(ec2, "you?there")) == ((), ())
    assert look(ec2, ME, besides={OWNER: YOU}) == ()


def test_a_machine_that_is_lost_or_may_not_be_ended_keeps_no_other_from_its_end(region: Region, ec2: Any) -> None:  # noqa: ANN401
    region.boots(way="never")
    make(region, "kept")
    kept, _ = region.living()
    region.refuse("TerminateInstances", "UnauthorizedOperation", "Not this one.", where={"InstanceId.1": kept.id})
    lost = Remain("instance", "i-00000000000000000", {})
    failed = remove(ec2, [lost, *(one for one in look(ec2, ME) if one.kind in {"instance", "launch template"})])
    assert (list(failed), "Not this one." in failed[kept.id]) == ([kept.id], True)
    assert [one.id for one in region.living()] == [kept.id]
    assert "launch template" not in kinds(ec2, ME)


def test_where_nobody_may_see_machines_end_the_rest_goes_all_the_same(region: Region, ec2: Any) -> None:  # noqa: ANN401
    region.boots(way="never")
    make(region, "unseen")
    remains = look(ec2, ME)
    region.permits_not("DescribeInstances")
    failed = remove(ec2, remains)
    assert set(failed) == {one.id for one in remains if one.kind == "instance"}
    assert all("nobody can see whether it has" in why for why in failed.values())
    region.mend()
    assert look(ec2, ME) == ()


def test_what_may_not_be_removed_is_told_and_the_rest_goes(region: Region, ec2: Any) -> None:  # noqa: ANN401
    region.boots(way="never")
    make(region, "kept")
    region.permits_not("DeleteKeyPair")
    (told,) = remove(ec2, look(ec2, ME)).values()
    assert "do not allow ec2:DeleteKeyPair" in told
    assert kinds(ec2, ME) == {"key pair": 1}


def test_what_is_throttled_is_asked_again(region: Region, ec2: Any) -> None:  # noqa: ANN401
    region.throttles(2, "DescribeInstances")
    assert look(ec2, ME) == ()
    asked = [one["Action"] for one in region.asked()]
    assert asked.count("DescribeInstances") == 3


def test_refusals_are_said_with_what_to_do(region: Region, ec2: Any, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ANN401
    region.permits_not("DescribeVolumes")
    with pytest.raises(EngineError, match=r"AWS refused DescribeVolumes.*do not allow ec2:DescribeVolumes"):
        look(ec2, ME)
    region.knows_credentials_no_more()
    with pytest.raises(EngineError, match=r"RequestExpired.*Log in again"):
        look(ec2, ME)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(EngineError, match=r"There are no credentials for AWS.*aws sso login"), asking():
        client("ec2", NAME).describe_instances()


def test_a_region_is_named_or_set_or_asked_for(region: Region, monkeypatch: pytest.MonkeyPatch) -> None:
    del region
    assert (region_of(), region_of("us-west-2")) == (NAME, "us-west-2")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-3")
    assert region_of() == NAME
    monkeypatch.delenv("AWS_REGION")
    assert region_of() == "eu-west-3"
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(UsageError, match=r"No region of AWS is set. Type --region"):
        region_of()
    with pytest.raises(UsageError, match="is no region of AWS"):
        client("ec2", "not a region")


@pytest.mark.parametrize(
    ("code", "way", "advice"),
    [
        ("InsufficientInstanceCapacity", Way.ELSEWHERE, "another zone"),
        ("Unsupported", Way.ELSEWHERE, "another type"),
        ("MaxSpotInstanceCountExceeded", Way.ON_DEMAND, "Leave --spot out"),
        ("VcpuLimitExceeded", Way.FEWER, "Service Quotas"),
        ("RequestLimitExceeded", Way.LATER, "later"),
        ("UnauthorizedOperation", Way.NOTHING, "ec2:RunInstances"),
        ("ExpiredToken", Way.NOTHING, "aws sso login"),
        ("OptInRequired", Way.NOTHING, "console"),
        ("Server.InternalError", Way.LATER, "later"),
        ("Server.SpotInstanceTermination", Way.ELSEWHERE, "another zone"),
        ("Client.VolumeLimitExceeded", Way.FEWER, "Service Quotas"),
        ("Client.UserInitiatedShutdown", Way.FEWER, "ask for fewer"),
        ("Client.InternalError", Way.NOTHING, "KMS"),
    ],
)
def test_what_can_be_done_about_a_refusal_is_known(code: str, way: Way, advice: str) -> None:
    refusal = Refusal(code, "No.", "RunInstances")
    assert (refusal.way, advice in refusal.advice) == (way, True)


ENDED = "waiting for EC2 Instance (i-1) create: unexpected state '{}', wanted target 'running'. last error:"


@pytest.mark.parametrize(
    ("said", "code", "why"),
    [
        (
            f"error: {ENDED.format('terminated')} Server.InternalError: Internal error on launch: provider=aws@7.51.1",
            "Server.InternalError",
            "Internal error on launch",
        ),
        (f"error: 1 error occurred:\n\t* {ENDED.format('shutting-down')} %!s(<nil>)\n\n", "Ended", ""),
        ("error: reading EC2 Instance (i-1): couldn't find resource", "Ended", ""),
        ("error: waiting for EC2 Instance (i-1) create: couldn't find resource (21 retries)", "Ended", ""),
    ],
)
def test_a_machine_that_ended_while_it_was_made_is_seen_in_what_a_provider_says(said: str, code: str, why: str) -> None:
    told = f"i-1 has ended while it was made. {why}".strip()
    assert refusals_in(said) == (Refusal(code, told, "RunInstances"),)
