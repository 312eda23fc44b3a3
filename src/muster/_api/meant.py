"""What is to be typed in place of a method that pipelines and groups do not have, such as one of a DataFrame."""

from typing import TYPE_CHECKING, Final, NoReturn

from muster._words.near import nearest

_CURES: Final = {
    "Pipeline": (
        "A function of rows goes into .map_batches(f), one of all rows of a key into .group_by('column').map_groups(f);"
        " sums and the like are .group_by('column').agg(total=('amount', 'sum')), and windows stand behind keys, too."
    ),
    "Groups": (
        "What pandas has for groups, a function does on the rows of each key: .map_groups(f). Sums and the like are"
        " .agg(n='count', total=('amount', 'sum')). Other methods stand behind these."
    ),
    "Keys": (
        "A step that keeps states gets the rows: .map_batches(step, state=...). Groups are .group_by('column'), which"
        " has agg and map_groups."
    ),
}


class Advising:
    """Says of an attribute that it does not have what there is, and what to type."""

    __slots__ = ()

    if not TYPE_CHECKING:  # where a wrong name is an error

        def __getattr__(self, name: str) -> NoReturn:
            """Raise ``AttributeError``, which says what to type."""
            raise _lacking(self, name)


def _lacking(of: object, name: str) -> AttributeError:
    """Say of a pipeline, groups or keys that there is no such attribute, what there is, and what to type."""
    kind = type(of).__name__
    text = f"{kind!r} object has no attribute {name!r}"
    if name.startswith("_") or kind not in _CURES:
        return AttributeError(text)
    has = [one for one in dir(type(of)) if not one.startswith("_") and callable(getattr(type(of), one))]
    meant = nearest(name, has)
    guess = f" (did you mean {meant}?)" if meant else ""
    return AttributeError(f"{text}{guess}. It has: {', '.join(has)}. {_CURES[kind]}")
