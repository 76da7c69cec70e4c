"""The tokenizer inside a GGUF file, as one of the tokenizers library.

Byte-level BPE whose way of splitting text is known here, and SentencePiece's BPE (Llama 2, Mistral).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trainers.core.gguf_file import GgufFile
from trainers.process.errors import TrainerError

CONTROL, USER_DEFINED = 3, 4
"""Types of tokens: markers that no text is, and pieces of text that are never cut."""

_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
SPLITS = {
    "default": "gpt-2",
    "gpt-2": "gpt-2",
    "olmo": "gpt-2",
    "smollm": "digits",
    "llama-bpe": _WORDS % r"\p{N}{1,3}",
    "llama3": _WORDS % r"\p{N}{1,3}",
    "llama-v3": _WORDS % r"\p{N}{1,3}",
    "dbrx": _WORDS % r"\p{N}{1,3}",
    "qwen2": _WORDS % r"\p{N}",
}
"""How a text is split before its parts are merged, by `tokenizer.ggml.pre`: GPT-2's expression, that one after each
digit is apart, or an expression (llama.cpp, src/llama-vocab.cpp)."""


def gguf_tokenizer(file: GgufFile) -> Any:
    """The tokenizer of a file.

    Raises:
        TrainerError: a kind that is not known here, or a list that is missing.
    """
    tokens, types = _list(file, "tokens"), _list(file, "token_type")
    kind = file.field("tokenizer.ggml.model")
    made = {"gpt2": _byte_level, "llama": _sentence_piece}.get(kind)
    if made is None:
        raise TrainerError(f"{file.place}: a tokenizer of kind {kind!r}", "give the model as a Hugging Face folder")
    tokenizer = made(file, {token: number for number, token in enumerate(tokens)})
    _add_markers(tokenizer, tokens, types)
    _add_beginning(tokenizer, file, tokens, default=kind == "llama")
    return tokenizer


def _list(file: GgufFile, name: str) -> list[Any]:
    found = file.field(f"tokenizer.ggml.{name}")
    if not isinstance(found, list) or not found:
        raise TrainerError(f"{file.place} lacks tokenizer.ggml.{name}", "give a file with its tokenizer")
    return found


def _byte_level(file: GgufFile, vocabulary: dict[str, int]) -> Any:
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    name = file.field("tokenizer.ggml.pre", "default")
    split = SPLITS.get(name)
    if split is None:
        raise TrainerError(
            f"{file.place}: its tokenizer splits text as {name!r}, which is not known here",
            "give the model as a Hugging Face folder",
        )
    merges = [tuple(merge.split(" ", 1)) for merge in _list(file, "merges")]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, ignore_merges=split.startswith("(?i")))
    if split == "gpt-2":
        before: Any = pre_tokenizers.ByteLevel(add_prefix_space=False)
    elif split == "digits":
        digits = pre_tokenizers.Digits(individual_digits=True)
        before = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    else:
        words = pre_tokenizers.Split(Regex(split), behavior="isolated")
        in_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        before = pre_tokenizers.Sequence([words, in_bytes])
    if name == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = before
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _sentence_piece(file: GgufFile, vocabulary: dict[str, int]) -> Any:
    from tokenizers import Tokenizer, decoders, models, normalizers

    scores = _list(file, "scores")
    unknown = file.field("tokenizer.ggml.unknown_token_id", 0)
    names = {number: token for token, number in vocabulary.items()}
    tokenizer = Tokenizer(
        models.BPE(
            vocab=vocabulary,
            merges=merges_by_score(vocabulary, scores),
            unk_token=names[unknown],
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    spaces = normalizers.Replace(" ", "▁")
    prefix = file.field("tokenizer.ggml.add_space_prefix", True)
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), spaces]) if prefix else spaces
    steps: list[Any] = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence([*steps, decoders.Strip(" ", 1, 0)] if prefix else steps)
    return tokenizer


def merges_by_score(vocabulary: dict[str, int], scores: Sequence[float]) -> list[tuple[str, str]]:
    """Every pair of pieces that is a piece, in the order in which SentencePiece joins them: the best score first."""
    found = [
        (-scores[number], vocabulary[token[:cut]], vocabulary[token[cut:]], token[:cut], token[cut:])
        for token, number in vocabulary.items()
        for cut in range(1, len(token))
        if token[:cut] in vocabulary and token[cut:] in vocabulary
    ]
    return [(left, right) for *_, left, right in sorted(found)]


def _add_markers(tokenizer: Any, tokens: Sequence[str], types: Sequence[int]) -> None:
    from tokenizers import AddedToken

    for token, kind in zip(tokens, types, strict=True):
        if kind == CONTROL:
            tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False)])
        elif kind == USER_DEFINED:
            tokenizer.add_tokens([AddedToken(token, special=False, normalized=False)])


def _add_beginning(tokenizer: Any, file: GgufFile, tokens: Sequence[str], *, default: bool) -> None:
    from tokenizers import processors

    first = file.field("tokenizer.ggml.bos_token_id")
    if first is None or not file.field("tokenizer.ggml.add_bos_token", default):
        return
    marker = tokens[first]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{marker} $A", pair=f"{marker} $A {marker} $B", special_tokens=[(marker, first)]
    )
