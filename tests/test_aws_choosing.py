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


def test_a_type_that_no_image_is_there_for_is_named(region: Region) -> None:
    assert region.living() == []
    with pytest.raises(UsageError, match=r"mac2\.metal is of .*mac.*, for which there is no image"):
        places(NAME, Settings(types=("m7i.large", "mac2.metal")))
