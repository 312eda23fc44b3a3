"""What the user is told before anything is made: how many machines, where, and what they cost."""

from collections.abc import Sequence

from muster._words import plural

from .blueprint import ResourceChanges
from .making import price_at
from .note import Note, Placement


def preview(note: Note, place: Placement, names: Sequence[str], changes: ResourceChanges) -> str:
    """Say what there will be, and which resources Pulumi makes or changes for that."""
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
        f" SSH from {', '.join(note.ssh_from)}; of Pulumi's resources, {what}."
    )


def together(note: Note, place: Placement, number: int) -> str:
    """Write what so many machines cost there."""
    price = price_at(note.region, place)
    if price.dollars is None:
        return str(price)
    return f"${number * price.dollars:,.4g} an hour ({price.source})"
