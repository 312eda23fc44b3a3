"""What muster asks of AWS: the one list of actions, and the policy of IAM that is made of it.

An action that makes something is allowed only where that bears muster's tag from the start, and one that changes or
removes something only where that bears it: so these permissions cannot harm what muster has not made.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

import botocore.exceptions

from muster.errors import UsageError

from .asking import session
from .buckets import Bucket
from .remains import CLUSTER

_VERSION: Final = "2012-10-17"
"""Of the language in which policies are written: the newest there is."""
_PARTITION: Final = "aws"


class ActionScope(Enum):
    """Of which things an action is allowed."""

    NONE = "Use"
    BORN_OURS = "Make"
    """What is made, and bears muster's tag from then on."""
    OURS = "Change"
    """What bears muster's tag already."""


@dataclass(frozen=True, slots=True)
class Permission:
    """An action of a service, and on which kinds of things; ``arns`` are theirs, without ``arn:aws:``, or ``*``."""

    action: str
    limit: ActionScope = ActionScope.NONE
    arns: tuple[str, ...] = ("*",)


def _ec2(*kinds: str) -> tuple[str, ...]:
    return tuple(f"ec2:*:*:{kind}/*" for kind in kinds)


# AWS can limit none of these to what is ours: they tell, and change nothing.
_LOOKING: Final = (
    "ec2:DescribeAvailabilityZones",
    "ec2:DescribeImages",
    "ec2:DescribeInstanceTypeOfferings",
    "ec2:DescribeInstanceTypes",
    "ec2:DescribeInstances",
    "ec2:DescribeKeyPairs",
    "ec2:DescribeLaunchTemplateVersions",
    "ec2:DescribeLaunchTemplates",
    "ec2:DescribeRegions",
    "ec2:DescribeRouteTables",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSnapshots",
    "ec2:DescribeSpotInstanceRequests",
    "ec2:DescribeSpotPriceHistory",
    "ec2:DescribeSubnets",
    "ec2:DescribeVolumes",
    "ec2:DescribeVpcs",
    # Pulumi's provider compares what there is by them
    "ec2:DescribeInstanceAttribute",
    "ec2:DescribeInstanceCreditSpecifications",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSecurityGroupRules",
    "ec2:DescribeTags",
    # who one is, how much one may have, what it costs
    "pricing:GetProducts",
    "servicequotas:GetServiceQuota",
    "sts:GetCallerIdentity",
)
_OURS: Final = {
    "ec2:GetConsoleOutput": ("instance",),
    "ec2:TerminateInstances": ("instance",),
    "ec2:CancelSpotInstanceRequests": ("spot-instances-request",),
    "ec2:DeleteVolume": ("volume",),
    "ec2:CreateLaunchTemplateVersion": ("launch-template",),
    "ec2:ModifyLaunchTemplate": ("launch-template",),
    "ec2:DeleteLaunchTemplate": ("launch-template",),
    "ec2:AuthorizeSecurityGroupIngress": ("security-group",),
    "ec2:AuthorizeSecurityGroupEgress": ("security-group",),
    "ec2:RevokeSecurityGroupIngress": ("security-group",),
    "ec2:RevokeSecurityGroupEgress": ("security-group",),
    "ec2:DeleteSecurityGroup": ("security-group",),
    "ec2:DeleteKeyPair": ("key-pair",),
    "ec2:DeleteTags": ("instance", "volume", "launch-template", "security-group", "key-pair"),
}
_ARNS_WITHOUT_ACCOUNT: Final = ("ec2:*::image/*", "ec2:*::snapshot/*")
PERMISSIONS: Final = (
    *(Permission(action) for action in _LOOKING),
    # AWS names the newest image of Ubuntu in parameters that are its own; the user's may be secrets
    Permission("ssm:GetParameter", arns=("ssm:*::parameter/aws/service/*",)),
    # a machine is started with what is there already, and AWS asks for the permission of each
    Permission("ec2:RunInstances", arns=_ec2("key-pair", "launch-template", "security-group", "subnet")),
    Permission("ec2:RunInstances", arns=_ARNS_WITHOUT_ACCOUNT),
    Permission(
        "ec2:RunInstances",
        ActionScope.BORN_OURS,
        _ec2("instance", "network-interface", "spot-instances-request", "volume"),
    ),
    Permission("ec2:CreateLaunchTemplate", ActionScope.BORN_OURS, _ec2("launch-template")),
    Permission("ec2:CreateSecurityGroup", arns=_ec2("vpc")),
    Permission("ec2:CreateSecurityGroup", ActionScope.BORN_OURS, _ec2("security-group")),
    Permission("ec2:ImportKeyPair", ActionScope.BORN_OURS, _ec2("key-pair")),
    Permission("ec2:CreateImage", ActionScope.OURS, _ec2("instance")),
    Permission("ec2:CreateImage", ActionScope.BORN_OURS, _ARNS_WITHOUT_ACCOUNT),
    *(Permission(action, ActionScope.OURS, _ec2(*kinds)) for action, kinds in _OURS.items()),
    Permission("ec2:DeregisterImage", ActionScope.OURS, ("ec2:*::image/*",)),
    Permission("ec2:DeleteSnapshot", ActionScope.OURS, ("ec2:*::snapshot/*",)),
    Permission("ec2:CreateTags", ActionScope.OURS, ("*",)),
)
_CONDITIONS: Final = {
    ActionScope.NONE: {},
    ActionScope.BORN_OURS: {"StringLike": {f"aws:RequestTag/{CLUSTER}": "*"}},
    ActionScope.OURS: {"StringLike": {f"aws:ResourceTag/{CLUSTER}": "*"}},
}
_MAKING: Final = sorted(one.action for one in PERMISSIONS if one.limit is ActionScope.BORN_OURS)


