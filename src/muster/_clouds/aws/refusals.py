"""What it means when AWS refuses: whether another type or zone may do, whether to wait, or what the user has to do."""

import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from muster.errors import EngineError

if TYPE_CHECKING:
    from botocore.exceptions import ClientError


class Way(Enum):
    """What can be done about a refusal."""

    ELSEWHERE = "another type or zone"
    ON_DEMAND = "not spot"
    FEWER = "fewer machines"
    LATER = "the same, later"
    NOTHING = "nothing but what the user does"


_ENDED: Final = "Ended"
"""The code where a machine has ended while it was made, and AWS does not say why."""

_WAYS: Final = {
    **dict.fromkeys(
        (
            "InsufficientInstanceCapacity",
            "InsufficientHostCapacity",
            "InsufficientFreeAddressesInSubnet",
            "SpotMaxPriceTooLow",
            "UnfulfillableCapacity",
            "Unsupported",
        ),
        Way.ELSEWHERE,
    ),
    "MaxSpotInstanceCountExceeded": Way.ON_DEMAND,
    "InstanceLimitExceeded": Way.FEWER,
    "VcpuLimitExceeded": Way.FEWER,
    **dict.fromkeys(
        (
            "BandwidthLimitExceeded",
            "EC2ThrottledException",
            "InternalError",
            "RequestLimitExceeded",
            "RequestThrottled",
            "RequestThrottledException",
            "ServiceUnavailable",
            "SlowDown",
            "ThrottledException",
            "Throttling",
            "ThrottlingException",
            "TooManyRequestsException",
            "Unavailable",
        ),
        Way.LATER,
    ),
    # Why a machine has ended while it was made; before the dot stands who is the cause.
    **dict.fromkeys((_ENDED, "Server.InternalError"), Way.LATER),
    **dict.fromkeys(
        ("Server.InsufficientInstanceCapacity", "Server.SpotInstanceShutdown", "Server.SpotInstanceTermination"),
        Way.ELSEWHERE,
    ),
    **dict.fromkeys(
        ("Client.InstanceInitiatedShutdown", "Client.UserInitiatedShutdown", "Client.VolumeLimitExceeded"), Way.FEWER
    ),
}
_ADVICE: Final = {
    Way.ELSEWHERE: "Ask for another type of machine, or another zone, or try again later.",
    Way.ON_DEMAND: "The account may have no more spot instances. Leave --spot out, or ask for fewer machines.",
    Way.FEWER: "A quota of the account is reached. Ask for fewer machines, or for more at AWS' Service Quotas (EC2).",
    Way.LATER: "Try again later.",
    Way.NOTHING: "Mend that, and type the command again.",
}
_ADVICE_OF_CODES: Final = {
    **dict.fromkeys(
        (
            "ExpiredToken",
            "ExpiredTokenException",
            "InvalidAccessKeyId",
            "InvalidToken",
            "RequestExpired",
            "SignatureDoesNotMatch",
        ),
        "AWS does not take your credentials (any more). Log in again, such as with: aws sso login",
    ),
    **dict.fromkeys(
        ("AuthFailure", "InvalidClientTokenId", "UnrecognizedClientException"),
        "AWS does not take your credentials. Log in again, such as with: aws sso login; or is the region one that the"
        " account has not enabled? AWS' console shows that under Account, AWS Regions.",
    ),
    **dict.fromkeys(
        ("Blocked", "OptInRequired", "PendingVerification"),
        "AWS has not opened the account for this yet. Its console says what is missing.",
    ),
    "Client.InternalError": (
        "A machine ended as it was launched: most often, who launches it may not use the KMS key of its disk. Mend"
        " that, and type the command again."
    ),
    **dict.fromkeys(
        ("Client.InstanceInitiatedShutdown", "Client.UserInitiatedShutdown"),
        "A machine was ended while it was made, by somebody or by itself. Type the command again, or ask for fewer"
        " machines.",
    ),
}
_BY_A_PROVIDER: Final = re.compile(
    r"(?:operation error \w+: (\w+), [^\n]*?)?api error ([\w.]+): ([^\n]*?)(?: provider=|\n|$)"
)
_ENDED_EARLY: Final = re.compile(
    r"(?:waiting for|reading) EC2 Instance \(([\w-]+)\)(?: create)?: "
    r"(?:couldn't find resource(?: \([^\n)]*\))?|unexpected state '[\w-]+', wanted target 'running'\."
    r" last error: (?:(\w+\.\w+): |%!s\(<nil>\))?([^\n]*?))(?::? provider=|:? *\n|:? *$)"
)
"""What a provider says of a machine that has ended before it ran."""

