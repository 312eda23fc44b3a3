"""What machines of AWS cost: asked of AWS where it tells, else as the table in the package has it, else unknown."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from muster.errors import MusterError

from .asking import asking, client
from .price_table import AS_OF, listed

_ASKED_IN: Final = {"aws-cn": "cn-northwest-1"}
"""Where AWS tells of its prices; elsewhere in ``us-east-1``."""

_HOURS: Final = "Hrs"


@dataclass(frozen=True, slots=True)
class Price:
    """The price of one machine: dollars an hour, and who says so; ``None`` where nobody knows, which is not nothing."""

    dollars: float | None
    source: str

    def __str__(self) -> str:
        """Write it for the user."""
        return "price unknown" if self.dollars is None else f"${self.dollars:,.4g} an hour ({self.source})"


_SECONDS: Final = 10.0
"""A price is worth no longer a wait."""

UNKNOWN: Final = Price(None, "unknown")


def on_demand(region: str, instance_type: str, *, ask: bool = True) -> Price:
    """Tell what a machine costs on demand; with ``ask``, AWS is asked first. It never raises."""
    asked = _asked(region, instance_type) if ask else None
    if asked is not None:
        return Price(asked, "AWS, now")
    known = listed(region, instance_type)
    return UNKNOWN if known is None else Price(known, f"list price, {AS_OF}")


def spot(region: str, instance_type: str, zone: str = "") -> Price:
    """Tell what a spot machine costs now, in a zone or in the dearest one. It never raises; no table has these."""
    words: dict[str, Any] = {"AvailabilityZone": zone} if zone else {}
    try:
        with asking():
            told = client("ec2", region, seconds=_SECONDS).describe_spot_price_history(
                InstanceTypes=[instance_type],
                ProductDescriptions=["Linux/UNIX"],
                StartTime=datetime.now(UTC),
                **words,
            )
    except MusterError:
        return UNKNOWN
    latest: dict[str, tuple[datetime, float]] = {}
    for one in told["SpotPriceHistory"]:
        at, price = one["Timestamp"], float(one["SpotPrice"])
        latest[one["AvailabilityZone"]] = max(latest.get(one["AvailabilityZone"], (at, price)), (at, price))
    return Price(max(price for _, price in latest.values()), "spot, now") if latest else UNKNOWN


def _asked(region: str, instance_type: str) -> float | None:
    """Ask AWS for a list price; ``None`` where it does not answer, or does not know the type."""
    from .permissions import partition_of

    wanted = {
        "regionCode": region,
        "instanceType": instance_type,
        "operatingSystem": "Linux",
        "tenancy": "Shared",
        "capacitystatus": "Used",
        "preInstalledSw": "NA",
    }
    filters = [{"Type": "TERM_MATCH", "Field": name, "Value": value} for name, value in wanted.items()]
    try:
        with asking():
            pricing = client("pricing", _ASKED_IN.get(partition_of(region), "us-east-1"), seconds=_SECONDS)
            told = pricing.get_products(ServiceCode="AmazonEC2", Filters=filters)["PriceList"]
    except MusterError:
        return None
    prices = [price for text in told for price in _hourly(json.loads(text))]
    return max(prices, default=None)


def _hourly(product: Mapping[str, Any]) -> list[float]:
    """Take the prices an hour out of a product; those of what is not paid by the hour are none."""
    return [
        float(dimension["pricePerUnit"]["USD"])
        for term in product.get("terms", {}).get("OnDemand", {}).values()
        for dimension in term["priceDimensions"].values()
        if dimension["unit"] == _HOURS and float(dimension["pricePerUnit"].get("USD", 0))
    ]
