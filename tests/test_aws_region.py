"""The pretended region itself: what it launches boots, does as its user data say, and ends; and what it refuses."""

import subprocess
from base64 import b64encode
from pathlib import Path
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from aws.region import NAME, Instance, Region
from hosts import program
from waiting import until

pytestmark = pytest.mark.waits("together")
ZONE = f"{NAME}a"


@pytest.fixture
def key(region: Region, tmp_path: Path) -> Path:
    """A key pair of AWS', called ``ours``: the private half here."""
    path = tmp_path / "key"
    subprocess.run([program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    region.client("ec2").import_key_pair(KeyName="ours", PublicKeyMaterial=path.with_suffix(".pub").read_bytes())
    return path


def image(region: Region) -> str:
    path = "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id"
    return str(region.client("ssm").get_parameter(Name=path)["Parameter"]["Value"])


def launch(region: Region, user_data: str = "", /, **words: object) -> None:
    told = {"MinCount": 1, "MaxCount": 1, "InstanceType": "m7i.large", "ImageId": image(region), "KeyName": "ours"}
    data = {"UserData": user_data} if user_data else {}
    region.client("ec2").run_instances(**(told | data | words))


def alone(region: Region) -> Instance:
    (one,) = region.instances()
    return one


def ssh(key: Path, one: Instance, command: str, *, at: str = "") -> "subprocess.CompletedProcess[str]":
    known = key.with_name("known")
    options = [f"UserKnownHostsFile={known}", "StrictHostKeyChecking=accept-new", "BatchMode=yes", "LogLevel=ERROR"]
    words = [program("ssh"), "-F", "none", "-i", str(key), *(part for option in options for part in ("-o", option))]
    return subprocess.run(
        [*words, f"root@{at or one.public}", command], capture_output=True, text=True, timeout=60, check=False
    )


def test_an_instance_boots_with_its_own_host_key_and_lets_in_who_has_the_key(region: Region, key: Path) -> None:
    host_key = key.with_name("host_key")
    subprocess.run([program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(host_key)], check=True)
    text = host_key.read_text().replace("\n", "\n    ")
    region.boots(held=True)
    launch(region, f"#cloud-config\ndisable_root: false\nssh_keys:\n  ed25519_private: |\n    {text}\n")
    assert alone(region).state == "pending"
    region.boots()
    until(lambda: ssh(key, alone(region), "true").returncode == 0)
    one = alone(region)
    assert (one.state, one.zone, one.is_spot) == ("running", ZONE, False)
    known = key.with_name("known").read_text()
    assert host_key.with_suffix(".pub").read_text().split()[1] in known
    assert ssh(key, one, "hostname", at=one.private).stdout == f"{one.id}\n"


def test_root_is_sent_away_unless_user_data_let_it_in(region: Region, key: Path) -> None:
    launch(region)
    until(lambda: "Please login" in ssh(key, alone(region), "hostname").stdout)


@pytest.mark.usefixtures("key")
def test_a_machine_that_powers_itself_off_takes_its_instance_along(region: Region) -> None:
    ec2 = region.client("ec2")
    data = b64encode(b"#!/bin/sh\npoweroff -ff\n").decode()
    template = {"UserData": data, "InstanceInitiatedShutdownBehavior": "terminate", "KeyName": "ours"}
    ec2.create_launch_template(LaunchTemplateName="ends", LaunchTemplateData=template)
    launch(region, LaunchTemplate={"LaunchTemplateName": "ends"})
    until(lambda: alone(region).state == "terminated")
    (held,) = ec2.describe_instances()["Reservations"]
    assert held["Instances"][0]["State"]["Name"] == "terminated"
    assert ec2.describe_volumes()["Volumes"] == []
    launch(region, "#!/bin/sh\npoweroff -ff\n")
    until(lambda: [one.state for one in region.instances()] == ["terminated", "stopped"])
    assert region.living() == []


@pytest.mark.usefixtures("key")
def test_a_host_cannot_write_to_this_machine(region: Region, tmp_path: Path) -> None:
    mine, name = tmp_path / "mine", f"muster-{uuid4().hex}"
    launch(
        region,
        f"#cloud-config\nbootcmd:\n- touch /etc/{name} /var/tmp/{name} {mine}\n- touch /run/well\n",
    )
    until(lambda: alone(region).root and (Path(alone(region).root) / "run" / "well").exists())
    assert not [path for path in (Path("/etc") / name, Path("/var/tmp") / name, mine) if path.exists()]  # noqa: S108 (a host's own)


@pytest.mark.usefixtures("key")
def test_metadata_is_told_to_who_has_a_token_and_a_notice_comes_up(region: Region) -> None:
    asks = """#!/bin/sh
url=http://169.254.169.254/latest
curl -s -o /dev/null -w '%{http_code} ' $url/meta-data/instance-id >> /run/told
token=$(curl -s -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' $url/api/token)
curl -s -H "X-aws-ec2-metadata-token: $token" $url/meta-data/instance-id >> /run/told
until curl -sf -H "X-aws-ec2-metadata-token: $token" $url/meta-data/spot/instance-action > /run/notice
do sleep 0.1; done; mv /run/notice /run/noticed
"""
    launch(region, asks, InstanceMarketOptions={"MarketType": "spot"})
    until(lambda: alone(region).root and (Path(alone(region).root) / "run" / "told").exists())
    one = alone(region)
    told, noticed = Path(one.root) / "run" / "told", Path(one.root) / "run" / "noticed"
    until(lambda: told.read_text() == f"401 {one.id}")
    assert one.is_spot
    assert not noticed.exists()
    region.gives_notice(one)
    until(noticed.exists)
    assert '"terminate"' in noticed.read_text()


@pytest.mark.usefixtures("key")
def test_terminating_an_instance_ends_its_machine(region: Region) -> None:
    launch(region, MinCount=2, MaxCount=2)
    until(lambda: all(one.root for one in region.instances()))
    first, second = region.instances()
    region.client("ec2").terminate_instances(InstanceIds=[first.id])
    assert not Path(first.root).exists()
    assert [one.id for one in region.living()] == [second.id]
    region.lose(second)
    assert region.living() == []


def test_a_silent_machine_runs_its_user_data_and_one_that_never_boots_has_none(region: Region, key: Path) -> None:
    region.boots(way="silent", which=[1])
    launch(region, "#!/bin/sh\ntouch /run/well\n")
    until(lambda: alone(region).root and (Path(alone(region).root) / "run" / "well").exists())
    assert ssh(key, alone(region), "true").returncode
    region.boots(way="never")
    launch(region)
    until(lambda: [one.state for one in region.living()] == ["running", "running"])
    assert [bool(one.root) for one in region.instances()] == [True, False]


def refused(region: Region, **words: object) -> str:
    with pytest.raises(ClientError) as caught:
        launch(region, **words)
    return str(caught.value.response["Error"]["Code"])


@pytest.mark.usefixtures("key")
def test_what_aws_refuses_is_refused_in_its_words(region: Region) -> None:
    region.has_no_capacity(ZONE, InstanceType="m7i.large")
    assert refused(region, Placement={"AvailabilityZone": ZONE}) == "InsufficientInstanceCapacity"
    launch(region, Placement={"AvailabilityZone": f"{NAME}b"})
    launch(region, Placement={"AvailabilityZone": ZONE}, InstanceType="m7i.xlarge")
    region.has_a_quota()
    assert refused(region) == "VcpuLimitExceeded"
    region.begin_anew()
    region.permits_not("DescribeVpcs")
    with pytest.raises(ClientError, match="UnauthorizedOperation"):
        region.client("ec2").describe_vpcs()
    region.throttles(2)
    for _ in range(2):
        with pytest.raises(ClientError, match="RequestLimitExceeded"):
            region.client("ec2").describe_images()
    assert region.client("ec2").describe_images()["Images"]
    region.knows_credentials_no_more()
    with pytest.raises(ClientError, match="RequestExpired"):
        region.client("ec2").describe_images()
    with pytest.raises(ClientError, match="ExpiredToken"):
        region.client("sts").get_caller_identity()
    with pytest.raises(ClientError, match="ExpiredToken"):
        image(region)


@pytest.mark.usefixtures("key")
def test_moto_looks_at_images_types_and_keys(region: Region) -> None:
    assert refused(region, ImageId="ami-00000000000000000") == "InvalidAMIID.NotFound"
    assert refused(region, InstanceType="m7i.enormous") == "InvalidInstanceType.NotFound"
    assert refused(region, KeyName="theirs") == "InvalidKeyPair.NotFound"
