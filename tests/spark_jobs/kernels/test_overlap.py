"""Evaluation examples are found in documents exactly where a comparison word by word finds them."""

from __future__ import annotations

import random
import warnings
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest
from dclm_reference import words
from hash_reference import lower
from made_texts import EDGE_CASES, random_texts

from catalog.errors import WatershedError
from spark_jobs.contamination.ngrams import (
    ContaminationReport,
    Decontamination,
    Examples,
    NothingToLookFor,
    evaluation_examples,
    find_contamination,
)
from spark_jobs.kernels.overlap import find_ngrams, ngram_table, word_ngrams

FEW = [text for text in EDGE_CASES if len(text) < 5000]
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


def examples_of(texts: dict[str, list[str | None]], options: Decontamination) -> Examples:
    rows = [
        {"evaluation": name, "example_id": str(place), "text": text}
        for name, some in texts.items()
        for place, text in enumerate(some)
    ]
    batches = pa.Table.from_pylist(rows).to_batches(max_chunksize=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NothingToLookFor)
        return evaluation_examples(batches, options)


def contamination(
    texts: Sequence[str | None], examples: Examples, cut: int = 5
) -> tuple[list[dict[str, Any]], pa.Table]:
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
    found = find_ngrams(pa.array(texts), ngram_table(pa.array(sorted(hashes), pa.uint64()).to_numpy()), n)
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
    examples = examples_of(asked, Decontamination(n=n, share=share))
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
        assert all(ngrams(m["ngram"], n)[0] in held for m in row["matches"])
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
    examples = examples_of(asked, Decontamination(share=0.5))
    rows, report = contamination(texts, examples)
    assert [row["contaminated"] for row in rows] == [False, True, True, False]
    arc, short, zero = report.to_pylist()
    assert arc == {
        "evaluation": "arc",
        "examples": 2,
        "examples_without_ngrams": 0,
        "examples_overlapping": 1,
        "examples_hit": 1,
        "share_hit": 0.5,
        "documents_overlapping": 3,
        "documents_to_drop": 2,
        "example_id": "0",
        "document_id": "d001",
        "ngram": question[: question.index("  FOOD")].replace(":", ""),
    }
    assert (short["examples_without_ngrams"], short["examples_hit"], short["ngram"]) == (2, 0, None)
    assert (zero["examples_overlapping"], zero["share_hit"], zero["document_id"]) == (0, 0.0, None)


def test_the_report_does_not_depend_on_the_order_of_documents() -> None:
    asked: dict[str, list[str | None]] = {"arc": [*sentences(15, seed=6, longest=14)]}
    texts = sentences(60, seed=7)
    documents = pa.table({"id": [f"d{place}" for place in range(len(texts))], "text": texts})
    examples = examples_of(asked, Decontamination(n=3))
    tables = []
    for order in (list(range(60)), list(range(60))[::-1]):
        report = ContaminationReport(examples)
        list(find_contamination(documents.take(pa.array(order)).to_batches(max_chunksize=7), examples, report))
        tables.append(report.table())
    assert tables[0].equals(tables[1])


def test_an_evaluation_without_ngrams_causes_a_warning() -> None:
    rows = [("arc", "1", QUESTION), ("short", "1", "Yes?"), ("short", "2", None)]
    batch = pa.RecordBatch.from_pylist(
        [dict(zip(("evaluation", "example_id", "text"), row, strict=True)) for row in rows]
    )
    with pytest.warns(NothingToLookFor, match="no example of short has 13 words: NOTHING of it will be found"):
        evaluation_examples([batch])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evaluation_examples([batch], Decontamination(n=1))
    with pytest.raises(WatershedError, match="not one of 2 evaluation examples has 13 words"):
        evaluation_examples([batch.slice(1)])
    with pytest.raises(WatershedError, match="0 <= share <= 1"):
        Decontamination(share=2)


def test_many_matches_take_no_more_room_than_a_document_needs() -> None:
    # More occurrences than the kernel holds at once: it goes on where it stopped.
    text = "a b " * 30_000
    table = ngram_table(word_ngrams(pa.array(["a b"]), 2).values.to_numpy())
    found = find_ngrams(pa.array([text, "b", text, None, text]), table, 2)
    assert [int((found.document == document).sum()) for document in range(5)] == [30_000, 0, 30_000, 0, 30_000]
