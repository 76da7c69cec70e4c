"""Multiple-choice questions from held-out documents."""

from __future__ import annotations

import io
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from made_documents import doc_id, host, listing, mixed_lake, prose, teach_tokenizer
from tokenizers import Tokenizer

from catalog.errors import WatershedError
from catalog.lake import Lake
from spark_jobs.evals.continuations import (
    ANY_SOURCE,
    SAME_SOURCE,
    Passage,
    QuestionRecipe,
    make_questions,
    passages,
    question_files,
    questions_folder,
    write_questions,
)
from spark_jobs.shards.tokenizer import load_tokenizer, tokenizer_bytes, train_tokenizer

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

TEXTS = [prose(seed, 400) for seed in range(60)]
RECIPE = QuestionRecipe(per_task=50, context_tokens=32, continuation_tokens=12)
TASKS = (ANY_SOURCE, SAME_SOURCE)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    path.write_bytes(tokenizer_bytes(train_tokenizer(TEXTS, 500)))
    return load_tokenizer(path)


def documents(texts: list[str], minhash: bytes | None = None) -> pa.Table:
    rows = [
        {"doc_id": doc_id(number), "source": host(number), "text": text, "minhash": minhash}
        for number, text in enumerate(texts)
    ]
    schema = pa.schema(
        [("doc_id", pa.string()), ("source", pa.string()), ("text", pa.string()), ("minhash", pa.binary())]
    )
    return pa.Table.from_pylist(rows, schema=schema)


@pytest.fixture(scope="module")
def found(tokenizer: Tokenizer) -> list[Passage]:
    return passages(documents(TEXTS), tokenizer, RECIPE)


def test_context_and_continuation_stand_in_their_document_one_after_the_other(
    tokenizer: Tokenizer, found: list[Passage]
) -> None:
    texts = {doc_id(number): text for number, text in enumerate(TEXTS)}
    assert len(found) > 100
    for passage in found:
        assert passage.context_text + passage.continuation_text in texts[passage.doc_id]
        assert tokenizer.decode(passage.context.tolist()) == passage.context_text
        assert tokenizer.decode(passage.continuation.tolist()) == passage.continuation_text
        assert (len(passage.context), len(passage.continuation)) == (32, 12)


def test_a_continuation_begins_at_a_word_inside_the_document(found: list[Passage]) -> None:
    for passage in found:
        assert passage.continuation_text[0] == " "
        assert passage.continuation_text[1].isalpha()
        assert passage.start >= 32


def test_passages_of_a_document_do_not_overlap_and_are_few(found: list[Passage]) -> None:
    places: dict[str, list[int]] = {}
    for passage in found:
        places.setdefault(passage.doc_id, []).append(passage.start)
    for starts in places.values():
        assert len(starts) <= RECIPE.per_document
        assert all(
            later - earlier >= 32 + 12 for earlier, later in zip(sorted(starts), sorted(starts)[1:], strict=False)
        )
    assert max(map(len, places.values())) > 1


def test_the_order_of_documents_changes_nothing(tokenizer: Tokenizer, found: list[Passage]) -> None:
    table = documents(TEXTS)
    backwards = passages(table.take(list(range(table.num_rows - 1, -1, -1))), tokenizer, RECIPE)
    files = [question_files(make_questions(each, ANY_SOURCE, RECIPE), TASKS) for each in (found, backwards)]
    assert files[0] == files[1]


def test_tables_of_numbers_and_repetitions_ask_nothing(tokenizer: Tokenizer) -> None:
    assert not passages(documents([listing(1, 400), "the same words again " * 200]), tokenizer, RECIPE)


def test_text_of_several_bytes_a_character_is_never_cut_inside_one(tokenizer: Tokenizer) -> None:
    text = "".join(f" дождь наполняет озеро {word}" for word in prose(3, 400).split())
    for passage in passages(documents([text]), tokenizer, replace(RECIPE, continuation_tokens=20)):
        assert passage.context_text + passage.continuation_text in text


@pytest.mark.parametrize("task", TASKS)
def test_distractors_are_true_continuations_of_other_documents_and_as_long(found: list[Passage], task: str) -> None:
    questions = make_questions(found, task, RECIPE)
    assert len(questions) == RECIPE.per_task
    for question in questions:
        assert question.choices[question.gold] is question.passage
        assert len({choice.doc_id for choice in question.choices}) == 4
        assert len({choice.continuation_text for choice in question.choices}) == 4
        assert len({len(choice.continuation) for choice in question.choices}) == 1
        if task == SAME_SOURCE:
            assert {choice.source for choice in question.choices} == {question.passage.source}
    if task == ANY_SOURCE:
        assert any(len({choice.source for choice in question.choices}) > 1 for question in questions)


def test_the_true_choice_stands_in_every_place(found: list[Passage]) -> None:
    golds = Counter(question.gold for question in make_questions(found, ANY_SOURCE, replace(RECIPE, per_task=150)))
    assert set(golds) == {0, 1, 2, 3}
    assert max(golds.values()) < 2 * min(golds.values())


