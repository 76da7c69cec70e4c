"""dclm.pool: a row for each archive of the crawl, with its size, digest, state and shard."""

from __future__ import annotations

import gzip
import hashlib
import itertools
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa

from catalog.errors import WatershedError
from catalog.progress import track
from catalog.tables.dclm import POOL, SHARDS
from spark_jobs.archives.buckets import in_bucket, list_prefix
from spark_jobs.archives.codings import GZIP, SUFFIXES
from spark_jobs.archives.framing import HEAD_BYTES, first_record
from spark_jobs.archives.places import ask, is_remote, open_archive
from spark_jobs.dclm.known_files import KnownFiles
from spark_jobs.dclm.placement import place
from spark_jobs.threads import as_done

LISTS = (".paths", ".paths.gz")
READERS = 2
READ_BYTES = 1 << 22
NO_DIGEST = "none"
"""Digest of a file that could not be read."""


def register(
    inputs: Sequence[str],
    snapshot: str,
    files_per_shard: int,
    placed: Mapping[str, int] = MappingProxyType({}),
    known: KnownFiles | None = None,
) -> pa.Table:
    """A row for each archive that `inputs` name, in the order of file names.

    `spark_jobs.dclm.placement` chooses the shards. Local files are read once to compute their digests.

    Args:
        inputs: WARC files, folders (searched at any depth for files that end in one of SUFFIXES), globs, http(s)
            URLs, s3://BUCKET/PREFIX, or lists of these (.paths, .paths.gz) with an entry a line; an entry is relative
            to its list's folder, or to the root of the server or bucket that the list comes from.
        snapshot: name of the crawl.
        files_per_shard: archives in a shard.
        placed: the shards, 0 to 99, of archives that were registered before, by file name.
        known: what was found in local files before. Files that have not changed since are not read again.

    Returns:
        rows of dclm.pool, including archives that cannot be read, with their state and reason.

    Raises:
        WatershedError: an input does not exist or holds no archive, or two archives share a file name.
    """
    if files_per_shard < 1:
        raise WatershedError(f"[crawl] files_per_shard is {files_per_shard}", "set it to 1 or more")
    places = sorted((file_name(uri), uri) for given in inputs for uri in _expand(given))
    places = list(dict.fromkeys(places))
    for (name, uri), (other, twin) in itertools.pairwise(places):
        if name == other:
            raise WatershedError(f"two archives are called {name}: {uri} and {twin}", "rename one, or leave it out")
    if not places:
        raise WatershedError("no archive is named", "set [crawl] inputs, or pass --crawl PATH_OR_URL")
    described = _describe_all([uri for _, uri in places], known)
    shards = place([name for name, _ in places], placed, files_per_shard)
    rows = [
        {"warc": name, "uri": uri, "snapshot": snapshot, **shard_columns(shard), **found}
        for (name, uri), shard, found in zip(places, shards, described, strict=True)
    ]
    return POOL.conform(pa.Table.from_pylist(rows, schema=POOL.schema))


def archive_names(inputs: Sequence[str]) -> list[str]:
    """The file names of the archives that `inputs` name, as `register` takes them, in order; no archive is read.

    Raises:
        WatershedError: an input does not exist or holds no archive.
    """
    return sorted({file_name(uri) for given in inputs for uri in _expand(given)})


