"""muster without the TLS of its clusters: what ``sealing.py`` compares it with. Its arguments are muster's own."""

import sys
from pathlib import Path

from muster.__main__ import main
from muster._clouds import certificates

sealed = certificates.environment


def in_the_clear(folder: str | Path, *, token: str | Path) -> dict[str, str]:
    return {name: value for name, value in sealed(folder, token=token).items() if "TLS" not in name}


if __name__ == "__main__":
    certificates.environment = in_the_clear
    sys.exit(main())
