"""Small shard folders and question files, written by the format alone: no code of the data side is used."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

MEMBER_SEQUENCES = 256


def write_split(
    folder: Path,
    sequences: NDArray[np.int64],
    *,
    bytes_per_token: float = 3.0,
    shard_sequences: int = 1024,
    member_sequences: int = MEMBER_SEQUENCES,
    dtype: str = "uint16",
) -> None:
    """Write `sequences` (n, L + 1) as tars with a manifest."""
    folder.mkdir(parents=True)
    lines = []
    for number, start in enumerate(range(0, len(sequences), shard_sequences)):
        rows = sequences[start : start + shard_sequences].astype(dtype)
        name = f"shard_{number:08d}"
        members = _write_tar(folder / f"{name}.tar", number, rows, member_sequences)
        tar = (folder / f"{name}.tar").read_bytes()
        lines.append(
            {
                "shard": name,
                "split": folder.name,
                "num_sequences": len(rows),
                "sequence_length": rows.shape[1] - 1,
                "dtype": dtype,
                "tokens": rows.size,
                "text_bytes": round(rows.size * bytes_per_token),
                "bytes": len(tar),
                "sha256": hashlib.sha256(tar).hexdigest(),
                "sources": {"made.example": rows.size},
                "members": members,
            }
        )
    (folder / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def _write_tar(path: Path, number: int, rows: NDArray[np.unsignedinteger], member_sequences: int) -> list[dict]:
    members = []
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for k, start in enumerate(range(0, len(rows), member_sequences)):
            part = rows[start : start + member_sequences]
            buffer = io.BytesIO()
            np.save(buffer, part)
            info = tarfile.TarInfo(f"{number:08d}-{k:06d}.tokens.npy")
            info.size, info.mtime, info.mode = len(buffer.getvalue()), 0, 0o644
            offset = tar.offset + tarfile.BLOCKSIZE
            tar.addfile(info, io.BytesIO(buffer.getvalue()))
            members.append({"name": info.name, "offset": offset, "sequences": len(part)})
    return members


def write_dataset_json(folder: Path, vocab_size: int, sequence_length: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    about = {"fingerprint": "made", "vocab_size": vocab_size, "sequence_length": sequence_length, "eot": 0, "seed": 0}
    (folder / "dataset.json").write_text(json.dumps(about))


def chain(n: int, length: int, vocab_size: int, seed: int) -> NDArray[np.int64]:
    """Sequences (n, length) in which a token usually decides the next one: t -> 5 t + 1, else any token.

    Three quarters of the steps are decided, so a model can learn something and never everything.
    """
    draw = np.random.default_rng(seed)
    tokens = np.empty((n, length), dtype=np.int64)
    tokens[:, 0] = draw.integers(0, vocab_size, n)
    for t in range(1, length):
        decided = draw.random(n) < 0.75
        tokens[:, t] = np.where(decided, (5 * tokens[:, t - 1] + 1) % vocab_size, draw.integers(0, vocab_size, n))
    return tokens


def make_shards(
    folder: Path, *, vocab_size: int = 64, length: int = 16, train: int = 1500, heldout: int = 64, seed: int = 0
) -> Path:
    """A shard folder of `chain` sequences; returns it."""
    write_dataset_json(folder, vocab_size, length)
    write_split(folder / "train", chain(train, length + 1, vocab_size, seed), shard_sequences=600)
    write_split(folder / "heldout", chain(heldout, length + 1, vocab_size, seed + 1), shard_sequences=600)
    return folder


def write_questions(
    path: Path,
    questions: Sequence[tuple[str, Sequence[int], Sequence[Sequence[int]], int]],
    bytes_per_token: int = 3,
    normalisation: dict[str, str] | None = None,
) -> Path:
    """Questions (task, context, options, gold) as questions.npz with questions.json beside it; returns the former."""
    tasks = sorted({task for task, *_ in questions})
    options = [option for _, _, choices, _ in questions for option in choices]
    np.savez(
        path,
        tokens=np.concatenate([np.asarray(o, dtype=np.uint32) for o in options]),
        offsets=_offsets([len(option) for option in options]),
        context_tokens=np.concatenate([np.asarray(c, dtype=np.uint32) for _, c, _, _ in questions]),
        context_offsets=_offsets([len(context) for _, context, _, _ in questions]),
        options_start=_offsets([len(choices) for _, _, choices, _ in questions]),
        option_bytes=np.array([len(option) * bytes_per_token for option in options], dtype=np.int64),
        gold=np.array([gold for *_, gold in questions], dtype=np.int32),
        task=np.array([tasks.index(task) for task, *_ in questions], dtype=np.int32),
    )
    names = {"tasks": tasks, "question_ids": [f"q{i}" for i in range(len(questions))]}
    if normalisation is not None:
        names["normalisation"] = normalisation
    path.with_suffix(".json").write_text(json.dumps(names))
    return path


def _offsets(lengths: Sequence[int]) -> NDArray[np.int64]:
    return np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
