"""The trainers' benchmark at a size of seconds: all sides compute the same, and loaders give the same tokens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest


def silent(line: str) -> None:
    del line


@pytest.mark.parametrize("kind", ["dense", "mixture"])
def test_all_sides_of_a_step_have_the_same_losses(kind: str) -> None:
    from benchmarks.trainer_stages import steps

    shape = {"vocab_size": 64, "sequence_length": 16, "width": 16, "layers": 2, "heads": 2, "hidden": 32}
    config = steps.dense(**shape) if kind == "dense" else steps.mixture(**shape, experts=4, experts_per_token=2)
    rows = steps.contest(steps.Work(name=kind, config=config, batch=2, steps=3, rounds=1), silent)
    assert [row.side for row in rows] == ["ours", "plain torch", "transformers"]
    for row in rows:
        assert row.loss_difference < 1e-4
        assert row.tokens_s > 0 and row.mfu is None


def test_all_loaders_give_every_sequence_once_and_go_on_exactly(tmp_path: Path) -> None:
    from benchmarks.trainer_stages import loaders

    rows = loaders.contest(tmp_path, sequences=640, length=32, rounds=1, report=silent)
    assert [row.side for row in rows] == ["ours", "WebDataset", "litdata"]
    assert all(row.same_tokens and row.resumed_exactly for row in rows)


def test_a_loader_that_loses_its_place_is_reported() -> None:
    from benchmarks.trainer_stages import loaders
    from benchmarks.trainer_stages.loaders import Reader

    batches = [np.full((2, 3), number) for number in range(8)]
    right = Reader(lambda: iter(batches), lambda done: lambda: iter(batches[done:]))
    wrong = Reader(lambda: iter(batches), lambda done: lambda: iter(batches[done - 1 :]))
    assert loaders._resumed(right, batches)[1]
    assert not loaders._resumed(wrong, batches)[1]
