"""What muster sets in its own process while libraries are loaded is there for that time only."""

import os

import pytest

from muster._process.environment import threads_that_sleep

SPINNING = "OPENBLAS_THREAD_TIMEOUT"


def test_how_long_threads_spin_is_set_while_numpy_may_be_loaded_and_not_for_what_the_user_starts_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(SPINNING, raising=False)
    with threads_that_sleep():
        assert int(os.environ[SPINNING]) < 26  # its default, as a power of two
    assert SPINNING not in os.environ


def test_what_the_user_has_set_for_threads_that_spin_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SPINNING, "30")
    with threads_that_sleep():
        assert os.environ[SPINNING] == "30"
    assert os.environ[SPINNING] == "30"
