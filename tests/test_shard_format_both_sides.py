"""Trainers read what spark_jobs writes, and the reverse. These two rooms must not import each other."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from made_shards import chain, write_dataset_json, write_split  # ty: ignore[import-not-found]

from dagster_project.engine.trainer_process import PROGRESS
from spark_jobs.shards import format as written
from trainers.data.shards import Sequences, check_manifest, read_with_webdataset
from trainers.process.progress import PREFIX, Progress

LENGTH = 16


def made(count: int, vocab_size: int, seed: int) -> np.ndarray:
    """(count, L + 1) tokens of the type that a vocabulary of that size is stored in."""
    tokens = np.random.default_rng(seed).integers(0, vocab_size, (count, LENGTH + 1))
    tokens[0, 0] = vocab_size - 1
    return tokens.astype(written.token_dtype(vocab_size))


@pytest.fixture(params=[300, 100_000], ids=["uint16", "uint32"])
def vocab_size(request) -> int:
    return request.param


def written_by_spark_jobs(folder: Path, vocab_size: int) -> dict[str, list[np.ndarray]]:
    """A data set of two splits in the room's own hand; returns its sequences."""
    shards = {"train": [made(600, vocab_size, 1), made(7, vocab_size, 2)], "heldout": [made(256, vocab_size, 3)]}
    for split, arrays in shards.items():
        lines = [
            written.write_shard(folder / split, split, number, rows, text_bytes=3 * rows.size, sources={"a": rows.size})
            for number, rows in enumerate(arrays)
        ]
        written.write_manifest(folder / split, lines)
    about = {"vocab_size": vocab_size, "sequence_length": LENGTH, "eot": 0, "seed": 0}
    written.write_dataset(folder, fingerprint="made", **about)
    return shards


def test_trainers_read_what_spark_jobs_write(tmp_path, vocab_size):
    shards = written_by_spark_jobs(tmp_path, vocab_size)
    for split, arrays in shards.items():
        checked = check_manifest(tmp_path / split)
        whole = np.concatenate(arrays)
        assert np.array_equal(Sequences(checked)[np.arange(len(whole))], whole)
        assert (checked.vocab_size, checked.eot, checked.dataset_fingerprint) == (vocab_size, 0, "made")
        assert checked.bytes_per_token == 3.0
        assert np.array_equal(np.concatenate(list(read_with_webdataset(tmp_path / split))), whole)
        # Field by field the two manifests are one.
        for ours, theirs in zip(checked.shards, written.read_manifest(tmp_path / split), strict=True):
            assert {name: getattr(ours, name) for name in ours.__dataclass_fields__ if name != "members"} == {
                name: getattr(theirs, name) for name in theirs.__dataclass_fields__ if name != "members"
            }
            assert [(m.name, m.offset, m.sequences) for m in ours.members] == [
                (m.name, m.offset, m.sequences) for m in theirs.members
            ]


def test_spark_jobs_read_what_the_trainers_format_says(tmp_path):
    rows = chain(700, LENGTH + 1, 64, seed=0)
    write_dataset_json(tmp_path, 64, LENGTH)
    write_split(tmp_path / "train", rows, shard_sequences=600)
    lines = written.read_manifest(tmp_path / "train")
    assert [(line.shard, line.num_sequences) for line in lines] == [("shard_00000000", 600), ("shard_00000001", 100)]
    arrays = [written.read_shard(tmp_path / "train" / f"{line.shard}.tar") for line in lines]
    assert np.array_equal(np.concatenate(arrays), rows)
    # Written again by spark_jobs, the bytes of the tars are the same: the digests in the manifest hold for both.
    for number, (line, array) in enumerate(zip(lines, arrays, strict=True)):
        tar, members = written.tar_bytes(number, array)
        assert tar == (tmp_path / "train" / f"{line.shard}.tar").read_bytes()
        assert members == line.members
    assert check_manifest(tmp_path / "train").num_sequences == 700


def test_a_trainers_progress_lines_are_those_that_assets_read(capsys):
    Progress("pretrain", "run", steps=1).step(1, loss=0.5)
    line = capsys.readouterr().out
    assert PREFIX == PROGRESS
    assert json.loads(line.removeprefix(PROGRESS))["step"] == 1
