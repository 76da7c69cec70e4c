"""Byte-level BPE: training it, and encoding text with it. Decoding gives every text back exactly.

There is no normalisation and no unknown token: a token stands for a run of bytes, so bytes of text are counted
exactly from tokens. Id 0 ends a document; a page that spells `<|endoftext|>` out gets ordinary tokens for it.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from catalog.errors import WatershedError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from spark_jobs.kernels.byte_pairs import BytePairs


END_OF_DOCUMENT = "<|endoftext|>"
EOT = 0
"""Its id."""


@dataclass(frozen=True, kw_only=True)
class TokenizerRecipe:
    """How the vocabulary is learnt."""

    vocab_size: int = 2048
    """Entries, including the 256 bytes and the end of a document; DCLM's tokenizer has 50,277."""
    max_bytes: int = 8_000_000
    """Approximate bytes of training text to learn from: whole documents, chosen by hash."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.vocab_size < 257:
            raise WatershedError(
                f"tokenizer: vocab_size {self.vocab_size} does not hold the 256 bytes and the end of a document",
                "set `vocab_size` of its TokenizerRecipe to 257 or more",
            )


def train_tokenizer(texts: Iterable[str], vocab_size: int, *, single_digits: bool = False) -> Tokenizer:
    """Train byte-level BPE with GPT-2's splitting into words; the result does not depend on the number of threads.

    Args:
        texts: what it learns from.
        vocab_size: tokens at most, the 256 bytes and the end of a document among them.
        single_digits: whether each digit is a token of its own.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if single_digits:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
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
    """The contents of tokenizer.json."""
    return (tokenizer.to_str(pretty=True) + "\n").encode()


def load_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer in the file; it encodes `<|endoftext|>` in a text as ordinary text."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.encode_special_tokens = True
    return tokenizer


def encode(tokenizer: Tokenizer, text: str) -> NDArray[np.uint32]:
    """Token ids of `text`, without an end of document."""
    return np.array(tokenizer.encode(text, add_special_tokens=False).ids, dtype=np.uint32)


def encoder(tokenizer: Tokenizer) -> BytePairs:
    """A compiled encoder for many texts, which returns the ids of `encode`.

    Raises:
        WatershedError: the tokenizer is not byte-level BPE as `train_tokenizer` makes it.
    """
    from spark_jobs.kernels.byte_pairs import BytePairs

    described = json.loads(tokenizer.to_str())
    model, split = described["model"], described["pre_tokenizer"] or {}
    plain = model["type"] == "BPE" and split.get("type") == "ByteLevel" and not described["normalizer"]
    plain = plain and split["use_regex"] and not split["add_prefix_space"] and tokenizer.encode_special_tokens
    unusual = ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback", "ignore_merges")
    learnt = all(added["special"] for added in described["added_tokens"])
    if not plain or not learnt or any(model[setting] for setting in unusual):
        raise WatershedError(
            "the tokenizer is not plain byte-level BPE: it normalises, or splits in another way than GPT-2",
            "materialise dclm.tokenizer again",
        )
    ids = model["vocab"]
    byte_tokens = [ids[name] for name in _names_of_bytes()]
    merges = [(ids[left], ids[right], ids[left + right]) for left, right in model["merges"]]
    return BytePairs(np.array(byte_tokens, np.uint32), np.array(merges, np.uint32).reshape(-1, 3), _character_kinds())


def _names_of_bytes() -> list[str]:
    """The character for each byte in a byte-level vocabulary: the byte's own if printable, else an unused one."""
    shown = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    free = iter(range(256, 512))
    return [chr(byte if byte in shown else next(free)) for byte in range(256)]


@cache
def _character_kinds() -> NDArray[np.uint8]:
    """The kind of each code point in the library's regular expression.

    The library's Unicode version is newer than Python's, so it is asked about the code points that Python's tables
    lack: written between a letter and a number, a letter joins the former and a number the latter.
    """
    from tokenizers.pre_tokenizers import ByteLevel

    from spark_jobs.kernels.byte_pairs import LETTER, NUMBER, character_kinds

    kinds = character_kinds()
    unknown = [code for code in range(0x40000) if unicodedata.category(chr(code)) == "Cn"]
    pieces = ByteLevel(add_prefix_space=False).pre_tokenize_str("".join(f"a{chr(code)}1" for code in unknown))
    begins = np.zeros(3 * len(unknown), np.bool_)
    begins[[start for _, (start, _) in pieces]] = True
    _, parts_from_letter, joins_no_number = begins.reshape(-1, 3).T
    kinds[np.array(unknown)[~parts_from_letter]] = LETTER
    kinds[np.array(unknown)[~joins_no_number]] = NUMBER
    return kinds


def vocabulary(tokenizer: Tokenizer) -> list[str]:
    """Entries by id. Each character of a byte-level entry stands for one byte, such as "Ġ" for the space."""
    return [tokenizer.id_to_token(id_) or "" for id_ in range(tokenizer.get_vocab_size())]


def bytes_of_tokens(tokenizer: Tokenizer) -> NDArray[np.int64]:
    """UTF-8 bytes of each id's text, shape (vocabulary,); 0 for the end of a document."""
    sizes = np.array([len(entry) for entry in vocabulary(tokenizer)], dtype=np.int64)
    sizes[EOT] = 0
    return sizes
