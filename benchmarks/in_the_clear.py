"""muster without the TLS of its clusters: what ``sealing.py`` compares it with. Its arguments are muster's own."""

import sys

from muster.__main__ import main
from muster._clouds import _certificates


def no_settings(_: object) -> dict[str, str]:
    return {}


if __name__ == "__main__":
    _certificates.environment = no_settings
    sys.exit(main())
