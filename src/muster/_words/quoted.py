"""Text of others, as a sentence of ours can hold it."""


def bare(said: object) -> str:
    """Write what another program says without the full stop at its end, so that a sentence of ours can go on."""
    return str(said).rstrip(". \n")


def printable(text: str) -> str:
    """Replace control characters, which could change what a terminal shows: the text may come from anywhere."""
    return "".join(letter if letter.isprintable() or letter in "\n\t" else "?" for letter in text)
