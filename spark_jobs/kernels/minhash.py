"""MinHash signatures of documents, their LSH bands, and the Jaccard similarity of two documents.

A document is represented by the set of its shingles, which are runs of five words. Words are the segments between
Unicode word boundaries that contain a letter or digit (`words`), in lower case. Punctuation, white space and line
breaks therefore do not count, each ideograph is a word, and `__init__` is a word. A document with fewer words has a
single shingle of all its words, so different short documents do not become duplicates.

datatrove and text-dedup also use 5-grams of lower-case words. datatrove removes punctuation and takes spaCy's tokens;
text-dedup splits the text at characters that do not match `\\w`.

Value k of a signature is the minimum of a[k] * x + b[k] modulo 2^32 over the 32-bit hashes x of all shingles, with a[k]
odd (Broder 1997). The share of equal values of two signatures estimates the Jaccard similarity J of the two sets, with
a standard deviation of sqrt(J (1 - J) / permutations).
"""

# ruff: noqa: PLR0917 (a compiled function takes arrays, and these by position)

from __future__ import annotations

import functools
import math

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from spark_jobs.kernels.compiled import entry, inner
from spark_jobs.kernels.hashing import KEY_0, KEY_1, KEY_2, fold, hash_bytes, hash_pair, load64, load_few
from spark_jobs.kernels.inlined import inlined
from spark_jobs.kernels.scratch import scratch
from spark_jobs.kernels.text_buffers import TextArray, text_buffers, validity
from spark_jobs.kernels.unicode_tables import lower_case, properties
from spark_jobs.kernels.words import decode, find_words

SEED = 1
"""Default seed of the permutations and of band hashes. Signatures of different seeds must not be compared."""
PERMUTATIONS = 128
SHINGLE = 5

_GOLDEN = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1
_WORD_SEED = np.uint64(0)
_HIGH_BITS = np.uint64(0x8080808080808080)
_BLOCK = 8


def minhash(
    text: TextArray, *, permutations: int = PERMUTATIONS, shingle: int = SHINGLE, seed: int = SEED
) -> pa.FixedSizeBinaryArray:
    """The MinHash signature of each document.

    Args:
        text: an Arrow array of strings, sliced or not.
        permutations: number of values in a signature.
        shingle: number of words in a shingle.
        seed: seed of the permutations.

    Returns:
        4 x permutations bytes per document: little-endian uint32 values. A signature is null if the text is null or has
        no words, so such documents are similar to no document, not even to each other.
    """
    if permutations < 1 or shingle < 1:
        raise ValueError(f"permutations ({permutations}) and shingle ({shingle}) must be at least 1")
    buffers = text_buffers(text)
    factors, offsets = _permutations(permutations, seed)
    signatures = np.full((len(buffers), permutations), 0xFFFFFFFF, np.uint32)
    found = np.zeros(len(buffers), np.bool_)
    room = scratch(buffers.longest)
    weights = _weights(shingle)
    for data, starts, first, last in buffers.parts():
        _minhash(
            data, starts, first, last, buffers.valid, properties(), lower_case(), weights, factors, offsets,
            room, signatures, found,
        )  # fmt: skip
    return _fixed_size_binary(signatures, found)


def bands(signatures: pa.Array, bands: int, rows: int, *, seed: int = SEED) -> pa.FixedSizeListArray:
    """The LSH keys of each signature. Two documents are a candidate pair if they have a key in common.

    Args:
        signatures: fixed-size or plain binary, as `minhash` returns them.
        bands: number of keys per document.
        rows: number of signature values in a key; the first bands x rows values are used.
        seed: seed of the keys.

    Returns:
        a list of `bands` int64 per document; null where the signature is null. The number of the band is also
        hashed, so keys of different bands are not equal.

    Raises:
        ValueError: the signatures have fewer than bands x rows values.
    """
    values, valid = signature_values(signatures)
    if bands < 1 or rows < 1 or (valid.any() and bands * rows > values.shape[1]):
        raise ValueError(f"{bands} bands of {rows} rows do not fit in signatures of {values.shape[1]} values")
    if not valid.any():
        return pa.nulls(len(values), pa.list_(pa.int64(), bands))
    keys = np.zeros((len(values), bands), np.int64)
    _bands(values, np.uint64(seed & _MASK), bands, rows, keys)
    mask = pa.array(~valid) if not valid.all() else None
    return pa.FixedSizeListArray.from_arrays(pa.array(keys.ravel()), bands, mask=mask)


