"""The small form of `python -m benchmarks.optimisers`."""

from pathlib import Path

from made_shards import make_shards

from benchmarks.optimisers import measure


def test_both_optimisers_train_the_same_preset(tmp_path: Path) -> None:
    shards = make_shards(tmp_path / "shards")
    runs = [measure(shards, "30k-0.05xC", matrices, 1.0) for matrices in ("adamw", "muon")]
    assert [run.matrices for run in runs] == ["adamw", "muon"]
    assert all(0 < run.bits_per_byte < 8 for run in runs)
    assert runs[0].bits_per_byte != runs[1].bits_per_byte
