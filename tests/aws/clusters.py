"""A cluster of AWS as Pulumi's real engine makes it in a pretended region."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from aws.region import NAME, Region

UBUNTU = "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id"
TAG = "muster:cluster"


def require_pulumi() -> Path:
    """Find the command; skip a test where there is none, but CI has to have it."""
    found = shutil.which("pulumi")
    try:
        import pulumi_aws
    except ImportError:
        found = None
    else:
        del pulumi_aws
    if found is None:
        why = "no pulumi; type: PATH=$(.ci/build-pulumi):$PATH make test"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(why)
    return Path(found)


@dataclass(frozen=True)
class Cluster:
    """One cluster in one region: a folder, and what is wanted of it."""

    region: Region
    folder: Path
    pulumi: Path
    blueprint: Any
    state: Any = None

    def stack(self, seconds: float = 300) -> Any:  # noqa: ANN401 (its module is loaded only with Pulumi)
        """Make it anew, as each command does."""
        from muster._clouds.aws.command import PulumiCommand
        from muster._clouds.aws.stack import Stack

        command = PulumiCommand(self.pulumi, seconds=seconds)
        return Stack(self.folder, self.folder.name, command=command, state=self.state)

    def up(self, *machines: str, **words: object) -> Mapping[str, Any]:
        """Have machines of these names."""
        made: Mapping[str, Any] = self.stack().up(self.wanted(*machines, **words))
        return made

    def wanted(self, *machines: str, **words: object) -> Any:  # noqa: ANN401 (likewise)
        place = {name: words.pop(name) for name in [*words] if hasattr(self.blueprint.place, name)}
        return replace(self.blueprint, machines=machines, place=replace(self.blueprint.place, **place), **words)

    def left(self) -> list[str]:
        """List what bears its tag and lives, as a sweep would look for it."""
        ec2, mine = self.region.client("ec2"), [{"Name": f"tag:{TAG}", "Values": [self.folder.name]}]
        held = ec2.describe_instances(Filters=mine)["Reservations"]
        instances = [one for reservation in held for one in reservation["Instances"]]
        return [
            *(one["InstanceId"] for one in instances if one["State"]["Name"] != "terminated"),
            *(one["VolumeId"] for one in ec2.describe_volumes(Filters=mine)["Volumes"]),
            *(one["GroupId"] for one in ec2.describe_security_groups(Filters=mine)["SecurityGroups"]),
            *(one["KeyName"] for one in ec2.describe_key_pairs(Filters=mine)["KeyPairs"]),
            *(one["LaunchTemplateName"] for one in ec2.describe_launch_templates(Filters=mine)["LaunchTemplates"]),
        ]


def planned(region: Region, folder: Path, *, lease: float = 600.0) -> Cluster:
    """Plan a cluster that is called as its folder is; nothing is made."""
    pulumi = require_pulumi()
    from muster._clouds.aws.blueprint import Blueprint
    from muster._clouds.aws.keys import key_of
    from muster._clouds.aws.placement import Placement
    from muster._clouds.aws.user_data import user_data

    folder.mkdir(mode=0o700)
    subnet = region.client("ec2").describe_subnets()["Subnets"][0]
    blueprint = Blueprint(
        name=f"muster-{folder.name}-1a2b3c",
        tags={TAG: folder.name, "muster:owner": "somebody@here"},
        region=NAME,
        place=Placement(
            "m7i.large",
            subnet["AvailabilityZone"],
            subnet["SubnetId"],
            subnet["VpcId"],
            region.client("ssm").get_parameter(Name=UBUNTU)["Parameter"]["Value"],
            "/dev/sda1",
            cores=2,
        ),
        ssh_from=(f"{region.address_here()}/32",),
        public_key=key_of(folder / "key").public,
        user_data=user_data(key_of(folder / "host_key").private, lease=lease),
    )
    return Cluster(region, folder, pulumi, blueprint)
