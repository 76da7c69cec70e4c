"""Tokenizers: a tokenizer.json read by the tokenizers library, or whatever transformers finds in a folder."""

from __future__ import annotations

from collections.abc import Sequence
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

    def decode(self, tokens: Sequence[int]) -> str: ...


class FileTokenizer:
    """tokenizer.json, as the tokenizers library reads it."""

    def __init__(self, path: Path, eot: int | None) -> None:
        from tokenizers import Tokenizer as Read

        try:
            self._tokenizer = Read.from_file(str(path))
        except Exception as error:  # the library raises bare Exceptions
            raise TrainerError(f"{path} cannot be read: {' '.join(str(error).split())}", "copy it again") from None
        # The end of a text, spelt out in a text, is text.
        self._tokenizer.encode_special_tokens = True
        self.eot = eot

    def encode(self, texts: Sequence[str], *, special: bool) -> list[list[int]]:
        return [found.ids for found in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=special)]

    def decode(self, tokens: Sequence[int]) -> str:
        return self._tokenizer.decode(list(tokens), skip_special_tokens=True)


class TransformersTokenizer:
    """Whatever AutoTokenizer finds in a folder."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.eot = tokenizer.eos_token_id

    def encode(self, texts: Sequence[str], *, special: bool) -> list[list[int]]:
        return self._tokenizer(list(texts), add_special_tokens=special, verbose=False)["input_ids"]

    def decode(self, tokens: Sequence[int]) -> str:
        return self._tokenizer.decode(list(tokens), skip_special_tokens=True)
