"""fastText's classification of documents: the labels of facebookresearch/fastText, and its probabilities to 1e-5.

A line of text is a bag of rows of the input matrix: one for each word of the dictionary, one for the hash of each run
of words, and one for the hash of each piece of a word. Their mean is multiplied by the output matrix
(src/dictionary.cc, `getLine`; src/model.cc, `computeHidden`; src/loss.cc). Three optimisations change nothing but the
order of floating-point sums:

- a softmax of two labels needs only the difference of two products, so each row is folded into one number;
- the rows of a word and its pieces are summed once, when the model is loaded;
- the result for a word is cached by a 64-bit hash until another word needs its slot.
"""

# ruff: noqa: PLR0917 (a compiled function takes arrays, and these by position)

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from spark_jobs.kernels.blocks import between64, equal64, find_byte, first_one, low_bits
from spark_jobs.kernels.compiled import entry, inner
from spark_jobs.kernels.fasttext.format import HIERARCHICAL, SOFTMAX, StoredModel, read_model
from spark_jobs.kernels.fasttext.labels import LOG_FLOOR, best_labels, huffman_tree
from spark_jobs.kernels.fasttext.words import (
    LANES,
    LAST,
    LINE_END,
    LINE_END_HASH,
    PASSED_OVER,
    WORD,
    Tables,
    add_row,
    add_rows,
    find_word,
    index_words,
    key_of,
    learn,
    note,
    room_for,
)
from spark_jobs.kernels.inlined import inlined
from spark_jobs.kernels.text_buffers import BLOCK, TextArray, TextBuffers, text_buffers

_RUN_FACTOR = np.uint64(116049371)
"""Factor of the hash of a run of words before the next word's hash is added."""
_ROWS_AT_ONCE = 1 << 16
"""Number of matrix rows that are read from the file at a time."""
_NONE, _ONE = np.uint64(0), np.uint64(1)
_NUL, _SPACE, _NEWLINE = (np.uint8(ord(character)) for character in "\0 \n")


class Model:
    """A supervised model. It is read-only, so threads may share it."""

    labels: list[str]
    """Labels as given in training, `__label__` included."""

    def __init__(self, stored: StoredModel) -> None:
        self.labels = stored.labels
        self._loss = stored.loss
        self._output = stored.output
        self._folded = stored.loss == SOFTMAX and len(stored.labels) == 2
        fold = (stored.output[1].astype(np.float64) - stored.output[0])[:, None] if self._folded else None
        self._tables = _tables(stored, fold)
        self._tree = huffman_tree(stored.label_counts) if stored.loss == HIERARCHICAL else np.zeros((1, 2), np.int32)

    def predict(self, text: TextArray, *, joined: bool = False) -> tuple[pa.StringArray, pa.FloatArray]:
        """The best label of each text and its probability, as fastText reports them.

        Args:
            text: an Arrow array of strings, sliced or not.
            joined: read the whole text, with every line break of `str.splitlines` read as a space. Otherwise read up
                to the first newline, as fastText does.

        Returns:
            labels, and probabilities as float32: up to 1.00001, as fastText adds 0.00001. Both are null if the text is
            null, and if the text has no word that the model knows and the model does not know line ends.
        """
        buffers = text_buffers(text)
        totals, sizes = self._bags(buffers, joined)
        best, probabilities = np.zeros(len(buffers), np.int32), np.zeros(len(buffers), np.float32)
        if self._folded:
            second = _second_of_two(totals, sizes)
            # fastText takes the last one of equal labels.
            best[:] = second >= 0.5
            probabilities[:] = _reported(np.maximum(second, 1 - second))
        else:
            outputs = np.zeros(max(len(self._output), 1), np.float32)
            stack = np.zeros(2 * len(outputs) + 2, np.int32)
            scores = np.zeros(len(stack), np.float32)
            best_labels(
                totals, sizes, self._output, self._loss, self._tree, outputs, stack, scores, best, probabilities
            )
        unknown = sizes == 0
        indices = pa.array(best, mask=unknown)
        return pa.array(self.labels, pa.string()).take(indices), pa.array(probabilities, mask=unknown)

    def probability(self, text: TextArray, label: str, *, joined: bool = False) -> pa.FloatArray:
        """The probability of one of two labels that fastText reports for each text; null where `predict` is null.

        Raises:
            ValueError: the model is not a softmax of two labels, or does not know the label.
        """
        if not self._folded:
            raise ValueError(f"expected a softmax of two labels, found a model of {len(self.labels)}")
        second = _second_of_two(*(bags := self._bags(text_buffers(text), joined)))
        return pa.array(_reported(second if self.labels.index(label) else 1 - second), mask=bags[1] == 0)

    def _bags(self, buffers: TextBuffers, joined: bool) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """The sum of the rows of each text, (texts, width), and the number of those rows."""
        width = self._tables.width
        totals, sizes = np.zeros(len(buffers) * width), np.zeros(len(buffers), np.int64)
        room = room_for(width, self._tables.longest, buffers.longest)
        for data, offsets, first, last in buffers.parts():
            _sum_rows(data, offsets, first, last, buffers.valid, joined, self._tables, room, totals, sizes)
        return totals.reshape(-1, width), sizes


