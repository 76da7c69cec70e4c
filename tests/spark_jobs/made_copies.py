"""Documents some of which are copies of others with a few words changed, signed as `cluster` takes them."""

from __future__ import annotations

import random

import pyarrow as pa
from made_documents import prose

from spark_jobs.kernels.minhash import minhash
from spark_jobs.kernels.text_hash import text_hash

SHORT = ["Yes.", "No.", "yes!", "One two.", "Two one.", "!!!", "???", "a b c d", "a b c e", "Yes.", "!!!", ""]


def varied(count: int, seed: int) -> list[str]:
    """Texts of 120 words; every other one a copy, of which some are exact and some hardly alike."""
    draw = random.Random(seed)
    texts = [prose(draw.randrange(count // 2), 120) for _ in range(count)]
    for place in range(0, count, 2):
        words = texts[draw.randrange(count)].split(" ")
        for _ in range(draw.choice((0, 1, 2, 6, 20))):
            words[draw.randrange(len(words))] = f"changed{draw.randrange(50)}"
        texts[place] = " ".join(words)
    return texts


def signed(texts: list[str], seed: int = 0) -> pa.Table:
    """Documents with ids that are in no order."""
    ids = list(range(len(texts)))
    random.Random(seed).shuffle(ids)
    text = pa.array(texts)
    return pa.table(
        {
            "id": [f"{number:04d}" for number in ids],
            "text": text,
            "text_hash": text_hash(text),
            "text_bytes": pa.array([len(text.encode()) for text in texts], pa.int64()),
            "minhash": minhash(text),
        }
    )
