"""The version of muster: another may write other bytes."""

from typing import Final

VERSION: Final = "0.1.0"
