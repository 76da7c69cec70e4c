"""The shards of a mixture: every occurrence of a document in the order of a hash, cut into sequences, a tar a shard.

Each occurrence has a 64-bit key, a hash of seed, document and number of the occurrence, and a shard is a range of keys.
So neither the order of rows nor that of files changes a byte.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from catalog.errors import WatershedError
from catalog.progress import track
from spark_jobs.hash_order import hash_number
from spark_jobs.mixtures.candidates import Candidates
from spark_jobs.shards.plan import BIN_DIGITS, SPLITS, plan_shards
from spark_jobs.shards.publish import write_description, write_manifests
from spark_jobs.shards.vocabulary import Vocabulary
from spark_jobs.shards.writer import ShardRecipe, ShardWriter, lay_out

BIN_SHIFT = np.uint64(64 - 4 * BIN_DIGITS)


@dataclass(frozen=True)
class Occurrences:
    """Every time that a pass over a split reads a document, in the order of keys."""

    key: NDArray[np.uint64]
    source: NDArray[np.int16]
    place: NDArray[np.int64]
    """Of the document in its source."""


def occurrences(
    sources: Sequence[Candidates], repeats: Sequence[NDArray[np.int64]], seed: int, *, heldout: bool
) -> Occurrences:
    """The occurrences of one split."""
    keys: list[int] = []
    owners: list[NDArray[np.int16]] = []
    places: list[NDArray[np.int64]] = []
    for number, (source, times) in enumerate(zip(sources, repeats, strict=True)):
        chosen = (times > 0) & (source.heldout == heldout)
        here = np.flatnonzero(chosen)
        for doc_id, often in zip(source.doc_ids(chosen), times[here].tolist(), strict=True):
            keys += [hash_number(seed, "shards", doc_id, copy) for copy in range(often)]
        owners.append(np.full(int(times[here].sum()), number, np.int16))
        places.append(np.repeat(here, times[here]))
    key, owner, place = np.array(keys, np.uint64), np.concatenate(owners), np.concatenate(places)
    order = np.lexsort((place, owner, key))
    return Occurrences(key[order], owner[order], place[order])


def write_shards(  # noqa: PLR0917
    folder: Path,
    sources: Sequence[Candidates],
    repeats: Sequence[NDArray[np.int64]],
    recipe: ShardRecipe,
    vocabulary: Vocabulary,
    fingerprint: str,
) -> list[dict[str, Any]]:
    """Write the data set into `folder`; returns the note of each shard. Finished shards are not written again.

    Raises:
        WatershedError: a split fills no sequence.
    """
    writer = ShardWriter(folder, vocabulary.path, recipe)
    notes: list[dict[str, Any]] = []
    write_description(folder, vocabulary.path, recipe, fingerprint, vocabulary.size, vocabulary.eot)
    for split in SPLITS:
        found = occurrences(sources, repeats, recipe.seed, heldout=split == "heldout")
        bins = (found.key >> BIN_SHIFT).astype(np.int64)
        sizes = np.empty(len(bins), np.int64)
        for number, source in enumerate(sources):
            own = found.source == number
            sizes[own] = source.tokens[found.place[own]]
        held, inverse = np.unique(bins, return_inverse=True)
        counted = np.bincount(inverse, sizes, len(held)).astype(np.int64)
        table = pa.table({"split": pa.array([split] * len(held), pa.string()), "bin": held, "bytes": counted})
        plan = plan_shards(table, recipe.shard_tokens)
        numbers, last = plan["shard"].to_numpy(), plan["bin"].to_numpy()
        with track(f"writing {split} shards", len(np.unique(numbers)), "shards") as task:
            start = 0
            for number in np.unique(numbers).tolist():
                stop = int(np.searchsorted(bins, last[numbers == number][-1], side="right"))
                notes.append(_shard(writer, split, number, sources, found, slice(start, stop), vocabulary))
                start = stop
                task.advance()
        if not any(note["line"]["num_sequences"] for note in notes if note["line"]["split"] == split):
            raise WatershedError(
                f"the {split} text of the mixture has {int(sizes.sum()):,} tokens, which fill no sequence of "
                f"{recipe.sequence_length} + 1",
                "add documents, shorten `sequence_length`, or change `heldout` of the recipe",
            )
    filled = [note for note in notes if note["line"]["num_sequences"]]
    write_manifests(folder, filled)
    return filled


def _shard(  # noqa: PLR0917
    writer: ShardWriter,
    split: str,
    number: int,
    sources: Sequence[Candidates],
    found: Occurrences,
    part: slice,
    vocabulary: Vocabulary,
) -> dict[str, Any]:
    if writer.is_finished(split, number):
        return writer.read_note(split, number)
    owner, place = found.source[part], found.place[part]
    ids: list[Any] = [None] * len(owner)
    doc_ids = [""] * len(owner)
    text_bytes = np.empty(len(owner), np.int64)
    for at, source in enumerate(sources):
        own = np.flatnonzero(owner == at)
        wanted, inverse = np.unique(place[own], return_inverse=True)
        chosen = np.zeros(len(source.fate), np.bool_)
        chosen[wanted] = True
        tokens, names = source.tokens_at(wanted), source.doc_ids(chosen)
        text_bytes[own] = source.text_bytes[place[own]]
        for row, which in zip(own.tolist(), inverse.tolist(), strict=True):
            ids[row], doc_ids[row] = tokens[which], names[which]
    names = [sources[at].name for at in owner.tolist()]
    stream = lay_out(doc_ids, names, ids, writer.recipe.sequence_length, vocabulary.dtype, vocabulary.eot)
    return writer.keep(split, number, stream, _bytes_of(stream.spans, text_bytes, ids, stream.sequences, vocabulary))


def _bytes_of(
    spans: pa.Table, text_bytes: NDArray[np.int64], ids: Sequence[Any], sequences: Any, vocabulary: Vocabulary
) -> int:
    """UTF-8 bytes of the text that sequences stand for."""
    if vocabulary.bytes_of_ids is not None:
        return int(vocabulary.bytes_of_ids[sequences].sum())
    # A document that the shard's end cuts counts by its share of tokens.
    held = spans["stop"].to_numpy() - spans["start"].to_numpy()
    whole = np.array([len(each) + 1 for each in ids[: len(held)]], np.int64)
    return int((text_bytes[: len(held)] * np.minimum(1.0, held / np.maximum(1, whole - 1))).sum())
