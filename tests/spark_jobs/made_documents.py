"""A lake of made documents, as the stages after extraction find it: prose and listings of several hosts."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from catalog.contract import Contract
from catalog.files import sha256_of, write_whole
from catalog.lake import Lake
from catalog.tables.dclm import (
    DOCUMENTS,
    DUPLICATES,
    MEASUREMENTS,
    MIXTURE,
    PARAGRAPHS,
    QUALITY_MODEL,
    SCORES,
    TOKENIZER,
    VERDICTS,
)
from spark_jobs.classifiers.labels import GOOD, OTHER
from spark_jobs.classifiers.quality import QualityRecipe, train_classifier
from spark_jobs.hash_order import hash_key
from spark_jobs.shards.tokenizer import tokenizer_bytes, train_tokenizer

RECIPE = "dclm-baseline"
STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
SYLLABLES = ("ka", "lo", "mi", "ren", "sut", "pa", "dor", "vel", "ni", "ta", "gor", "esh", "um", "bri")
SPELT_OUT = "A text may say <|endoftext|> or __label__hq and mean it: é, 日本, 🌧 and tabs\tand\n\nblank lines."


def words(seed: int, count: int) -> list[str]:
    """`count` made-up words; those of one seed share a vocabulary of 150."""
    draw = random.Random(seed % 7)
    vocabulary = ["".join(draw.choices(SYLLABLES, k=draw.randint(1, 3))) for _ in range(150)]
    return random.Random(seed).choices(vocabulary, k=count)


def prose(seed: int, count: int = 200) -> str:
    """Sentences of made-up words, every fourth a stop word."""
    draw = random.Random(seed)
    chosen = [draw.choice(STOP_WORDS) if place % 4 == 3 else word for place, word in enumerate(words(seed, count))]
    sentences = [" ".join(chosen[start : start + 12]).capitalize() + "." for start in range(0, count, 12)]
    return "\n".join(" ".join(sentences[start : start + 4]) for start in range(0, len(sentences), 4))


def listing(seed: int, count: int = 100) -> str:
    """Lines of names and numbers."""
    draw = random.Random(seed)
    return "\n".join(f"{word}_{draw.randint(0, 999)}: {draw.random():.6f}" for word in words(seed, count))


@cache
def doc_id(number: int) -> str:
    """Spread like a hash, so that prefixes differ."""
    return f"{random.Random(number).getrandbits(128):032x}"


def host(number: int) -> str:
    return f"docs.host{number % 3}.example"


def row(contract: Contract, **values: Any) -> dict[str, Any]:
    """A row that fits: null where it may be, else a plain value of the type, unless `values` says otherwise."""
    plain = {pa.string(): "said", pa.int64(): 1, pa.int32(): 1, pa.float64(): 0.5, pa.bool_(): True}
    return {c.name: None if c.nullable else plain.get(c.type, []) for c in contract.columns} | values


def replace(lake: Lake, contract: Contract, rows: list[dict[str, Any]]) -> None:
    lake.replace(contract, pa.Table.from_pylist(rows, schema=contract.schema), "f" * 16)


def empty_lake(folder: Path) -> Lake:
    return Lake(str(folder / "lake"), folder / "lake" / "_files", {})


def document(number: int, text: str) -> dict[str, Any]:
    """A row of dclm.documents."""
    found = text.split()
    return row(
        DOCUMENTS,
        doc_id=doc_id(number),
        host=host(number),
        state="ok",
        text=text,
        text_bytes=len(text.encode()),
        words=len(found),
        stop_words=sum(word in STOP_WORDS for word in found),
        no_alphabetic_word_ratio=sum(not any(map(str.isalpha, word)) for word in found) / len(found),
    )


def curated_lake(
    folder: Path, texts: list[str], *, rejected: tuple[int, ...] = (), copies: tuple[int, ...] = ()
) -> Lake:
    """dclm.documents, dclm.verdicts and dclm.duplicates; `copies` are dropped for the first."""
    lake = empty_lake(folder)
    replace(lake, DOCUMENTS, [document(number, text) for number, text in enumerate(texts)])
    replace(
        lake,
        VERDICTS,
        [
            row(VERDICTS, doc_id=doc_id(number), recipe=recipe, kept=kept)
            for number in range(len(texts))
            for recipe, kept in ((RECIPE, number not in rejected), ("another-recipe", True))
        ],
    )
    replace(
        lake,
        MEASUREMENTS,
        [
            row(MEASUREMENTS, doc_id=doc_id(n), recipe=RECIPE, state="ok", text_bytes=len(text.encode()), values=[])
            for n, text in enumerate(texts)
        ],
    )
    replace(
        lake,
        PARAGRAPHS,
        [
            row(PARAGRAPHS, doc_id=doc_id(n), kept=True, text_bytes=len(text.encode()))
            for n, text in enumerate(texts)
            if n not in (*rejected, *copies)
        ],
    )
    standing = doc_id(next(number for number in range(len(texts)) if number not in (*copies, *rejected)))
    replace(
        lake,
        DUPLICATES,
        [
            row(DUPLICATES, doc_id=id_, method="exact", cluster_size=2, kept=id_ == standing, kept_doc_id=standing)
            for id_ in (standing, *map(doc_id, copies))
        ],
    )
    return lake


def scored_lake(folder: Path, texts: list[str], buckets: list[int]) -> Lake:
    """A curated lake with dclm.scores that say `buckets`."""
    lake = curated_lake(folder, texts)
    rows = [row(SCORES, doc_id=doc_id(n), score=b / 10, bucket=b) for n, b in enumerate(buckets)]
    replace(lake, SCORES, rows)
    return lake


def mixed_lake(folder: Path, texts: list[str], *, heldout: int, twice: int = 0) -> Lake:
    """A curated lake with dclm.mixture: the first `heldout` documents held out, the last `twice` read twice."""
    lake = curated_lake(folder, texts)
    rows = [
        row(
            MIXTURE,
            doc_id=doc_id(number),
            recipe=RECIPE,
            source=host(number),
            bucket=5,
            split="heldout" if number < heldout else "train",
            repeats=2 if number >= len(texts) - twice else 1,
            text_bytes=len(text.encode()),
        )
        for number, text in enumerate(texts)
    ]
    replace(lake, MIXTURE, rows)
    return lake


def teach_tokenizer(lake: Lake, texts: list[str], vocab_size: int) -> Path:
    """dclm.tokenizer with a tokenizer that learnt from `texts`; returns its file."""
    path = lake.folder("dclm.tokenizer", "made") / "tokenizer.json"
    write_whole(path, tokenizer_bytes(train_tokenizer(texts, vocab_size)))
    columns = {"path": lake.relative(path), "sha256": sha256_of(path), "vocab_size": vocab_size, "bytes_per_token": 3.0}
    replace(lake, TOKENIZER, [row(TOKENIZER, **columns)])
    return path


def examples(texts: list[str]) -> pa.Table:
    """Every second text, from the second on, as a good example, the others as the rest."""
    rows = [
        {"key": hash_key(0, "made", number), "label": GOOD if number % 2 else OTHER, "text": text}
        for number, text in enumerate(texts)
    ]
    return pa.Table.from_pylist(rows)


def teach_classifier(lake: Lake, texts: list[str], recipe: QualityRecipe) -> Path:
    """dclm.quality_model with a classifier that learnt `examples(texts)`; returns its file."""
    path = lake.folder("dclm.quality_model") / "made.bin"
    trained = train_classifier(examples(texts), recipe, path)
    columns = {"model_id": trained.sha256[:16], "path": lake.relative(path), "sha256": trained.sha256}
    replace(lake, QUALITY_MODEL, [row(QUALITY_MODEL, positive_documents=50, negative_documents=50, **columns)])
    return path
