"""A source and a sink as a user writes them: over a file of lines, and into a folder."""

import shutil
from pathlib import Path

import muster


class LinesOfFile:
    """The rows of a CSV file that grows, until there is a file ``PATH.end``; a position is an offset."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def open(self) -> None:
        self.file = self.path.open("rb")

    def read(self, position: str, limit: int) -> muster.StreamRows | None:
        is_all = self.path.with_name(f"{self.path.name}.end").exists()  # before a look at what there is
        self.file.seek(int(position or "0"))
        text = b"".join(line for line in self.file.readlines(limit) if line.endswith(b"\n"))
        if not text and is_all:
            return None
        return muster.StreamRows(text, str(int(position or "0") + len(text)))

    def acknowledge(self, position: str) -> None:
        self.path.with_name(f"{self.path.name}.done").write_text(position)

    def close(self) -> None:
        self.file.close()


class Folder:
    """A folder with a file for each commit, whose name has the number: so a rename keeps both in one step."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def open(self, stream: str) -> int:
        self.folder = self.path / stream
        self.folder.mkdir(parents=True, exist_ok=True)
        return max((int(path.stem) for path in self.folder.glob("*.csv")), default=0)

    def prepare(self, number: int, rows: Path) -> None:
        shutil.copy(rows, self.folder / f"{number:012}.prepared")

    def commit(self, number: int) -> None:
        (self.folder / f"{number:012}.prepared").replace(self.folder / f"{number:012}.csv")

    def close(self) -> None:
        pass
