"""Whether machines can be made on AWS from here: what is missing, without making or changing anything."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from botocore.exceptions import ClientError

from muster import _words
from muster.errors import MusterError

from . import tools
from .asking import Client, asking, client, region_of
from .keys import drawn
from .refusals import Refusal, refusal_of
from .remains import CLUSTER
from .states import check_state

State = Literal["ready", "missing", "unknown"]
READY: Final = "ready"
MISSING: Final = "missing"
UNKNOWN: Final = "unknown"

POLICY: Final = "muster setup aws --policy"
_IMAGE: Final = "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id"
_TYPE: Final = "m7i.large"
_NAME: Final = "muster-rehearsal"
_LISTED: Final = (
    "instances",
    "instance_type_offerings",
    "key_pairs",
    "launch_templates",
    "security_groups",
    "spot_instance_requests",
    "subnets",
    "volumes",
)
_WOULD_DO: Final = "DryRunOperation"
_ON_DEMAND: Final = "quota, on demand"
_SPOT: Final = "quota, spot"
_STATE: Final = "state"
_QUOTAS: Final = {_ON_DEMAND: "L-1216C47A", _SPOT: "L-34B43A08"}
"""Of virtual processors that run at a time, in instances of the common types (A, C, D, H, I, M, R, T, Z)."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that machines on AWS need, how it stands, and what to do where it is missing."""

    what: str
    state: State
    said: str
    cure: str = ""


def findings(region: str, state: str = "") -> Iterator[Finding]:
    """Look at one thing after the other, and tell of each; where AWS cannot be asked at all, that is the last.

    ``state`` is the place in S3 where Pulumi's state shall lie, if any.
    """
    yield from map(_of_tool, (tools.command(), tools.plugin()))
    try:
        name = region_of(region)
    except MusterError as error:
        yield Finding("region", MISSING, str(error))
        return
    yield Finding("region", READY, name)
    try:
        identity = _identity(name)
    except MusterError as error:
        yield Finding("credentials", MISSING, str(error))
        return
    yield Finding("credentials", READY, identity)
    quotas = client("service-quotas", name)
    for what, code in _QUOTAS.items():
        yield _of_quota(what, quotas, code)
    yield from _of_permissions(name)
    if state:
        yield _of_state(state, name)


def _of_tool(tool: tools.Tool) -> Finding:
    if tool.path is not None:
        return Finding(tool.name, READY, str(tool.path))
    if tools.is_attached(tool):
        return Finding(tool.name, READY, "attached, as PULUMI_DEBUG_PROVIDERS says")
    said = f"{tool.version} is not here; it takes up to {_words.size(tool.size)} in {str(tool.place)!r}"
    return Finding(tool.name, MISSING, said, f"Type: {tools.FETCH}")


def _identity(region: str) -> str:
    """Tell whose the credentials are. Raises ``MusterError``."""
    with asking():
        return str(client("sts", region).get_caller_identity()["Arn"])


def _of_quota(what: str, quotas: Client, code: str) -> Finding:
    try:
        with asking():
            processors = float(quotas.get_service_quota(ServiceCode="ec2", QuotaCode=code)["Quota"]["Value"])
    except MusterError as error:
        return Finding(what, UNKNOWN, str(error))
    said = f"{processors:g} virtual processors at a time"
    if processors:
        return Finding(what, READY, said)
    cure = f"Ask for more at AWS' Service Quotas (EC2, {code})."
    if what == _SPOT:
        return Finding(what, UNKNOWN, f"{said}: machines can be had, but --spot would be refused. {cure}")
    return Finding(what, MISSING, said, cure)


def _of_state(url: str, region: str) -> Finding:
    try:
        check_state(url, region)
    except MusterError as error:
        return Finding(_STATE, MISSING, str(error))
    return Finding(_STATE, READY, f"{url} is there, and may be read")


# Permissions: AWS says of each request whether it would be allowed, and does nothing


def _of_permissions(region: str) -> Iterator[Finding]:
    ec2 = client("ec2", region)
    try:
        with asking():
            image = client("ssm", region).get_parameter(Name=_IMAGE)["Parameter"]["Value"]
    except MusterError as error:
        yield Finding("ssm:GetParameter", MISSING, str(error), f"{POLICY} prints what has to be allowed.")
        return
    yield Finding("ssm:GetParameter", READY, f"the newest Ubuntu is {image}")
    for action, words in _rehearsed(image).items():
        yield _rehearsal(action, getattr(ec2, action), words)


def _rehearsed(image: str) -> Mapping[str, Mapping[str, Any]]:
    """List what can be tried: removing cannot, as long as there is nothing of muster's to be removed."""
    data = {"ImageId": image, "InstanceType": _TYPE}
    return {
        **{f"describe_{kind}": {} for kind in _LISTED},
        "import_key_pair": {"KeyName": _NAME, "PublicKeyMaterial": drawn().encode(), **_tagged("key-pair")},
        "create_security_group": {"GroupName": _NAME, "Description": _NAME, **_tagged("security-group")},
        "create_launch_template": {
            "LaunchTemplateName": _NAME,
            "LaunchTemplateData": data,
            **_tagged("launch-template"),
        },
        "run_instances": {**data, "MinCount": 1, "MaxCount": 1, **_tagged("instance", "volume", "network-interface")},
    }


def _tagged(*kinds: str) -> dict[str, object]:
    tags = [{"Key": CLUSTER, "Value": _NAME}]
    return {"TagSpecifications": [{"ResourceType": kind, "Tags": tags} for kind in kinds]}


def _rehearsal(method: str, ask: Callable[..., object], words: Mapping[str, Any]) -> Finding:
    """Ask AWS whether it would do it. Raises ``EngineError`` where it cannot be asked."""
    action = f"ec2:{''.join(word.capitalize() for word in method.split('_'))}"
    with asking():
        try:
            ask(DryRun=True, **words)
        except ClientError as error:
            return _of_answer(action, refusal_of(error))
    return Finding(action, READY, "allowed")


def _of_answer(action: str, answer: Refusal) -> Finding:
    if answer.code == _WOULD_DO:
        return Finding(action, READY, "allowed")
    if answer.is_of_permission:
        return Finding(action, MISSING, answer.said, f"{POLICY} prints what has to be allowed.")
    return Finding(action, UNKNOWN, f"{answer.code}: {answer.said}", answer.advice)
