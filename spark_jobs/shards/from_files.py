"""Shards of plain files, without a lake: documents are tokenised, put in the order of a hash, and written as shards.

Every document has a 64-bit key, a hash of the seed, the SHA-256 of its file and its number in it, and a shard is a
range of keys. Whether a document is held out is a hash of the seed and its tokens, so a document and its exact copy are
on one side. Neither paths, nor the order of the inputs, nor the number of workers changes a byte.

Two passes: the first writes each batch of documents as tokens sorted by key (`making/`), the second reads a range of
keys from all of these for each shard. What is finished is not made again when the same work is started anew.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from catalog.errors import WatershedError
from catalog.files import sha256_of, whole_file, write_whole
from catalog.progress import track
from spark_jobs.light_imports import light_imports
from spark_jobs.shards.documents import Batch, TextFile, read_documents
from spark_jobs.shards.format import DATASET, MANIFEST, TOKENIZER
from spark_jobs.shards.plan import BIN_DIGITS, SPLITS, plan_shards
from spark_jobs.shards.publish import write_description, write_manifests
from spark_jobs.shards.vocabulary import Vocabulary, read_vocabulary
from spark_jobs.shards.writer import ShardRecipe, ShardWriter, lay_out

VERSION = "file-shards-1"
"""Part of the fingerprint; raised when the same inputs would give other shards."""
MAKING, COUNTS = "making", "made/counts.json"
BIN_SHIFT = np.uint64(64 - 4 * BIN_DIGITS)
BINS = 16**BIN_DIGITS
MIX = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
PART = pa.schema(
    [
        ("key", pa.uint64()),
        ("doc_id", pa.string()),
        ("source", pa.string()),
        ("text_bytes", pa.int64()),
        ("tokens", pa.large_list(pa.uint32())),
    ]
)


@dataclass(frozen=True, kw_only=True)
class FileShards:
    """What is made of which files."""

    files: tuple[TextFile, ...]
    tokenizer: Path
    """tokenizer.json, or a folder that holds it."""
    out: Path
    recipe: ShardRecipe
    heldout: float = 0.01
    """Share of the documents that is held out."""
    end: str | None = None
    """The token that ends a document; None: what the tokenizer declares."""
    text_column: str = "text"
    token_type: str | None = None
    """Of raw token files; None: uint16 where the vocabulary fits, else uint32."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What was written."""

    fingerprint: str
    documents: int
    empty: int
    """Documents without a token, which are left out."""
    shards: dict[str, int]
    sequences: dict[str, int]
    tokens: dict[str, int]
    dropped_tokens: int
    """Tokens after the last whole sequence of a shard."""
    made_before: bool
    """The folder already held these shards."""


def make_shards(job: FileShards, workers: int = 1) -> Outcome:
    """Write the shards of a job's files into its folder, or what is still missing of them.

    Raises:
        WatershedError: an input cannot be read, the folder holds something else, a split gets no sequence, or the disk
            is full.
    """
    vocabulary = read_vocabulary(job.tokenizer, job.end)
    with track("reading the inputs", sum(file.bytes for file in job.files), "bytes") as task:
        digests = []
        for file in job.files:
            digests.append(_digest(file))
            task.advance(file.bytes)
    fingerprint = _fingerprint(job, vocabulary, digests)
    there = _claim(job.out, fingerprint)
    if there is not None:
        return there
    work = job.out / MAKING / fingerprint[:16]
    work.mkdir(parents=True, exist_ok=True)
    with _pool(workers) as pool:
        counts = _tokenise(job, vocabulary, digests, work, pool)
        made = _write(job, vocabulary, work, sorted(work.glob("*.json")), pool)
    outcome = _publish(job, vocabulary, fingerprint, made, counts)
    shutil.rmtree(job.out / MAKING, ignore_errors=True)
    return outcome


def _digest(file: TextFile) -> str:
    try:
        return sha256_of(file.path)
    except OSError as error:
        raise WatershedError(f"{file.path}: cannot be read ({error.strerror})", "let this user read it") from None


