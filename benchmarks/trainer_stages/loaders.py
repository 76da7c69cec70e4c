"""Reading shuffled sequences: ours, WebDataset with a sequence a member, and litdata, on the same tokens, in turns."""

from __future__ import annotations

import io
import itertools
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from spark_jobs.shards.format import write_dataset, write_manifest, write_shard
from trainers.data.loader import ShuffledLoader
from trainers.data.shards import Sequences, check_manifest

BATCH = 64
SHARDS = 8
SHUFFLED = 1000
"""Sequences in WebDataset's buffer."""
VOCABULARY = 50_000
RESUMED_AT = 3 / 4
SHARD_COUNTS = (8, 100, 1000)
COUNTED_SEQUENCES = 8192
"""Read from each number of shards."""

Batch = Any
"""Tokens (n, L + 1), int64."""


@dataclass(frozen=True, kw_only=True)
class LoaderRow:
    """One side."""

    side: str
    sequences_s: float
    """Over an epoch, opening included, by the processor time of the fastest turn."""
    ours_over_it: float
    resume_ms: float
    """Clock until the first batch of a loader that goes on from three quarters of an epoch."""
    resumed_exactly: bool
    """The rest of the epoch is what the loader that was not stopped gave."""
    same_tokens: bool
    """An epoch gave every sequence that was written once, and nothing else."""


@dataclass(frozen=True, kw_only=True)
class ShardsRow:
    """Our loader over one number of shards that hold the same sequences."""

    shards: int
    sequences_s: float
    """By the processor time of the fastest epoch after the first, in which files are opened."""
    over_100_shards: float
    """Its rate over that at 100 shards."""


@dataclass(frozen=True)
class Reader:
    """How one side reads an epoch."""

    epoch: Callable[[], Iterator[Batch]]
    stopped: Callable[[int], Callable[[], Iterator[Batch]]]
    """After some batches: what then begins anew and gives the rest."""


def contest(folder: Path, sequences: int, length: int, rounds: int, report: Callable[[str], None]) -> list[LoaderRow]:
    """Write the tokens three times and read them in turns."""
    draw = np.random.default_rng(0)
    tokens = draw.integers(0, VOCABULARY, (sequences, length + 1)).astype(np.uint16)
    sides = {"ours": ours, "WebDataset": webdataset, "litdata": litdata}
    readers = {}
    for side, made in sides.items():
        report(f"loaders: writing for {side}")
        readers[side] = made(folder / side, tokens)
    best, seen = dict.fromkeys(sides, float("inf")), {}
    for number in range(rounds):
        for side, reader in readers.items():
            report(f"loaders: round {number + 1} of {rounds}, {side}")
            began = time.process_time()
            batches = list(reader.epoch())
            best[side] = min(best[side], time.process_time() - began)
            seen[side] = batches
    written = sorted(row.tobytes() for row in tokens)
    rows = []
    for side, reader in readers.items():
        given = np.concatenate([np.asarray(batch) for batch in seen[side]])
        milliseconds, exactly = _resumed(reader, seen[side])
        rows.append(
            LoaderRow(
                side=side,
                sequences_s=sequences / best[side],
                ours_over_it=best[side] / best["ours"],
                resume_ms=milliseconds,
                resumed_exactly=exactly,
                same_tokens=sorted(row.tobytes() for row in given.astype(np.uint16)) == written,
            )
        )
    return rows


def _resumed(reader: Reader, whole: list[Batch]) -> tuple[float, bool]:
    done = int(len(whole) * RESUMED_AT)
    go_on = reader.stopped(done)
    began = time.perf_counter()
    rest = go_on()
    first = next(rest)
    milliseconds = 1000 * (time.perf_counter() - began)
    given = [first, *rest]
    exactly = len(given) == len(whole) - done and all(
        np.array_equal(np.asarray(a), np.asarray(b)) for a, b in zip(given, whole[done:], strict=True)
    )
    return milliseconds, exactly


