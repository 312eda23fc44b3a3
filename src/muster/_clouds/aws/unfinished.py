"""What was asked for and does not work yet, though it may cost."""

from collections.abc import Collection, Mapping

from .note import Note


def unfinished(note: Note, started: Collection[str], *, cluster: str) -> Mapping[str, str]:
    """Say it of each machine whose address is not among those that were ``started``, and of AWS where nobody knows."""
    what_now = f"muster up {cluster} --machines N finishes that, muster down {cluster} ends it"
    state = "does not work yet: it boots, or muster up was interrupted, and it ends with its lease"
    if note.is_for_image:
        what_now = f"the same muster image build ends it and begins anew, muster down {cluster} ends it"
        state = "is to become an image: muster image build is at it, or was interrupted, and it ends with its lease"
    told = {
        name: f"it was made, and {state}; {what_now}" for name, made in note.made.items() if made.inside not in started
    }
    if note.is_unsure:
        told["AWS"] = (
            "machines were asked for, and what came of that is not known yet: a command is at it, or was"
            f" interrupted; {what_now}"
        )
    return told
