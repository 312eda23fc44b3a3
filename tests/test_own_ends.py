"""Streams from a source of the user's own, and into a sink of the user's own."""

import random
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import own_ends
from conftest import begun
from waiting import until

if TYPE_CHECKING:
    import subprocess

PIPELINE = """
import muster, own_ends
def double(df):
    return df.assign(double=df["n"] * 2)
source = own_ends.LinesOfFile("in.csv")
pipeline = muster.read_from(source, every=0.0).map_batches(double).write_to(own_ends.Folder("got"))
"""


def written(folder: Path, text: str = PIPELINE) -> None:
    shutil.copy(own_ends.__file__, folder)
    (folder / "pipeline.py").write_text(text)


def lines(count: int, start: int = 0) -> str:
    return "".join(f'{n},"row\n{n}"\n' for n in range(start, start + count))


def doubled(count: int) -> str:
    return "".join(f'{n},"row\n{n}",{2 * n}\n' for n in range(count))


def got(folder: Path) -> str:
    """Put what the sink shows together, without headers."""
    return "".join(path.read_text().removeprefix("n,text,double\n") for path in sorted(folder.glob("got/*/*.csv")))


def ended(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def test_each_row_arrives_once_whatever_is_killed_and_the_source_ends_the_stream(tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)  # noqa: S311 (moments, no secrets)
    dice = random.Random(seed)  # noqa: S311 (likewise)
    written(tmp_path)
    (tmp_path / "in.csv").write_text("n,text\n")
    rows = 0
    for _ in range(6):
        with (
            begun(tmp_path, "run", "pipeline.py", "--workers", "1") as process,
            (tmp_path / "in.csv").open("a") as file,
        ):
            for _ in range(dice.randrange(1, 6)):
                more = dice.choice([1, 40, 3000])
                file.write(lines(more, rows))
                file.flush()
                rows += more
            aim = dice.randrange(rows + 1)
            until(lambda aim=aim: got(tmp_path).count("row") >= aim or process.poll() is not None)  # type: ignore[misc]
            process.kill()
    (tmp_path / "in.csv.end").touch()
    with begun(tmp_path, "run", "pipeline.py", "--workers", "1") as process:
        code, _, err = ended(process)
    assert code == 0, (seed, err)
    assert got(tmp_path) == doubled(rows), seed
    assert "nothing comes any more" in err
    assert f"Folder has all {rows:,} rows of the stream" in err
    assert (tmp_path / "in.csv.done").read_text() == str((tmp_path / "in.csv").stat().st_size)
