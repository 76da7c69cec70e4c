"""The stage that trains what sees, from points and their labels alone, and pictures that are read once."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_pictures import SHAPE, drawn, write_shard

from trainers.caption import caption
from trainers.core.checkpoint import checkpoint_folders, open_checkpoint
from trainers.process.config_file import from_mapping
from trainers.process.errors import TrainerError
from trainers.process.files import read_jsonl
from trainers.vision.config import CaptionConfig, SourceConfig
from trainers.vision.crops import CropConfig, layout
from trainers.vision.examples import Examples
from trainers.vision.opening import model_of, opened
from trainers.vision.shape import ConnectorConfig, TransformerConfig
from trainers.vision.shards import Annotation, PictureShards, Sample
from trainers.vision.transformer import Stem, VisionTransformer

STEPS, BACK = 24, 8


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_shard(tmp_path_factory.mktemp("shards") / "train.tar", range(64))


def configured(shard: str, out: Path, **changes: Any) -> CaptionConfig:
    given = {
        "sources": {"all": {"group": "all", "shards": [shard], "joined": True}},
        "groups": {"all": 1.0},
        "heldout": {"same": {"group": "", "shards": [shard], "datasets": ["points"]}},
        "stage": "dense",
        "shape": SHAPE,
        "out": str(out),
        "steps": STEPS,
        "batch": 8,
        "grounding": 1.0,
        "rates": {"vision": 3e-3, "connector": 3e-3, "decoder": 3e-3},
        "warmups": {"vision": 4, "connector": 4, "decoder": 4},
        "log_every": 1,
        "checkpoint_every": BACK,
        "keep_checkpoints": 0,
        **changes,
    }
    return from_mapping({name: value for name, value in given.items() if value is not None}, CaptionConfig, "test")


@pytest.fixture(scope="module")
def dense(shard: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("runs") / "dense"
    return out, caption(configured(shard, out))


def test_the_dense_stage_learns_labels_and_leaves_the_blocks_of_the_decoder(
    dense: tuple[Path, dict[str, Any]],
) -> None:
    out, result = dense
    rows = read_jsonl(out / "metrics.jsonl")
    assert rows[-1]["grounding"] < 0.5 * rows[0]["grounding"]
    # Three labels: guessing gives a third.
    assert rows[-1]["label_accuracy"] > 0.6
    assert "token_accuracy" not in rows[-1]
    assert result["same_label_accuracy"] > 0.6 and 0 < result["same_grounding"] < rows[0]["grounding"]
    first, last = (open_checkpoint(folder).weights() for folder in _sorted(out))
    changed = {name for name, weight in last.items() if not torch.equal(weight, first[name])}
    assert {"decoder.embedding.weight", "connector.offsets.weight", "vision.patches.out.weight"} <= changed
    assert not {name for name in changed if name.startswith("decoder.") and name != "decoder.embedding.weight"}
    # The tokens of a picture alone: 4 x 4, a column token a row, a start and an end, and the one that begins a text.
    assert result["tokens"] == STEPS * 8 * (1 + 2 + 4 * 5)


def _sorted(out: Path) -> tuple[Path, Path]:
    """The first and the last checkpoint."""
    found = sorted(checkpoint_folders(out))
    return found[0], found[-1]


def test_a_dense_run_that_is_resumed_ends_in_the_same_bits(
    dense: tuple[Path, dict[str, Any]], shard: str, tmp_path: Path
) -> None:
    out = tmp_path / "resumed"
    shutil.copytree(dense[0], out)
    (out / "result.json").unlink()
    for folder in checkpoint_folders(out):
        if open_checkpoint(folder).step > STEPS - BACK:
            shutil.rmtree(folder)
    assert caption(configured(shard, out))["checkpoint_sha256"] == dense[1]["checkpoint_sha256"]


def test_captions_go_on_from_the_dense_stage(dense: tuple[Path, dict[str, Any]], shard: str, tmp_path: Path) -> None:
    changes = {"stage": "captions", "model": str(dense[0]), "shape": None, "heldout": None, "aiming": 1.0}
    caption(configured(shard, tmp_path / "captions", **changes, steps=1, batch=2, grounding=0.5, checkpoint_every=1))
    (row,) = read_jsonl(tmp_path / "captions" / "metrics.jsonl")
    start = read_jsonl(dense[0] / "metrics.jsonl")
    assert row["grounding"] < 0.5 * start[0]["grounding"] and "token_accuracy" in row


def test_the_grounding_loss_equals_a_slow_one(dense: tuple[Path, dict[str, Any]]) -> None:
    beginning = opened(dense[0])
    model, examples = model_of(beginning), Examples(beginning.shape, beginning.tokenizer, beginning.end, 256)
    samples = []
    for number in (3, 4):
        picture, points = drawn(number)
        said = [
            Annotation("pointing", None, "", tuple((x, y) for x, y in at), f"{colour} squares", len(at))
            for colour, at in points.items()
        ]
        samples.append(Sample(str(number), picture, (*said, Annotation("pointing", None, "", (), "pink squares", 0))))
    rows = [examples.picture_row(sample) for sample in samples]
    pictures = examples.pictures(rows, "cpu")
    assert pictures is not None
    with torch.no_grad():
        feature_PD = model.features(pictures)
        loss, right, count = model.dense_loss(pictures, examples.grounding(rows, "cpu"))
        labels = {each.label for sample in samples for each in sample.annotations}
        words = {label: model.decoder.embedding(torch.tensor(examples.encoded(f" {label}"))).sum(0) for label in labels}
        # A point shows one label, in the token of 8 x 8 pixels, or 25 % of the width, that it lies in.
        shown: dict[int, tuple[str, float, float]] = {}
        for picture_number, sample in enumerate(samples):
            for each in sample.annotations:
                for x, y in each.points:
                    token = 16 * picture_number + 4 * int(y // 25) + int(x // 25)
                    shown[token] = (each.label, x / 25 - x // 25 - 0.5, y / 25 - y // 25 - 0.5)
        slow, found = 0.0, 0
        for token, feature in enumerate(feature_PD):
            cosines = {label: torch.cosine_similarity(feature, word, dim=0).item() for label, word in words.items()}
            for label, cosine in cosines.items():
                sign = 1 if token in shown and shown[token][0] == label else -1
                slow += math.log1p(math.exp(-sign * 20 * (cosine - 0.7)))
            if token in shown:
                label, right_of, below = shown[token]
                read = model.connector.offsets(feature).tolist()
                slow += abs(read[0] - right_of) + abs(read[1] - below)
                found += max(cosines, key=lambda name: cosines[name]) == label
    assert loss.item() == pytest.approx(slow / len(shown), rel=1e-4)
    assert (right.item(), count.item()) == (found, len(shown))


def test_the_decoder_is_told_the_place_of_the_point_in_a_token(dense: tuple[Path, dict[str, Any]]) -> None:
    beginning = opened(dense[0])
    model, examples = model_of(beginning), Examples(beginning.shape, beginning.tokenizer, beginning.end, 256)
    row = examples.row(Sample("3", drawn(3)[0], (Annotation("caption", None, "", (), "", 0),)), "tokens", "0")
    inputs, _, _ = examples.batch([row], "cpu")
    assert inputs.pictures is not None
    feature_PD = model.features(inputs.pictures)
    told_PD = model.embedded(inputs, feature_PD)[inputs.pictures.row_P, inputs.pictures.place_P]
    patch = model.decoder.embedding.weight[beginning.shape.markers[3]]
    waves = model.connector.waves
    far = 0
    for number, feature in enumerate(feature_PD.detach()):
        # Tokens of a quarter of the picture's width and height; an offset of more than half is none of this token.
        offsets = [min(0.5, max(-0.5, value)) for value in model.connector.offsets(feature).tolist()]
        far += max(map(abs, offsets)) > 0.1
        at = [25 * (place + 0.5 + offset) for place, offset in zip((number % 4, number // 4), offsets, strict=True)]
        angles = [[2 * math.pi / 100 * 2 ** (-1 + 5 * k / (waves - 1)) * value for k in range(waves)] for value in at]
        told = [wave(angle) for axis in angles for wave in (math.sin, math.cos) for angle in axis]
        wanted = patch + feature + torch.tensor(told) @ model.connector.places.weight.T
        assert torch.allclose(told_PD[number], wanted, atol=1e-4)
    assert far
    # What the decoder writes does not train the offsets.
    told_PD.sum().backward()
    assert model.connector.offsets.weight.grad is None
    with pytest.raises(TrainerError, match=r"connector\.refined is true without places and offsets"):
        ConnectorConfig(layers=(-1,), refined=True, places=True)


def test_a_point_has_a_place_in_each_token_that_shows_it() -> None:
    # A square picture of 64 pixels is scaled to half its size in the one view; a token has 8 pixels there.
    found = layout(64, 64, CropConfig(crop=32, patch=4, pool=2, mode="global", margins=(0, 0)))
    assert found.shown_at(26.0, 4.0) == [(1, pytest.approx(13 / 8 - 1.5), pytest.approx(2 / 8 - 0.5))]
    assert found.shown_at(64.0, 64.0) == [(15, 0.5, 0.5)]
    both = layout(40, 60, CropConfig(crop=32, patch=4, pool=2, mode="overlap", margins=(2, 2)))
    for x, y in np.random.default_rng(0).uniform((0, 0), (60, 40), (50, 2)):
        shown, middles = both.shown_at(x, y), both.middles()
        assert [token for token, _, _ in shown] == both.tokens_at(x, y) and len(shown) == 2
        for (token, right, down), place in zip(shown, (both.whole, both.fine), strict=True):
            assert place is not None
            width, height = 8 * 100 / place.width, 8 * 100 / place.height
            assert both.extents()[token] == pytest.approx([width, height])
            at = middles[token] + np.array([right * width, down * height])
            assert at == pytest.approx([100 * x / 60, 100 * y / 40], abs=1e-3)


def test_samples_of_one_picture_become_one(tmp_path: Path) -> None:
    path = write_shard(tmp_path / "a.tar", range(3))
    apart, joined = PictureShards([path]), PictureShards([path], joined=True)
    assert (len(apart), len(joined)) == (9, 3)
    for number, said in enumerate(joined.annotations):
        assert said == sum(apart.annotations[3 * number : 3 * number + 3], ())
        assert joined[np.array([number])][0].picture == drawn(number)[0]
    assert apart.fingerprint != joined.fingerprint
    assert len(PictureShards([path], datasets=["points", "count"], joined=True)) == 3
    # Without a digest nothing says that two pictures are one.
    assert len(PictureShards([write_shard(tmp_path / "b.tar", range(2), digests=False)], joined=True)) == 6


@pytest.mark.parametrize("wrong", [{"grounding": 0.0}, {"aiming": 0.5}, {"blind": True}])
def test_a_dense_stage_without_its_loss_is_refused(shard: str, tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(TrainerError, match="the stage dense"):
        configured(shard, tmp_path, **wrong)


def test_chats_cannot_be_joined() -> None:
    with pytest.raises(TrainerError, match="joined"):
        SourceConfig(group="a", chats=["x.jsonl"], joined=True)


def test_convolutions_beyond_those_that_halve_a_patch_add_to_what_they_read() -> None:
    torch.manual_seed(0)
    stem = Stem((4, 6, 6), 4, 8)
    pixels_CHW3 = torch.randn(2, 8, 12, 3)
    x = pixels_CHW3.permute(0, 3, 1, 2)
    for number, (convolution, norm) in enumerate(zip(stem.convolutions, stem.norms, strict=True)):
        read = x
        assert isinstance(convolution, torch.nn.Conv2d)
        stride = 2 if number < 2 else 1
        x = torch.relu(norm(torch.conv2d(read, convolution.weight, convolution.bias, stride=stride, padding=1)))
        x = x + read if number == 2 else x
    assert x.shape == (2, 6, 2, 3)
    assert torch.allclose(stem(pixels_CHW3), stem.out(x.flatten(2).transpose(1, 2)), atol=1e-6)


def test_without_positions_a_transformer_is_one_whose_positions_are_zero() -> None:
    torch.manual_seed(0)
    shape: dict[str, Any] = {**SHAPE["vision"], "hidden": 16, "width": 8}
    without = VisionTransformer(TransformerConfig(**shape, positions=False), 32, 4)
    with_zeros = VisionTransformer(TransformerConfig(**shape), 32, 4)
    with_zeros.load_state_dict({**without.state_dict(), "positions": torch.zeros(64, 8)})
    pixels_CHW3 = torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8)
    assert "positions" not in dict(without.named_parameters())
    assert torch.equal(without(pixels_CHW3, (-1, -2)), with_zeros(pixels_CHW3, (-1, -2)))
    with pytest.raises(TrainerError, match=r"vision\.positions"):
        TransformerConfig(width=8, layers=2, heads=2, hidden=16, positions=False)


@pytest.mark.parametrize(("patch", "stem"), [(4, [8]), (14, [8, 16, 32, 64])])
def test_a_stem_that_does_not_halve_a_patch_is_refused(shard: str, tmp_path: Path, patch: int, stem: list[int]) -> None:
    shape = {**SHAPE, "vision": {**SHAPE["vision"], "stem": stem}, "crops": {**SHAPE["crops"], "patch": patch}}
    shape["crops"]["crop"] = 8 * patch
    with pytest.raises(TrainerError, match=r"vision\.stem"):
        caption(configured(shard, tmp_path / "out", shape=shape))
