"""A small data set for `trainers.pretrain` from texts in memory, such as those of demos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from catalog.files import write_whole
from spark_jobs.shards.format import token_dtype, write_dataset, write_manifest, write_shard
from spark_jobs.shards.tokenizer import EOT, encode, tokenizer_bytes
from spark_jobs.shards.writer import lay_out

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def write_texts(
    folder: Path,
    tokenizer: Tokenizer,
    splits: Mapping[str, Sequence[str]],
    *,
    source: str,
    sequence_length: int,
    fingerprint: str,
) -> None:
    """Write texts as a shard for each split, with their manifests, tokenizer.json and dataset.json.

    Args:
        folder: the folder of the data set.
        tokenizer: the tokenizer of the texts.
        splits: the texts of each split, train and heldout, in the order in which they are laid out.
        source: what the manifests call the source of the texts.
        sequence_length: tokens that a model predicts in a sequence.
        fingerprint: what identifies the texts.
    """
    vocabulary = tokenizer.get_vocab_size()
    for split, texts in splits.items():
        tokens = [encode(tokenizer, text) for text in texts]
        names = [str(number) for number in range(len(texts))]
        stream = lay_out(names, [source] * len(texts), tokens, sequence_length, token_dtype(vocabulary))
        sizes = {"text_bytes": sum(len(text.encode()) for text in texts), "sources": {source: stream.sequences.size}}
        write_manifest(folder / split, [write_shard(folder / split, split, 0, stream.sequences, **sizes)])
    write_whole(folder / "tokenizer.json", tokenizer_bytes(tokenizer))
    sizes = {"vocab_size": vocabulary, "sequence_length": sequence_length, "eot": EOT, "seed": 0}
    write_dataset(folder, fingerprint=fingerprint, **sizes)