def test_identifiers_are_distinct_and_change_with_the_task_alone(found: list[Passage]) -> None:
    ids = [question.question_id for task in TASKS for question in make_questions(found, task, RECIPE)]
    assert len(set(ids)) == len(ids) == 2 * RECIPE.per_task
    assert all(len(id_) == 32 and int(id_, 16) >= 0 for id_ in ids)
    fewer = make_questions(found, ANY_SOURCE, replace(RECIPE, per_task=10))
    assert [question.question_id for question in fewer] == ids[:10]


def test_a_near_duplicate_of_the_document_is_not_a_distractor(tokenizer: Tokenizer) -> None:
    same = np.arange(128, dtype="<u4").tobytes()
    assert not make_questions(passages(documents(TEXTS, same), tokenizer, RECIPE), ANY_SOURCE, RECIPE)


def test_nearly_the_same_words_are_not_a_distractor(found: list[Passage]) -> None:
    (first, *_) = found
    changed = first.continuation.copy()
    changed[-1] += 1
    others = [replace(first, doc_id=doc_id(n), continuation=changed, continuation_text=str(n)) for n in range(100, 110)]
    assert not make_questions([first, *others], ANY_SOURCE, RECIPE)


def test_sources_with_too_few_documents_ask_no_question_of_their_own(tokenizer: Tokenizer) -> None:
    few = passages(documents(TEXTS[:9]), tokenizer, RECIPE)
    assert make_questions(few, ANY_SOURCE, RECIPE)
    assert not make_questions(few, SAME_SOURCE, RECIPE)


@pytest.fixture(scope="module")
def asked(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> tuple[Lake, dict[str, Any]]:
    lake = mixed_lake(tmp_path_factory.mktemp("questions"), TEXTS, heldout=40)
    teach_tokenizer(lake, TEXTS, 500)
    return lake, write_questions(spark, lake, RECIPE, "a" * 16)


def test_questions_are_about_held_out_documents_alone(asked: tuple[Lake, dict[str, Any]]) -> None:
    lake, counts = asked
    rows = lake.read("evals.examples").to_pylist()
    assert {row["doc_id"] for row in rows} <= {doc_id(number) for number in range(40)}
    assert Counter(row["task"] for row in rows) == {task: counts[task] for task in TASKS}
    tasks = {row["task"]: row for row in lake.read("evals.tasks").to_pylist()}
    assert {task: tasks[task]["examples"] for task in TASKS} == {task: counts[task] for task in TASKS}
    assert all(row["chance"] == 0.25 for row in tasks.values())


def test_the_trainers_files_say_what_the_table_says(asked: tuple[Lake, dict[str, Any]]) -> None:
    lake, _ = asked
    folder = questions_folder(lake, "a" * 16)
    tokenizer = load_tokenizer(next(lake.folder("dclm.tokenizer").glob("*/tokenizer.json")))
    names = json.loads((folder / "questions.json").read_text())
    rows = {row["question_id"]: row for row in lake.read("evals.examples").to_pylist()}
    assert sorted(names["question_ids"]) == sorted(rows)
    with np.load(folder / "questions.npz", allow_pickle=False) as arrays:
        a = dict(arrays)
    assert [a[name].dtype.name for name in ("tokens", "offsets", "gold", "task")] == [
        "uint32",
        "int64",
        "int32",
        "int32",
    ]
    for q, id_ in enumerate(names["question_ids"]):
        row = rows[id_]
        assert names["tasks"][a["task"][q]] == row["task"]
        assert a["gold"][q] == row["gold"]
        context = a["context_tokens"][a["context_offsets"][q] : a["context_offsets"][q + 1]]
        assert tokenizer.decode(context.tolist()) == row["context"]
        options = range(a["options_start"][q], a["options_start"][q + 1])
        choices = [tokenizer.decode(a["tokens"][a["offsets"][o] : a["offsets"][o + 1]].tolist()) for o in options]
        assert choices == row["choices"]
        assert [a["option_bytes"][o] for o in options] == [len(text.encode()) for text in choices]


def test_asking_again_gives_the_same_bytes(
    spark: SparkSession, asked: tuple[Lake, dict[str, Any]], tmp_path: Path
) -> None:
    lake, _ = asked
    write_questions(spark, lake, RECIPE, "c" * 16)
    for name in ("questions.npz", "questions.json"):
        first, second = (questions_folder(lake, each * 16) / name for each in "ac")
        assert first.read_bytes() == second.read_bytes()


def test_a_task_without_a_question_is_an_error(spark: SparkSession, asked: tuple[Lake, dict[str, Any]]) -> None:
    lake, _ = asked
    version = lake.version("evals.examples")
    with pytest.raises(WatershedError, match=r"the task continuation has no question.*`heldout_share`"):
        write_questions(spark, lake, replace(RECIPE, context_tokens=5_000), "d" * 16)
    assert lake.version("evals.examples") == version


def test_offsets_begin_at_zero_and_end_at_the_number_of_tokens(found: list[Passage]) -> None:
    arrays, _ = question_files(make_questions(found, ANY_SOURCE, RECIPE), TASKS)
    with np.load(io.BytesIO(arrays), allow_pickle=False) as loaded:
        for offsets, end in (("offsets", len(loaded["tokens"])), ("context_offsets", len(loaded["context_tokens"]))):
            assert loaded[offsets][0] == 0
            assert loaded[offsets][-1] == end
        assert loaded["options_start"][-1] == len(loaded["option_bytes"]) == len(loaded["offsets"]) - 1
