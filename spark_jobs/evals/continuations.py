"""Multiple-choice questions from held-out documents: which of four texts continues a given context?

Two tasks differ only in their distractors, which are continuations of other held-out documents: from anywhere, or from
the same source. A continuation begins at a word within a document, and all choices of a question have the same number
of tokens, so neither a cut word nor the length gives the answer away.
"""

from __future__ import annotations

import io
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from catalog.errors import WatershedError
from catalog.files import write_whole
from catalog.lake import Lake
from catalog.progress import track
from catalog.tables.evals import EXAMPLES, TASKS
from spark_jobs.dclm.survivors import texts_of
from spark_jobs.dclm.tokenizer import stored_tokenizer
from spark_jobs.hash_order import hash_key, hash_key_column, hash_number
from spark_jobs.shards.tokenizer import bytes_of_tokens, encode, load_tokenizer, vocabulary
from spark_jobs.spark import tables as write

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from tokenizers import Tokenizer

VERSION = "1"
"""Version of both tasks' definitions."""
ANY_SOURCE = "continuation"
SAME_SOURCE = "continuation_same_source"
TASK_DESCRIPTIONS = {
    ANY_SOURCE: "Which text continues a held-out document; the others continue documents from anywhere.",
    SAME_SOURCE: "Which text continues a held-out document; the others continue documents of the same source.",
}
QUESTIONS = "questions.npz"
QUESTION_IDS = "questions.json"
FIRST_TOKENS = 16
"""Tokens at the start of a document that are skipped, because they are titles and bylines."""
LEAST_LETTERS = 0.6
"""Least share of letters and spaces in a continuation, which excludes tables and listings."""
LEAST_DISTINCT = 0.5
"""Least share of distinct tokens in a continuation."""
LIKE_TEXT = 0.5
"""Jaccard similarity of two choices' tokens from which they count as the same answer."""
LIKE_DOCUMENT = 0.5
"""Estimated Jaccard similarity of two documents' shingles from which they are near-duplicates here."""
DRAWS = 64
"""Most distractors tried for a question."""

Ids = NDArray[np.uint32]


NORMALISATION = "unconditional"
METRIC = (
    "share of questions whose true choice gains most log-likelihood by its context, over its own after an empty one"
)
"""Pointwise mutual information, so that a choice that is likely after any context gains nothing by it (OLMES, arXiv
2406.08446, section 3.2). The demo's 270k target answers 67% of its questions by this measure, and 36% by likelihood
per byte."""


