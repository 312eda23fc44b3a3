"""Read ranges of objects in S3 past fsspec, which does not pass on of which version an answer is."""

from typing import Any

from muster._urls.urls import filesystem

from ._as_found import check_version, whole_range


def read(url: str, start: int, stop: int) -> bytes:
    """Read a range, fewer bytes at the end. Raises ``DataError`` where the object is not as it was found."""
    from fsspec.asyn import sync

    files, _ = filesystem(url)
    data: bytes = sync(files.loop, content, url, start, stop)
    return data


async def content(url: str, start: int, stop: int) -> bytes:
    """Read a range; for those who ask for many at a time."""
    from s3fs.core import _error_wrapper

    files, path = filesystem(url)
    answer, data = await _error_wrapper(_asked, args=(files, path, f"bytes={start}-{stop - 1}"), retries=files.retries)
    check_version(url, {"ETag": answer.get("ETag", "")})
    return whole_range(url, data, start, stop)


async def _asked(files: Any, path: str, ranges: str) -> tuple[dict[str, Any], bytes]:  # noqa: ANN401 (it has no types)
    bucket, key, version = files.split_path(path)
    chosen = {"VersionId": version} if version else {}
    answer = await files._call_s3("get_object", Bucket=bucket, Key=key, Range=ranges, **chosen)  # noqa: SLF001 (fsspec's way)
    try:
        return answer, await answer["Body"].read()
    finally:
        answer["Body"].close()
