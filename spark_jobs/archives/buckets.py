"""Archives in an object store with the S3 API: s3://BUCKET/KEY, and prefixes that hold archives.

Credentials and endpoint are those of the environment, as for a lake: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
AWS_SESSION_TOKEN, AWS_REGION and AWS_ENDPOINT_URL. Workers of Spark need the same environment.
"""

from __future__ import annotations

import os
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit

SCHEME = "s3://"
CONNECT_S, REQUEST_S = 10, 60


def in_bucket(uri: str) -> bool:
    """Whether the archive is an object of a bucket."""
    return uri.startswith(SCHEME)


def list_prefix(uri: str, suffixes: tuple[str, ...]) -> list[str]:
    """Return the URLs of the objects under a prefix whose names end in `suffixes`, in order; or the object itself.

    Raises:
        OSError: The store does not answer, or the bucket does not exist.
    """
    from pyarrow.fs import FileSelector, FileType

    store, path = _store(), _path(uri).rstrip("/")
    if store.get_file_info(path).type == FileType.File:
        return [f"{SCHEME}{path}"]
    found = store.get_file_info(FileSelector(path, recursive=True, allow_not_found=False))
    return sorted(f"{SCHEME}{info.path}" for info in found if info.is_file and info.path.endswith(suffixes))


def describe(uri: str) -> tuple[int, str]:
    """Return the size of an object in bytes, and the time of its last change.

    Raises:
        OSError: The store does not have it or does not answer.
    """
    info = _store().get_file_info(_path(uri))
    if not info.is_file:
        raise FileNotFoundError(f"{uri}: no such object")
    return info.size, str(info.mtime_ns)


def open_object(uri: str) -> BinaryIO:
    """Return the bytes of an object as a binary file that can seek.

    Raises:
        OSError: The store does not have it or does not answer.
    """
    return cast("BinaryIO", _store().open_input_file(_path(uri)))


def _path(uri: str) -> str:
    return uri.removeprefix(SCHEME)


def _store() -> Any:
    from pyarrow.fs import S3FileSystem

    endpoint = urlsplit(os.environ.get("AWS_ENDPOINT_URL", ""))
    named = {"endpoint_override": endpoint.netloc, "scheme": endpoint.scheme} if endpoint.netloc else {}
    region = os.environ.get("AWS_REGION") or ("us-east-1" if endpoint.netloc else None)
    return S3FileSystem(region=region, connect_timeout=CONNECT_S, request_timeout=REQUEST_S, **named)
