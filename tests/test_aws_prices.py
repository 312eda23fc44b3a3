"""What machines on AWS cost: as AWS says, or the package's table, or unknown; never nothing."""

import pytest

from aws.region import NAME, Region
from aws.told import LISTED
from muster._clouds.aws.baking import ImagePlan
from muster._clouds.aws.blueprint import ResourceChanges
from muster._clouds.aws.leases import Held
from muster._clouds.aws.note import begun
from muster._clouds.aws.placement import Placement
from muster._clouds.aws.preview import preview
from muster._clouds.aws.price_table import AS_OF, listed
from muster._clouds.aws.prices import on_demand, spot
from muster._clouds.aws.remains import INSTANCE, Remain
from muster._clouds.aws.settings import Settings
from muster._clouds.aws.sweeping import HeldByRegion
from muster._clouds.base import Wanted
from muster._verbs.sweep import _cells, _listed

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


def test_of_a_region_that_the_table_has_not_every_preview_and_a_sweep_say_that_the_price_is_unknown(
    region: Region,
) -> None:
    elsewhere = "sa-east-1"
    region.permits_not("GetProducts")
    note = begun(Settings(), elsewhere, Wanted(2, 2, 900.0))
    place = Placement("m7i.large", f"{elsewhere}a", "", "", "", "", 2)
    said = preview(note, [place], ["m1", "m2"], ResourceChanges(made=6))
    assert f"2 machines (m7i.large, on demand, in {elsewhere}a), price unknown, SSH" in said
    said = ImagePlan(Settings(), elsewhere, (place,), "digest", there=None, coming=None).preview
    assert f"1 machine (m7i.large, on demand, in {elsewhere}a), price unknown, until the image is made" in said
    machine = Remain(INSTANCE, "i-1", {}, type="m7i.large", zone=f"{elsewhere}a")
    (told,) = _listed(HeldByRegion({elsewhere: [Held(machine, 60.0, 0.0)]}, {}))
    assert (told["price"], _cells(told)[-1]) == (None, "unknown")


def test_the_table_knows_sizes_of_a_family_by_their_processors_and_nothing_that_it_does_not_have() -> None:
    assert (listed("us-east-1", "m7i.large"), listed("us-east-1", "m7i.24xlarge")) == (0.1008, 4.8384)
    assert listed("eu-central-1", "c7i.8xlarge") == 1.6296
    for region, name in (("nowhere-1", "m7i.large"), ("us-east-1", "m7i"), ("us-east-1", "m7i.metal-24xl"), ("", "")):
        assert listed(region, name) is None
