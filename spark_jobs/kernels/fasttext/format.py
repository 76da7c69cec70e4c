"""The file format of fastText models: supervised, full (.bin) or quantised (.ftz).

The format is that of facebookresearch/fastText, version 12, little-endian and unaligned (src/args.cc, dictionary.cc,
densematrix.cc, quantmatrix.cc, productquantizer.cc): settings, dictionary, input matrix, output matrix. The input
matrix has a row for each word, followed by a row for each bucket of hashed n-grams, or for each bucket that pruning
kept.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from catalog.errors import WatershedError

Floats = npt.NDArray[np.float32]

HIERARCHICAL, SOFTMAX, ONE_VS_ALL = 1, 3, 4
"""fastText's numbers for the supported losses. Negative sampling (2) makes the same predictions as one-vs-all (4)."""

_MAGIC = 793712314
_VERSION = 12
_WITHOUT_SUBWORDS = 11
"""The version whose supervised models have no character n-grams, regardless of their settings."""
_SUPERVISED = 3
_CENTROIDS = 256


class _Reader:
    """A position in a mapped file. Arrays are views: they may be unaligned, and pages are loaded when touched."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self.data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.position = 0

    def take(self, layout: str) -> tuple[int, ...]:
        found = struct.unpack_from(f"<{layout}", self.data, self.position)
        self.position += struct.calcsize(f"<{layout}")
        return found

    def array(self, kind: str, count: int) -> npt.NDArray[Any]:
        found = np.frombuffer(self.data, kind, count, self.position)
        self.position += found.nbytes
        return found


@dataclass(frozen=True)
class DenseMatrix:
    """A matrix of plain float32."""

    values: npt.NDArray[Any]

    def rows(self, first: int, last: int) -> Floats:
        """Rows `first` to `last`, as (rows, dim) of float32."""
        return np.require(self.values[first:last], np.float32, "CA")

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True)
class Quantizer:
    """256 centroids for each part of a row (Jégou et al. 2011)."""

    centroids: list[Floats]
    """One array for each part: (256, values of the part)."""

    def decode(self, codes: npt.NDArray[Any]) -> Floats:
        """Decode rows from their codes, (rows, parts) uint8."""
        return np.concatenate([table[codes[:, part]] for part, table in enumerate(self.centroids)], axis=1)


@dataclass(frozen=True)
class QuantizedMatrix:
    """A matrix with one byte for a few values of a row and, with `norms`, one for its norm."""

    codes: npt.NDArray[Any]
    parts: Quantizer
    norm_codes: npt.NDArray[Any] | None
    norms: Quantizer | None

    def rows(self, first: int, last: int) -> Floats:
        """Rows `first` to `last`, as (rows, dim) of float32."""
        found = self.parts.decode(self.codes[first:last])
        if self.norms is None or self.norm_codes is None:
            return found
        return found * self.norms.decode(self.norm_codes[first:last, None])

    def __len__(self) -> int:
        return len(self.codes)


@dataclass(frozen=True, kw_only=True)
class StoredModel:
    """The contents of a model file that prediction needs."""

    word_ngrams: int
    """Number of words in the longest run that has a row."""
    loss: int
    bucket: int
    """Number of buckets that n-grams are hashed into."""
    shortest: int
    """Characters in the shortest piece of a word that has a row."""
    longest: int
    """Characters in the longest piece; 0 if words have no pieces."""
    text: npt.NDArray[np.uint8]
    """The dictionary's bytes: words, most frequent first, then labels."""
    starts: npt.NDArray[np.int64]
    """Start of each entry of the dictionary in `text`."""
    stops: npt.NDArray[np.int64]
    words: int
    """Number of entries that are words."""
    labels: list[str]
    label_counts: npt.NDArray[np.int64]
    """Number of training examples of each label."""
    kept: npt.NDArray[np.int32] | None
    """Index of each bucket's row after the rows of words, -1 for a pruned bucket; None if the model is not pruned."""
    input: DenseMatrix | QuantizedMatrix
    output: Floats
    """(labels, dim)."""


def read_model(path: Path) -> StoredModel:
    """Read a supervised model; its input matrix stays in the file until rows are requested.

    Raises:
        WatershedError: the file is not a supervised fastText model, or is truncated.
    """
    try:
        return _read(_Reader(path))
    except (struct.error, ValueError, IndexError) as error:
        raise _refused(path, f"no whole fastText model ({error})") from error
    except _Unsupported as error:
        raise _refused(path, str(error)) from error


