"""Print every module of muster with the line that says what it holds: of all rooms, or of those that are named."""

import ast
import sys
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "muster"


def main(rooms: list[str]) -> None:
    """Print a line for each module that says what it holds; ends with an error where a room is not there."""
    modules = sorted(SOURCE.rglob("*.py"))
    there = dict.fromkeys(map(_room_of, modules))
    for room in rooms:
        if room not in there:
            sys.exit(f"There is no room {room!r}. There are: {', '.join(there)}.")
    for module in modules:
        said = ast.get_docstring(ast.parse(module.read_text()))
        if said and (not rooms or _room_of(module) in rooms):
            print(f"{module.relative_to(SOURCE)}: {said.splitlines()[0]}")


def _room_of(module: Path) -> str:
    return module.relative_to(SOURCE).parts[0].removesuffix(".py")


if __name__ == "__main__":
    main(sys.argv[1:])
