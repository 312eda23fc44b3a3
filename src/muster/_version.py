"""The version of muster: another may write other bytes."""

__version__ = "0.1.0"
