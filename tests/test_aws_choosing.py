"""Where machines are made: only where they can be reached, and of types that an image is there for."""

import pytest

from aws.region import NAME, Region
from muster._clouds.aws.choosing import places
from muster._clouds.aws.settings import Settings
from muster.errors import UsageError

pytestmark = pytest.mark.waits("together")


def subnet(region: Region, vpc: str, block: str, *, routes: str = "", gives_addresses: bool = True) -> str:
    """Make a subnet; with ``routes``, the id of a route table of its own."""
    ec2 = region.client("ec2")
    made = ec2.create_subnet(VpcId=vpc, CidrBlock=block, AvailabilityZone=f"{NAME}a")["Subnet"]["SubnetId"]
    ec2.modify_subnet_attribute(SubnetId=made, MapPublicIpOnLaunch={"Value": gives_addresses})
    if routes:
        ec2.associate_route_table(SubnetId=made, RouteTableId=routes)
    return str(made)


def vpc_with_a_gateway(region: Region) -> tuple[str, str]:
    """Make a network whose main table leads out; tell it, and a table that does not."""
    ec2 = region.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="198.18.0.0/16")["Vpc"]["VpcId"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    (main,) = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"]
    ec2.create_route(RouteTableId=main["RouteTableId"], DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    return vpc, ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]


def test_of_a_vpc_only_subnets_are_chosen_whose_machines_can_be_reached(region: Region) -> None:
    vpc, private = vpc_with_a_gateway(region)
    inside = subnet(region, vpc, "198.18.0.0/24", routes=private)
    with pytest.raises(UsageError, match=f"No machine in {inside} .* no route to an internet gateway"):
        places(NAME, Settings(vpc=vpc))
    unaddressed = subnet(region, vpc, "198.18.1.0/24", gives_addresses=False)
    with pytest.raises(UsageError, match=f"No machine in {unaddressed} .* no public address"):
        places(NAME, Settings(vpc=vpc))
    public = subnet(region, vpc, "198.18.2.0/24")
    types = ("m7i.large",)
    assert [one.subnet for one in places(NAME, Settings(vpc=vpc, types=types))] == [public]
    proxied = Settings(subnet=inside, types=types, ssh_proxy_command="ssh -W %h:%p way-in")
    assert [one.subnet for one in places(NAME, proxied)] == [inside]


def test_this_computer_is_in_the_network_of_machines_only_where_its_metadata_service_says_so(
    region: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert places(NAME, Settings())[0].is_near
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    assert not places(NAME, Settings())[0].is_near
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "false")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:9")  # as at home, with such addresses
    assert not places(NAME, Settings())[0].is_near
    ec2 = region.client("ec2")
    vpc = {"Name": "vpc-id", "Values": [ec2.describe_subnets()["Subnets"][0]["VpcId"]]}
    (table,) = ec2.describe_route_tables(Filters=[vpc])["RouteTables"]
    ec2.delete_route(RouteTableId=table["RouteTableId"], DestinationCidrBlock="0.0.0.0/0")
    with pytest.raises(UsageError, match=r"No machine in .* no route to an internet gateway"):
        places(NAME, Settings())
    assert region.living() == []


def test_a_type_that_no_image_is_there_for_is_named(region: Region) -> None:
    assert region.living() == []
    with pytest.raises(UsageError, match=r"mac2\.metal is of .*mac.*, for which there is no image"):
        places(NAME, Settings(types=("m7i.large", "mac2.metal")))


def test_a_zone_that_has_no_such_machines_is_told_with_those_that_have_them(region: Region) -> None:
    del region
    with pytest.raises(UsageError, match=rf"c3\.large cannot be had in {NAME}c\. .* can be in: {NAME}a, {NAME}b\."):
        places(NAME, Settings(types=("c3.large",), zone=f"{NAME}c"))
    with pytest.raises(UsageError, match=rf"no zone '{NAME}z' with a subnet\. There are: {NAME}a, {NAME}b, {NAME}c\."):
        places(NAME, Settings(zone=f"{NAME}z"))
    assert {one.type for one in places(NAME, Settings(types=("c3.large", "m7i.large"), zone=f"{NAME}c"))} == {
        "m7i.large"
    }


def test_a_subnet_a_vpc_or_an_image_that_is_not_there_is_named(region: Region) -> None:
    with pytest.raises(UsageError, match=r"no subnet 'subnet-1' in .* Write vpc: or subnet:"):
        places(NAME, Settings(subnet="subnet-1"))
    with pytest.raises(UsageError, match=r"'vpc-1' has no subnet in"):
        places(NAME, Settings(vpc="vpc-1"))
    with pytest.raises(UsageError, match=r"no image 'ami-1' in .* Mend image:"):
        places(NAME, Settings(image="ami-1"))
    ec2 = region.client("ec2")
    for one in ec2.describe_subnets()["Subnets"]:
        ec2.delete_subnet(SubnetId=one["SubnetId"])
    with pytest.raises(UsageError, match=r"no default VPC in .* Write vpc: or subnet:"):
        places(NAME, Settings())
