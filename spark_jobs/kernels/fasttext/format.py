"""Models as fastText stores them: supervised, whole (.bin) or quantised (.ftz).

The format is that of facebookresearch/fastText, version 12, little-endian and unaligned (src/args.cc, dictionary.cc,
densematrix.cc, quantmatrix.cc, productquantizer.cc): settings, dictionary, input matrix, output matrix. The input
matrix has a row for each word and behind them a row for each bucket of hashed n-grams, or for those buckets that
pruning left.
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
"""fastText's numbers of the losses that can be predicted with; 2 is negative sampling, which predicts as 4 does."""

_MAGIC = 793712314
_VERSION = 12
_WITHOUT_SUBWORDS = 11
"""The version whose supervised models have no character n-grams, whatever their settings say."""
_SUPERVISED = 3
_CENTROIDS = 256


class _Reader:
    """A place in a mapped file. What is read is a view: it may be unaligned, and pages are loaded when touched."""

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
    """float32 as it is."""

    values: npt.NDArray[Any]

    def rows(self, first: int, last: int) -> Floats:
        return np.require(self.values[first:last], np.float32, "CA")

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True)
class Quantizer:
    """256 centroids for each part of a row (Jégou et al. 2011)."""

    centroids: list[Floats]
    """A part each: (256, values of the part)."""

    def decode(self, codes: npt.NDArray[Any]) -> Floats:
        """Rows from their codes, (rows, parts) uint8."""
        return np.concatenate([table[codes[:, part]] for part, table in enumerate(self.centroids)], axis=1)


@dataclass(frozen=True)
class QuantizedMatrix:
    """A byte for a few values of a row, and if `norms` one for its length."""

    codes: npt.NDArray[Any]
    parts: Quantizer
    norm_codes: npt.NDArray[Any] | None
    norms: Quantizer | None

    def rows(self, first: int, last: int) -> Floats:
        found = self.parts.decode(self.codes[first:last])
        if self.norms is None or self.norm_codes is None:
            return found
        return found * self.norms.decode(self.norm_codes[first:last, None])

    def __len__(self) -> int:
        return len(self.codes)


@dataclass(frozen=True, kw_only=True)
class StoredModel:
    """What a file holds, as far as prediction needs it."""

    word_ngrams: int
    """Longest run of words that has a row."""
    loss: int
    bucket: int
    """Into how many buckets n-grams are hashed."""
    shortest: int
    """Characters of the shortest piece of a word that has a row."""
    longest: int
    """Of the longest; 0 where words have no pieces."""
    text: npt.NDArray[np.uint8]
    """The dictionary's bytes: words, most frequent first, then labels."""
    starts: npt.NDArray[np.int64]
    """Where each entry of the dictionary begins in `text`."""
    stops: npt.NDArray[np.int64]
    words: int
    """Entries that are words."""
    labels: list[str]
    label_counts: npt.NDArray[np.int64]
    """Training examples of each label."""
    kept: npt.NDArray[np.int32] | None
    """The row of each bucket behind the rows of words, -1 where it was pruned; None if none was."""
    input: DenseMatrix | QuantizedMatrix
    output: Floats
    """(labels, dim)."""


def read_model(path: Path) -> StoredModel:
    """Read a supervised model; its input matrix stays in the file until rows are asked for.

    Raises:
        WatershedError: the file is no supervised model of fastText, or is cut short.
    """
    try:
        return _read(_Reader(path))
    except (struct.error, ValueError, IndexError) as error:
        raise _refused(path, f"no whole fastText model ({error})") from error
    except _Unsupported as error:
        raise _refused(path, str(error)) from error


class _Unsupported(Exception):
    """A file that is no supervised model of this version."""


def _refused(path: Path, said: str) -> WatershedError:
    return WatershedError(f"{path}: {said}", "name a supervised fastText model (.bin or .ftz), whole as it was saved")


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
    """Bytes, where entries begin and end in them, and how often each was seen.

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
    """Rows by bucket, from pairs of (bucket, row)."""
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