@dataclass(frozen=True, kw_only=True)
class QuestionRecipe:
    """The number and length of questions."""

    per_task: int = 600
    """Most questions of a task."""
    context_tokens: int = 64
    continuation_tokens: int = 24
    choices: int = 4
    per_document: int = 12
    """Most questions of a task from one document."""
    max_documents: int = 4_000
    """Most held-out documents to read, chosen by hash."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.choices < 2 or min(self.per_task, self.context_tokens, self.continuation_tokens) < 1:
            raise WatershedError(
                "questions: a question needs a context, a continuation and at least two choices",
                "correct the QuestionRecipe",
            )


@dataclass(frozen=True)
class Passage:
    """A place in a held-out document, with the text before it and the text after it."""

    doc_id: str
    source: str
    start: int
    """Token of the document at which the continuation begins."""
    context: Ids = field(repr=False)
    continuation: Ids = field(repr=False)
    context_text: str
    continuation_text: str
    minhash: bytes | None = field(repr=False, default=None)
    """The signature of its document."""


@dataclass(frozen=True)
class Question:
    """A passage and its choices; `choices[gold]` is the passage itself."""

    question_id: str
    task: str
    passage: Passage
    choices: tuple[Passage, ...]
    gold: int


def passages(documents: pa.Table, tokenizer: Tokenizer, recipe: QuestionRecipe) -> list[Passage]:
    """Passages to ask about, in hash order, without overlaps.

    Args:
        documents: `doc_id`, `source`, `text`, `minhash`, in any order.
    """
    finder = _PassageFinder(tokenizer, recipe)
    found: list[Passage] = []
    for batch in documents.to_batches(max_chunksize=256):
        for row in batch.to_pylist():
            places = sorted(finder.places(row), key=lambda p: hash_key(recipe.seed, "passage", p.doc_id, p.start))
            found += places[: recipe.per_document]
    return sorted(found, key=lambda p: (hash_key(recipe.seed, "question", p.doc_id, p.start), p.doc_id, p.start))


class _PassageFinder:
    """Finds the passages of one document after another."""

    def __init__(self, tokenizer: Tokenizer, recipe: QuestionRecipe) -> None:
        self.tokenizer = tokenizer
        self.recipe = recipe
        self.sizes = bytes_of_tokens(tokenizer)
        self.begins_word = np.array([entry[:1] == "Ġ" and entry[1:2].isalpha() for entry in vocabulary(tokenizer)])

    def places(self, row: dict[str, Any]) -> Iterator[Passage]:
        ids = encode(self.tokenizer, row["text"])
        raw = row["text"].encode()
        at = np.concatenate(([0], np.cumsum(self.sizes[ids])))
        words = np.flatnonzero(self.begins_word[ids])
        before, after = self.recipe.context_tokens, self.recipe.continuation_tokens
        cursor = FIRST_TOKENS
        while (place := int(np.searchsorted(words, cursor + before))) < len(words):
            start = int(words[place])
            first, stop = start - before, start + after
            if stop > len(ids):
                return
            context, continuation = _whole_text(raw, at[first], at[start]), _whole_text(raw, at[start], at[stop])
            whole = context is not None and continuation is not None
            if whole and _asks_something(continuation, ids[start:stop]) and row["text"].count(continuation) == 1:
                yield Passage(
                    doc_id=row["doc_id"],
                    source=row["source"],
                    start=start,
                    context=ids[first:start],
                    continuation=ids[start:stop],
                    context_text=context,
                    continuation_text=continuation,
                    minhash=row["minhash"],
                )
            cursor = stop


def _whole_text(raw: bytes, start: int, stop: int) -> str | None:
    """The text of these bytes, unless they begin or end inside a character."""
    try:
        return raw[start:stop].decode()
    except UnicodeDecodeError:
        return None


def _asks_something(text: str, ids: Ids) -> bool:
    letters = sum(character.isalpha() or character == " " for character in text)
    return letters >= LEAST_LETTERS * len(text) and len(np.unique(ids)) >= LEAST_DISTINCT * len(ids)


def make_questions(found: Sequence[Passage], task: str, recipe: QuestionRecipe) -> list[Question]:
    """Up to `per_task` questions of `task`, in the order of `found`. A passage with too few distractors is skipped."""
    pools: dict[str, list[Passage]] = defaultdict(list)
    for passage in found:
        pools[passage.source if task == SAME_SOURCE else ""].append(passage)
    questions: list[Question] = []
    for passage in found:
        if len(questions) == recipe.per_task:
            break
        pool = pools[passage.source if task == SAME_SOURCE else ""]
        distractors = _distractors(passage, pool, task, recipe)
        if len(distractors) == recipe.choices - 1:
            questions.append(_question(passage, distractors, task, recipe))
    return questions


def _distractors(passage: Passage, pool: list[Passage], task: str, recipe: QuestionRecipe) -> list[Passage]:
    """Other documents' continuations, drawn by hash, each unlike the true one and the other distractors."""
    chosen = [passage]
    for draw in range(DRAWS):
        if len(chosen) == recipe.choices:
            break
        number = hash_number(recipe.seed, "distractor", task, passage.doc_id, passage.start, draw)
        other = pool[number % len(pool)]
        if not any(_alike(other, one) for one in chosen):
            chosen.append(other)
    return chosen[1:]


def _alike(one: Passage, other: Passage) -> bool:
    """Whether two passages are of the same or nearly the same document, or have nearly the same words."""
    if one.doc_id == other.doc_id or one.continuation_text == other.continuation_text:
        return True
    words, others = set(one.continuation.tolist()), set(other.continuation.tolist())
    if len(words & others) >= LIKE_TEXT * len(words | others):
        return True
    if one.minhash is None or other.minhash is None:
        return False
    signatures = np.frombuffer(one.minhash, "<u4"), np.frombuffer(other.minhash, "<u4")
    return float(np.mean(signatures[0] == signatures[1])) >= LIKE_DOCUMENT


def _question(passage: Passage, distractors: list[Passage], task: str, recipe: QuestionRecipe) -> Question:
    gold = hash_number(recipe.seed, "gold", task, passage.doc_id, passage.start) % recipe.choices
    choices = (*distractors[:gold], passage, *distractors[gold:])
    halves = (hash_key(recipe.seed, half, task, passage.doc_id, passage.start) for half in ("id", "id, continued"))
    return Question("".join(halves), task, passage, choices, gold)


