"""Tokenizers: a tokenizer.json read by the tokenizers library, or whatever transformers finds in a folder."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from trainers.process.errors import TrainerError


class Tokenizer(Protocol):
    """Text to tokens and back."""

    eot: int | None
    """The token that ends a text."""

    def encode(self, texts: Sequence[str], *, special: bool) -> list[list[int]]:
        """Tokens of each text; `special` adds what the tokenizer puts at the start of one."""
        ...

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of token ids, without special tokens."""
        ...


class FileTokenizer:
    """tokenizer.json, as the tokenizers library reads it."""

    def __init__(self, path: Path, eot: int | None) -> None:
        self._tokenizer = _from_file(path)
        # The end of a text, spelt out in a text, is text.
        self._tokenizer.encode_special_tokens = True
        self.eot = eot

    def encode(self, texts: Sequence[str], *, special: bool) -> list[list[int]]:
        return [found.ids for found in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=special)]

    def decode(self, tokens: Sequence[int]) -> str:
        return self._tokenizer.decode(list(tokens), skip_special_tokens=True)


def _from_file(path: Path) -> Any:
    from tokenizers import Tokenizer as Read

    try:
        return Read.from_file(str(path))
    except Exception as error:  # the library raises bare Exceptions
        raise TrainerError(f"{path} cannot be read: {' '.join(str(error).split())}", "copy it again") from None


class TextTokenizer:
    """A tokenizer of the tokenizers library for prompts that were written with the model's markers in them.

    A marker that is spelt out in a text is the marker, as in transformers and vLLM: chat templates write them so.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        tokenizer.no_truncation()
        tokenizer.no_padding()

    @classmethod
    def from_file(cls, path: Path) -> TextTokenizer:
        """The tokenizer in a tokenizer.json."""
        return cls(_from_file(path))

    def save(self, path: Path) -> None:
        """Write tokenizer.json."""
        self._tokenizer.save(str(path))

    @property
    def text(self) -> str:
        """The contents of tokenizer.json."""
        return self._tokenizer.to_str()

    def encode(self, text: str, *, special: bool) -> list[int]:
        """Tokens of a text; `special` adds what the tokenizer puts at the start of one."""
        return self._tokenizer.encode(text, add_special_tokens=special).ids

    def encode_placed(self, texts: Sequence[str]) -> list[tuple[list[int], list[int]]]:
        """Tokens of each text, and the character at which each token begins; nothing is put at the start of a text.

        Tokens tile a text: white space that a tokenizer counts to no token belongs to the one after it.
        """
        found = []
        for encoding in self._tokenizer.encode_batch(list(texts), add_special_tokens=False):
            begins, end = [], 0
            for begin, stop in encoding.offsets:
                begins.append(min(begin, end))
                end = max(end, stop)
            found.append((encoding.ids, begins))
        return found

    @cached_property
    def special_markers(self) -> dict[int, str]:
        """Tokens that a tokenizer keeps apart from text, such as the one that ends a reply, and their spelling."""
        added = self._tokenizer.get_added_tokens_decoder()
        return {number: token.content for number, token in added.items() if token.special}

    @property
    def size(self) -> int:
        """Tokens in the vocabulary, added ones with them."""
        return self._tokenizer.get_vocab_size()

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens, without markers; bytes that are not a whole character are U+FFFD."""
        return self._tokenizer.decode(list(tokens), skip_special_tokens=True)

    def number(self, marker: str) -> int | None:
        """The token that is spelt so."""
        return self._tokenizer.token_to_id(marker) if marker else None

    def marker(self, token: int) -> str:
        """How a token is spelt in the vocabulary; "" for one that it does not have."""
        return self._tokenizer.id_to_token(token) or ""

    @cached_property
    def _markers(self) -> frozenset[int]:
        return frozenset(self._tokenizer.get_added_tokens_decoder())

    @cached_property
    def _byte_level(self) -> bool:
        return '"ByteLevel"' in str(self._tokenizer.decoder) or "ByteLevel" in repr(self._tokenizer.decoder)

    def token_bytes(self, token: int) -> bytes:
        """The bytes that a token stands for, which may be a part of a character; of a marker, its spelling."""
        spelt = self.marker(token)
        if token in self._markers:
            return spelt.encode()
        if self._byte_level:
            return bytes(_BYTES[character] for character in spelt if character in _BYTES)
        if len(spelt) == 6 and spelt.startswith("<0x") and spelt.endswith(">"):
            return bytes.fromhex(spelt[3:5])
        return spelt.replace("▁", " ").encode()


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's character for each byte, turned round: printable ones stand for themselves, others from U+0100 on."""
    shown = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return {chr(byte): byte for byte in shown} | {chr(256 + place): byte for place, byte in enumerate(hidden)}


_BYTES = _byte_alphabet()


class TransformersTokenizer:
    """Whatever AutoTokenizer finds in a folder."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.eot = tokenizer.eos_token_id

    def encode(self, texts: Sequence[str], *, special: bool) -> list[list[int]]:
        return self._tokenizer(list(texts), add_special_tokens=special, verbose=False)["input_ids"]

    def decode(self, tokens: Sequence[int]) -> str:
        return self._tokenizer.decode(list(tokens), skip_special_tokens=True)
