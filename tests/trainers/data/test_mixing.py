import json
import shutil

import numpy as np
import pytest
from made_shards import chain, make_shards, write_dataset_json, write_split

from trainers.data.batches import batch_rows, loader_of, main
from trainers.data.loader import ShuffledLoader
from trainers.data.mixing import MixedLoader, interleaved
from trainers.data.shards import Sequences, check_manifest
from trainers.exchange import export_model
from trainers.pretrain import pretrain
from trainers.pretraining.config import RunConfig, named_sources
from trainers.process.config_file import from_mapping
from trainers.process.errors import TrainerError


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    """Three sources with distinct first tokens."""
    made = []
    for source, count in enumerate((900, 150, 40)):
        folder = tmp_path_factory.mktemp(f"source{source}")
        write_dataset_json(folder, 64, 16)
        sequences = chain(count, 17, 64, seed=source)
        sequences[:, 0] = source
        write_split(folder / "train", sequences, shard_sequences=400)
        made.append(check_manifest(folder / "train"))
    return made


def slowly(weights, count):
    """The whole order at once: every sequence at its time, sorted."""
    stands = [((j + 0.5) / w, i, j) for i, w in enumerate(weights) for j in range(count + 2)]
    return [(i, j) for _, i, j in sorted(stands)][:count]


@pytest.mark.parametrize("weights", [(1.0,), (0.5, 0.5), (0.7, 0.2, 0.1), (0.999, 0.001), (1 / 3, 1 / 3, 1 / 3)])
def test_any_stretch_of_the_order_is_that_of_the_whole(weights):
    whole = slowly(weights, 2000)
    for start, count in ((0, 2000), (0, 1), (1, 7), (999, 1), (1500, 500), (37, 0)):
        source, number = interleaved(weights, start, count)
        assert list(zip(source.tolist(), number.tolist(), strict=True)) == whole[start : start + count]


def test_far_places_are_found_without_what_lies_before():
    source, number = interleaved((0.7, 0.2, 0.1), 10**12, 1000)
    assert np.bincount(source).tolist() == pytest.approx([700, 200, 100], abs=1)
    assert number[source == 1][0] == pytest.approx(0.2 * 10**12, abs=2)


def sequences(splits) -> list[Sequences]:
    return [Sequences(split) for split in splits]


def test_every_stretch_holds_each_source_by_its_weight(splits):
    loader = MixedLoader(sequences(splits), (6, 3, 1), seed=5)
    for _ in range(20):
        assert np.bincount(loader.next_batch(100)[:, 0]).tolist() == pytest.approx([60, 30, 10], abs=1)


def test_a_source_is_used_up_before_it_is_read_again_and_then_in_another_order(splits):
    loader = MixedLoader(sequences(splits), (1, 1, 1), seed=5)
    source, item = loader.places(0, 360)
    smallest = item[source == 2]
    for epoch in (smallest[:40], smallest[40:80]):
        assert sorted(epoch) == list(range(40))
    assert not np.array_equal(smallest[:40], smallest[40:80])


def test_two_numbers_resume_a_mixture_exactly_whatever_the_ranks(splits):
    loader = MixedLoader(sequences(splits), (6, 3, 1), seed=5)
    for _ in range(9):
        loader.next_batch(13)
    again = MixedLoader(sequences(splits), (6, 3, 1), **loader.state())
    three = [MixedLoader(sequences(splits), (6, 3, 1), **loader.state()) for _ in range(3)]
    for _ in range(50):
        whole = loader.next_batch(13)
        assert np.array_equal(whole, again.next_batch(13))
        assert np.array_equal(whole, np.concatenate([each.next_batch(13, r, 3) for r, each in enumerate(three)]))


def test_sources_of_other_shape_are_refused(splits, tmp_path):
    other = check_manifest(make_shards(tmp_path / "other", vocab_size=32) / "train")
    identity = {"sources": [[split.digest, 1] for split in (*splits, other)], "seed": 0}
    with pytest.raises(TrainerError, match="has vocab_size 32"):
        loader_of(identity, [*splits, other])


@pytest.mark.parametrize(
    ("entry", "cause"),
    [
        ({"shards": "x"}, r"sources\[0\] is"),
        ({"shards": "x", "weight": "much"}, r"sources\[0\] is"),
        ({"shards": "x", "weight": 0}, "weight is 0"),
        ({"shards": "x", "weight": float("nan")}, "weight is nan"),
    ],
)
def test_an_invalid_source_is_refused(entry, cause):
    settings = {"preset": "30k-1xC", "shards": "s", "out": "o", "sources": [entry]}
    with pytest.raises(TrainerError, match=cause) as refused:
        named_sources(from_mapping(settings, RunConfig, "test"))
    assert refused.value.mend


@pytest.mark.parametrize("mixed", [False, True])
def test_the_record_of_a_step_is_what_the_loader_gave(splits, mixed):
    loader = (
        MixedLoader(sequences(splits), (6, 3, 1), seed=5) if mixed else ShuffledLoader(Sequences(splits[0]), seed=5)
    )
    for step in range(1, 80):
        given = loader.next_batch(17)
        recorded = []
        for row in batch_rows(loader, 17, [step]):
            split = loader.sources[row["source"]].split
            names = [shard.shard for shard in split.shards]
            first = sum(s.num_sequences for s in split.shards[: names.index(row["shard"])])
            recorded.append(Sequences(split)[first + row["sequences"]])
        assert sorted(map(tuple, np.concatenate(recorded))) == sorted(map(tuple, given))


