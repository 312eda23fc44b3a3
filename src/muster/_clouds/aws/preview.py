"""What the user is told before anything is made: how many machines, where, and what they cost."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from muster._words import plural

from .blueprint import Made, ResourceChanges
from .making import price_at
from .note import Note
from .placement import Placement
from .prices import UNKNOWN


def preview(
    note: Note,
    places: Sequence[Placement],
    names: Sequence[str],
    changes: ResourceChanges,
    *,
    living: Mapping[str, Made] | None = None,
) -> str:
    """Say what there will be, which resources Pulumi makes or changes for that, and what may become of it.

    ``places`` are those that AWS is asked for, the first first; those that are ``living`` stay as they are.
    """
    staying = [made for name, made in (living or {}).items() if name in names]
    new = len(names) - len(staying)
    counted = {
        "made": changes.made,
        "changed": changes.changed,
        "replaced": changes.replaced,
        "removed": changes.removed,
    }
    what = ", ".join(f"{number} {word}" for word, number in counted.items() if number)
    machines = [
        *([f"{plural(len(staying), 'machine')} as {_are(staying)} now, {_price_of(note, staying)}"] if staying else []),
        *([_made(note, places[0], new, is_more=bool(staying))] if new else []),
    ]
    return (
        f"AWS, {note.region}: {' and '.join(machines)}, SSH from {', '.join(note.ssh_from)}; of Pulumi's resources,"
        f" {what}.{otherwise(note, places, new) if new else ''}"
    )


def _made(note: Note, place: Placement, number: int, *, is_more: bool) -> str:
    image = f", with all installed, from {place.image}" if place.has_all else ""
    return (
        f"{plural(number, 'more machine' if is_more else 'machine')} ({place}){image}, {together(note, place, number)}"
    )


def _are(staying: Sequence[Made]) -> str:
    return "it is" if len(staying) == 1 else "they are"


def _price_of(note: Note, staying: Sequence[Made]) -> str:
    """Write what those cost an hour that are there: each what it has cost since it was made."""
    prices = [one.price if (one := note.rentals.get(made.instance)) else None for made in staying]
    known = [price for price in prices if price is not None]
    return f"${sum(known):,.4g} an hour" if len(known) == len(prices) else str(UNKNOWN)


def otherwise(note: Note, places: Sequence[Placement], number: int) -> str:
    """Say what is made where there is no room for the first, and what that costs: whoever says yes, says it to that."""
    kinds = {(one.type, one.is_spot): one for one in places}  # which are of several zones
    others = [one for kind, one in kinds.items() if kind != (places[0].type, places[0].is_spot)]
    if not others:
        return ""
    names = dict.fromkeys(f"{one.type}, {one.market}" for one in others)
    prices = [
        price_at(note.region, replace(one, zone="")).dollars for one in (places[0], *others)
    ]  # the dearest zone's
    known = [price for price in prices if price is not None]
    most = f"at most ${number * max(known):,.4g} an hour" if len(known) == len(prices) else "at a price that is unknown"
    return f" Where AWS has no room for those: {'; '.join(names)}; {most}."


def together(note: Note, place: Placement, number: int) -> str:
    """Write what so many machines cost there."""
    price = price_at(note.region, place)
    if price.dollars is None:
        return str(price)
    return f"${number * price.dollars:,.4g} an hour ({price.source})"
