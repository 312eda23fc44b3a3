"""Whether muster's policy allows what muster asked of AWS, as IAM decides it: what it does not name, it refuses."""

import re
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from aws.faults import Request
from aws.region import USER

TAG = "muster:cluster"
MAKES = {
    "RunInstances": "instance",
    "CreateSecurityGroup": "security-group",
    "CreateLaunchTemplate": "launch-template",
    "ImportKeyPair": "key-pair",
    "CreateImage": "image",
}
"""What an action makes, which bears muster's tag from the start."""


def check(asked: Iterable[Request]) -> None:
    """Hold what muster asked, and what it started, against the policy; assert that what was made bore the tag."""
    from muster._clouds.aws.buckets import Bucket
    from muster._clouds.aws.permissions import policy

    statements = policy(state=Bucket("states"))["Statement"]
    mine = [one for one in asked if one["key"] == USER]
    refused = {action for one in mine if not names(statements, action := called(one))}
    assert not refused, f"muster's policy does not name {sorted(refused)}"
    untagged = {
        one["Action"] for one in mine if one["Action"] in MAKES and TAG not in tags_of(one, MAKES[one["Action"]])
    }
    assert not untagged, f"what {sorted(untagged)} made does not bear {TAG}, and muster's policy refuses that"


def called(request: Request) -> str:
    return f"{request['service']}:{request['Action']}"


def names(statements: Iterable[Mapping[str, Any]], action: str) -> bool:
    return any(action in one["Action"] for one in statements)


def tags_of(request: Request, kind: str) -> set[str]:
    """Name the tags with which something of a kind is to be made."""
    return {tag for found, tag in given_tags(request) if found == kind}


def given_tags(request: Request) -> Iterator[tuple[str, str]]:
    for name, value in request.items():
        if match := re.fullmatch(r"(TagSpecification\.\d+)\.Tag\.\d+\.Key", name):
            yield request[f"{match[1]}.ResourceType"], value


def allows(
    policy: Mapping[str, Any], action: str, arn: str, *, request_tags: Iterable[str] = (), tags: Iterable[str] = ()
) -> bool:
    """Decide as IAM does: whether an action on one thing is allowed, which bears ``tags``, or will bear others."""
    context = {f"aws:RequestTag/{tag}" for tag in request_tags} | {f"aws:ResourceTag/{tag}" for tag in tags}
    return any(
        action in one["Action"]
        and any(fnmatchcase(arn, pattern) for pattern in one["Resource"])
        and one.get("Condition", {}).get("StringLike", {}).keys() <= context
        and "StringEquals" not in one.get("Condition", {})
        for one in policy["Statement"]
    )
