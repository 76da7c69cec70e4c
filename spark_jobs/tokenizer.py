"""The tokenizer: byte-level BPE trained on the mixture's training text. Every text goes through it and back unharmed.

No normalisation and no unknown token: a token stands for a run of bytes, so bytes of text are counted exactly from
tokens. Id 0 ends a document; a page that spells `<|endoftext|>` out gets ordinary tokens for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.progress import track
from catalog.tables.dclm import TOKENIZER
from spark_jobs import write
from spark_jobs.hash_order import hash_key_column, key_of_share
from spark_jobs.stored_files import sha256_of, stored_file, write_whole

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from tokenizers import Tokenizer

END_OF_DOCUMENT = "<|endoftext|>"
EOT = 0
"""Its id."""


@dataclass(frozen=True, kw_only=True)
class TokenizerRecipe:
    """How the vocabulary is learnt."""

    vocab_size: int = 2048
    """Entries, the 256 bytes and the end of a document among them; DCLM's tokenizer has 50,277."""
    max_bytes: int = 8_000_000
    """Bytes of training text that it learns from, about: whole documents, chosen by hash."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.vocab_size < 257:
            raise WatershedError(
                f"tokenizer: vocab_size {self.vocab_size} does not hold the 256 bytes and the end of a document",
                "set `vocab_size` of its TokenizerRecipe to 257 or more",
            )


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Byte-level BPE (GPT-2's splitting into words) over `texts`; the same for any number of threads."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_DOCUMENT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.encode_special_tokens = True
    return tokenizer


def tokenizer_bytes(tokenizer: Tokenizer) -> bytes:
    """tokenizer.json as it is stored."""
    return (tokenizer.to_str(pretty=True) + "\n").encode()


def load_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer in the file; the end of a document, spelt out in a text, is text to it."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.encode_special_tokens = True
    return tokenizer


def encode(tokenizer: Tokenizer, text: str) -> NDArray[np.uint32]:
    """Token ids of `text`, without an end of document."""
    return np.array(tokenizer.encode(text, add_special_tokens=False).ids, dtype=np.uint32)


def vocabulary(tokenizer: Tokenizer) -> list[str]:
    """Entries by id. In a byte-level vocabulary each character of an entry is the name of one byte: "Ġ" the space."""
    return [tokenizer.id_to_token(id_) or "" for id_ in range(tokenizer.get_vocab_size())]


def bytes_of_tokens(tokenizer: Tokenizer) -> NDArray[np.int64]:
    """Bytes of UTF-8 text that each id stands for, shape (vocabulary,); 0 for the end of a document."""
    sizes = np.array([len(entry) for entry in vocabulary(tokenizer)], dtype=np.int64)
    sizes[EOT] = 0
    return sizes


def stored_tokenizer(lake: Lake) -> tuple[Path, dict[str, Any]]:
    """tokenizer.json of dclm.tokenizer, and its row.

    Raises:
        WatershedError: it was not made, or the file is not the one that the row names.
    """
    return stored_file(lake, "dclm.tokenizer")


def write_tokenizer(spark: SparkSession, lake: Lake, recipe: TokenizerRecipe, fingerprint: str) -> dict[str, Any]:
    """Train on a capped sample of the mixture's training text, and name the file in dclm.tokenizer."""
    texts = _sample(spark, lake, recipe)
    size = sum(len(text.encode()) for text in texts)
    if not size:
        raise WatershedError(
            "dclm.tokenizer: the mixture has no training text",
            "raise `keep_fraction` of its MixtureRecipe, or give it a larger crawl",
        )
    with track("learning the vocabulary", 2) as task:
        tokenizer = train_tokenizer(texts, recipe.vocab_size)
        task.advance()
        tokens = sum(len(encoding.ids) for encoding in tokenizer.encode_batch_fast(texts, add_special_tokens=False))
        task.advance()
    path = lake.folder("dclm.tokenizer", fingerprint) / "tokenizer.json"
    write_whole(path, tokenizer_bytes(tokenizer))
    digest = sha256_of(path)
    row = {
        "tokenizer_id": digest[:16],
        "vocab_size": tokenizer.get_vocab_size(),
        "trained_on_bytes": size,
        "bytes_per_token": size / tokens,
        "path": lake.relative(path),
        "sha256": digest,
    }
    lake.replace(TOKENIZER, pa.Table.from_pylist([row], schema=TOKENIZER.schema), fingerprint)
    return {
        "documents": len(texts),
        **{what: row[what] for what in ("vocab_size", "trained_on_bytes", "bytes_per_token")},
    }


def _sample(spark: SparkSession, lake: Lake, recipe: TokenizerRecipe) -> Sequence[str]:
    """Training texts in hash order: those whose keys lie below the share that holds `max_bytes`."""
    from pyspark.sql import functions as F

    train = write.read(spark, lake, "dclm.mixture").where(F.col("split") == "train")
    total = train.agg(F.sum("text_bytes")).collect()[0][0] or 0
    key = hash_key_column(recipe.seed, "tokenizer", "doc_id")
    chosen = train.select("doc_id", key.alias("key")).where(
        F.col("key") < key_of_share(recipe.max_bytes / max(total, 1))
    )
    documents = write.read(spark, lake, "dclm.documents").select("doc_id", "text")
    rows = documents.join(chosen, "doc_id").select("key", "text").toArrow().sort_by("key")
    return rows["text"].to_pylist()
