"""What a cluster of AWS costs, machine by machine, from when each was asked for to when it was seen to have ended."""

from muster._clouds.aws.rentals import Rental, Rentals, bill, ended_by_now, rented


def test_each_machine_costs_from_when_it_was_asked_for_until_it_is_there_no_more() -> None:
    none: Rentals = {}
    two = rented(none, {"a": 3.6, "b": 3.6}, since=0.0, now=60.0)
    assert bill(two, 1000.0) == "$2.00"
    three = rented(two, {"b": 36.0, "c": 36.0}, since=1000.0, now=1000.0)  # a has ended; b's price stays
    assert three == {"a": Rental(3.6, 0.0, 1000.0), "b": Rental(3.6, 0.0), "c": Rental(36.0, 1000.0)}
    assert bill(three, 2000.0) == "$13.00"
    assert rented(three, {"b": 1.0, "c": 1.0}, since=5000.0, now=5000.0) == three


def test_a_price_that_nobody_knows_is_not_nothing() -> None:
    known: Rentals = {"a": Rental(3.6, 0.0, 1000.0)}
    assert bill(rented(known, {"b": None}, since=0.0, now=0.0), 10.0) == "at least $1.00 (price of 1 unknown)"
    assert bill({"b": Rental(None, 0.0)}, 10.0) == "price unknown"
    assert bill({"a": Rental(3.6, 0.0, 1000.0, is_most=True), "b": Rental(None, 0.0)}, 10.0) == "price unknown"
    assert bill({}, 10.0) == "$0.00"


def test_a_machine_that_ended_long_before_it_was_missed_costs_until_its_lease_was_over_at_most() -> None:
    two: Rentals = {"a": Rental(3.6, 0.0), "b": Rental(3.6, 0.0)}
    gone = ended_by_now(two, ["b"], now=9000.0, latest={"a": 1000.0, "b": 1000.0})
    assert gone == {"a": Rental(3.6, 0.0, 1000.0, is_most=True), "b": Rental(3.6, 0.0)}
    assert bill(gone, 2000.0) == "at most $3.00"
    assert ended_by_now(two, [], now=500.0, latest={"a": 1000.0}) == {name: Rental(3.6, 0.0, 500.0) for name in two}
