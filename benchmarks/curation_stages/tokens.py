"""Token ids and training shards: tiktoken and tokenizers with the same vocabulary."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from benchmarks.curation_stages.contest import Agreement, Contest, equal_share
from benchmarks.curation_stages.pages import Pages

VOCABULARY = 32_000
SEQUENCE = 2_048
SHARD_BYTES = 30_000_000
"""Text of the shard, the pages repeated; DCLM's shards hold about 60 MB."""
GPT2_SPLIT = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"

Ids = list[npt.NDArray[np.uint32]]


def contests(pages: Pages) -> Iterator[Contest[Any, Any]]:
    """Ids of all pages, and the shard that they make."""
    from spark_jobs.shards.tokenizer import encoder, load_tokenizer, tokenizer_bytes, train_tokenizer
    from spark_jobs.shards.writer import ShardRecipe, ShardWriter

    path = pages.scratch / "tokenizer.json"
    path.write_bytes(tokenizer_bytes(train_tokenizer(pages.texts, VOCABULARY)))
    tokenizer = load_tokenizer(path)
    kernel, ranked = encoder(tokenizer), tiktoken_encoding(tokenizer)
    array = pages.text_array
    many = pages.texts * max(1, round(SHARD_BYTES / pages.text_bytes))
    rows = shard_rows(many)

    def ours() -> Ids:
        ids, ends = kernel.encode(array)
        return np.split(ids, ends[1:-1])

    def tiktoken(texts: list[str]) -> Ids:
        return [np.array(ranked.encode_ordinary(text), np.uint32) for text in texts]

    def tokenizers() -> Ids:
        found = tokenizer.encode_batch_fast(pages.texts, add_special_tokens=False)
        return [np.array(each.ids, np.uint32) for each in found]

    def our_shard() -> Path:
        writer = ShardWriter(pages.scratch / "ours", path, ShardRecipe(sequence_length=SEQUENCE, shard_tokens=1 << 24))
        writer.make("train", 0, rows)
        return writer.tar("train", 0)

    def their_shard() -> Path:
        return shard_of(rows, tiktoken(many), pages.scratch / "theirs", tokenizer.get_vocab_size())

    def agree(ours: Ids, theirs: Ids) -> Agreement:
        share = equal_share([ids.tobytes() for ids in ours], [ids.tobytes() for ids in theirs])
        tokens = sum(map(len, ours))
        return Agreement(share, f"ids of {len(ours):,} pages, {tokens:,} tokens of {tokenizer.get_vocab_size():,}")

    def same_bytes(ours: Path, theirs: Path) -> Agreement:
        one, other = ours.read_bytes(), theirs.read_bytes()
        return Agreement(float(one == other), f"one shard of {len(one):,} bytes, byte by byte")

    both = {"bytes": pages.text_bytes, "documents": len(pages.texts)}
    yield Contest(
        stage="tokens", peer="tiktoken", ours=ours, theirs=partial(tiktoken, pages.texts), agree=agree, **both
    )
    yield Contest(stage="tokens", peer="tokenizers", ours=ours, theirs=tokenizers, agree=agree, **both)
    yield Contest(
        stage="tokens into a shard",
        peer="tiktoken and the same writer",
        ours=our_shard,
        theirs=their_shard,
        agree=same_bytes,
        bytes=sum(len(text.encode()) for text in many),
        documents=len(many),
    )


def tiktoken_encoding(tokenizer: Any) -> Any:
    """The vocabulary of a byte-level tokenizer in tiktoken, where an entry's id is its rank."""
    from tiktoken import Encoding

    from spark_jobs.shards.tokenizer import EOT, vocabulary

    byte_of = {name: byte for byte, name in enumerate(byte_names())}
    entries = enumerate(vocabulary(tokenizer))
    ranks = {bytes(byte_of[character] for character in entry): id_ for id_, entry in entries if id_ != EOT}
    return Encoding("same", pat_str=GPT2_SPLIT, mergeable_ranks=ranks, special_tokens={})


def byte_names() -> list[str]:
    """The character that stands for each byte in a byte-level vocabulary (openai/gpt-2, src/encoder.py)."""
    shown = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    free = iter(range(0x100, 0x200))
    return [chr(byte) if byte in shown else chr(next(free)) for byte in range(256)]


def shard_rows(texts: list[str]) -> pa.Table:
    """The texts as rows of a shard."""
    ids = [f"{number:032x}" for number in range(len(texts))]
    return pa.table(
        {
            "key": pa.array(range(len(texts)), pa.int64()),
            "doc_id": ids,
            "source": ["pages"] * len(texts),
            "text": pa.array(texts, pa.string()),
        }
    )


def shard_of(rows: pa.Table, tokens: Ids, folder: Path, vocab_size: int) -> Path:
    """The same shard, written from the ids of another tokenizer."""
    from spark_jobs.shards.format import shard_name, token_dtype, write_shard
    from spark_jobs.shards.writer import lay_out

    ids, sources = rows["doc_id"].to_pylist(), rows["source"].to_pylist()
    stream = lay_out(ids, sources, tokens, SEQUENCE, token_dtype(vocab_size))
    write_shard(folder, "train", 0, stream.sequences, text_bytes=0, sources={})
    return folder / f"{shard_name(0)}.tar"
