"""What a killed muster leaves in a region: all that a cluster has, and nobody who knows of it."""

from aws.region import NAME, Region

ME, YOU = "me@here", "you@there"
UBUNTU = "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id"


def tagged(kind: str, *, owner: str, cluster: str, **besides: str) -> list[dict[str, object]]:
    named = {"owner": owner, "cluster": cluster, **besides}
    return [{"ResourceType": kind, "Tags": [{"Key": f"muster:{name}", "Value": named[name]} for name in named]}]


def make(region: Region, cluster: str, *, owner: str = ME, machines: int = 2, data: str = "", **besides: str) -> None:
    """Make all that a cluster has, as if whoever did so had been killed then, and its computer lost.

    Its machines have ``data`` as their user data.
    """
    ec2, told = region.client("ec2"), {"owner": owner, "cluster": cluster, **besides}
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
        MinCount=machines,
        MaxCount=machines,
        KeyName=cluster,
        InstanceType="m7i.large",
        SecurityGroupIds=[group],
        UserData=data,
        ImageId=region.client("ssm").get_parameter(Name=UBUNTU)["Parameter"]["Value"],
        TagSpecifications=[*tagged("instance", **told), *tagged("volume", **told)],
    )
    ec2.create_volume(Size=8, AvailabilityZone=f"{NAME}a", TagSpecifications=tagged("volume", **told))
