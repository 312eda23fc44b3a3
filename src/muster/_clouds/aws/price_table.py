"""List prices of machines on AWS, in dollars an hour: Linux, on demand. Where AWS cannot be asked, they stand.

Source: AWS' public list prices as whoever wrote this knew them; those of c7i and m7i were compared with a copy of a
public catalog (skypilot-org/skypilot-catalog, v8) that bears no date, and is not older than autumn 2025. They were not
asked of AWS itself, and there are only those that were certain. Prices rarely change once a type is there, but they do.
"""

from collections.abc import Mapping
from typing import Final

AS_OF: Final = "2025"

_OF_LARGE: Final[Mapping[str, Mapping[str, float]]] = {
    "ap-east-1": {"c7i": 0.1134, "m7i": 0.1386},
    "ap-northeast-1": {"c7i": 0.11235, "m5": 0.124, "m6i": 0.124, "m7i": 0.1302},
    "ap-northeast-2": {"c7i": 0.1008, "m5": 0.118, "m6i": 0.118, "m7i": 0.1239},
    "ap-northeast-3": {"c7i": 0.11235, "m7i": 0.1302},
    "ap-south-1": {"c7i": 0.08925, "m5": 0.101, "m6i": 0.101, "m7i": 0.10605},
    "ap-southeast-1": {"c7i": 0.1029, "m5": 0.12, "m6i": 0.12, "m7i": 0.126},
    "ap-southeast-2": {"c7i": 0.11655, "m5": 0.12, "m6i": 0.12, "m7i": 0.126},
    "ap-southeast-3": {"c7i": 0.1029, "m7i": 0.126},
    "ap-southeast-4": {"c7i": 0.11655, "m7i": 0.126},
    "ca-central-1": {"c7i": 0.09765, "m5": 0.107, "m6i": 0.107, "m7i": 0.11235},
    "eu-central-1": {"c7i": 0.10185, "m5": 0.115, "m6i": 0.115, "m7i": 0.12075},
    "eu-north-1": {"c7i": 0.09555, "m5": 0.102, "m6i": 0.102, "m7i": 0.1071},
    "eu-south-1": {"m7i": 0.1176},
    "eu-south-2": {"c7i": 0.09575, "m7i": 0.11235},
    "eu-west-1": {"c7i": 0.09576, "m5": 0.107, "m6i": 0.107, "m7i": 0.11235},
    "eu-west-2": {"c7i": 0.10605, "m5": 0.111, "m6i": 0.111, "m7i": 0.11655},
    "eu-west-3": {"c7i": 0.10605, "m5": 0.112, "m6i": 0.112, "m7i": 0.1176},
    "me-central-1": {"c7i": 0.10725, "m7i": 0.12359},
    "us-east-1": {"c6i": 0.085, "c7i": 0.08925, "m5": 0.096, "m6i": 0.096, "m7i": 0.1008, "r6i": 0.126, "r7i": 0.1323},
    "us-east-2": {"c6i": 0.085, "c7i": 0.08925, "m5": 0.096, "m6i": 0.096, "m7i": 0.1008, "r6i": 0.126, "r7i": 0.1323},
    "us-west-1": {"c7i": 0.1113, "m5": 0.112, "m6i": 0.112, "m7i": 0.1176},
    "us-west-2": {"c6i": 0.085, "c7i": 0.08925, "m5": 0.096, "m6i": 0.096, "m7i": 0.1008, "r6i": 0.126, "r7i": 0.1323},
}
_AS_LARGE: Final = {
    "large": 1,
    "xlarge": 2,
    "2xlarge": 4,
    "4xlarge": 8,
    "8xlarge": 16,
    "12xlarge": 24,
    "16xlarge": 32,
    "24xlarge": 48,
}
"""Within a family a machine costs what as many large ones would that have its processors."""


def listed(region: str, instance_type: str) -> float | None:
    """Tell the list price of a type of machine; ``None`` where the table does not have it."""
    family, _, size = instance_type.partition(".")
    price, factor = _OF_LARGE.get(region, {}).get(family), _AS_LARGE.get(size)
    return None if price is None or factor is None else round(price * factor, 6)
