"""Which types of machine can be had where: looked up before anything is made, in order of preference."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from botocore.exceptions import ClientError

from muster.errors import UsageError

from . import images
from .asking import Client, asking, client
from .caller import address_in, address_outside
from .placement import Placement
from .settings import Settings

_UBUNTU: Final = "/aws/service/canonical/ubuntu/server/24.04/stable/current/{}/hvm/ebs-gp3/ami-id"
_MAIN: Final = "main"
"""Stands for all subnets that have no route table of their own."""

_ARCHITECTURES: Final = {"x86_64": "amd64", "arm64": "arm64"}


def places(region: str, settings: Settings, *, has_all: bool = True) -> list[Placement]:
    """List where machines can be made: spot before on demand, then by type, then by zone.

    With ``has_all`` they are made from an image in which all is installed, where muster has made one. Raises
    ``UsageError`` for what the user has named and is not there, ``EngineError`` where AWS cannot be asked.
    """
    ec2 = client("ec2", region)
    with asking():
        types = _types(ec2, settings.types, region)
        subnets = _subnets(ec2, settings, region)
        if not settings.ssh_proxy_command:
            subnets = _reachable(ec2, subnets)
        offered = _offered(ec2, types)
        ours = images.listed(ec2, state=images.AVAILABLE) if has_all else []
        chosen = {name: _image(ec2, region, settings, told, ours) for name, told in types.items()}
        near = bool(not settings.ssh_from and _address_in(ec2, subnets[0]["VpcId"]))
    found = [
        Placement(
            name, zone, subnet, vpc=told["VpcId"], cores=types[name]["VCpuInfo"]["DefaultVCpus"], is_near=near,
            is_spot=spot, **chosen[name],
        )
        for spot in ([True, False] if settings.is_spot else [False])
        for name in settings.types
        for told in subnets
        for zone, subnet in [(told["AvailabilityZone"], told["SubnetId"])]
        if zone in offered[name]
    ]  # fmt: skip
    if not found:
        zones = sorted({zone for one in offered.values() for zone in one})
        where = ", ".join(sorted({told["AvailabilityZone"] for told in subnets}))
        raise UsageError(
            f"{', '.join(settings.types)} cannot be had in {where}. In {region} it can be in:"
            f" {', '.join(zones) or 'no zone'}."
            " Type another with --instance-type, or write another zone:."
        )
    return found


def ssh_from(place: Placement, region: str, settings: Settings) -> tuple[str, ...]:
    """Tell from where SSH is let in: as the user says, or from this computer alone. Raises ``EngineError``."""
    if settings.ssh_from:
        return settings.ssh_from
    if place.is_near:
        with asking():
            own = _address_in(client("ec2", region), place.vpc)
    else:
        own = address_outside()
    return (f"{own}/{128 if ':' in own else 32}",)


def _types(ec2: Client, names: Sequence[str], region: str) -> dict[str, Mapping[str, Any]]:
    try:
        told = ec2.describe_instance_types(InstanceTypes=list(names))["InstanceTypes"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "InvalidInstanceType":
            raise
        said = error.response["Error"]["Message"]
        raise UsageError(
            f"{region} has no such type of machine: {said}. Type for example --instance-type m7i.large."
        ) from error
    return {one["InstanceType"]: one for one in told}


def _offered(ec2: Client, types: Mapping[str, object]) -> dict[str, set[str]]:
    """Tell in which zones each type is offered."""
    pages = ec2.get_paginator("describe_instance_type_offerings").paginate(
        LocationType="availability-zone", Filters=[{"Name": "instance-type", "Values": list(types)}]
    )
    found: dict[str, set[str]] = {name: set() for name in types}
    for page in pages:
        for told in page["InstanceTypeOfferings"]:
            found[told["InstanceType"]].add(told["Location"])
    return found


def _subnets(ec2: Client, settings: Settings, region: str) -> list[Mapping[str, Any]]:
    filters = {"default-for-az": "true"}
    if settings.subnet:
        filters = {"subnet-id": settings.subnet}
    elif settings.vpc:
        filters = {"vpc-id": settings.vpc}
    asked = [{"Name": name, "Values": [value]} for name, value in filters.items()]
    pages = ec2.get_paginator("describe_subnets").paginate(Filters=asked)
    found = [told for page in pages for told in page["Subnets"]]
    if not found:
        named = settings.subnet or settings.vpc
        what = f"{named!r} has no subnet" if settings.vpc else f"There is no subnet {named!r}"
        what = what if named else "There is no default VPC"
        raise UsageError(f"{what} in {region}. Write vpc: or subnet: below aws: in a file, and type --on FILE.yml.")
    inside = [told for told in found if settings.zone in {"", told["AvailabilityZone"]}]
    if not inside:
        zones = ", ".join(sorted({told["AvailabilityZone"] for told in found}))
        raise UsageError(f"There is no zone {settings.zone!r} with a subnet. There are: {zones}. Mend zone:.")
    return sorted(inside, key=lambda told: str(told["AvailabilityZone"]))


def _reachable(ec2: Client, subnets: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Choose those whose machines can be reached from here. Raises ``UsageError`` where none is."""
    vpc = subnets[0]["VpcId"]
    if _address_in(ec2, vpc):
        return subnets
    pages = ec2.get_paginator("describe_route_tables").paginate(Filters=[{"Name": "vpc-id", "Values": [vpc]}])
    leads_out: dict[str, bool] = {}
    for table in (table for page in pages for table in page["RouteTables"]):
        is_out = any(str(one.get("GatewayId", "")).startswith("igw-") for one in table["Routes"])
        leads_out |= {_MAIN if one.get("Main") else str(one.get("SubnetId")): is_out for one in table["Associations"]}
    with_route = [told for told in subnets if leads_out.get(told["SubnetId"], leads_out.get(_MAIN, False))]
    if found := [told for told in with_route if told["MapPublicIpOnLaunch"]]:
        return found
    where = ", ".join(str(told["SubnetId"]) for told in with_route or subnets)
    why = "it has no route to an internet gateway"
    if with_route:
        why = "it gives machines no public address (aws ec2 modify-subnet-attribute --map-public-ip-on-launch)"
    raise UsageError(
        f"No machine in {where} of {vpc} can be reached from here: {why}. Mend that, name another subnet:, or write"
        " ssh_proxy_command: for a way in."
    )