def jaccard(left: pa.Array, right: pa.Array) -> pa.DoubleArray:
    """The estimated Jaccard similarity of each pair of signatures: the share of equal values; null if one is null."""
    left_values, left_valid = signature_values(left)
    right_values, right_valid = signature_values(right)
    valid = left_valid & right_valid
    if not valid.any():
        return pa.nulls(len(valid), pa.float64())
    if left_values.shape != right_values.shape:
        raise ValueError(f"signatures of {left_values.shape[1]} values do not compare with {right_values.shape[1]}")
    return pa.array((left_values == right_values).mean(axis=1), mask=~valid)


@functools.cache
def optimal_bands(
    threshold: float, permutations: int = PERMUTATIONS, *, false_positive_weight: float = 0.5
) -> tuple[int, int]:
    """The numbers of bands and rows that best separate pairs above a Jaccard threshold from pairs below it.

    A pair of similarity s becomes a candidate with probability 1 - (1 - s^rows)^bands. The result minimises the
    weighted sum of two integrals: this probability below the threshold (false positives), and its complement above the
    threshold (false negatives). datasketch does the same, with the same quadrature (datasketch/lsh.py).

    Args:
        threshold: similarity, between 0 and 1.
        permutations: number of values in a signature; bands x rows is at most this.
        false_positive_weight: weight of the first integral; the second has the weight 1 - false_positive_weight.
    """
    if not 0 < threshold < 1:
        raise ValueError(f"threshold {threshold} is not between 0 and 1")
    # SciPy is slow to import, and only the driver needs it.
    from scipy.integrate import quad

    def error(bands: int, rows: int) -> float:
        false_positives, _ = quad(lambda s: 1 - (1 - s**rows) ** bands, 0, threshold)
        false_negatives, _ = quad(lambda s: (1 - s**rows) ** bands, threshold, 1)
        return false_positives * false_positive_weight + false_negatives * (1 - false_positive_weight)

    choices = [(bands, rows) for bands in range(1, permutations + 1) for rows in range(1, permutations // bands + 1)]
    return min(choices, key=lambda choice: error(*choice))


@functools.cache
def recall_bands(threshold: float, recall: float, permutations: int = PERMUTATIONS) -> tuple[int, int]:
    """The numbers of bands and rows that find a pair at the threshold with a probability of at least `recall`.

    Among all choices that do, the result has the most rows, because these admit the fewest pairs below the threshold,
    and then the fewest bands.

    Raises:
        ValueError: no choice with this number of permutations reaches the recall.
    """
    if not 0 < threshold < 1 or not 0 < recall < 1:
        raise ValueError(f"threshold {threshold} and recall {recall} are not both between 0 and 1")
    for rows in range(permutations, 0, -1):
        bands = max(1, math.ceil(math.log1p(-recall) / math.log1p(-(threshold**rows))))
        if bands * rows <= permutations:
            return bands, rows
    raise ValueError(f"{permutations} permutations do not find {recall:.0%} of the pairs at {threshold}")


def shingles(text: TextArray, *, shingle: int = SHINGLE) -> pa.ListArray:
    """The set of each document's shingles, as 32-bit hashes in ascending order.

    The hashes are those that `minhash` uses. As in `minhash`, a set is null if the text is null or has no words.
    """
    buffers = text_buffers(text)
    room, weights = scratch(buffers.longest), _weights(shingle)
    counts = np.zeros(len(buffers), np.int64)
    # Two words take at least three bytes.
    hashes = np.empty(int(buffers.offsets[-1] - buffers.offsets[0]) // 2 + 2 * len(buffers), np.uint64)
    size = 0
    for data, starts, first, last in buffers.parts():
        size = _shingle_sets(
            data, starts, first, last, buffers.valid, properties(), lower_case(), weights, room, hashes, size, counts
        )
    # The upper half of a value is the document and the lower half the hash, so one sort orders all sets.
    members = np.sort(hashes[:size])
    members = members[np.concatenate([[True], members[1:] != members[:-1]])[:size]]
    ends = np.searchsorted(members, np.arange(1, len(buffers) + 1, dtype=np.uint64) << np.uint64(32))
    offsets = np.concatenate([[0], ends]).astype(np.int32)
    values = pa.array((members & np.uint64(0xFFFFFFFF)).astype(np.uint32))
    return pa.ListArray.from_arrays(pa.array(offsets), values, mask=pa.array(counts == 0))


def signature_values(signatures: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Signatures as a uint32 matrix with one row per document (zeros if null), and whether each one is not null.

    The matrix has no columns if all signatures are null and their type has no fixed size.
    """
    if isinstance(signatures, pa.ChunkedArray):
        signatures = signatures.combine_chunks()
    valid = validity(signatures)
    if pa.types.is_fixed_size_binary(signatures.type):
        width = signatures.type.byte_width
    else:
        widths = set(np.unique(pc.call_function("binary_length", [signatures.drop_null()]).to_numpy()).tolist())
        if len(widths) > 1:
            raise ValueError(f"signatures of different sizes: {sorted(widths)} bytes")
        width = widths.pop() if widths else 0
        signatures = signatures.cast(pa.binary(width)) if width else signatures
    values = np.zeros((len(signatures), width // 4), np.uint32)
    if width:
        data = np.frombuffer(signatures.buffers()[1], "<u4")
        first = signatures.offset * width // 4
        values[:] = data[first : first + values.size].reshape(values.shape)
        values[~valid] = 0
    return values, valid


@functools.cache
def _permutations(permutations: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Odd factors and offsets, uint32, from splitmix64 of the seed, so they do not depend on a library's generator."""
    numbers = [_splitmix64(seed, index) for index in range(permutations)]
    factors = np.array([number >> 32 | 1 for number in numbers], np.uint32)
    offsets = np.array([number & 0xFFFFFFFF for number in numbers], np.uint32)
    return factors, offsets


def _weights(shingle: int) -> np.ndarray:
    """Odd 64-bit weights of the words in a shingle, one for each position."""
    return np.array([_splitmix64(0, index) | 1 for index in range(shingle)], np.uint64)


def _splitmix64(seed: int, index: int) -> int:
    """Output number `index` of the generator splitmix64 (Steele, Lea and Flood 2014)."""
    state = (seed + (index + 1) * _GOLDEN) & _MASK
    state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    state = (state ^ state >> 27) * 0x94D049BB133111EB & _MASK
    return state ^ state >> 31


def _fixed_size_binary(signatures: np.ndarray, valid: np.ndarray) -> pa.FixedSizeBinaryArray:
    type_ = pa.binary(4 * signatures.shape[1])
    validity = None if valid.all() else pa.py_buffer(np.packbits(valid, bitorder="little"))
    return pa.Array.from_buffers(type_, len(signatures), [validity, pa.py_buffer(signatures.astype("<u4", copy=False))])


@entry
def _minhash(
    data, offsets, first, last, valid, properties, lower, weights, factors, addends, room, signatures, found
):  # fmt: skip
    for document in range(first, last):
        if not valid[document]:
            continue
        start, end = offsets[document], offsets[document + 1]
        words = find_words(data, start, end, properties, True, room)
        if words == 0:
            continue
        found[document] = True
        for word in range(words):
            room.hashes[word] = hash_lower(data, start + room.starts[word], start + room.stops[word], lower, room.marks)
        shingles = _shingles(words, weights, room)
        _lower_minima(shingles, room.grams, factors, addends, signatures[document])


@entry
def _shingle_sets(data, offsets, first, last, valid, properties, lower, weights, room, hashes, size, counts):
    for document in range(first, last):
        if not valid[document]:
            continue
        start, end = offsets[document], offsets[document + 1]
        words = find_words(data, start, end, properties, True, room)
        if words == 0:
            continue
        for word in range(words):
            room.hashes[word] = hash_lower(data, start + room.starts[word], start + room.stops[word], lower, room.marks)
        counts[document] = words - min(words, len(weights)) + 1
        _shingles(words, weights, room)
        for i in range(counts[document]):
            hashes[size] = np.uint64(document) << np.uint64(32) | room.grams[i]
            size += 1
    return size


@inner
def _lower64(letters):
    """Convert eight ASCII bytes to lower case."""
    above_at = letters + np.uint64(0x3F3F3F3F3F3F3F3F)
    above_z = letters + np.uint64(0x2525252525252525)
    return letters | (((above_at & ~above_z) & _HIGH_BITS) >> np.uint64(2))


@inlined
def hash_lower(data, start, stop, lower, spare):
    """The result of `hash_bytes` for the UTF-8 of `data[start:stop]` in lower case."""
    state = _WORD_SEED ^ KEY_0
    seen = np.uint64(0)
    position = start
    while stop - position >= 16:
        left, right = load64(data, position), load64(data, position + 8)
        seen |= left | right
        state = fold(state ^ _lower64(left), KEY_1 ^ _lower64(right))
        position += 16
    left = load_few(data, position, stop - position)
    right = load_few(data, position + 8, stop - position - 8)
    if (seen | left | right) & _HIGH_BITS:
        return hash_bytes(spare, 0, _write_lower(data, start, stop, lower, spare), _WORD_SEED)
    state = fold(state ^ _lower64(left), KEY_1 ^ _lower64(right))
    return fold(state ^ np.uint64(stop - start), KEY_2)


@inner
def _write_lower(data, start, stop, lower, written):
    """Write the UTF-8 of `data[start:stop]` in lower case, one character for each; return the number of bytes."""
    position, size = start, 0
    while position < stop:
        code_point, width = decode(data, position, stop)
        letter = lower[code_point]
        if letter < 0x80:
            written[size] = letter
            size += 1
        elif letter < 0x800:
            written[size] = 0xC0 | letter >> 6
            written[size + 1] = 0x80 | letter & 0x3F
            size += 2
        elif letter < 0x10000:
            written[size] = 0xE0 | letter >> 12
            written[size + 1] = 0x80 | letter >> 6 & 0x3F
            written[size + 2] = 0x80 | letter & 0x3F
            size += 3
        else:
            written[size] = 0xF0 | letter >> 18
            written[size + 1] = 0x80 | letter >> 12 & 0x3F
            written[size + 2] = 0x80 | letter >> 6 & 0x3F
            written[size + 3] = 0x80 | letter & 0x3F
            size += 4
        position += width
    return size


@inlined
def _shingles(words, weights, room):
    """Write the 32-bit hash of each shingle to `room.grams`; return their number, rounded up to a multiple of 8."""
    width = min(words, len(weights))
    count = words - width + 1
    for i in range(count):
        total = np.uint64(0)
        for j in range(width):
            total += room.hashes[i + j] * weights[j]
        room.grams[i] = fold(total ^ KEY_0, KEY_2) & np.uint64(0xFFFFFFFF)
    # Minima are taken over eight hashes at a time; a repeated hash does not change a minimum.
    while count % _BLOCK:
        room.grams[count] = room.grams[count - 1]
        count += 1
    return count


@inlined
def _lower_minima(shingles, hashes, factors, addends, signature):
    """Lower each value of the signature to the minimum of its permutation over all shingles."""
    for i in range(0, shingles, _BLOCK):
        x0, x1 = np.uint32(hashes[i]), np.uint32(hashes[i + 1])
        x2, x3 = np.uint32(hashes[i + 2]), np.uint32(hashes[i + 3])
        x4, x5 = np.uint32(hashes[i + 4]), np.uint32(hashes[i + 5])
        x6, x7 = np.uint32(hashes[i + 6]), np.uint32(hashes[i + 7])
        for k in range(len(signature)):
            a, b = factors[k], addends[k]
            low = min(signature[k], np.uint32(a * x0 + b), np.uint32(a * x1 + b))
            low = min(low, np.uint32(a * x2 + b), np.uint32(a * x3 + b))
            low = min(low, np.uint32(a * x4 + b), np.uint32(a * x5 + b))
            signature[k] = min(low, np.uint32(a * x6 + b), np.uint32(a * x7 + b))


@entry
def _bands(values, seed, bands, rows, keys):
    for document in range(len(values)):
        for band in range(bands):
            key = hash_pair(seed, np.uint64(band))
            for row in range(band * rows, (band + 1) * rows):
                key = hash_pair(key, np.uint64(values[document, row]))
            keys[document, band] = np.int64(key)
