"""The program that Pulumi runs: which resources a cluster has, and how they hang together.

An instance stays as it is for as long as it lives: what changes in the template (a lease, a type) is for those to come.
"""

import base64
from typing import Final

import pulumi
from pulumi_aws import Provider, ec2

from .blueprint import Blueprint

MACHINES: Final = "machines"
"""The output that holds, by name, what was made of each machine."""

MACHINE: Final = "machine-"
"""What the names of machines begin with, among all resources."""

_BESIDES: Final = 5
"""Resources besides the machines: Pulumi's stack and provider; key, group and template."""

_RETRIES: Final = 3
"""The provider would ask for capacity that is not there for 50 minutes."""

_BY_THE_TEMPLATE: Final = ["launch_template", "user_data", "user_data_base64"]
_BY_RENEWALS: Final = ["tags", "tags_all"]
_SSH: Final = 22
_ANY: Final = "-1"
"""Protocol, in AWS' words."""

_VOLUME_TYPE: Final = "gp3"


def number_of(wanted: Blueprint) -> int:
    """Count the resources that there shall be."""
    return _BESIDES + len(wanted.machines)


def declare(wanted: Blueprint) -> None:
    """Tell Pulumi, which calls this, what shall be there."""
    aws = Provider(wanted.name, region=wanted.region, max_retries=_RETRIES)
    options = pulumi.ResourceOptions(provider=aws)
    tags = {**wanted.tags, "Name": wanted.name}
    key = ec2.KeyPair("key", key_name=wanted.name, public_key=wanted.public_key, tags=tags, opts=options)
    group = _group(wanted, tags, options)
    template = _template(wanted, tags, key=key, group=group, options=options)
    made = {
        name: ec2.Instance(
            f"{MACHINE}{name}",
            launch_template=ec2.InstanceLaunchTemplateArgs(id=template.id, version=template.latest_version.apply(str)),
            subnet_id=wanted.place.subnet,
            tags={**tags, "Name": f"{wanted.name}-{name}"},
            opts=pulumi.ResourceOptions(provider=aws, ignore_changes=[*_BY_THE_TEMPLATE, *_BY_RENEWALS]),
        )
        for name in wanted.machines
    }
    pulumi.export(
        MACHINES,
        {
            name: {
                "instance": one.id,
                "outside": one.public_ip,
                "inside": one.private_ip,
                "type": one.instance_type,
                "is_spot": one.instance_lifecycle.apply(lambda kind: kind == "spot"),
            }
            for name, one in made.items()
        },
    )


def _group(wanted: Blueprint, tags: dict[str, str], options: pulumi.ResourceOptions) -> ec2.SecurityGroup:
    """Let SSH in from where the caller is, and everything from inside; machines may reach whatever they like."""
    inside = ec2.SecurityGroupIngressArgs(
        protocol=_ANY, from_port=0, to_port=0, self=True, description="within the cluster"
    )
    from_caller = [
        ec2.SecurityGroupIngressArgs(
            protocol="tcp",
            from_port=_SSH,
            to_port=_SSH,
            cidr_blocks=[block] if ":" not in block else None,
            ipv6_cidr_blocks=[block] if ":" in block else None,
            description="SSH from who made it",
        )
        for block in wanted.ssh_from
    ]
    outwards = ec2.SecurityGroupEgressArgs(
        protocol=_ANY, from_port=0, to_port=0, cidr_blocks=["0.0.0.0/0"], ipv6_cidr_blocks=["::/0"]
    )
    return ec2.SecurityGroup(
        "group",
        name=wanted.name,
        description="muster: SSH from who made the cluster, everything within it",
        vpc_id=wanted.place.vpc,
        ingress=[inside, *from_caller],
        egress=[outwards],
        tags=tags,
        opts=options,
    )


def _template(
    wanted: Blueprint,
    tags: dict[str, str],
    *,
    key: ec2.KeyPair,
    group: ec2.SecurityGroup,
    options: pulumi.ResourceOptions,
) -> ec2.LaunchTemplate:
    place = wanted.place
    disk = ec2.LaunchTemplateBlockDeviceMappingEbsArgs(
        volume_size=wanted.disk, volume_type=_VOLUME_TYPE, encrypted="true", delete_on_termination="true"
    )
    once = ec2.LaunchTemplateInstanceMarketOptionsSpotOptionsArgs(spot_instance_type="one-time")
    spot = ec2.LaunchTemplateInstanceMarketOptionsArgs(market_type="spot", spot_options=once)
    tagged = ["instance", "volume", "network-interface", *(["spot-instances-request"] if place.is_spot else [])]
    return ec2.LaunchTemplate(
        "template",
        name=wanted.name,
        image_id=place.image,
        instance_type=place.type,
        key_name=key.key_name,
        # A host's private key is in it, and what Pulumi knows may lie in a bucket.
        user_data=pulumi.Output.secret(base64.b64encode(wanted.user_data.encode()).decode()),
        # Who gets a program on a machine to ask an address for it learns nothing: a token must be asked for first.
        metadata_options=ec2.LaunchTemplateMetadataOptionsArgs(
            http_tokens="required", http_endpoint="enabled", http_put_response_hop_limit=1
        ),
        block_device_mappings=[ec2.LaunchTemplateBlockDeviceMappingArgs(device_name=place.root_device, ebs=disk)],
        instance_initiated_shutdown_behavior="terminate" if place.says_terminate else None,
        instance_market_options=spot if place.is_spot else None,
        iam_instance_profile=(
            ec2.LaunchTemplateIamInstanceProfileArgs(name=wanted.profile) if wanted.profile else None
        ),
        vpc_security_group_ids=[group.id],
        tag_specifications=[
            ec2.LaunchTemplateTagSpecificationArgs(resource_type=kind, tags=dict(wanted.tags)) for kind in tagged
        ],
        tags=tags,
        opts=pulumi.ResourceOptions.merge(options, pulumi.ResourceOptions(additional_secret_outputs=["user_data"])),
    )