def question_files(questions: Sequence[Question], tasks: Sequence[str]) -> tuple[bytes, bytes]:
    """questions.npz and questions.json, as the trainers read them."""
    options = [choice for question in questions for choice in question.choices]
    arrays = {
        "tokens": np.concatenate([option.continuation for option in options]).astype(np.uint32),
        "offsets": _offsets([len(option.continuation) for option in options]),
        "context_tokens": np.concatenate([question.passage.context for question in questions]).astype(np.uint32),
        "context_offsets": _offsets([len(question.passage.context) for question in questions]),
        "options_start": _offsets([len(question.choices) for question in questions]),
        "option_bytes": np.array([len(option.continuation_text.encode()) for option in options], np.int64),
        "gold": np.array([question.gold for question in questions], np.int32),
        "task": np.array([tasks.index(question.task) for question in questions], np.int32),
    }
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    description = {
        "tasks": list(tasks),
        "normalisation": dict.fromkeys(tasks, NORMALISATION),
        "question_ids": [question.question_id for question in questions],
    }
    return buffer.getvalue(), (json.dumps(description) + "\n").encode()


def _offsets(lengths: list[int]) -> NDArray[np.int64]:
    return np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)


def write_questions(spark: SparkSession, lake: Lake, recipe: QuestionRecipe, fingerprint: str) -> dict[str, Any]:
    """Write questions about the mixture's held-out documents: evals.examples, evals.tasks, and files for the trainers.

    Raises:
        WatershedError: there is too little held-out text, so a task has no question.
    """
    tokenizer = load_tokenizer(stored_tokenizer(lake)[0])
    documents = _heldout(spark, lake, recipe)
    tasks = tuple(TASK_DESCRIPTIONS)
    with track("asking questions", len(tasks) + 1) as task:
        found = passages(documents, tokenizer, recipe)
        task.advance()
        asked: dict[str, list[Question]] = {}
        for name in tasks:
            asked[name] = make_questions(found, name, recipe)
            task.advance()
    _refuse_silence(asked, documents.num_rows, len(found))
    questions = [question for name in tasks for question in asked[name]]
    folder = questions_folder(lake, fingerprint)
    arrays, ids = question_files(questions, tasks)
    write_whole(folder / QUESTIONS, arrays)
    write_whole(folder / QUESTION_IDS, ids)
    lake.replace(EXAMPLES, _example_rows(questions), fingerprint)
    lake.replace(TASKS, _task_rows(asked, recipe), fingerprint)
    return {"documents": documents.num_rows, "passages": len(found), **{name: len(asked[name]) for name in tasks}}


def questions_folder(lake: Lake, fingerprint: str) -> Path:
    """The folder of questions.npz and questions.json."""
    return lake.folder("evals.examples", fingerprint)


def _heldout(spark: SparkSession, lake: Lake, recipe: QuestionRecipe) -> pa.Table:
    from pyspark.sql import functions as F

    key = hash_key_column(recipe.seed, "heldout sample", "doc_id")
    chosen = write.read(spark, lake, "dclm.mixture").where(F.col("split") == "heldout")
    chosen = chosen.select("doc_id", "recipe", "source").orderBy(key, "doc_id").limit(recipe.max_documents)
    signatures = write.read(spark, lake, "dclm.documents").select("doc_id", "minhash")
    texts = texts_of(spark, lake, chosen).join(chosen.drop("recipe"), "doc_id")
    return texts.join(signatures, "doc_id").toArrow()


def _refuse_silence(asked: dict[str, list[Question]], documents: int, places: int) -> None:
    for name, questions in asked.items():
        if not questions:
            raise WatershedError(
                f"evals.examples: the task {name} has no question; "
                f"{documents} held-out documents have {places} passages to ask about",
                "raise `heldout_share` of the MixtureRecipe, or give it a larger crawl",
            )


def _example_rows(questions: list[Question]) -> pa.Table:
    rows = [
        {
            "question_id": question.question_id,
            "task": question.task,
            "doc_id": question.passage.doc_id,
            "context": question.passage.context_text,
            "choices": [choice.continuation_text for choice in question.choices],
            "gold": question.gold,
        }
        for question in questions
    ]
    return pa.Table.from_pylist(rows, schema=EXAMPLES.schema)


def _task_rows(asked: dict[str, list[Question]], recipe: QuestionRecipe) -> pa.Table:
    rows = [
        {
            "task": name,
            "kind": "multiple_choice",
            "version": VERSION,
            "chance": 1 / recipe.choices,
            "metric": METRIC,
            "examples": len(questions),
            "description": TASK_DESCRIPTIONS[name],
        }
        for name, questions in asked.items()
    ]
    return pa.Table.from_pylist(rows, schema=TASKS.schema)