def load(path: Path) -> Model:
    """Load the model in a .bin or .ftz file.

    Raises:
        WatershedError: the file is not a supervised fastText model, or is truncated.
    """
    return Model(read_model(path))


def _second_of_two(totals: npt.NDArray[np.float64], sizes: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Probability of the second of two labels."""
    difference = totals[:, 0] / np.maximum(sizes, 1)
    # An overflow means a probability of zero.
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-difference))


def _reported(probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    return (probabilities + LOG_FLOOR).astype(np.float32)


def _tables(stored: StoredModel, fold: npt.NDArray[np.float64] | None) -> Tables:
    count = len(stored.input)
    dim = stored.output.shape[1] if fold is None else 1
    width = 1 if fold is not None else -(-dim // LANES) * LANES
    # One more row, of zeros.
    rows = np.zeros((count + 1, width), np.float32)
    for first in range(0, count, _ROWS_AT_ONCE):
        part = stored.input.rows(first, min(first + _ROWS_AT_ONCE, count))
        rows[first : first + len(part), :dim] = part if fold is None else part @ fold
    buckets = max(stored.bucket, 1)
    entries = len(stored.starts)
    has_row = np.zeros(-(-buckets // 64) * 64, np.bool_)
    has_row[:buckets] = stored.kept is not None and stored.kept >= 0
    kept = np.packbits(has_row, bitorder="little").view(np.uint64)
    tables = Tables(
        words=np.zeros(1 << (2 * entries).bit_length(), WORD),
        sums=rows[: stored.words].ravel(),
        rows=rows[stored.words :].ravel() if stored.kept is None else _in_order(rows[stored.words :], stored.kept),
        kept=kept,
        kept_before=np.concatenate([[0], np.cumsum(np.bitwise_count(kept))[:-1]]).astype(np.int32),
        pruned=stored.kept is not None,
        width=width,
        line_end=_line_end(stored),
        buckets=np.uint64(buckets),
        inverse=np.uint64(((1 << 64) - 1) // buckets),
        shortest=stored.shortest,
        longest=stored.longest,
        word_ngrams=stored.word_ngrams,
    )
    text = np.concatenate([stored.text, np.zeros(BLOCK, np.uint8)])
    room = room_for(width, stored.longest, int((stored.stops - stored.starts).max(initial=0)))
    index_words(text, np.require(stored.starts, np.int64, "C"), stored.stops, tables, room)
    return tables


def _in_order(rows: npt.NDArray[np.float32], kept: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
    """Rows in the order of their buckets, followed by a row of zeros."""
    return rows[np.append(kept[kept >= 0], len(rows) - 1)].ravel()


def _line_end(stored: StoredModel) -> int:
    size = len(LINE_END)
    (as_long,) = np.nonzero(stored.stops[: stored.words] - stored.starts[: stored.words] == size)
    spelt = stored.text[stored.starts[as_long][:, None] + np.arange(size)]
    return int(max(as_long[(spelt == LINE_END).all(axis=1)], default=-1))


@inlined
def _add_words(data, start, tokens, tables, room, totals, document):
    """Add the rows of tokens, up to one that ends the line, and record the hashes of the tokens that are words.

    Returns:
        the number of rows, the number of words, and whether the line ended.
    """
    known, met, starts, stops, keys, hashes = tables.words, room.met, room.starts, room.stops, room.keys, room.hashes
    width, has_pieces = tables.width, tables.longest > 0
    for token in range(tokens):
        keys[token] = key_of(data, start + starts[token], start + stops[token])
    rows, count, only, ended = 0, 0, 0.0, False
    for token in range(tokens):
        word = known[find_word(keys[token], known)]
        in_dictionary = word.key != _NONE
        if not in_dictionary:
            first, behind = start + starts[token], start + stops[token]
            if has_pieces:
                place = np.int64(keys[token] >> _ONE) & (len(met) - 1)
                if met[place].key != keys[token]:
                    learn(data, first, behind, keys[token], place, tables, room)
            else:
                # Such a word has only a hash to cache.
                place = 0
                note(data, first, behind, met[place])
            word = met[place]
        if word.kind == PASSED_OVER:
            continue
        rows += word.rows
        if width == 1:
            only += word.sum
        else:
            add_row(totals, document, tables.sums if in_dictionary else room.sums, np.int64(word.place), width)
        # fastText widens the hash as a signed number.
        hashes[count] = np.uint64(np.int64(np.int32(word.hash)))
        count += 1
        if word.kind == LAST:
            ended = True
            break
    if width == 1:
        totals[document] += only
    return rows, count, ended


@inlined
def _add_runs(words, tables, room, totals, document):
    """Add the rows of the runs of two or more words; return the number of rows."""
    count = 0
    for i in range(words):
        room.runs[i] = room.hashes[i]
    for size in range(1, min(tables.word_ngrams, words)):
        for i in range(words - size):
            room.runs[i] = room.runs[i] * _RUN_FACTOR + room.hashes[i + size]
        count += add_rows(room.runs, words - size, tables, room.places, totals, document)
    return count


@inner
def _separators(data, position, joined):
    """A mask of the bytes, among 64, that end a token: fastText's separators and, if joined, Python's line breaks."""
    found = between64(data, position, np.uint8(0x09), np.uint8(0x0D)) | equal64(data, position, _SPACE)
    found |= equal64(data, position, _NUL)
    if joined:
        found |= between64(data, position, np.uint8(0x1C), np.uint8(0x1E))
        leads = equal64(data, position, np.uint8(0xC2)) | equal64(data, position, np.uint8(0xE2))
        while leads:
            bit = first_one(leads)
            lead, second, third = data[position + bit], data[position + bit + 1], data[position + bit + 2]
            # U+0085, U+2028 and U+2029.
            if lead == 0xC2 and second == 0x85:
                found |= np.uint64(3) << np.uint64(bit)
            elif lead == 0xE2 and second == 0x80 and third in (0xA8, 0xA9):
                found |= np.uint64(7) << np.uint64(bit)
            leads &= leads - _ONE
    return found


@inner
def _find_tokens(data, start, end, joined, starts, stops):
    """Find the tokens between separators; return their number."""
    begun = ended = 0
    inside = np.uint64(0)
    position = start
    while position < end:
        # Only the first byte of a separator is searched for, so a block ends with a whole character.
        size = min(end - position, 64)
        while position + size < end and (data[position + size] & 0xC0) == 0x80:
            size -= 1
        solid = ~_separators(data, position, joined) & low_bits(size)
        before = solid << _ONE | inside
        inside = (solid >> np.uint64(size - 1)) & _ONE
        begins, ends = solid & ~before, before & ~solid & low_bits(size)
        while begins:
            starts[begun] = position + first_one(begins) - start
            begun += 1
            begins &= begins - _ONE
        while ends:
            stops[ended] = position + first_one(ends) - start
            ended += 1
            ends &= ends - _ONE
        position += size
    if begun > ended:
        stops[ended] = end - start
    return begun


@inlined
def _sum_line(data, start, end, joined, tables, room, totals, document):
    """Add the rows of a line, its end included; return their number."""
    tokens = _find_tokens(data, start, end, joined, room.starts, room.stops)
    rows, words, ended = _add_words(data, start, tokens, tables, room, totals, document)
    if not ended:
        room.hashes[words] = LINE_END_HASH
        words += 1
        if tables.line_end >= 0:
            rows += 1
            add_row(totals, document, tables.sums, tables.line_end, tables.width)
    return rows + _add_runs(words, tables, room, totals, document)


@entry
def _sum_rows(data, offsets, first, last, valid, joined, tables, room, totals, sizes):
    for document in range(first, last):
        if valid[document]:
            start, end = offsets[document], offsets[document + 1]
            if not joined:
                end = find_byte(data, start, end, _NEWLINE)
            sizes[document] = _sum_line(data, start, end, joined, tables, room, totals, document)
