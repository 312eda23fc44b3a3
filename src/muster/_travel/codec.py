"""How bytes are compressed for the way."""

from typing import Final

_CODEC: Final = "zstd"


def compressed(data: bytes) -> bytes:
    """Compress."""
    import pyarrow as pa

    return pa.compress(data, codec=_CODEC, asbytes=True) if data else b""


def decompressed(data: bytes, size: int) -> bytes:
    """Decompress; ``size`` is the length of the result."""
    import pyarrow as pa

    return pa.decompress(data, size, codec=_CODEC, asbytes=True) if size else b""
