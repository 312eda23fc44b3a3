"""How an input of text is written, and the options of ``read_csv`` that say it."""

from .dialect import Dialect, Reading

__all__ = ["Dialect", "Reading"]
