"""Which tokenizer made some tokens: a digest of what decides ids, which two of equal vocabulary size do not share.

A tokenizer.json that was written again, with other spaces or another post-processor, has the digest it had.
"""

from __future__ import annotations

import json
from pathlib import Path

from trainers.process.errors import TrainerError
from trainers.process.files import canonical_json, sha256_file, sha256_text

DECIDES = ("model", "normalizer", "pre_tokenizer", "added_tokens")
"""Parts of a tokenizer.json that decide the ids of a text."""


def tokenizer_digest(path: Path) -> str:
    """Hex SHA-256 of what decides ids in the tokenizer.json at `path`; of all its bytes if it is another format.

    Returns "" where there is no such file.
    """
    if not path.is_file():
        return ""
    try:
        described = json.loads(path.read_bytes())
        if isinstance(described, dict) and "model" in described:
            return sha256_text(canonical_json({name: described.get(name) for name in DECIDES}))
    except (ValueError, RecursionError):
        pass
    return sha256_file(path)


def check_same_tokenizer(here: str, there: str, *, ours: str, theirs: str) -> None:
    """Refuse tokens of two tokenizers, where both are known.

    Args:
        here: a digest, "" where the tokenizer is unknown.
        there: the other digest.
        ours: what has the first tokenizer, for the message.
        theirs: what has the other.

    Raises:
        TrainerError: the digests differ.
    """
    if here and there and here != there:
        raise TrainerError(
            f"{ours} has another tokenizer.json than {theirs}",
            "write the shards with one tokenizer: equal numbers of tokens do not make equal ids",
        )
