"""Where escapes, comments and blanks count, blocks of any size are split where reading the whole would split them."""

import tempfile
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from muster._dialects import Dialect
from muster._formats._questions import Scan
from muster._formats.records import records, scan
from muster._formats.stitch import NeedsScanError, stitch
from test_read_csv import by_muster, by_pandas

ESCAPE = "\\"
DIALECTS = [
    Dialect(escapechar=ESCAPE),
    Dialect(comment="#"),
    Dialect(escapechar=ESCAPE, comment="#"),
    Dialect(doublequote=False),
    Dialect(doublequote=False, escapechar=ESCAPE),
    Dialect(skipinitialspace=True),
    Dialect(quote="", escapechar=ESCAPE, comment="#"),
    Dialect(delimiter=" ", quote="'", skipinitialspace=True, comment="%"),
]
PIECES = [  # what dialects tell apart
    "a",
    '"',
    "'",
    ",",
    "\n",
    "\r\n",
    "\r",
    " ",
    "é",
    '""',
    '\n"',
    ',"',
    '",',
    "#",
    "%",
    "\n#",
    ESCAPE,
    ESCAPE * 2,
]
PIECES += [f"{ESCAPE}\n", f'{ESCAPE}"', f"{ESCAPE}\r\n", '"x\ny"', '"#"', '#"\n', "\n\n", "\n \n", "\t", " \t\r\n"]

texts = st.lists(st.sampled_from(PIECES), max_size=40).map(lambda pieces: "".join(pieces).encode())


def whole(data: bytes, dialect: Dialect) -> tuple[list[int], int | None]:
    """Where each row starts when all is read at once, and where one starts whose quote is never closed."""
    _, unclosed = stitch([scan(data, dialect, start=0, atom=1 << 20, assume_quoted=False)])
    return [start for start, _ in records(data, dialect) if start != unclosed], unclosed


@settings(max_examples=400, deadline=None, derandomize=True)
@given(data=texts, dialect=st.sampled_from(DIALECTS), size=st.integers(1, 30), atom=st.integers(1, 7))
@example(data=b"a\\\nb\n", dialect=DIALECTS[0], size=1, atom=1)
@example(data=b'#"\n"a\n#"\nb', dialect=DIALECTS[1], size=2, atom=1)
def test_blocks_of_any_size_are_stitched_to_what_reading_the_whole_finds(
    data: bytes, dialect: Dialect, size: int, atom: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "rows.csv")
        path.write_bytes(data)
        scans = [
            Scan(str(path), len(data), at, min(at + size, len(data)), dialect, atom) for at in range(0, len(data), size)
        ]
        blocks = [block for scan in scans if (block := scan.answer()) is not None]
    try:
        stretches, unclosed = stitch(blocks)
    except NeedsScanError as need:
        pytest.fail(f"both flows are worked out, but not those of block {need.index}")
    starts, wanted = whole(data, dialect)
    assert unclosed == wanted
    assert [stretch.rows for stretch in stretches] == [
        sum(stretch.start <= start < stretch.stop for start in starts) for stretch in stretches
    ]
    assert sum(stretch.rows for stretch in stretches) == len(starts)
    for stretch in stretches:  # read alone, it holds the same rows
        alone, open_at = whole(data[stretch.start : stretch.stop], dialect)
        assert [stretch.start + start for start in alone] == [s for s in starts if stretch.start <= s < stretch.stop]
        assert open_at is None


def test_a_large_file_with_escapes_and_comments_is_read_as_by_pandas(tmp_path: Path) -> None:
    """Several blocks of 4 MiB, most of whose line ends are text."""
    path, rows = tmp_path / "rows.csv", 30_000
    note = '"' + ('5\\" pipe, #1\n' * 20) + '"'
    path.write_text("n,note\n" + "".join(f'# "row {at}\n{at},{note}\n{at}\\\n5, # half "\n' for at in range(rows)))
    options = {"escapechar": "\\", "comment": "#"}
    frame, bad = by_muster(path, options)
    assert bad == {}
    pd.testing.assert_frame_equal(frame, by_pandas(path, options), check_exact=True)