def shard_columns(shard: int) -> dict[str, int]:
    """The columns of a shard, 0 to 99."""
    return {"global_shard": shard // SHARDS, "local_shard": shard % SHARDS}


def file_name(uri: str) -> str:
    """An archive's name: the last part of its path or URL."""
    return unquote(urlsplit(uri).path).rpartition("/")[2] if is_remote(uri) else Path(uri).name


def _expand(given: str) -> Iterator[str]:
    """Paths and URLs of the archives that an input names."""
    if is_remote(given):
        yield from _remote(given)
        return
    if "://" in given:
        raise WatershedError(
            f"{given}: archives cannot be read from there", "give a path, an http(s) URL or s3://BUCKET/PREFIX"
        )
    path = Path(given).expanduser().absolute()
    if path.is_dir():
        found = sorted(file for file in path.rglob("*") if file.name.endswith(SUFFIXES) and not file.is_dir())
        if not found:
            raise WatershedError(f"{path}: no archive in this folder", f"its files should end in {', '.join(SUFFIXES)}")
        yield from map(str, found)
    elif given.endswith(LISTS) and path.exists():
        for entry in _list_entries(str(path)):
            yield from _expand(entry if "://" in entry else str(path.parent / entry))
    elif path.exists() or path.is_symlink():
        yield str(path)
    else:
        pattern = path.relative_to(path.anchor)
        found = sorted(file for file in Path(path.anchor).glob(str(pattern)) if not file.is_dir())
        if not found:
            raise WatershedError(f"{given}: no such file or folder", "correct [crawl] inputs or --crawl")
        yield from map(str, found)


def _remote(given: str) -> Iterator[str]:
    if urlsplit(given).path.endswith(LISTS):
        for entry in _list_entries(given):
            place = entry if "://" in entry else "/" + entry.lstrip("/")
            # urljoin does not know s3.
            yield place if "://" in place else f"{_server(given)}{place}"
    elif in_bucket(given):
        yield from _objects(given)
    else:
        yield given


def _server(uri: str) -> str:
    found = urlsplit(uri)
    return f"{found.scheme}://{found.netloc}"


def _objects(prefix: str) -> list[str]:
    try:
        found = list_prefix(prefix, SUFFIXES)
    except OSError as error:
        raise WatershedError(f"{prefix}: {error}", "check the bucket, the prefix and the AWS_ variables") from error
    if not found:
        raise WatershedError(f"{prefix}: no archive under this prefix", f"names should end in {', '.join(SUFFIXES)}")
    return found


def _list_entries(uri: str) -> list[str]:
    try:
        with open_archive(uri) as file:
            data = file.read()
        text = gzip.decompress(data).decode() if data.startswith(GZIP.magic) else data.decode()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise WatershedError(f"{uri}: not a list of archives ({error})", "give one path or URL a line") from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def _describe_all(uris: list[str], known: KnownFiles | None) -> list[dict[str, Any]]:
    """Bytes, digest, state and reason of each archive; two are read at a time."""
    found: list[dict[str, Any]] = [{} for _ in uris]
    describe = _describe if known is None else known.remembered(_describe)
    with track("archives registered", len(uris)) as task:
        for index, described in as_done(describe, uris, READERS):
            found[index] = described
            task.advance(1, file_name(uris[index]))
    if known is not None:
        known.keep(uris)
    return found


def _describe(uri: str) -> dict[str, Any]:
    if is_remote(uri):
        return _describe_remote(uri)
    try:
        digest = hashlib.sha256()
        size = 0
        head = b""
        with Path(uri).open("rb") as file:
            while data := file.read(READ_BYTES):
                head = head or data
                digest.update(data)
                size += len(data)
    except OSError as error:
        return {"bytes": 0, "digest": NO_DIGEST, "state": "unreadable", "reason": error.strerror or str(error)}
    return {"bytes": size, "digest": f"sha256:{digest.hexdigest()}", **_judge(head)}


def _describe_remote(uri: str) -> dict[str, Any]:
    try:
        remote = ask(uri)
        head = b""
        if remote.bytes:
            with open_archive(uri) as file:
                head = file.read(min(HEAD_BYTES, remote.bytes))
    except (OSError, WatershedError) as error:
        return {"bytes": 0, "digest": NO_DIGEST, "state": "unreadable", "reason": str(error)}
    return {"bytes": remote.bytes, "digest": f"etag:{remote.tag}", **_judge(head)}


def _judge(head: bytes) -> dict[str, str | None]:
    """State and reason of an archive that begins with `head`."""
    if not head:
        return {"state": "empty", "reason": "0 bytes"}
    if first_record(head[:HEAD_BYTES]) is None:
        return {"state": "not_warc", "reason": f"no WARC record begins in it; it begins with {head[:16]!r}"}
    return {"state": "ready", "reason": None}
