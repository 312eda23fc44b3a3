"""What a cluster of AWS costs, machine by machine, from when each was asked for to when it was seen to have ended."""

from muster._clouds.aws.rentals import Rental, Rentals, bill, rented


def test_each_machine_costs_from_when_it_was_asked_for_until_it_is_there_no_more() -> None:
    none: Rentals = {}
    two = rented(none, ["a", "b"], price=3.6, since=0.0, now=60.0)
    assert bill(two, 1000.0) == "$2.00"
    three = rented(two, ["b", "c"], price=36.0, since=1000.0, now=1000.0)  # a has ended; b's price stays
    assert three == {"a": Rental(3.6, 0.0, 1000.0), "b": Rental(3.6, 0.0), "c": Rental(36.0, 1000.0)}
    assert bill(three, 2000.0) == "$13.00"
    assert rented(three, ["b", "c"], price=1.0, since=5000.0, now=5000.0) == three


def test_a_price_that_nobody_knows_is_not_nothing() -> None:
    known: Rentals = {"a": Rental(3.6, 0.0, 1000.0)}
    assert bill(rented(known, ["b"], price=None, since=0.0, now=0.0), 10.0) == "price unknown"
    assert bill({}, 10.0) == "$0.00"