class _Unsupported(Exception):
    """The file is not a supervised model of a supported version."""


def _refused(path: Path, cause: str) -> WatershedError:
    return WatershedError(f"{path}: {cause}", "name a supervised fastText model (.bin or .ftz), whole as it was saved")


def _read(file: _Reader) -> StoredModel:
    magic, version = file.take("ii")
    if magic != _MAGIC or version > _VERSION:
        raise _Unsupported("not a fastText model of version 12 or before")
    # dim, ws, epoch, minCount, neg, wordNgrams, loss, model, bucket, minn, maxn, lrUpdateRate; t
    _, _, _, _, _, word_ngrams, loss, kind, bucket, shortest, longest, _, _ = file.take("12id")
    if kind != _SUPERVISED:
        raise _Unsupported("word vectors, not a classifier")
    size, words, labels, _, pruned = file.take("iiiqq")
    text, starts, stops, counts = _dictionary(file, size)
    kept = _kept(file, bucket, pruned) if pruned >= 0 else None
    (quantized,) = file.take("?")
    rows = _quantized(file) if quantized else _dense(file)
    (quantized_output,) = file.take("?")
    output = _quantized(file) if quantized and quantized_output else _dense(file)
    hashed = bucket if kept is None else int(kept.max(initial=-1)) + 1
    if len(rows) < words + (hashed if word_ngrams > 1 or longest > 0 else 0) or len(output) < labels:
        raise _Unsupported(f"{len(rows):,} rows of vectors are too few for its dictionary")
    return StoredModel(
        word_ngrams=word_ngrams,
        loss=loss,
        bucket=bucket,
        shortest=shortest,
        longest=0 if version == _WITHOUT_SUBWORDS else longest,
        text=text,
        starts=starts,
        stops=stops,
        words=words,
        labels=[bytes(text[starts[entry] : stops[entry]]).decode() for entry in range(words, words + labels)],
        label_counts=counts[words:],
        kept=kept,
        input=rows,
        output=output.rows(0, labels).copy(),
    )


def _dictionary(
    file: _Reader, size: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The dictionary's bytes, the start and end of each entry in them, and the count of each entry.

    An entry is its bytes, a NUL, its count (int64) and its type (int8); words come before labels.
    """
    begins = file.position
    stops = np.empty(size, np.int64)
    position = begins
    for entry in range(size):
        stop = file.data.find(b"\0", position)
        if stop < 0:
            raise _Unsupported("cut short in its dictionary")
        stops[entry] = stop - begins
        position = stop + 10
    text = file.array("u1", position - begins)
    starts = np.concatenate([[0], stops[:-1] + 10])[:size]
    counts = np.ascontiguousarray(text[(stops + 1)[:, None] + np.arange(8)]).view("<i8").ravel()
    return text, starts, stops, counts


def _kept(file: _Reader, bucket: int, pruned: int) -> npt.NDArray[np.int32]:
    """The row of each bucket, from pairs of (bucket, row)."""
    pairs = file.array("<i4", 2 * pruned).reshape(-1, 2)
    rows = np.full(max(bucket, 1), -1, np.int32)
    rows[pairs[:, 0]] = pairs[:, 1]
    return rows


def _dense(file: _Reader) -> DenseMatrix:
    rows, width = file.take("qq")
    return DenseMatrix(file.array("<f4", rows * width).reshape(rows, width))


def _quantized(file: _Reader) -> QuantizedMatrix:
    has_norms, rows, _, size = file.take("?qqi")
    codes = file.array("u1", size)
    parts = _quantizer(file)
    norm_codes = file.array("u1", rows) if has_norms else None
    norms = _quantizer(file) if has_norms else None
    return QuantizedMatrix(codes.reshape(rows, len(parts.centroids)), parts, norm_codes, norms)


def _quantizer(file: _Reader) -> Quantizer:
    width, parts, size, last_size = file.take("4i")
    values = np.array(file.array("<f4", width * _CENTROIDS), np.float32)
    sizes = [size] * (parts - 1) + [last_size]
    ends = np.cumsum(sizes) * _CENTROIDS
    tables = np.split(values, ends[:-1])
    return Quantizer([table.reshape(_CENTROIDS, part) for table, part in zip(tables, sizes, strict=True)])
