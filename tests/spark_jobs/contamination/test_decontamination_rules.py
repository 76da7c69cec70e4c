"""What each rule of decontamination finds in documents, and what it leaves alone."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import random
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from catalog.errors import WatershedError
from spark_jobs.contamination.examples import EXAMPLES, example_batches
from spark_jobs.contamination.fields import all_text, parts_of
from spark_jobs.contamination.index import Index, build_index
from spark_jobs.contamination.report import ContaminationReport
from spark_jobs.contamination.rules import RULES, Decontamination
from spark_jobs.contamination.search import AROUND, LONGEST, find_contamination
from spark_jobs.contamination.stop_words import STOP_WORDS
from spark_jobs.kernels.overlap import word_ngrams

FIELDS, NGRAM = RULES["fields"], RULES["ngram"]
TULU = Decontamination(
    rule="tulu3", n=8, share=0.5, strict=True, weighted=False, folding=False, short=False, whole=0, least_words=0
)
FAULTS = Path(os.environ.get("WATERSHED_SHARED", "/nowhere")) / "data/cases/faults"
CAT = "Which of these does a startled cat do when it meets a large dog?"
PAGE = "An ordinary page about nothing of the kind, with as many words as a page needs to have to look like one. " * 3


def index_of(rows: Sequence[Any], options: Decontamination = FIELDS, name: str = "quiz") -> Index:
    parts = parts_of if options.fields else all_text
    table = [
        {"evaluation": name, "example_id": str(number), "field": part.field, "text": part.text}
        for number, row in enumerate(rows)
        for part in parts(row).parts or [type(parts({"q": "-"}).parts[0])("", "")]
    ]
    return build_index([pa.RecordBatch.from_pylist(table, schema=EXAMPLES)], options)


def matches(index: Index, texts: Sequence[str]) -> list[list[dict[str, Any]]]:
    batch = pa.record_batch({"id": [str(n) for n in range(len(texts))], "text": pa.array(texts, pa.string())})
    (found,) = find_contamination([batch], index)
    return [row["matches"] for row in found.to_pylist()]


def dropped(index: Index, texts: Sequence[str]) -> list[bool]:
    batch = pa.record_batch({"id": [str(n) for n in range(len(texts))], "text": pa.array(texts, pa.string())})
    (found,) = find_contamination([batch], index)
    return found.column("contaminated").to_pylist()


def around(text: str) -> str:
    return f"{PAGE}\n{text}\n{PAGE}"


def test_a_question_is_found_with_any_punctuation_case_and_answer() -> None:
    index = index_of([{"choices": ["sleep all day", "its hair stands up"], "query": f"Question: {CAT}\n", "gold": 1}])
    texts = [
        CAT,
        around(CAT),
        around(f"{CAT} its hair stands up"),
        around(f"its hair stands up. {CAT}"),
        around(f"{CAT} (a) sleep all day (b) its hair stands up"),
        around(CAT.upper().replace(" ", " — ")),
        around("Which of these does a startled cat do when it meets a small dog?"),
        around("What will cats do that big dogs have frightened?"),
        PAGE,
    ]
    assert dropped(index, texts) == [True] * 6 + [False, False, False]


def test_a_short_question_is_found_with_its_answer_only() -> None:
    answer = "Wrap the loaf in a clean linen cloth and keep it in a wooden box."
    index = index_of(
        [{"goal": "Keep bread fresh?", "sol1": answer, "sol2": "Leave it out on the table all night long."}]
    )
    assert dropped(index, [around("Keep bread fresh?"), around(f"Keep bread fresh? {answer}")]) == [False, True]


def test_numbers_letters_and_stop_words_alone_never_count() -> None:
    numbers = " ".join(map(str, range(1, 20)))
    rows = [{"prompt": f"assert cells == [{numbers}]"}, {"question": "It is what it is, and so was he to them."}]
    index = index_of([*rows, {"question": CAT}, {"question": "A B C D E F G H I J K L M N O P"}])
    assert dropped(
        index, [f"Goto Chapter: Top {numbers} Bib Ind", rows[1]["question"], "A B C D E F G H I J K L M N O P Q"]
    ) == [
        False,
        False,
        False,
    ]
    assert index.cannot_be_found() == [
        "3 of 4 examples of quiz cannot be found, because none of their texts has 3 different words besides numbers, "
        "stop words and what all examples share"
    ]


def test_the_frame_of_a_prompt_weighs_nothing() -> None:
    # Of the words of an example, those that all share are three quarters.
    frame = "Read the following sentence carefully and then decide which language it was written in by its author:"
    rows = [{"query": f"{frame} alpha{n} beta{n} gamma{n} delta{n} epsilon{n} zeta{n}"} for n in range(200)]
    index = index_of(rows)
    texts = [frame, f"{frame} something of our own", rows[7]["query"], rows[8]["query"].removeprefix(frame)]
    assert [[match["example_id"] for match in found] for found in matches(index, texts)] == [[], [], ["7"], ["8"]]


def test_forms_of_letters_and_apostrophes_do_not_matter() -> None:
    text = "We don't find the naïve office clerk's half-finished résumé in Łódź, or do we?"
    spellings = [
        text.replace("'", "’"),
        text.replace("'", "ʼ"),
        text.replace("'", "＇"),
        unicodedata.normalize("NFD", text),
        text.replace("ffi", "ﬃ").replace("fi", "ﬁ"),
        "".join(chr(ord(c) + 0xFEE0) if "a" <= c <= "z" else c for c in text),
        text.replace("finished", "fin\u00adish\u200ded"),
    ]
    index = index_of([{"question": text}])
    assert dropped(index, [around(each) for each in spellings]) == [True] * len(spellings)
    assert all(match[0]["share"] == 1 for match in matches(index, [around(each) for each in spellings]))
    # And the other way round: the example is spelt so, and the document plainly.
    for spelling in spellings:
        assert dropped(index_of([{"question": spelling}]), [around(text)]) == [True]


def test_short_examples_are_found_whole_at_word_bounds() -> None:
    index = index_of([{"context": "Quito borders Ecuadorian", "continuation": "volcanoes"}])
    texts = [
        "quito, borders: Ecuadorian VOLCANOES!",
        "Quito borders Ecuadorian volcanoesque ones",
        "Quito borders volcanoes",
    ]
    assert dropped(index, texts) == [True, False, False]
    # So is a text with more words than an n-gram, if they weigh little together.
    index = index_of([{"context": "The native language of Daniel Schneidermann is", "continuation": "French"}])
    texts = ["The native language of Daniel Schneidermann is french.", "language of Daniel Schneidermann is French"]
    assert dropped(index, texts) == [True, False]


def test_passages_are_compared_unless_they_are_left_out() -> None:
    passage = "The lace plant makes holes in its leaves by a programmed death of its cells between the veins."
    rows = [{"passage": passage, "question": "Where do the holes of lace plants begin to form?", "answer": "yes"}]
    assert [match["field"] for (match,) in matches(index_of(rows), [around(passage)])] == ["passage"]
    without = index_of(rows, dataclasses.replace(FIELDS, passages=False))
    assert dropped(without, [around(passage), around(rows[0]["question"])]) == [False, True]


def test_what_was_found_is_shown_with_its_surroundings_and_bounded() -> None:
    index = index_of([{"question": CAT}, {"question": "x" * 3000 + " " + CAT.replace("cat", "ferret")}])
    before, after = "<script>alert(1)</script> é" * 100, "ünd so weiter " * 50
    ((match,), (long,)) = matches(index, [f"{before} {CAT} {after}", "x" * 3000 + " " + CAT.replace("cat", "ferret")])
    # The n-gram "which of these does a" does not count.
    assert match["found"] == CAT.removeprefix("Which of ").removesuffix("?")
    assert match["before"] == f"{before} Which of "[-AROUND:]
    assert match["after"] == f"? {after}"[:AROUND]
    assert long["example_id"] == "1"
    assert len(long["found"]) <= LONGEST + 3


def test_an_example_is_reported_once_with_the_part_that_is_found_best() -> None:
    index = index_of(
        [{"query": CAT, "choices": ["it arches its back and hisses at him", "it falls asleep on the spot"]}]
    )
    ((match,),) = matches(index, [f"{CAT} It falls asleep on the spot."])
    assert (match["share"], match["example_id"]) == (1, "0")
    report = ContaminationReport(index)
    assert report.add("d", [(0, True)], [match])
    assert report.table().to_pylist()[0]["examples_hit"] == 1


def test_without_anything_to_find_it_is_an_error() -> None:
    with pytest.raises(WatershedError, match="not one of 2 evaluation examples has 3 different words"):
        index_of([{"question": "1 + 1 ="}, {}])
    with pytest.raises(WatershedError, match="not one of 1 evaluation examples has 13 words"):
        index_of([{"question": CAT[:20]}], NGRAM)
    with pytest.raises(WatershedError, match="not one of 0 evaluation examples"):
        build_index([])


@pytest.mark.parametrize(
    "wrong", [{"share": 2}, {"n": 0}, {"n": 2.5}, {"n": "13"}, {"share": True}, {"passages": "no"}, {"n": 10**9}]
)
def test_settings_without_meaning_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(WatershedError, match="decontamination"):
        dataclasses.replace(FIELDS, **wrong)


VOCABULARY = [*"abcdefg", "the", "of", "is", "to", *(f"word{n}" for n in range(12)), "3", "17"]


def sentences(count: int, seed: int, longest: int) -> list[str]:
    draw = random.Random(seed)
    return [" ".join(draw.choices(VOCABULARY, k=draw.randint(1, longest))) for _ in range(count)]


def grams_of(text: str, n: int, *, short: bool) -> list[tuple[str, ...]]:
    words = text.split()
    if short and 0 < len(words) < n:
        return [tuple(words)]
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]


def expected_shares(rows: Sequence[str], document: str, options: Decontamination) -> dict[str, float]:
    """The share of each single-text example in a document, by comparing all with all."""
    having = Counter(gram for row in rows for gram in set(grams_of(row, options.n, short=options.short)))
    most = min(100, max(5, len(rows) / 20))

    def weight(gram: tuple[str, ...]) -> float:
        speaking = {word for word in gram if len(word) > 1 and word not in STOP_WORDS and not word.isdigit()}
        if options.weighted and len(speaking) < 2:
            return 0
        return max(0.0, 1 - math.log(having[gram]) / math.log(most)) if options.weighted else 1

    shares = {}
    words = document.split()
    for number, row in enumerate(rows):
        own = row.split()
        grams = grams_of(row, options.n, short=options.short)
        size = min(options.n, len(own))
        held = {tuple(words[i : i + size]) for i in range(len(words) - size + 1)}
        speaking = {word for word in own if len(word) > 1 and word not in STOP_WORDS and not word.isdigit()}
        of_words, covered = [], []
        for place in range(len(own)):
            over = [(grams[i], weight(grams[i])) for i in range(len(grams)) if i <= place < i + size]
            of_words.append(sum(w for _, w in over) / len(over) if over else 0)
            covered.append(any(w > 0 and gram in held for gram, w in over))
        total = sum(of_words)
        if not grams or total < max(options.least_words, 1e-6) - 1e-6 or len(speaking) < options.least_words:
            continue
        share = sum(w for w, cover in zip(of_words, covered, strict=True) if cover) / total
        if total < options.whole:
            share = float(any(words[i : i + len(own)] == own for i in range(len(words))))
        if share >= options.listed and any(covered):
            shares[str(number)] = share
    return shares


@pytest.mark.parametrize(
    "options",
    [
        dataclasses.replace(FIELDS, n=3, listed=0.3, whole=0),
        dataclasses.replace(FIELDS, n=4, listed=0.3, whole=6, least_words=2),
        dataclasses.replace(TULU, n=3, listed=0.3),
    ],
)
def test_shares_are_those_of_comparing_all_with_all(options: Decontamination) -> None:
    rows = sentences(150, seed=1, longest=14)
    planted = sentences(60, seed=2, longest=30)
    documents = [f"{text} {rows[n * 2]}" for n, text in enumerate(planted)]
    found = matches(index_of([{"question": row} for row in rows], options), documents)
    compared = 0
    for document, some in zip(documents, found, strict=True):
        expected = expected_shares(rows, document, options)
        assert {match["example_id"]: match["share"] for match in some} == pytest.approx(expected, abs=1e-5)
        compared += len(expected)
    assert compared > 30


def test_the_rule_of_tulu_is_a_configuration() -> None:
    prompt = "Write a polite letter to the landlord about a broken window that lets in the cold every winter night"
    half = " ".join(prompt.split()[:10])
    index = index_of([{"question": prompt}, {"question": "Write a haiku"}], TULU)
    assert len(prompt.split()) == 19
    assert dropped(index, [half, " ".join(prompt.split()[:9]), "Write a haiku"]) == [True, False, False]


@pytest.mark.skipif(not FAULTS.is_dir(), reason="WATERSHED_SHARED does not name the recorded cases")
@pytest.mark.parametrize(
    ("case", "expected"), [("apostrophe", [True, True]), ("numbers", [False]), ("question_answer", [True, True])]
)
def test_recorded_cases_are_decided_as_a_reader_would(case: str, expected: list[bool]) -> None:
    evaluation = FAULTS / f"decontaminate_{case}_eval.jsonl"
    documents = [json.loads(line) for line in (FAULTS / f"decontaminate_{case}_docs.jsonl").read_text().splitlines()]
    index = build_index(example_batches([evaluation]))
    assert dropped(index, [row["text"] for row in documents]) == expected


TASKS = FAULTS.parents[1] / "eval_tasks"


@pytest.mark.skipif(not TASKS.is_dir(), reason="WATERSHED_SHARED does not name the evaluation tasks")
@pytest.mark.parametrize(
    ("task", "missed_by_ngram", "missed"),
    [
        ("commonsense_reasoning/piqa", 468, 10),
        ("world_knowledge/arc_easy", 395, 0),
        ("world_knowledge/arc_challenge", 177, 0),
    ],
)
def test_questions_with_their_right_answer_are_found(task: str, missed_by_ngram: int, missed: int) -> None:
    path = TASKS / f"{task}.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    texts = [f"{row['query']} {row['choices'][row['gold']]}" for row in rows]
    long = [len(ngrams) > 0 for ngrams in word_ngrams(pa.array(texts), 13).to_pylist()]
    not_found = {}
    for options in (NGRAM, FIELDS):
        found = matches(build_index(example_batches([path], parts_of if options.fields else all_text), options), texts)
        not_found[options.rule] = [
            number
            for number, some in enumerate(found)
            if all(match["example_id"] != str(number) or match["share"] < options.share for match in some)
        ]
    # The published rule misses these although they have 13 words, and all that are shorter.
    assert sum(long[number] for number in not_found["ngram"]) == missed_by_ngram
    assert len(not_found["fields"]) == missed


@pytest.mark.skipif(not TASKS.is_dir(), reason="WATERSHED_SHARED does not name the evaluation tasks")
def test_what_a_file_cannot_find_is_counted_and_said() -> None:
    path = TASKS / "world_knowledge/bigbench_qa_wikidata.jsonl"
    ngram = build_index(example_batches([path], all_text), NGRAM)
    assert ngram.cannot_be_found() == [
        "20,161 of 20,321 examples of bigbench_qa_wikidata cannot be found, because none of their texts has 13 words"
    ]
    (said,) = build_index(example_batches([path])).cannot_be_found()
    assert said.startswith("492 of 20,321 examples of bigbench_qa_wikidata cannot be found")
