import os
from pathlib import Path

import numpy as np
import pytest
from made_shards import chain, write_dataset_json, write_split

from trainers.data import open_files
from trainers.data.loader import ShuffledLoader
from trainers.data.shards import Sequences, check_manifest
from trainers.process.errors import TrainerError


@pytest.fixture
def many(tmp_path) -> Path:
    """60 shards of 5 sequences."""
    write_dataset_json(tmp_path, 64, 16)
    write_split(tmp_path / "train", chain(300, 17, 64, seed=0), shard_sequences=5)
    return tmp_path / "train"


def open_tars(folder: Path) -> int:
    found = (link.readlink() for link in Path("/proc/self/fd").iterdir() if link.is_symlink())
    return sum(place.is_relative_to(folder) for place in found)


def test_every_shard_stays_open_below_the_limit(many):
    sequences = Sequences(check_manifest(many))
    assert np.array_equal(sequences[np.arange(300)], chain(300, 17, 64, seed=0))
    assert open_tars(many) == 60


def test_the_shards_not_read_for_longest_are_closed_at_the_limit(many, monkeypatch):
    limit = open_files._open_descriptors + 7
    monkeypatch.setattr(open_files, "most_open", lambda: limit)
    sequences = Sequences(check_manifest(many))
    asked = np.random.default_rng(0).permutation(300)
    assert np.array_equal(sequences[asked], chain(300, 17, 64, seed=0)[asked])
    assert open_tars(many) == 7


def test_files_are_closed_with_the_source(many):
    sequences = Sequences(check_manifest(many))
    sequences[np.arange(300)]
    del sequences
    assert open_tars(many) == 0


def test_a_shard_that_is_cut_short_while_it_is_read_is_named(many):
    loader = ShuffledLoader(Sequences(check_manifest(many)), seed=0)
    loader.next_batch(300)
    os.truncate(many / "shard_00000031.tar", 600)
    with pytest.raises(TrainerError, match=r"shard_00000031\.tar was cut short while it was read: it has 600 bytes"):
        loader.next_batch(300)


def test_a_shard_that_vanishes_before_it_is_read_is_named(many):
    loader = ShuffledLoader(Sequences(check_manifest(many)), seed=0)
    (many / "shard_00000031.tar").unlink()
    with pytest.raises(TrainerError, match=r"shard_00000031\.tar cannot be opened: No such file"):
        loader.next_batch(300)