def shard_counts(folder: Path, length: int, rounds: int, report: Callable[[str], None]) -> list[ShardsRow]:
    """Read one set of sequences from 8, 100 and 1,000 shards in turns."""
    draw = np.random.default_rng(0)
    tokens = draw.integers(0, VOCABULARY, (COUNTED_SEQUENCES, length + 1)).astype(np.uint16)
    loaders = {}
    for shards in SHARD_COUNTS:
        report(f"loaders: writing {shards} shards")
        place = _written(folder / str(shards), tokens, shards)
        loaders[shards] = ShuffledLoader(Sequences(check_manifest(place / "train", digests=False)), seed=0)
    best = dict.fromkeys(SHARD_COUNTS, float("inf"))
    for number in range(rounds + 1):
        for shards, loader in loaders.items():
            report(f"loaders: round {number} of {rounds}, {shards} shards")
            began = time.process_time()
            for _ in range(COUNTED_SEQUENCES // BATCH):
                loader.next_batch(BATCH)
            if number:
                best[shards] = min(best[shards], time.process_time() - began)
    return [
        ShardsRow(shards=shards, sequences_s=COUNTED_SEQUENCES / seconds, over_100_shards=best[100] / seconds)
        for shards, seconds in best.items()
    ]


def _written(folder: Path, tokens: NDArray[np.uint16], shards: int) -> Path:
    """A data set of our format in that many shards."""
    lines = [
        write_shard(folder / "train", "train", number, part, text_bytes=part.size, sources={"made": part.size})
        for number, part in enumerate(np.array_split(tokens, shards))
    ]
    length = tokens.shape[1] - 1
    write_dataset(folder, fingerprint="made", vocab_size=VOCABULARY, sequence_length=length, eot=0, seed=0)
    write_manifest(folder / "train", lines)
    return folder


def ours(folder: Path, tokens: NDArray[np.uint16]) -> Reader:
    """Members of 256 sequences, read by offset."""
    _written(folder, tokens, SHARDS)

    def rest(done: int) -> Iterator[Batch]:
        split = check_manifest(folder / "train", digests=False)
        loader = ShuffledLoader(Sequences(split), seed=0, consumed=done * BATCH)
        while loader.consumed < len(tokens):
            yield torch.from_numpy(loader.next_batch(min(BATCH, len(tokens) - loader.consumed)))

    return Reader(lambda: rest(0), lambda done: lambda: rest(done))


def webdataset(folder: Path, tokens: NDArray[np.uint16]) -> Reader:
    """A .npy a sequence, as the library's own documents write samples; it skips to go on."""
    from webdataset.compat import WebDataset

    folder.mkdir()
    for number, part in enumerate(np.array_split(tokens, SHARDS)):
        with tarfile.open(folder / f"{number:06d}.tar", "w") as tar:
            for row, sequence in enumerate(part):
                held = io.BytesIO()
                np.save(held, sequence)
                info = tarfile.TarInfo(f"{number:06d}-{row:06d}.tokens.npy")
                info.size = held.tell()
                held.seek(0)
                tar.addfile(info, held)
    tars = [str(path) for path in sorted(folder.glob("*.tar"))]

    def epoch() -> Iterator[Batch]:
        samples = WebDataset(tars, shardshuffle=SHARDS, seed=0, empty_check=False).shuffle(SHUFFLED, seed=0).decode()
        for group in _grouped(samples):
            yield torch.from_numpy(np.stack([sample["tokens.npy"] for sample in group]).astype(np.int64))

    return Reader(epoch, lambda done: lambda: itertools.islice(epoch(), done, None))


def _grouped(stream: Any) -> Iterator[list[Any]]:
    samples = iter(stream)
    while group := list(itertools.islice(samples, BATCH)):
        yield group


def litdata(folder: Path, tokens: NDArray[np.uint16]) -> Reader:
    """Chunks of tokens and its TokensLoader; its own state to go on."""
    from litdata import StreamingDataLoader, StreamingDataset, TokensLoader
    from litdata.streaming.cache import Cache

    length = tokens.shape[1]
    folder.mkdir()
    cache = Cache(str(folder), chunk_size=tokens.size // SHARDS, item_loader=TokensLoader(block_size=length))
    for number, row in enumerate(tokens):
        cache[number] = torch.from_numpy(row.astype(np.int32)).to(torch.uint16)
    cache.done()
    cache.merge()

    def loader() -> StreamingDataLoader:
        dataset = StreamingDataset(str(folder), item_loader=TokensLoader(block_size=length), shuffle=True, seed=0)
        return StreamingDataLoader(dataset, batch_size=BATCH, num_workers=0)

    def stopped(done: int) -> Callable[[], Iterator[Batch]]:
        first = loader()
        batches = iter(first)
        for _ in range(done):
            next(batches)
        state = first.state_dict()

        def go_on() -> Iterator[Batch]:
            resumed = loader()
            resumed.load_state_dict(state)
            return (batch.to(torch.int64) for batch in resumed)

        return go_on

    return Reader(lambda: (batch.to(torch.int64) for batch in loader()), stopped)
