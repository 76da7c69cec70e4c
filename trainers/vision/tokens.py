"""The tokenizer of a model of pictures: one made from the texts of its data, or a given one with markers added."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from trainers.serving.tokenizers import TextTokenizer

END = "<|endoftext|>"
MARKERS = ("<im_start>", "<im_end>", "<im_col>", "<im_patch>")
"""The markers of picture tokens, in the order of crops.START, END, COLUMN and PATCH; Molmo's."""
PIECES = r"<points? x1?=\"|\" [xy]\d{0,4}=\"|\" alt=\"|\">|</points?>\.?|\.\d(?!\d)|\d{1,3}| ?[^\W\d_]+:?|\s|[^\s\w]|_"
"""What is never joined with its neighbour: the parts of points' tags, whole numbers and decimals, words and marks."""


def make_tokenizer(texts: Iterable[str], size: int) -> TextTokenizer:
    """A byte-level BPE tokenizer of `texts` with the markers; numbers up to 100 and tenths are in it in any case.

    A coordinate such as 12.5 is then two tokens, and the tags around it one each. It is the same for the same texts.

    Args:
        texts: to learn from.
        size: of the vocabulary, at most.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[END, *MARKERS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    numbers = [f"{whole}.{tenth}" for whole in range(101) for tenth in range(10)]
    tags = [
        f'<points x1="1.0" y1="1.0" x{n}="1.0" y{n}="1.0" alt="a">a</points>. <point x="1.0" y="1.0" alt="a">a</point>'
        for n in range(2, 12)
    ]
    tokenizer.train_from_iterator([*numbers, *tags * 4, *texts], trainer)
    return TextTokenizer(tokenizer)


def with_markers(tokenizer: TextTokenizer, rows: int) -> tuple[TextTokenizer, tuple[int, ...], int]:
    """A tokenizer with the markers, their numbers, and the rows that an embedding needs.

    Args:
        rows: of the embedding that the decoder has: new tokens come after them.
    """
    inner: Any = tokenizer._tokenizer
    missing = [marker for marker in MARKERS if inner.token_to_id(marker) is None]
    # An embedding is often longer than its vocabulary: what fills the gap is never written.
    while missing and inner.get_vocab_size() < rows:
        inner.add_special_tokens([f"<|unused-{inner.get_vocab_size()}|>"])
    inner.add_special_tokens(missing)
    numbers = tuple(inner.token_to_id(marker) for marker in MARKERS)
    return TextTokenizer(inner), numbers, max(rows, max(numbers) + 1)
