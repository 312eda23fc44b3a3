"""What machines on AWS cost: as AWS says, or the package's table, or unknown; never nothing."""

import pytest

from aws.region import NAME, Region
from aws.told import LISTED
from muster._clouds.aws.price_table import AS_OF, listed
from muster._clouds.aws.prices import on_demand, spot

pytestmark = pytest.mark.waits("together")


def test_aws_is_asked_and_where_it_does_not_tell_the_table_is_and_where_that_has_none_it_is_unknown(
    region: Region,
) -> None:
    assert on_demand(NAME, "m7i.large").dollars == float(LISTED["m7i.large"])
    assert on_demand(NAME, "m7i.xlarge").source == f"list price, {AS_OF}"
    assert str(on_demand(NAME, "u-24tb1.metal")) == "price unknown"
    region.permits_not("GetProducts")
    assert str(on_demand(NAME, "m7i.large")) == f"$0.1207 an hour (list price, {AS_OF})"
    assert on_demand(NAME, "x9.large").dollars is None


def test_a_spot_price_is_the_present_one_and_is_unknown_where_aws_does_not_tell(region: Region) -> None:
    assert spot(NAME, "m7i.large", f"{NAME}a").dollars == 0.00001
    assert spot(NAME, "no.such").dollars is None
    region.permits_not("DescribeSpotPriceHistory")
    assert spot(NAME, "m7i.large").dollars is None


def test_the_table_knows_sizes_of_a_family_by_their_processors_and_nothing_that_it_does_not_have() -> None:
    assert (listed("us-east-1", "m7i.large"), listed("us-east-1", "m7i.24xlarge")) == (0.1008, 4.8384)
    assert listed("eu-central-1", "c7i.8xlarge") == 1.6296
    for region, name in (("nowhere-1", "m7i.large"), ("us-east-1", "m7i"), ("us-east-1", "m7i.metal-24xl"), ("", "")):
        assert listed(region, name) is None
