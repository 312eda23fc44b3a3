"""No message of muster's ends with a colon: an error that says nothing is told by its class, and where it came from."""

import ast
from collections.abc import Iterator
from typing import Final

import pytest

from muster._words import bare, named, text_of
from sources import sources

WORDLESS: Final = frozenset(
    {"AssertionError", "BaseException", "EOFError", "Exception", "KeyError", "MemoryError", "OSError", "TimeoutError"}
)
"""What others, and Python itself, raise without a word."""

ON_HOSTS: Final = "_clouds/there/"
"""What runs on hosts with few modules: its errors are of files and processes, which the system has words for."""

EXAMINED: Final = frozenset(
    {
        "_user_code/questions.py",  # of muster's own time limit, which has words
    }
)


def test_an_error_is_told_by_its_words_or_else_by_its_class_and_where_it_came_from() -> None:
    assert (text_of(ValueError("no.\n")), bare(ValueError("no.\n")), named(ValueError("no."))) == (
        "no.",
        "no",
        "ValueError: no.",
    )
    with pytest.raises(TimeoutError) as caught:
        wait_in_vain()
    line = wait_in_vain.__code__.co_firstlineno + 1
    said = f"TimeoutError (in test_wordless.wait_in_vain, line {line})"
    assert text_of(caught.value) == bare(caught.value) == named(caught.value) == said
    assert named(KeyError()) == "KeyError"


def wait_in_vain() -> None:
    raise TimeoutError


def shown(handler: ast.ExceptHandler) -> Iterator[int]:
    """Tell the lines in which the words of an error stand as they are."""
    for node in ast.walk(handler):
        match node:
            case ast.FormattedValue(value=ast.Name(id=name), conversion=-1):
                pass
            case ast.Call(func=ast.Name(id="str"), args=[ast.Name(id=name)]):
                pass
            case _:
                continue
        if name == handler.name:
            yield node.lineno


def wordless(handler: ast.ExceptHandler) -> bool:
    caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(isinstance(one, ast.Name) and one.id in WORDLESS for one in caught)


def test_no_message_relies_on_the_words_of_an_error_that_may_have_none() -> None:
    found = [
        f"{file}:{line}"
        for file, _, tree in sources()
        if file not in EXAMINED and not file.startswith(ON_HOSTS)
        for handler in ast.walk(tree)
        if isinstance(handler, ast.ExceptHandler) and wordless(handler)
        for line in shown(handler)
    ]
    assert found == [], "write text_of(error), bare(error) or named(error)"
