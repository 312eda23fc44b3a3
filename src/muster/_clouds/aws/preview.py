"""What the user is told before anything is made: how many machines, where, and what they cost."""

from collections.abc import Sequence
from dataclasses import replace

from muster._words import plural

from .blueprint import ResourceChanges
from .making import price_at
from .note import Note
from .placement import Placement


def preview(note: Note, places: Sequence[Placement], names: Sequence[str], changes: ResourceChanges) -> str:
    """Say what there will be, which resources Pulumi makes or changes for that, and what may become of it.

    ``places`` are those that AWS is asked for, the first first.
    """
    place = places[0]
    counted = {
        "made": changes.made,
        "changed": changes.changed,
        "replaced": changes.replaced,
        "removed": changes.removed,
    }
    what = ", ".join(f"{number} {word}" for word, number in counted.items() if number)
    image = f", with all installed, from {place.image}" if place.has_all else ""
    return (
        f"AWS, {note.region}: {plural(len(names), 'machine')} ({place}){image}, {together(note, place, len(names))},"
        f" SSH from {', '.join(note.ssh_from)}; of Pulumi's resources, {what}.{otherwise(note, places, len(names))}"
    )


def otherwise(note: Note, places: Sequence[Placement], number: int) -> str:
    """Say what is made where there is no room for the first, and what that costs: whoever says yes, says it to that."""
    kinds = {(one.type, one.is_spot): one for one in places}  # which are of several zones
    others = [one for kind, one in kinds.items() if kind != (places[0].type, places[0].is_spot)]
    if not others:
        return ""
    names = dict.fromkeys(f"{one.type}, {one.market}" for one in others)
    prices = [price_at(note.region, replace(one, zone="")).dollars for one in others]  # of spot, in the dearest zone
    known = [price for price in prices if price is not None]
    most = f"at most ${number * max(known):,.4g} an hour" if len(known) == len(prices) else "at a price that is unknown"
    return f" Where AWS has no room for those: {'; '.join(names)}; {most}."


def together(note: Note, place: Placement, number: int) -> str:
    """Write what so many machines cost there."""
    price = price_at(note.region, place)
    if price.dollars is None:
        return str(price)
    return f"${number * price.dollars:,.4g} an hour ({price.source})"