def _address_in(ec2: Client, vpc: str) -> str:
    return address_in(vpc, str(ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"][0]["CidrBlock"]))


def _image(
    ec2: Client, region: str, settings: Settings, told: Mapping[str, Any], ours: Sequence[images.Image]
) -> dict[str, Any]:
    """Find the image: one of muster's own that has all, or the one that the user names, or the newest Ubuntu LTS."""
    kinds: Sequence[str] = told["ProcessorInfo"]["SupportedArchitectures"]
    architecture = next((one for one in kinds if one in _ARCHITECTURES), "")
    if own := images.fitting(ours, settings, architecture):
        name = own.id
    else:
        name = settings.image or _ubuntu(region, told["InstanceType"], kinds, architecture)
    try:
        found = ec2.describe_images(ImageIds=[name])["Images"]
    except ClientError as error:
        if not error.response["Error"]["Code"].startswith("InvalidAMIID"):
            raise
        found = []
    if not found:
        raise UsageError(f"There is no image {name!r} in {region}. Mend image:, or leave it out.")
    return {
        "image": name,
        "root_device": str(found[0].get("RootDeviceName") or "/dev/sda1"),
        "architecture": architecture,
        "disk": images.disk_of(found[0]),
        "has_all": own is not None,
    }


def _ubuntu(region: str, instance_type: str, kinds: Sequence[str], architecture: str) -> str:
    if not architecture:
        raise UsageError(
            f"{instance_type} is of {', '.join(kinds)}, for which there is no image of Ubuntu. Type another"
            " --instance-type, such as m7i.large; or write image: below aws: in a file."
        )
    path = _UBUNTU.format(_ARCHITECTURES[architecture])
    return str(client("ssm", region).get_parameter(Name=path)["Parameter"]["Value"])