def test_other_shards_than_the_run_read_are_refused(splits):
    identity = {"train": splits[0].digest, "seed": 0}
    assert loader_of(identity, [splits[0]]).seed == 0
    with pytest.raises(TrainerError, match="not the shards that the run read"):
        loader_of(identity, [splits[1]])


def fed_to_a_run(monkeypatch, run_config) -> tuple[list, dict]:
    """Every batch that a run's loader gave, in order, and the run's result."""
    given = []
    for kind in (ShuffledLoader, MixedLoader):
        real = kind.next_batch

        def seen(self, *args, real=real):
            given.append(real(self, *args))
            return given[-1]

        monkeypatch.setattr(kind, "next_batch", seen)
    return given, pretrain(run_config)


@pytest.mark.parametrize("mixed", [False, True])
def test_the_printed_record_of_a_run_names_what_it_was_fed(splits, tmp_path, monkeypatch, capsys, mixed):
    shards = make_shards(tmp_path / "shards", train=100)
    folders = [split.folder.parent for split in splits] if mixed else [shards]
    sources = [{"shards": str(f), "weight": w} for f, w in zip(folders, (6, 3, 1), strict=False)] if mixed else []
    settings = {
        "preset": "30k-0.2xC",
        "shards": str(shards),
        "out": str(tmp_path / "run"),
        "steps": 12,
        "sources": sources,
    }
    given, result = fed_to_a_run(monkeypatch, from_mapping(settings, RunConfig, "test"))
    assert len(given) == result["steps"] == 12
    capsys.readouterr()
    assert main(["--run", settings["out"], *(word for f in folders for word in ("--shards", str(f)))]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for step, batch in enumerate(given, start=1):
        recorded = [sequences_of(folders[r["source"]] / "train", r) for r in rows if r["step"] == step]
        assert sorted(map(tuple, np.concatenate(recorded))) == sorted(map(tuple, batch))


def sequences_of(folder, row):
    split = check_manifest(folder)
    names = [shard.shard for shard in split.shards]
    first = sum(shard.num_sequences for shard in split.shards[: names.index(row["shard"])])
    return Sequences(split)[first + np.array(row["sequences"])]


def test_a_run_over_several_sources_resumes_in_the_same_bits(splits, tmp_path):
    shards = make_shards(tmp_path / "shards", train=100)
    sources = [{"shards": str(split.folder.parent), "weight": w} for split, w in zip(splits, (6, 3, 1), strict=True)]
    common = {"preset": "30k-0.2xC", "shards": str(shards), "sources": sources, "steps": 12, "checkpoint_every": 5}
    settings = from_mapping(common | {"out": str(tmp_path / "run")}, RunConfig, "test")
    whole = pretrain(settings)
    shutil.rmtree(whole["checkpoint"])
    (tmp_path / "run" / "result.json").unlink()
    assert pretrain(settings)["checkpoint_sha256"] == whole["checkpoint_sha256"]
    sources[0]["weight"] = 7
    with pytest.raises(TrainerError, match="sources"):
        pretrain(settings)


def test_a_run_begins_with_the_weights_it_is_given(tmp_path):
    shards = make_shards(tmp_path / "shards", train=300)
    common = {"preset": "30k-0.2xC", "shards": str(shards), "steps": 60}
    first = pretrain(from_mapping(common | {"out": str(tmp_path / "first"), "preset": "70k-0.2xC"}, RunConfig, "test"))
    export_model(tmp_path / "first", tmp_path / "exported")
    ends = []
    for name, source in (("run", "first"), ("folder", "exported")):
        settings = common | {"out": str(tmp_path / name), "init": str(tmp_path / source), "steps": 5}
        ends.append(pretrain(from_mapping(settings, RunConfig, "test")))
    assert ends[0]["parameters"] == first["parameters"]
    # Five steps from nothing leave ln 64 = 4.2; these began where the first run ended.
    assert ends[0]["heldout_nats_per_token"] == pytest.approx(first["heldout_nats_per_token"], abs=0.6)
    assert ends[0]["checkpoint_sha256"] == ends[1]["checkpoint_sha256"]
    with pytest.raises(TrainerError, match="init and model are both set"):
        pretrain(from_mapping(settings | {"model": {"layers": 3}, "out": str(tmp_path / "x")}, RunConfig, "test"))


def test_sources_of_equal_size_are_each_shuffled_in_an_order_of_their_own(splits):
    same = [Sequences(splits[0]), Sequences(splits[0]), Sequences(splits[0])]
    loader = MixedLoader(same, (1, 1, 1), seed=5)
    orders = [each.items(0, 900).tolist() for each in loader.loaders]
    assert all(sorted(order) == list(range(900)) for order in orders)
    agreeing = [sum(a == b for a, b in zip(orders[i], orders[j], strict=True)) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert max(agreeing) < 10
    # The first source, and so a mixture of one, is shuffled as it always was.
    assert orders[0] == ShuffledLoader(Sequences(splits[0]), 5).items(0, 900).tolist()
    assert MixedLoader(same, (1, 1, 1), seed=5).next_batch(30).tolist() == loader.next_batch(30).tolist()


def test_runs_of_an_earlier_version_read_what_they_read(splits):
    identity = {"sources": [[split.digest, 1.0] for split in splits], "seed": 5, "batch": 12}
    old, new = loader_of(identity, splits), loader_of(identity | {"shuffled": "by source"}, splits)
    assert isinstance(old, MixedLoader) and isinstance(new, MixedLoader)
    assert [loader.seed for loader in old.loaders] == [5, 5, 5]
    assert len({loader.seed for loader in new.loaders}) == 3
