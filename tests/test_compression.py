"""Compressed inputs of every kind, as pandas reads them, and what is said where that cannot be."""

import bz2
import gzip
import io
import lzma
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import muster
from muster._formats.compression import open_stream
from muster._model import Source

TEXT: Final = b"a,b\n" + b"".join(b"%d,text %d\n" % (at, at % 7) for at in range(3000))


def zipped(data: bytes, *, names: tuple[str, ...] = ("rows.csv",)) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, b"" if name.endswith("/") else data)
    return packed.getvalue()


def zstd(data: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(data, asbytes=True))


PACK: Final[dict[str, Callable[[bytes], bytes]]] = {
    ".gz": gzip.compress,
    ".zst": zstd,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zip": zipped,
}
CODEC: Final = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2", ".xz": "xz", ".zip": "zip"}


DAMAGES: Final = ("cut short", "changed", "something else")
"""What may happen to a file; Zstandard, which need not have a checksum, does not always see a change."""


def same(df: pd.DataFrame) -> pd.DataFrame:
    return df


def read(path: Path, *, block: int = 1 << 20) -> bytes:
    """Read a file to its end, a block at a time."""
    found = b""
    source = Source(str(path), path.stat().st_size, "", "csv", CODEC[path.suffix])
    with open_stream(source) as stream:
        while data := stream.read(block):
            found += data
    return found


def frame_of(path: Path, folder: Path) -> pd.DataFrame:
    muster.run(same, path, folder / "out.parquet", workers=0)
    return pd.read_parquet(folder / "out.parquet")


@pytest.mark.parametrize("suffix", PACK)
def test_a_compressed_file_is_read_as_pandas_reads_it(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"in.csv{suffix}"
    path.write_bytes(PACK[suffix](TEXT))
    pd.testing.assert_frame_equal(frame_of(path, tmp_path), pd.read_csv(io.BytesIO(TEXT)))
    for block in (1, 1000):
        assert read(path, block=block)[: 10 * block] == TEXT[: 10 * block]


@pytest.mark.parametrize("suffix", [".gz", ".zst", ".bz2", ".xz"])
def test_members_behind_each_other_are_one_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"in.csv{suffix}"
    path.write_bytes(PACK[suffix](TEXT[:1001]) + PACK[suffix](b"") + PACK[suffix](TEXT[1001:]))
    assert read(path) == TEXT
    pd.testing.assert_frame_equal(frame_of(path, tmp_path), pd.read_csv(io.BytesIO(TEXT)))


@given(st.lists(st.binary(max_size=300) | st.integers(1, 600)), st.integers(1, 400))
@settings(max_examples=100, deadline=None)
def test_gzip_is_read_as_python_reads_it_with_zero_bytes_between_and_behind(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes | int], block: int
) -> None:
    """A number stands for so many zero bytes: tapes and object stores add them."""
    path = tmp_path_factory.getbasetemp() / "padded.gz"
    path.write_bytes(
        gzip.compress(b"first") + b"".join(gzip.compress(p) if isinstance(p, bytes) else bytes(p) for p in pieces)
    )
    with gzip.open(path) as file:
        assert read(path, block=block) == file.read()


def test_a_file_that_unpacks_to_a_thousand_times_its_size_is_unpacked_bit_by_bit(tmp_path: Path) -> None:
    path = tmp_path / "zeros.gz"
    path.write_bytes(gzip.compress(bytes(20_000_000)))
    with open_stream(Source(str(path), path.stat().st_size, "", "csv", "gzip")) as stream:
        assert stream.read(1000) == bytes(1000)
    assert len(read(path)) == 20_000_000


@pytest.mark.parametrize(
    ("suffix", "damage"),
    [(suffix, damage) for suffix in PACK for damage in DAMAGES if (suffix, damage) != (".zst", "changed")],
)
def test_a_damaged_file_is_named_and_gives_no_output(tmp_path: Path, suffix: str, damage: str) -> None:
    path = tmp_path / f"in.csv{suffix}"
    packed = PACK[suffix](TEXT)
    middle = len(packed) // 2
    path.write_bytes(
        {
            "cut short": packed[:middle],
            "changed": packed[:middle]
            + bytes(255 - byte for byte in packed[middle : middle + 9])
            + packed[middle + 9 :],
            "something else": TEXT,
        }[damage]
    )
    with pytest.raises(muster.DataError, match=r"in\.csv.* is damaged or not .* data: .*Fetch it again"):
        muster.run(same, path, tmp_path / "out.csv", workers=0)
    assert not (tmp_path / "out.csv").exists()


def test_what_stands_behind_gzip_data_and_is_none_is_damage_as_for_pandas(tmp_path: Path) -> None:
    path = tmp_path / "in.csv.gz"
    path.write_bytes(gzip.compress(TEXT) + b"more")
    with pytest.raises(muster.DataError, match="damaged"):
        muster.run(same, path, tmp_path / "out.csv", workers=0)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ((), "holds 0 files (none)"),
        (("a.csv", "b.csv"), "holds 2 files (a.csv, b.csv), and muster reads an archive of one. Unpack it"),
    ],
)
def test_an_archive_of_more_or_less_than_one_file_is_refused_in_words(
    tmp_path: Path, names: tuple[str, ...], said: str
) -> None:
    (tmp_path / "in.csv.zip").write_bytes(zipped(TEXT, names=names))
    with pytest.raises(muster.DataError, match=re.escape(said)):
        muster.run(same, tmp_path / "in.csv.zip", tmp_path / "out.csv", workers=0)


def test_folders_in_an_archive_and_what_macos_adds_are_no_files(tmp_path: Path) -> None:
    (tmp_path / "in.csv.zip").write_bytes(zipped(TEXT, names=("rows/", "rows/in.csv", "__MACOSX/rows/._in.csv")))
    assert read(tmp_path / "in.csv.zip") == TEXT


@pytest.mark.parametrize("suffix", [".bz2", ".xz", ".zip"])
def test_an_output_that_muster_cannot_compress_is_a_wrong_command(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "in.csv").write_bytes(TEXT)
    with pytest.raises(muster.UsageError, match=r"\.gz and \.zst alone"):
        muster.run(same, tmp_path / "in.csv", tmp_path / f"out.csv{suffix}", workers=0)


@pytest.mark.parametrize("suffix", PACK)
def test_a_compressed_file_without_a_byte_is_one_without_rows(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"in.jsonl{suffix}").write_bytes(b"")
    assert muster.run(same, tmp_path / f"in.jsonl{suffix}", tmp_path / "out.csv", workers=0).rows_in == 0
