import json
import tarfile

import numpy as np
import pytest
from made_shards import chain, make_shards, write_dataset_json, write_split

from trainers.data.loader import ShuffledLoader
from trainers.data.shards import Sequences, check_manifest, read_with_webdataset
from trainers.process.errors import TrainerError


@pytest.fixture
def shards(tmp_path):
    return make_shards(tmp_path / "shards")


def edit_manifest(split, edit):
    path = split / "manifest.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    edit(rows)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_a_split_says_what_it_holds(shards):
    split = check_manifest(shards / "train")
    assert (split.num_sequences, split.sequence_length, split.vocab_size) == (1500, 16, 64)
    assert [shard.num_sequences for shard in split.shards] == [600, 600, 300]
    assert split.bytes_per_token == pytest.approx(3.0)


def test_sequences_are_the_ones_written_in_order(shards):
    sequences = Sequences(check_manifest(shards / "train"))
    assert np.array_equal(sequences[np.arange(1500)], chain(1500, 17, 64, seed=0))


def test_any_sequences_can_be_asked_for_in_any_order(shards):
    sequences = Sequences(check_manifest(shards / "train"))
    asked = np.array([1499, 0, 600, 599, 256, 255, 0])
    assert np.array_equal(sequences[asked], chain(1500, 17, 64, seed=0)[asked])


@pytest.mark.parametrize("dtype", ["uint16", "uint32"])
def test_the_webdataset_library_reads_the_same_sequences(tmp_path, dtype):
    write_dataset_json(tmp_path, 70_000 if dtype == "uint32" else 60_000, 31)
    written = np.random.default_rng(0).integers(0, 60_000, (777, 32))
    write_split(tmp_path / "train", written, shard_sequences=300, member_sequences=64, dtype=dtype)
    ours = Sequences(check_manifest(tmp_path / "train"))
    theirs = np.concatenate(list(read_with_webdataset(tmp_path / "train")))
    assert theirs.dtype == dtype
    assert np.array_equal(ours[np.arange(777)], theirs)


def test_an_epoch_gives_every_sequence_once_and_the_next_another_order(shards):
    loader = ShuffledLoader(Sequences(check_manifest(shards / "train")), seed=3)
    first, second = loader.items(0, 1500), loader.items(1500, 1500)
    assert sorted(first) == sorted(second) == list(range(1500))
    assert not np.array_equal(first, second)


def test_a_batch_reaches_into_the_next_epoch(shards):
    loader = ShuffledLoader(Sequences(check_manifest(shards / "train")), seed=3, consumed=1490)
    assert np.array_equal(loader.items(1490, 20), np.concatenate((loader.items(1490, 10), loader.items(1500, 10))))
    assert loader.next_batch(20).shape == (20, 17)
    assert loader.state() == {"seed": 3, "consumed": 1510}


def test_a_loader_put_back_to_its_state_gives_the_same_batches(shards):
    split = check_manifest(shards / "train")
    loader = ShuffledLoader(Sequences(split), seed=3)
    for _ in range(5):
        loader.next_batch(7)
    again = ShuffledLoader(Sequences(split), **loader.state())
    for _ in range(300):
        assert np.array_equal(loader.next_batch(7), again.next_batch(7))


def test_another_seed_is_another_order(shards):
    sequences = Sequences(check_manifest(shards / "train"))
    one, other = (ShuffledLoader(sequences, seed).items(0, 100) for seed in (0, 1))
    assert not np.array_equal(one, other)


def test_a_missing_shard_is_named(shards):
    (shards / "train" / "shard_00000001.tar").unlink()
    with pytest.raises(TrainerError, match=r"shard_00000001\.tar is missing"):
        check_manifest(shards / "train")


def test_a_short_shard_is_named(shards):
    path = shards / "train" / "shard_00000002.tar"
    path.write_bytes(path.read_bytes()[:-512])
    with pytest.raises(TrainerError, match=r"shard_00000002\.tar has \d+ bytes, not"):
        check_manifest(shards / "train")


def test_a_changed_byte_is_found_by_digest(shards):
    path = shards / "train" / "shard_00000000.tar"
    tar = bytearray(path.read_bytes())
    tar[5000] ^= 1
    path.write_bytes(tar)
    with pytest.raises(TrainerError, match=r"shard_00000000\.tar has another SHA-256"):
        check_manifest(shards / "train")
    check_manifest(shards / "train", digests=False)


def test_all_broken_shards_are_reported_together(shards):
    for number in (0, 2):
        (shards / "train" / f"shard_{number:08d}.tar").unlink()
    with pytest.raises(TrainerError, match=r"shard_00000000.*shard_00000002"):
        check_manifest(shards / "train")


@pytest.mark.parametrize(
    ("edit", "cause"),
    [
        (lambda rows: rows[1].update(num_sequences=599), "shard_00000001 has 599 sequences but its members"),
        (lambda rows: rows[1].update(tokens=17), "shard_00000001 has 17 tokens"),
        (lambda rows: rows[1].update(sequence_length=15, tokens=600 * 16), "shard_00000001 is uint16 of 15"),
        (lambda rows: rows[0]["members"][1].update(offset=1024), "no such array at the offset of 00000000-000001"),
        (lambda rows: rows[0]["members"][1].update(offset=512), "shard_00000000 has members out of order"),
        (lambda rows: rows.append(rows[0]), "names a shard twice"),
        (lambda rows: rows[0].pop("sha256"), "line 1 is not a shard"),
        (lambda rows: rows.clear(), "names no shard"),
    ],
)
def test_a_manifest_that_contradicts_itself_or_its_tars_is_refused(shards, edit, cause):
    edit_manifest(shards / "train", edit)
    with pytest.raises(TrainerError, match=cause) as refused:
        check_manifest(shards / "train")
    assert refused.value.mend


def test_a_token_past_the_vocabulary_is_refused(shards):
    write_dataset_json(shards, 32, 16)
    with pytest.raises(TrainerError, match="past a vocabulary of 32"):
        ShuffledLoader(Sequences(check_manifest(shards / "train")), seed=0).next_batch(64)


def test_an_empty_folder_is_refused_with_a_mend(tmp_path):
    with pytest.raises(TrainerError, match=r"manifest\.jsonl does not exist") as refused:
        check_manifest(tmp_path / "train")
    assert "shard folder" in refused.value.mend


def test_the_made_tars_are_plain_and_deterministic(shards, tmp_path):
    again = make_shards(tmp_path / "again")
    for path in (shards / "train").glob("*.tar"):
        assert path.read_bytes() == (again / "train" / path.name).read_bytes()
        with tarfile.open(path) as tar:
            assert next(iter(tar)).name.endswith("-000000.tokens.npy")