def _fingerprint(job: FileShards, vocabulary: Vocabulary, digests: Sequence[str]) -> str:
    identity = {
        "code": VERSION,
        "recipe": asdict(job.recipe),
        "heldout": job.heldout,
        "tokenizer": vocabulary.sha256,
        "eot": vocabulary.eot,
        "text_column": job.text_column,
        "token_type": job.token_type,
        "files": sorted([digest, file.label, file.kind] for digest, file in zip(digests, job.files, strict=True)),
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def _claim(out: Path, fingerprint: str) -> Outcome | None:
    """The outcome if the folder holds these shards; None if they may be written there."""
    mend = "give another --out, or remove that folder"
    if not out.exists():
        return None
    if not out.is_dir():
        raise WatershedError(f"{out}: a file is there", mend)
    dataset = out / DATASET
    if dataset.is_file():
        try:
            found = json.loads(dataset.read_text("utf-8"))
            same = found["fingerprint"] == fingerprint
        except (OSError, ValueError, KeyError, TypeError):
            raise WatershedError(f"{dataset}: cannot be read", mend) from None
        if not same:
            raise WatershedError(f"{out}: holds shards of other inputs or of another recipe", mend)
        writer = ShardWriter(out, out / TOKENIZER, ShardRecipe())
        notes = [(split, int(note.stem.removeprefix("shard_"))) for split in SPLITS for note in _notes(out, split)]
        whole = notes and (out / COUNTS).is_file() and all((out / split / MANIFEST).is_file() for split in SPLITS)
        if whole and all(writer.is_finished(*note) for note in notes):
            return _outcome(
                fingerprint,
                [writer.read_note(*note) for note in notes],
                json.loads((out / COUNTS).read_text("utf-8")),
                made_before=True,
            )
    ours = {DATASET, TOKENIZER, MAKING, *SPLITS, "made"}
    others = sorted(place.name for place in out.iterdir() if place.name not in ours and not place.name.startswith("."))
    if others or (not dataset.is_file() and not (out / MAKING).is_dir() and any(out.iterdir())):
        raise WatershedError(f"{out}: holds other files{f', such as {others[0]}' if others else ''}", mend)
    if not (out / MAKING / fingerprint[:16]).is_dir():
        # What is there was left by other work that never ended, or is damaged.
        for name in (DATASET, MAKING, *SPLITS, "made"):
            place = out / name
            if place.is_dir():
                shutil.rmtree(place)
            else:
                place.unlink(missing_ok=True)
    return None


def _notes(out: Path, split: str) -> list[Path]:
    return sorted((out / "made" / split).glob("shard_*.json"))


@dataclass(frozen=True)
class _Piece:
    """A batch of documents and where its tokens go."""

    place: Path
    """Of the note; the tokens are beside it."""
    vocabulary: Path
    end: str | None
    key: int
    """Of the file, mixed with the number of a document."""
    seed: int
    heldout: float
    batch: Batch


def _tokenise(
    job: FileShards, vocabulary: Vocabulary, digests: Sequence[str], work: Path, pool: Pool
) -> dict[str, int]:
    """The first pass; returns the number of documents, and of those without a token."""
    total: Counter[str] = Counter()
    with track("tokenising", sum(file.bytes for file in job.files), "bytes") as task:
        pieces = _pieces(job, vocabulary, digests, work, task.reach)
        for found in _side_by_side(_tokens_of, pieces, pool):
            total.update(found)
    return {"documents": total["documents"], "empty": total["empty"]}


def _pieces(
    job: FileShards, vocabulary: Vocabulary, digests: Sequence[str], work: Path, reached: Callable[[float], None]
) -> Iterator[tuple[_Piece]]:
    """Batches in the order of the inputs' digests, so that their names do not depend on how they were given."""
    order = sorted(
        range(len(digests)), key=lambda place: (digests[place], job.files[place].label, job.files[place].kind)
    )
    seen: Counter[str] = Counter()
    done = 0
    for rank, place in enumerate(order):
        file, digest = job.files[place], digests[place]
        name = f"{job.recipe.seed}\x1f{digest}\x1f{seen[digest]}"
        seen[digest] += 1
        key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
        batches = read_documents(
            file, vocabulary, job.text_column, job.token_type, lambda at, base=done: reached(base + at)
        )
        for number, batch in enumerate(batches):
            note = work / f"{rank:06d}-{number:06d}.json"
            yield (_Piece(note, vocabulary.path, job.end, key, job.recipe.seed, job.heldout, batch),)
        done += file.bytes
        reached(done)


@cache
def _vocabulary(path: Path, end: str | None) -> Vocabulary:
    return read_vocabulary(path, end)


def _tokens_of(piece: _Piece) -> dict[str, int]:
    """Write one batch as tokens sorted by key, a file a split; what exists already is read."""
    if piece.place.is_file():
        return json.loads(piece.place.read_text("utf-8"))
    vocabulary, batch = _vocabulary(piece.vocabulary, piece.end), piece.batch
    tokens = batch.tokens
    if tokens is None:
        ids, ends = vocabulary.encode(batch.texts)
        tokens = np.split(ids, ends[1:-1])
    sizes = _text_sizes(vocabulary, batch, tokens)
    keys = _mixed(np.arange(batch.first, batch.first + len(tokens), dtype=np.uint64) ^ np.uint64(piece.key))
    limit = int(piece.heldout * 2**64)
    heldout = np.array([_hash(piece.seed, ids) < limit for ids in tokens], np.bool_)
    empty = np.array([not len(ids) for ids in tokens], np.bool_)
    for split, chosen in zip(SPLITS, (~heldout & ~empty, heldout & ~empty), strict=True):
        rows = np.flatnonzero(chosen)
        rows = rows[np.argsort(keys[rows], kind="stable")]
        columns = [
            pa.array(keys[rows]),
            pa.array([batch.names[row] for row in rows], pa.string()),
            pa.array([batch.sources[row] for row in rows], pa.string()),
            pa.array(sizes[rows]),
            _lists([tokens[row] for row in rows]),
        ]
        with whole_file(_part(piece.place, split)) as fresh, pa.ipc.new_file(str(fresh), PART) as out:
            out.write_batch(pa.RecordBatch.from_arrays(columns, schema=PART))
    found = {"documents": int(len(tokens) - empty.sum()), "empty": int(empty.sum())}
    write_whole(piece.place, json.dumps(found).encode())
    return found


def _text_sizes(vocabulary: Vocabulary, batch: Batch, tokens: Sequence[NDArray[np.uint32]]) -> NDArray[np.int64]:
    """UTF-8 bytes of each document's text."""
    if batch.texts is not None:
        from spark_jobs.compute import pc

        return np.asarray(pc.binary_length(batch.texts).to_numpy(zero_copy_only=False), np.int64)
    sizes = vocabulary.bytes_of_ids
    if sizes is not None:
        return np.array([sizes[ids].sum() for ids in tokens], np.int64)
    return np.array([vocabulary.text_bytes(ids.tolist()) for ids in tokens], np.int64)


def _part(note: Path, split: str) -> Path:
    return note.with_suffix(f".{split}.arrow")


def _lists(tokens: Sequence[NDArray[np.uint32]]) -> pa.Array:
    offsets = np.concatenate(([0], np.cumsum([len(ids) for ids in tokens], dtype=np.int64)))
    return pa.LargeListArray.from_arrays(offsets, np.concatenate([np.empty(0, np.uint32), *tokens]))


def _hash(seed: int, tokens: NDArray[np.uint32]) -> int:
    digest = hashlib.blake2b(tokens.tobytes(), digest_size=8, salt=seed.to_bytes(16, "little", signed=True))
    return int.from_bytes(digest.digest(), "little")


def _mixed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """splitmix64's finaliser."""
    with np.errstate(over="ignore"):
        x = x + MIX[0]
        x = (x ^ (x >> np.uint64(30))) * MIX[1]
        x = (x ^ (x >> np.uint64(27))) * MIX[2]
        return x ^ (x >> np.uint64(31))


@dataclass(frozen=True)
class _Shard:
    """A range of keys that becomes a shard."""

    writer: ShardWriter
    end: str | None
    split: str
    number: int
    first_bin: int
    last_bin: int
    notes: tuple[Path, ...]


def _write(
    job: FileShards, vocabulary: Vocabulary, work: Path, notes: Sequence[Path], pool: Pool
) -> list[dict[str, Any]]:
    """The second pass; returns the notes of all shards."""
    writer = ShardWriter(job.out, vocabulary.path, job.recipe)
    plan = plan_shards(_sizes(notes), job.recipe.shard_tokens)
    ranges: dict[tuple[str, int], list[int]] = {}
    for row in plan.to_pylist():
        ranges.setdefault((row["split"], row["shard"]), []).append(row["bin"])
    shards = [
        _Shard(writer, job.end, split, number, bins[0], bins[-1], tuple(notes))
        for (split, number), bins in ranges.items()
    ]
    with track("writing shards", len(shards), "shards") as task:
        made = []
        for note in _side_by_side(_shard_of, ((shard,) for shard in shards), pool):
            made.append(note)
            task.advance()
    return made


def _sizes(notes: Sequence[Path]) -> pa.Table:
    """`split`, `bin` and `bytes`, here tokens, of every bin that is not empty."""
    parts = []
    for split in SPLITS:
        counted = np.zeros(BINS, np.int64)
        for note in notes:
            for batch in _batches(_part(note, split)):
                lengths = np.diff(batch.column("tokens").offsets.to_numpy()) + 1
                bins = (batch.column("key").to_numpy() >> BIN_SHIFT).astype(np.int64)
                counted += np.bincount(bins, lengths, BINS).astype(np.int64)
        held = np.flatnonzero(counted)
        parts.append(
            pa.table({"split": pa.array([split] * len(held), pa.string()), "bin": held, "bytes": counted[held]})
        )
    return pa.concat_tables(parts)


def _batches(path: Path) -> list[pa.RecordBatch]:
    with pa.memory_map(str(path)) as mapped:
        opened = pa.ipc.open_file(mapped)
        return [opened.get_batch(number) for number in range(opened.num_record_batches)]


def _shard_of(shard: _Shard) -> dict[str, Any]:
    """Write one shard, or return the note of a finished one."""
    writer = shard.writer
    if writer.is_finished(shard.split, shard.number):
        return writer.read_note(shard.split, shard.number)
    vocabulary = _vocabulary(writer.tokenizer, shard.end)
    found = [_between(batch, shard) for note in shard.notes for batch in _batches(_part(note, shard.split))]
    table = pa.Table.from_batches(found, schema=PART)
    # Stable: equal keys stay in the order of the parts, which that of the inputs does not change.
    order = np.argsort(table["key"].to_numpy(), kind="stable")
    tokens = [ids for batch in found for ids in _arrays(batch.column("tokens"))]
    ids, sizes = [tokens[row] for row in order], table["text_bytes"].to_numpy()[order]
    names, sources = table["doc_id"].take(order).to_pylist(), table["source"].take(order).to_pylist()
    stream = lay_out(names, sources, ids, writer.recipe.sequence_length, vocabulary.dtype, vocabulary.eot)
    if vocabulary.bytes_of_ids is not None:
        text_bytes = int(vocabulary.bytes_of_ids[stream.sequences].sum())
    else:
        # A document that the shard's end cuts counts by its share of tokens.
        held = stream.spans["stop"].to_numpy() - stream.spans["start"].to_numpy()
        whole = np.array([len(each) + 1 for each in ids[: len(held)]], np.int64)
        text_bytes = int((sizes[: len(held)] * np.minimum(1.0, held / np.maximum(1, whole - 1))).sum())
    return writer.keep(shard.split, shard.number, stream, text_bytes)


def _between(batch: pa.RecordBatch, shard: _Shard) -> pa.RecordBatch:
    bins = batch.column("key").to_numpy() >> BIN_SHIFT
    start, stop = np.searchsorted(bins, [shard.first_bin, shard.last_bin + 1])
    return batch.slice(int(start), int(stop - start))


def _arrays(lists: pa.Array) -> list[NDArray[np.uint32]]:
    offsets = lists.offsets.to_numpy()
    values = lists.values.to_numpy()
    return [values[start:stop] for start, stop in pairwise(offsets.tolist())]


def _publish(
    job: FileShards, vocabulary: Vocabulary, fingerprint: str, made: list[dict[str, Any]], counts: dict[str, int]
) -> Outcome:
    """Write the files beside the shards, the manifests last."""
    recipe = job.recipe
    filled = [note for note in made if note["line"]["num_sequences"]]
    for split in SPLITS:
        if not any(note["line"]["split"] == split for note in filled):
            raise WatershedError(
                f"the {split} text fills no sequence of {recipe.sequence_length} + 1 tokens",
                "give more documents, shorten --sequence-length, or change --heldout",
            )
    write_description(job.out, vocabulary.path, recipe, fingerprint, vocabulary.size, vocabulary.eot)
    write_whole(job.out / COUNTS, json.dumps(counts).encode())
    write_manifests(job.out, filled)
    return _outcome(fingerprint, filled, counts, made_before=False)


def _outcome(fingerprint: str, made: list[dict[str, Any]], counts: dict[str, int], *, made_before: bool) -> Outcome:
    lines = {split: [note["line"] for note in made if note["line"]["split"] == split] for split in SPLITS}
    return Outcome(
        fingerprint=fingerprint,
        **counts,
        shards={split: len(found) for split, found in lines.items()},
        sequences={split: sum(line["num_sequences"] for line in found) for split, found in lines.items()},
        tokens={split: sum(line["tokens"] for line in found) for split, found in lines.items()},
        dropped_tokens=sum(note["dropped_tokens"] for note in made),
        made_before=made_before,
    )


@dataclass(frozen=True)
class Pool:
    """Processes, or this one alone."""

    workers: int
    executor: ProcessPoolExecutor | None


@contextmanager
def _pool(workers: int) -> Generator[Pool]:
    """Processes for both passes."""
    if workers <= 1:
        yield Pool(1, None)
        return
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=_quiet) as executor:
        try:
            yield Pool(workers, executor)
        except BrokenProcessPool:
            raise WatershedError(
                "a worker process died, probably because memory ran out",
                "run the same command with fewer --workers: what is finished is kept",
            ) from None
        finally:
            executor.shutdown(cancel_futures=True)


def _side_by_side(work: Callable[..., Any], inputs: Iterator[tuple[Any]], pool: Pool) -> Iterator[Any]:
    """`work` of each input, in any order; two inputs a process are held at a time."""
    if pool.executor is None:
        for given in inputs:
            yield work(*given)
        return
    waiting: set[Future[Any]] = set()
    for given in inputs:
        waiting.add(pool.executor.submit(work, *given))
        while len(waiting) >= 2 * pool.workers:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)
    while waiting:
        done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        yield from (future.result() for future in done)


def _quiet() -> None:
    """Leave Ctrl+C to the process that started this one, which ends it, and threads to the workers."""
    import os

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    light_imports()
