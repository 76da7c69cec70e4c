"""What stands beside the shards of a data set: tokenizer, description, manifests, and rows of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from catalog.files import write_whole
from catalog.lake import Lake
from spark_jobs.shards.format import TOKENIZER, parse_line, write_dataset, write_manifest
from spark_jobs.shards.plan import SPLITS
from spark_jobs.shards.writer import ShardRecipe


def write_description(  # noqa: PLR0917 - all of a data set
    folder: Path, tokenizer: Path, recipe: ShardRecipe, fingerprint: str, vocab_size: int, eot: int
) -> None:
    """Write the tokenizer and the description of a data set into its folder."""
    write_whole(folder / TOKENIZER, tokenizer.read_bytes())
    write_dataset(
        folder,
        fingerprint=fingerprint,
        vocab_size=vocab_size,
        sequence_length=recipe.sequence_length,
        eot=eot,
        seed=recipe.seed,
    )


def write_manifests(folder: Path, notes: Sequence[Mapping[str, Any]]) -> None:
    """Write the manifest of each split from the notes of its shards. A data set without them is not whole."""
    lines = [parse_line(note["line"]) for note in notes]
    for split in SPLITS:
        write_manifest(folder / split, [line for line in lines if line.split == split])


def shard_row(note: Mapping[str, Any], folder: Path, lake: Lake, fingerprint: str) -> dict[str, Any]:
    """The row of a shard with this note in a table of shards (`catalog/shards.py`).

    Args:
        note: the note of the shard.
        folder: the folder of its data set.
        lake: the lake.
        fingerprint: of the data set.
    """
    line = parse_line(note["line"])
    return {
        "split": line.split,
        "shard": line.shard,
        "dataset": fingerprint,
        "path": lake.relative(folder / line.split / f"{line.shard}.tar"),
        "bytes": line.bytes,
        "sha256": line.sha256,
        "sequences": line.num_sequences,
        "sequence_length": line.sequence_length,
        "tokens": line.tokens,
        "dropped_tokens": note["dropped_tokens"],
        "documents": note["documents"],
        "text_bytes": line.text_bytes,
        "sources": [{"source": source, "tokens": tokens} for source, tokens in line.sources.items()],
    }
