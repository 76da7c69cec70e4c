"""Two folders of documents to compare that no lake holds: equally large shards, questions, and held-out text.

Documents are JSON lines or Parquet with a column `text`, or a folder of shards with its tokenizer. Both sides are put
in the order of a hash and cut to the same number of bytes; the vocabulary is learnt from as many bytes of each.
Questions are asked about held-out text that the user names, or come from task files in the formats of
docs/evaluations.md.
Documents that hold a fifth of the 13-grams of a question or of a held-out document are left out of both sides.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from catalog.errors import WatershedError
from catalog.files import sha256_of, write_whole
from catalog.fingerprint import fingerprint
from catalog.progress import track
from spark_jobs.dclm.compared_mixtures import OVERLAP, Dataset, Mixture, shards_of
from spark_jobs.evals.continuations import (
    ANY_SOURCE,
    QUESTION_IDS,
    QUESTIONS,
    Passage,
    Question,
    QuestionRecipe,
    make_questions,
    passages,
    question_files,
)
from spark_jobs.hash_order import hash_number
from spark_jobs.shards.documents import find_files, read_documents
from spark_jobs.shards.format import DATASET, MANIFEST, TOKENIZER, parse_line, read_shard, write_manifest
from spark_jobs.shards.publish import write_description
from spark_jobs.shards.tokenizer import EOT, encode, encoder, load_tokenizer, tokenizer_bytes, train_tokenizer
from spark_jobs.shards.writer import ShardRecipe, ShardWriter

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from trainers.icl.files import Example

CODE_VERSION = "folders-1"
"""Raised when the same folders would give other shards or questions."""
VOCABULARY_BYTES = 4_000_000
"""Bytes of each side that the vocabulary is learnt from."""
MOST_BYTES = 8_000_000_000
"""Of the text of a side that is held in memory."""
CHOICES = 4
"""Of a question whose task file gives one answer; the others are answers of other examples."""


@dataclass(frozen=True, kw_only=True)
class Folders:
    """What is compared, and what both sides are asked."""

    first: Path
    second: Path
    heldout: Path | None
    """Documents that belong to neither side."""
    questions: tuple[Path, ...]
    """Task files."""
    column: str = "text"

    @property
    def asked(self) -> str:
        """Where the questions come from, in words."""
        parts = [f"the held-out text of {self.heldout}"] if self.heldout else []
        return " and ".join([*parts, *(str(path) for path in self.questions)])


@dataclass(frozen=True, kw_only=True)
class Written:
    """What a comparison trains on and is asked."""

    datasets: tuple[Dataset, Dataset]
    questions: Path
    """questions.npz."""
    heldout: Path
    """A folder of shards with the split heldout."""
    identity: str
    tasks: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class TaskFile:
    """A task file of the user."""

    name: str
    kind: str
    """One of the four of docs/evaluations.md."""
    examples: list[Example]

    def spoken(self, example: Example) -> str:
        """A question with its right answer, as one text."""
        context = example.contexts[example.gold if self.kind == "schema" else 0]
        return f"{context} {example.answers[example.gold if self.kind == 'multiple_choice' else 0]}"


Texts = list[tuple[str, str]]
"""(hash, text), in the order of the hash."""


def write_folders(folders: Folders, root: Path, tokens: int, vocabulary: int, recipe: ShardRecipe) -> Written:
    """Write shards of both sides, of the held-out text, and the questions, under `root`.

    Args:
        folders: what is compared.
        root: gets a folder named by the contents of everything that is read.
        tokens: that the largest run reads, and the most that a side gets.
        vocabulary: entries of the tokenizer.
        recipe: of the shards.

    Raises:
        WatershedError: a file cannot be read, a side or the held-out text is too small, or one holds the other's text.
    """
    names = _names(folders)
    sides = [_texts(path, folders.column) for path in (folders.first, folders.second)]
    held = _texts(folders.heldout, folders.column) if folders.heldout else []
    files = [_task_file(path) for path in folders.questions]
    sides = _without_overlaps(names, sides, held, files)
    digest = hashlib.sha256()
    for texts in (*sides, held):
        digest.update("".join(key for key, _ in texts).encode() + b"|")
    asked = [sha256_of(path) for path in folders.questions]
    identity = fingerprint(CODE_VERSION, digest.hexdigest(), asked, tokens, vocabulary, recipe, OVERLAP)
    folder = root / identity
    smaller = min(sum(len(text.encode()) for _, text in texts) for texts in sides)
    tokenizer = _tokenizer(
        folder / TOKENIZER, [_cut(texts, min(VOCABULARY_BYTES, smaller)) for texts in sides], vocabulary
    )
    ratio = _bytes_per_token(folder / TOKENIZER, [_cut(texts, min(VOCABULARY_BYTES, smaller)) for texts in sides])
    size = min(smaller, int(tokens * ratio) + 1)
    found = _questions(held, files, tokenizer, recipe.sequence_length)
    if not found:
        raise WatershedError(
            f"no question of {folders.asked} fits into {recipe.sequence_length} tokens", "give shorter questions"
        )
    arrays, ids = question_files(found, tasks := tuple(dict.fromkeys(question.task for question in found)))
    write_whole(folder / QUESTIONS, arrays)
    write_whole(folder / QUESTION_IDS, ids)
    spoken = held or [(f"{file.name} {at}", file.spoken(one)) for file in files for at, one in enumerate(file.examples)]
    heldout = _write(folder / "heldout", folder / TOKENIZER, "heldout", spoken, recipe, ratio)
    datasets = []
    for name, texts in zip(names, sides, strict=True):
        cut = _cut(texts, size)
        own = fingerprint(identity, name if sides[0] == sides[1] else "", [key for key, _ in cut])
        lines = _write(folder / own, folder / TOKENIZER, "train", cut, recipe, ratio)
        datasets.append(
            Dataset(
                mixture=Mixture(name=name, rules="", folder=True),
                fingerprint=own,
                folder=folder / own,
                documents=len(cut),
                bytes=size,
                tokens=sum(line.tokens for line in lines),
                vocab_size=tokenizer.get_vocab_size(),
                contaminated=0,
            )
        )
    if not heldout:
        raise WatershedError(
            f"the held-out text has less than {recipe.sequence_length + 1} tokens",
            "give more held-out text or questions",
        )
    return Written(
        datasets=(datasets[0], datasets[1]),
        questions=folder / QUESTIONS,
        heldout=folder / "heldout",
        identity=identity,
        tasks=tasks,
    )


def _names(folders: Folders) -> tuple[str, str]:
    first, second = (path.absolute().name for path in (folders.first, folders.second))
    return (first, second) if first != second else (str(folders.first), str(folders.second))


def _texts(path: Path, column: str) -> Texts:
    """All documents, in the order of a hash of their text; of copies one stays each time it comes."""
    found: Texts = []
    held = 0
    for text in _decoded(path) if (path / DATASET).is_file() else _read(path, column):
        held += len(text)
        if held > MOST_BYTES:
            raise WatershedError(f"{path} has more than {MOST_BYTES:,} characters", "give a sample of it")
        found.append((hashlib.sha256(text.encode(errors="replace")).hexdigest()[:32], text))
    if not found:
        raise WatershedError(f"{path} holds no document with text", f"give JSONL or Parquet with a column {column!r}")
    return sorted(found)


def _read(path: Path, column: str) -> Iterator[str]:
    files = find_files([str(path)])
    if wrong := [file for file in files if file.kind == "tokens"]:
        raise WatershedError(
            f"{wrong[0].path}: tokens without their tokenizer", "give JSONL, Parquet, or a folder of shards"
        )
    with track(f"reading {path.name}", sum(file.bytes for file in files), "bytes") as task:
        for file in files:
            before = task.done
            for batch in read_documents(file, None, column, None, lambda done, at=before: task.reach(at + done)):  # ty: ignore
                yield from (
                    text for text in (batch.texts.to_pylist() if batch.texts is not None else []) if text.strip()
                )


def _decoded(folder: Path) -> Iterator[str]:
    """The documents of a folder of shards; those that the ends of its shards cut are cut here too."""
    tokenizer = load_tokenizer(folder / TOKENIZER)
    eot = json.loads((folder / DATASET).read_text("utf-8")).get("eot", EOT)
    for path in sorted((folder / "train").glob("*.tar")):
        stream = read_shard(path).ravel()
        for tokens in np.split(stream, np.flatnonzero(stream == eot)):
            text = tokenizer.decode([int(token) for token in tokens if token != eot])
            if text.strip():
                yield text


def _task_file(path: Path) -> TaskFile:
    from trainers.icl.files import file_kind, read_examples

    kind = file_kind(path)
    if kind == "code_generation":
        raise WatershedError(f"{path}: small models write no programs", "compare on a file of another kind")
    return TaskFile(name=path.name.partition(".")[0], kind=kind, examples=read_examples(path, kind))


def _without_overlaps(names: Sequence[str], sides: list[Texts], held: Texts, files: Sequence[TaskFile]) -> list[Texts]:
    """Both sides without the documents that hold a fifth of a held-out document or question."""
    from spark_jobs.contamination.index import build_index
    from spark_jobs.contamination.rules import RULES
    from spark_jobs.contamination.search import find_contamination

    rows = [("held-out documents", key, text) for key, text in held]
    rows += [(file.name, str(at), file.spoken(one)) for file in files for at, one in enumerate(file.examples)]
    if not rows:
        raise WatershedError(
            "there is nothing to ask both folders about",
            "give text that belongs to neither side with --heldout, or task files with --questions",
        )
    columns = dict(zip(("evaluation", "example_id", "text"), map(list, zip(*rows, strict=True)), strict=True))
    try:
        index = build_index(pa.table(columns).to_batches(), dataclasses.replace(RULES["ngram"], share=OVERLAP))
    except WatershedError:  # short questions have no n-gram that could be found
        return sides
    kept = []
    for name, texts in zip(names, sides, strict=True):
        batch = pa.record_batch({"id": [str(at) for at in range(len(texts))], "text": [text for _, text in texts]})
        (marked,) = find_contamination([batch], index)
        out = set(marked["id"].filter(marked["contaminated"]).to_pylist())
        kept.append([each for at, each in enumerate(texts) if str(at) not in out])
        if not kept[-1]:
            raise WatershedError(f"every document of {name} is in the held-out text", "give text of neither side")
    return kept


def _tokenizer(path: Path, sides: Sequence[Texts], vocabulary: int) -> Tokenizer:
    if not path.is_file():
        with track("learning the vocabulary", 1) as task:
            learnt = train_tokenizer((text for texts in sides for _, text in texts), vocabulary)
            task.advance()
        write_whole(path, tokenizer_bytes(learnt))
    return load_tokenizer(path)


def _bytes_per_token(path: Path, sides: Sequence[Texts]) -> float:
    """On both sides together, the end of a document counted as a token."""
    texts = [text for each in sides for _, text in each]
    ids, _ = encoder(load_tokenizer(path)).encode(pa.array(texts, pa.large_string()))
    return sum(len(text.encode()) for text in texts) / (len(ids) + len(texts))


def _cut(texts: Texts, most: int) -> Texts:
    """The first `most` bytes, the last document cut at a whole character."""
    sizes = np.cumsum([len(text.encode()) for _, text in texts])
    last = bisect_left(sizes, most)
    if last >= len(texts):
        return texts
    left = most - (int(sizes[last - 1]) if last else 0)
    return [*texts[:last], (texts[last][0], texts[last][1].encode()[:left].decode(errors="ignore"))]


def _write(  # noqa: PLR0917 - all of one data set
    folder: Path, tokenizer: Path, split: str, texts: Texts, recipe: ShardRecipe, ratio: float
) -> list[Any]:
    """The manifest lines of the shards of these texts; none where they fill no sequence."""
    from spark_jobs.shards.format import read_manifest

    if (folder / split / MANIFEST).is_file():
        return read_manifest(folder / split)
    writer = ShardWriter(folder, tokenizer, recipe)
    size = sum(len(text.encode()) for _, text in texts)
    shards = max(1, round(size / (recipe.shard_tokens * ratio)))
    # Copies of a text have one hash: their places tell them apart.
    names = [f"{key}-{at}" for at, (key, _) in enumerate(texts)]
    table = pa.table(
        {
            "key": [f"{at:012d}" for at in range(len(texts))],
            "doc_id": names,
            "source": [split] * len(texts),
            "text": pa.array([text for _, text in texts], pa.string()),
        }
    )
    notes = [
        writer.make(split, number, part)
        for number, part in enumerate(shards_of(iter(table.to_batches()), size / shards))
    ]
    lines = [line for line in (parse_line(note["line"]) for note in notes) if line.num_sequences]
    if not lines:
        return []
    write_description(folder, tokenizer, recipe, folder.name, load_tokenizer(tokenizer).get_vocab_size(), EOT)
    write_manifest(folder / split, lines)
    return lines


def _questions(held: Texts, files: Sequence[TaskFile], tokenizer: Tokenizer, length: int) -> list[Question]:
    recipe = QuestionRecipe()
    found: list[Question] = []
    if held:
        documents = pa.table(
            {
                "doc_id": [f"{key}-{at}" for at, (key, _) in enumerate(held)],
                "source": ["heldout"] * len(held),
                "text": [text for _, text in held],
                "minhash": pa.nulls(len(held), pa.binary()),
            }
        )
        found += make_questions(passages(documents, tokenizer, recipe), ANY_SOURCE, recipe)
        if not found:
            raise WatershedError(
                f"{len(held)} held-out documents give no question",
                f"give at least {recipe.choices}, each of more than 100 tokens",
            )
    for file in files:
        asked = (_asked(file, at, tokenizer, length) for at in range(len(file.examples)))
        found += [question for question in asked if question]
    return found


def _asked(file: TaskFile, at: int, tokenizer: Tokenizer, length: int) -> Question | None:
    """An example as a question of a context and choices; None where it is too long to be read."""
    task, kind, others, example = file.name, file.kind, file.examples, file.examples[at]
    context, choices, gold = example.contexts[0], list(example.answers), example.gold
    if kind == "schema":
        # Both contexts of a schema begin alike: what follows there is a choice.
        same = _alike(example.contexts)
        cut = example.contexts[0].rfind(" ", 0, same + 1)
        context = example.contexts[0][: max(cut, 0)]
        choices = [f"{each[max(cut, 0) :].strip()} {example.answers[0]}" for each in example.contexts]
    elif kind != "multiple_choice":
        pool = dict.fromkeys(one.answers[0] for one in others if one.answers[0] not in example.answers)
        drawn = sorted(pool, key=lambda text: hash_number(0, "answer", task, at, text))[: CHOICES - 1]
        if not drawn:
            return None
        gold = hash_number(0, "gold", task, at) % (len(drawn) + 1)
        choices = [*drawn[:gold], example.answers[0], *drawn[gold:]]
    tokens = [encode(tokenizer, f" {choice.strip()}") for choice in choices]
    longest = max(map(len, tokens))
    before = encode(tokenizer, context)[-(length - longest) :] if longest < length else None
    if before is None or not len(before) or not all(map(len, tokens)):
        return None
    made = [
        Passage(
            doc_id=f"{task} {at} {number}",
            source=task,
            start=at,
            context=before,
            continuation=ids,
            context_text=context,
            continuation_text=f" {choice.strip()}",
        )
        for number, (choice, ids) in enumerate(zip(choices, tokens, strict=True))
    ]
    return Question(f"{task}-{at}", task, made[gold], tuple(made), gold)


def _alike(texts: Sequence[str]) -> int:
    first = min(map(len, texts))
    return next((at for at in range(first) if len({text[at] for text in texts}) > 1), first)