_EC2: Final = "ec2"
_SERVICES: Final = {
    "GetCallerIdentity": "sts",
    "GetParameter": "ssm",
    "GetProducts": "pricing",
    "GetServiceQuota": "servicequotas",
    **dict.fromkeys(("DeleteObject", "GetObject", "PutObject"), "s3"),
}
"""By the name of an action: whose it is, where it is not EC2's."""

_PERMITTED_BY: Final = {
    "CopyObject": "s3:PutObject",
    "HeadBucket": "s3:ListBucket",
    "HeadObject": "s3:GetObject",
    "ListObjectsV2": "s3:ListBucket",
}
"""By the name of an action: the permission for it, where that has another name."""

_PERMISSION: Final = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}


@dataclass(frozen=True, slots=True)
class Refusal:
    """One that AWS has given: its code, what it says of it, and what was asked for where that is known."""

    code: str
    said: str
    action: str = ""

    @property
    def way(self) -> Way:
        """Tell what can be done about it."""
        return _WAYS.get(self.code, Way.NOTHING)

    @property
    def is_of_permission(self) -> bool:
        """Tell whether it is because the credentials do not allow it."""
        return self.code in _PERMISSION

    @property
    def advice(self) -> str:
        """Tell the user what to do, where muster can do nothing itself."""
        if self.is_of_permission:
            what = permission_of(self.action) if self.action else "that"
            return f"Your credentials do not allow {what}. Ask who administers the account to allow it."
        return _ADVICE_OF_CODES.get(self.code) or _ADVICE[self.way]

    def error(self) -> EngineError:
        """Make an error of it."""
        return EngineError(
            f"AWS refused{f' {self.action}' if self.action else ''} ({self.code}): {self.said} {self.advice}"
        )


def permission_of(action: str) -> str:
    """Name the permission that an action needs, as policies do."""
    return _PERMITTED_BY.get(action) or f"{_SERVICES.get(action, _EC2)}:{action}"


class RefusedError(EngineError):
    """Say that AWS has refused what Pulumi asked of it: ``refusals`` are all that it gave, each once."""

    def __init__(self, said: str, refusals: "tuple[Refusal, ...]" = ()) -> None:
        """Know them."""
        super().__init__(said)
        self.refusals = refusals

    @property
    def is_of_a_combination(self) -> bool:
        """Tell whether AWS has refused because of words that do not go together."""
        return any(one.code == "InvalidParameterCombination" for one in self.refusals)


def refusals_in(said: str) -> tuple[Refusal, ...]:
    """Take refusals out of what a provider of Pulumi's says of them."""
    found = (
        Refusal(code, message.strip().removesuffix(":").strip(), action or "")
        for action, code, message in _BY_A_PROVIDER.findall(said)
    )
    ended = (
        Refusal(code or _ENDED, f"{name} has ended while it was made. {why.strip()}".strip(), "RunInstances")
        for name, code, why in _ENDED_EARLY.findall(said)
    )
    return tuple(dict.fromkeys((*found, *ended)))


def refusal_of(error: "ClientError") -> Refusal:
    """Take a refusal out of what AWS' library raises."""
    told = error.response["Error"]
    return Refusal(str(told.get("Code", "")), str(told.get("Message", "")), str(error.operation_name))
