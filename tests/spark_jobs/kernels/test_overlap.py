"""Evaluation examples are found in documents exactly where a comparison word by word finds them."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from dclm_reference import words
from hash_reference import lower
from made_texts import EDGE_CASES, random_texts

from catalog.errors import WatershedError
from spark_jobs.contamination.index import Index, build_index
from spark_jobs.contamination.report import ContaminationReport
from spark_jobs.contamination.rules import RULES, Decontamination
from spark_jobs.contamination.search import find_contamination
from spark_jobs.kernels.overlap import Matches, find_ngrams, ngram_table, word_ngrams

FEW = [text for text in EDGE_CASES if len(text) < 5000]
NGRAM = RULES["ngram"]
VOCABULARY = [*"abcdefghij", "naïve", "日", "can't", "3.14", "É"]


def ngrams(text: str | None, n: int) -> list[tuple[str, ...]]:
    found = [lower(word) for word in words(text or "")]
    return [tuple(found[i : i + n]) for i in range(len(found) - n + 1)]


def sentences(count: int, seed: int, longest: int = 40) -> list[str]:
    draw = random.Random(seed)
    texts = []
    for _ in range(count):
        some = draw.choices(VOCABULARY, k=draw.randrange(longest))
        texts.append("".join(word + draw.choice((" ", ", ", "\n", " — ")) for word in some))
    return texts


def examples_of(texts: dict[str, list[str | None]], options: Decontamination) -> Index:
    rows = [
        {"evaluation": name, "example_id": str(place), "text": text}
        for name, some in texts.items()
        for place, text in enumerate(some)
    ]
    batches = pa.Table.from_pylist(rows).to_batches(max_chunksize=3)
    return build_index(batches, options)


def contamination(texts: Sequence[str | None], examples: Index) -> tuple[list[dict[str, Any]], pa.Table]:
    ids = [f"d{place:03d}" for place in range(len(texts))]
    documents = pa.table({"id": ids, "text": pa.array(texts, pa.string())})
    report = ContaminationReport(examples)
    batches = list(find_contamination(documents.to_batches(max_chunksize=5), examples, report))
    return pa.Table.from_batches(batches).to_pylist(), report.table()


@pytest.mark.parametrize("n", [1, 3, 13])
def test_ngrams_are_those_of_words_in_lower_case(n: int) -> None:
    texts = [*FEW, None, *random_texts(80, seed=n), *sentences(40, seed=n)]
    rows = word_ngrams(pa.array(texts), n).to_pylist()
    known: dict[tuple[str, ...], int] = {}
    for text, row in zip(texts, rows, strict=True):
        expected = ngrams(text, n)
        assert (row is None) == (text is None)
        assert [known.setdefault(gram, hash_) for gram, hash_ in zip(expected, row or [], strict=True)] == (row or [])
    assert len(set(known.values())) == len(known) > 20


@pytest.mark.parametrize("n", [1, 3, 8])
def test_occurrences_are_where_a_search_finds_them(n: int) -> None:
    looked_for, texts = [*sentences(20, seed=1, longest=12), *FEW], [*sentences(100, seed=2), None, *FEW]
    grams = sorted({gram for text in looked_for for gram in ngrams(text, n)})
    hashes = {hash_ for row in word_ngrams(pa.array(looked_for), n).to_pylist() for hash_ in row}
    found = find_ngrams(pa.array(texts), ngram_table(pa.array(sorted(hashes), pa.uint64()).to_numpy(), n))
    met = [
        tuple(lower(word) for word in words((texts[document] or "").encode()[start:stop].decode()))
        for document, start, stop in zip(found.document, found.start, found.stop, strict=True)
    ]
    expected = [gram for text in texts for gram in ngrams(text, n) if gram in set(grams)]
    assert met == expected
    assert len(expected) > 20


@pytest.mark.parametrize(("n", "share"), [(3, 0.0), (3, 0.5), (5, 0.2), (2, 1.0)])
def test_what_is_found_is_what_comparing_all_with_all_finds(n: int, share: float) -> None:
    asked: dict[str, list[str | None]] = {
        "arc": [*sentences(15, seed=3, longest=14), None],
        "boolq": [*sentences(15, seed=4, longest=14), ""],
    }
    planted = [f"It was said: {example} And so on." for example in (asked["arc"][2], asked["boolq"][5])]
    texts = [*sentences(60, seed=5), None, *FEW[:10], *planted]
    examples = examples_of(asked, dataclasses.replace(NGRAM, n=n, share=share))
    rows, _ = contamination(texts, examples)
    for row, text in zip(rows, texts, strict=True):
        held = set(ngrams(text, n))
        expected = []
        for name, some in asked.items():
            for place, example in enumerate(some):
                own = set(ngrams(example, n))
                if matched := len(own & held):
                    expected.append((name, str(place), matched, len(own)))
        found = [(m["evaluation"], m["example_id"], m["matched"], m["ngrams"]) for m in row["matches"]]
        assert found == sorted(expected)
        assert row["contaminated"] == any(matched / size >= share for *_, matched, size in expected)
        assert all(ngrams(m["found"], n)[0] in held for m in row["matches"])
    assert {True, False} == {row["contaminated"] for row in rows}


QUESTION = "Which of these gases do plants take from the air to make their food: oxygen, carbon dioxide, or helium?"


def test_a_report_says_how_much_of_each_evaluation_was_seen_and_shows_it() -> None:
    asked: dict[str, list[str | None]] = {
        "arc": [QUESTION, "A question of its own that nobody has asked before in any document or page of this crawl"],
        "short": ["Yes?", "No, never."],
        "zero": ["Words that are nowhere to be seen in what follows here, not one of them in such a row at all"],
    }
    question = QUESTION.upper().replace(",", " —").replace(" ", "  ")
    texts = ["Nothing.", f"A quiz. {question} Of course.", f"{QUESTION} {QUESTION}", QUESTION[:70]]
    examples = examples_of(asked, dataclasses.replace(NGRAM, share=0.5))
    rows, report = contamination(texts, examples)
    assert [row["contaminated"] for row in rows] == [False, True, True, False]
    arc, short, zero = report.to_pylist()
    assert arc == {
        "evaluation": "arc",
        "examples": 2,
        "examples_not_searched": 0,
        "examples_overlapping": 1,
        "examples_hit": 1,
        "share_hit": 0.5,
        "documents_overlapping": 3,
        "documents_to_drop": 2,
        "example_id": "0",
        "document_id": "d001",
        "found": question.removesuffix("?"),
    }
    assert (short["examples_not_searched"], short["examples_hit"], short["found"]) == (2, 0, None)
    assert (zero["examples_overlapping"], zero["share_hit"], zero["document_id"]) == (0, 0.0, None)


def test_the_report_does_not_depend_on_the_order_of_documents() -> None:
    asked: dict[str, list[str | None]] = {"arc": [*sentences(15, seed=6, longest=14)]}
    texts = sentences(60, seed=7)
    documents = pa.table({"id": [f"d{place}" for place in range(len(texts))], "text": texts})
    examples = examples_of(asked, dataclasses.replace(NGRAM, n=3))
    tables = []
    for order in (list(range(60)), list(range(60))[::-1]):
        report = ContaminationReport(examples)
        list(find_contamination(documents.take(pa.array(order)).to_batches(max_chunksize=7), examples, report))
        tables.append(report.table())
    assert tables[0].equals(tables[1])


def test_every_example_without_ngrams_is_counted() -> None:
    examples = examples_of({"arc": [QUESTION], "short": ["Yes?", None], "mixed": [QUESTION, "No."]}, NGRAM)
    assert examples.cannot_be_found() == [
        "1 of 2 examples of mixed cannot be found, because none of their texts has 13 words",
        "2 of 2 examples of short cannot be found, because none of their texts has 13 words",
    ]
    assert examples_of({"short": ["Yes?"]}, dataclasses.replace(NGRAM, n=1)).cannot_be_found() == []
    with pytest.raises(WatershedError, match="not one of 2 evaluation examples has 13 words"):
        examples_of({"short": ["Yes?", None]}, NGRAM)


def test_many_matches_take_no_more_room_than_a_document_needs() -> None:
    # More occurrences than the kernel holds at once: it goes on where it stopped.
    text = "a b " * 30_000
    table = ngram_table(word_ngrams(pa.array(["a b"]), 2).values.to_numpy(), 2)
    found = find_ngrams(pa.array([text, "b", text, None, text]), table)
    assert [int((found.document == document).sum()) for document in range(5)] == [30_000, 0, 30_000, 0, 30_000]
    both = ngram_table(np.concatenate([word_ngrams(pa.array(["a b"]), n).values.to_numpy() for n in (1, 2)]), [1, 1, 2])
    found = find_ngrams(pa.array([text, None, text]), both)
    assert [int((found.document == document).sum()) for document in range(3)] == [90_000, 0, 90_000]


@pytest.mark.parametrize("widths", [(2, 3), (1, 5)])
def test_ngrams_of_several_widths_are_found_together(widths: tuple[int, ...]) -> None:
    looked_for, texts = sentences(30, seed=8, longest=12), pa.array([*sentences(100, seed=9), None])
    hashes = {width: np.unique(word_ngrams(pa.array(looked_for), width).values.to_numpy()) for width in widths}
    of_each = np.concatenate([np.full(len(some), width) for width, some in hashes.items()])
    together = find_ngrams(texts, ngram_table(np.concatenate(list(hashes.values())), of_each))
    alone = {place for width, some in hashes.items() for place in places(find_ngrams(texts, ngram_table(some, width)))}
    assert places(together) == alone
    assert len(alone) > 20


def places(found: Matches) -> set[tuple[int, ...]]:
    return set(zip(found.document.tolist(), found.start.tolist(), found.stop.tolist(), strict=True))