def policy(*, partition: str = _PARTITION, role: str = "", state: Bucket | None = None) -> dict[str, Any]:
    """Write the smallest policy with which all of muster works, in IAM's words.

    ``partition`` is which AWS it is for; ``role`` the ARN of the role that machines may have by an instance profile;
    ``state`` where Pulumi's state shall lie.
    """
    grouped: dict[tuple[ActionScope, tuple[str, ...]], list[str]] = {}
    for one in PERMISSIONS:
        grouped.setdefault((one.limit, one.arns), []).append(one.action)
    return {
        "Version": _VERSION,
        "Statement": [
            *(
                _statement(actions, _whole(arns, partition), _CONDITIONS[limit])
                for (limit, arns), actions in grouped.items()
            ),
            *_further(partition),
            *([_lending(role)] if role else []),
            *(_keeping(state, partition) if state else []),
        ],
    }


def partition_of(region: str) -> str:
    """Tell in which AWS a region is: China and governments have one of their own. Raises ``UsageError``."""
    try:
        return str(session().get_partition_for_region(region)) if region else _PARTITION
    except botocore.exceptions.UnknownRegionError as error:
        raise UsageError(f"{region!r} is no region of AWS. Type one such as --region eu-central-1.") from error


def _further(partition: str) -> list[dict[str, Any]]:
    """Write what has a condition of its own: tags of what is being made, and the account's first spot instance."""
    made = [action.removeprefix("ec2:") for action in _MAKING]
    spot = f"arn:{partition}:iam::*:role/aws-service-role/spot.amazonaws.com/AWSServiceRoleForEC2Spot"
    return [
        _statement(["ec2:CreateTags"], [f"arn:{partition}:ec2:*:*:*/*"], {"StringEquals": {"ec2:CreateAction": made}}),
        _statement(
            ["iam:CreateServiceLinkedRole"], [spot], {"StringEquals": {"iam:AWSServiceName": "spot.amazonaws.com"}}
        ),
    ]


def _lending(role: str) -> dict[str, Any]:
    return _statement(["iam:PassRole"], [role], {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}})


def _keeping(state: Bucket, partition: str) -> list[dict[str, Any]]:
    """Write what Pulumi needs of a bucket: to list it, and to read, write and remove its own objects."""
    bucket = f"arn:{partition}:s3:::{state.name}"
    objects = [f"s3:{verb}Object" for verb in ("Delete", "Get", "Put")]
    return [_statement(["s3:ListBucket"], [bucket], {}), _statement(objects, [f"{bucket}/{state.prefix}*"], {})]


def _whole(arns: Iterable[str], partition: str) -> list[str]:
    return [arn if arn == "*" else f"arn:{partition}:{arn}" for arn in arns]


def _statement(actions: Sequence[str], resources: Sequence[str], condition: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "Effect": "Allow",
        "Action": list(actions),
        "Resource": list(resources),
        **({"Condition": dict(condition)} if condition else {}),
    }
