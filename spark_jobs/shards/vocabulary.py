"""Any Hugging Face tokenizer as shards need it: ids of texts, the id that ends a document, and bytes of tokens."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from catalog.errors import WatershedError
from catalog.files import sha256_of
from spark_jobs.shards.format import TOKENIZER, token_dtype
from spark_jobs.shards.tokenizer import encode, encoder, load_tokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from spark_jobs.kernels.byte_pairs import BytePairs

USUAL_ENDS = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<|eos|>", "[EOS]")
"""Names of the end of a document in released tokenizers, in the order in which they are looked for."""
MOST_BYTES = 200_000_000
"""A larger tokenizer.json is refused; those of 256,000 entries have about 30 MB."""


@dataclass(frozen=True)
class Vocabulary:
    """A tokenizer.json and the token that ends a document."""

    path: Path
    eot: int
    tokenizer: Tokenizer = field(compare=False, repr=False)

    @property
    def size(self) -> int:
        """Ids, 0 .. size - 1."""
        return max(self.tokenizer.get_vocab(with_added_tokens=True).values()) + 1

    @property
    def dtype(self) -> np.dtype[Any]:
        """What tokens are stored as."""
        return token_dtype(self.size)

    @cached_property
    def sha256(self) -> str:
        """Of the file."""
        return sha256_of(self.path)

    @cached_property
    def _compiled(self) -> BytePairs | None:
        """The compiled encoder, for tokenizers that it knows."""
        try:
            return encoder(self.tokenizer)
        except (WatershedError, KeyError, TypeError):
            return None

    def encode(self, texts: pa.Array) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """Ids of all texts, one after another, and the offsets at which each text's ids begin and the last ends."""
        if self._compiled is not None:
            ids, ends = self._compiled.encode(texts)
            return ids, np.asarray(ends, np.int64)
        found = [encode(self.tokenizer, text) for text in texts.to_pylist()]
        ends = np.concatenate(([0], np.cumsum([len(ids) for ids in found], dtype=np.int64)))
        return np.concatenate([np.empty(0, np.uint32), *found]), ends

    @cached_property
    def bytes_of_ids(self) -> NDArray[np.int64] | None:
        """UTF-8 bytes of each id's text, (size,), of a byte-level vocabulary; None of any other."""
        described = json.loads(self.tokenizer.to_str())
        if (described.get("decoder") or {}).get("type") != "ByteLevel":
            return None
        sizes = np.zeros(self.size, np.int64)
        for entry, number in self.tokenizer.get_vocab(with_added_tokens=False).items():
            sizes[number] = len(entry)
        for added in described.get("added_tokens", ()):
            sizes[added["id"]] = len(added["content"].encode())
        sizes[self.eot] = 0
        return sizes

    def text_bytes(self, ids: Sequence[int]) -> int:
        """UTF-8 bytes of the text that the ids decode to."""
        return len(self.tokenizer.decode(list(ids), skip_special_tokens=False).encode("utf-8", "surrogatepass"))


def read_vocabulary(place: Path, end: str | None = None) -> Vocabulary:
    """The tokenizer in a tokenizer.json, or in a folder with one.

    Args:
        end: the token that ends a document; None: `eos_token` of the folder's tokenizer_config.json, or a usual name.

    Raises:
        WatershedError: there is no tokenizer, it cannot be read, or it has no such token.
    """
    path = place / TOKENIZER if place.is_dir() else place
    mend = "give a tokenizer.json of Hugging Face tokenizers, or a folder that holds one"
    if not path.is_file():
        raise WatershedError(f"{path}: no such file", mend)
    if path.stat().st_size > MOST_BYTES:
        raise WatershedError(f"{path}: {path.stat().st_size:,} bytes are not a tokenizer", mend)
    try:
        tokenizer = load_tokenizer(path)
    except Exception as error:  # the library has one error for all that is wrong with a file
        raise WatershedError(f"{path}: not a tokenizer ({' '.join(str(error).split())})", mend) from None
    names = (end,) if end is not None else (*_declared(path), *USUAL_ENDS)
    for name in names:
        number = tokenizer.token_to_id(name)
        if number is not None:
            return Vocabulary(path, number, tokenizer)
    wanted = repr(end) if end is not None else f"of {', '.join(USUAL_ENDS)}"
    raise WatershedError(f"{path}: has no token {wanted}", "name the token that ends a document with --eot")


def _declared(path: Path) -> tuple[str, ...]:
    """The `eos_token` of the tokenizer_config.json beside a tokenizer, if there is one."""
    beside = path.parent / "tokenizer_config.json"
    try:
        found = json.loads(beside.read_text("utf-8")).get("eos_token")
    except (OSError, ValueError, AttributeError):
        return ()
    name = found.get("content") if isinstance(found, dict) else found
    return (name,) if isinstance(name, str) else ()
