"""The packages that the user's code imports: named with their versions here, and compared on other machines."""

import importlib.metadata
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from muster._model import Target
from muster._user_code.loading import load
from muster._user_code.origins import is_users_module
from muster.errors import EngineError


@dataclass(frozen=True, slots=True)
class Packages:
    """Ask a worker for the packages that are in use once the steps are loaded, with their versions."""

    steps: tuple[Target, ...]

    def answer(self) -> dict[str, str]:
        """Load them. Raises as ``load`` does."""
        for step in self.steps:
            load(step)
        loaded = {name.partition(".")[0] for name in list(sys.modules) if not is_users_module(name)}
        of_module = importlib.metadata.packages_distributions()
        names = {name for module in loaded if not module.startswith("_") for name in of_module.get(module, ())}
        return {name: importlib.metadata.version(name) for name in sorted(names)}


def check(packages: Mapping[str, str]) -> None:
    """Raise ``EngineError`` where this machine has other versions: the same function would not be the same."""
    wrong = [
        f"{name} is {there or 'not installed'} there, and {here} here"
        for name, here in packages.items()
        if (there := _version(name)) != here
    ]
    if wrong:
        names = ", ".join(name for name, here in packages.items() if _version(name) != here)
        raise EngineError(
            f"Machine {platform.node()} lacks what the function needs: {'; '.join(wrong)}. Write packages: [{names}] in"
            " the file of hosts, and type muster up again; or install them there. More: muster help clusters"
        )


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
