"""Training on pictures: mixtures, weights, exact resumption, and that the model learns to see."""

from __future__ import annotations

import json
import math
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from small_pictures import COLOURS, SHAPE, drawn, write_shard

from trainers.caption import caption
from trainers.core.checkpoint import checkpoint_folders, open_checkpoint
from trainers.process.config_file import from_mapping
from trainers.process.errors import TrainerError
from trainers.process.files import read_jsonl
from trainers.vision.config import CaptionConfig, optimiser_of
from trainers.vision.examples import Branch, Examples, Row, weights_of
from trainers.vision.generating import Asked, prompt, replies
from trainers.vision.mixture import Part, rates
from trainers.vision.opening import model_of, opened
from trainers.vision.shards import Annotation, PictureShards, Sample
from trainers.vision.words import answer, length_hint, point_spans, points_text, question

STEPS, BACK = 60, 20


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("shards")
    chats = folder / "chats.jsonl"
    messages = [{"role": "user", "content": "Which colour is the sky?"}, {"role": "assistant", "content": "Blue."}]
    chats.write_text(json.dumps({"messages": messages}) + "\n")
    return {
        "train": write_shard(folder / "train.tar", range(96)),
        "heldout": write_shard(folder / "heldout.tar", range(1000, 1016)),
        "chats": str(chats),
    }


def configured(shards: dict[str, str], out: Path, **changes: Any) -> CaptionConfig:
    """The two stages in one: three data sets and chats, with everything on that draws at random."""
    given = {
        "sources": {
            "cap": {"group": "captions", "shards": [shards["train"]], "datasets": ["cap"]},
            "points": {"group": "pointing", "shards": [shards["train"]], "datasets": ["points"], "most": 24},
            "count": {"group": "pointing", "shards": [shards["train"]], "styles": ["counting"]},
            "chats": {"group": "text", "chats": [shards["chats"]]},
        },
        "groups": {"captions": 0.25, "pointing": 0.7, "text": 0.05},
        "heldout": {"points": {"group": "", "shards": [shards["heldout"]], "datasets": ["points"]}},
        "stage": "mixture",
        "shape": SHAPE,
        "out": str(out),
        "steps": STEPS,
        "batch": 8,
        "dropout": 0.05,
        "grounding": 0.5,
        "aiming": 0.5,
        "rates": {"vision": 3e-3, "connector": 3e-3, "decoder": 3e-3},
        "warmups": {"vision": 10, "connector": 10, "decoder": 10},
        "log_every": 1,
        "checkpoint_every": BACK,
        "keep_checkpoints": 0,
        **changes,
    }
    return from_mapping(given, CaptionConfig, "test")


@pytest.fixture(scope="module")
def whole(shards: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("runs") / "whole"
    return out, caption(configured(shards, out))


def test_a_model_learns_and_tells_its_rates(whole: tuple[Path, dict[str, Any]]) -> None:
    out, result = whole
    rows = read_jsonl(out / "metrics.jsonl")
    assert [row["step"] for row in rows] == list(range(1, STEPS + 1))
    assert rows[-1]["loss"] < 0.6 * rows[0]["loss"]
    assert rows[-1]["grounding"] < rows[0]["grounding"]
    assert rows[-1]["aiming"] < 0.6 * rows[0]["aiming"]
    assert rows[-1]["token_accuracy"] > rows[0]["token_accuracy"]
    # By hand: sqrt(24) and sqrt(96) are 1 : 2, of .7 in all.
    expected = {"cap": 0.25, "points": 0.7 / 3, "count": 1.4 / 3, "chats": 0.05}
    assert result["rates"] == pytest.approx(expected)
    assert rows[-1]["tokens"] == result["tokens"] > 0


def test_a_resumed_run_ends_in_the_same_bits(
    whole: tuple[Path, dict[str, Any]], shards: dict[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "resumed"
    shutil.copytree(whole[0], out)
    (out / "result.json").unlink()
    for folder in checkpoint_folders(out):
        if open_checkpoint(folder).step > STEPS - BACK:
            shutil.rmtree(folder)
    result = caption(configured(shards, out))
    assert result["checkpoint_sha256"] == whole[1]["checkpoint_sha256"]
    before, after = (read_jsonl(folder / "metrics.jsonl") for folder in (whole[0], out))
    timed = ("tokens_per_s", "elapsed_s")
    assert [{k: v for k, v in row.items() if k not in timed} for row in before] == [
        {k: v for k, v in row.items() if k not in timed} for row in after
    ]


def test_a_mixture_draws_by_the_published_rule_to_within_a_sample() -> None:
    # Molmo's three groups; square roots of 100, 400 and 900 are 10, 20 and 30, of 250,000 bounded by 10,000 is 100.
    parts = [
        Part(group="demo", size=100),
        Part(group="demo", size=400),
        Part(group="aux", size=900),
        Part(group="aux", size=250_000, most=10_000),
        Part(group="aux", size=400, factor=0.5),
        Part(group="pointing", size=7),
    ]
    found = rates({"demo": 0.15, "aux": 0.5, "pointing": 0.35}, parts)
    assert found == pytest.approx([0.05, 0.1, 0.5 * 30 / 140, 0.5 * 100 / 140, 0.5 * 10 / 140, 0.35])
    assert math.fsum(found) == pytest.approx(1.0)
    for groups, wrong in (({"demo": 1.0}, parts), ({"demo": 1, "aux": 1, "pointing": 1, "video": 1}, parts)):
        with pytest.raises(TrainerError, match="group"):
            rates(groups, wrong)


def test_the_mixture_that_a_run_reads_has_these_rates(shards: dict[str, str], tmp_path: Path) -> None:
    from trainers.data.mixing import MixedLoader

    sources = [PictureShards([shards["train"]], datasets=[name]) for name in ("cap", "points", "count")]
    shares = rates({"a": 0.65, "b": 0.35}, [Part(group=g, size=s) for g, s in (("a", 4), ("a", 9), ("b", 1))])
    assert shares == pytest.approx([0.26, 0.39, 0.35])
    source, _ = MixedLoader(sources, shares, seed=3).places(0, 1000)
    for number, share in enumerate(shares):
        assert abs((source == number).sum() - 1000 * share) <= 1


def test_losses_are_weighted_by_annotations_as_published() -> None:
    assert weights_of(["question"] * 4, [5, 1, 1, 1], "annotations") == [0.5] * 4
    assert weights_of(["question"] * 4, [5, 1, 1, 1], "tokens") == [1.0] * 4
    # Molmo 2: 2 / sqrt(tokens) / sqrt(4), but captions .1 and pointing .2.
    found = weights_of(["question", "caption", "pointing", "question"], [16, 100, 50, 1], "molmo2")
    assert found == [0.25, 0.1, 0.2, 1.0]


def test_a_weighted_loss_equals_a_slow_one_and_branches_do_not_see_each_other(
    whole: tuple[Path, dict[str, Any]],
) -> None:
    beginning = opened(whole[0])
    model, examples = model_of(beginning), Examples(beginning.shape, beginning.tokenizer, beginning.end, 256)
    begun = examples.of_picture(drawn(5)[0])
    texts = [
        (" User: pointing: Point to the red squares. Assistant:", " There are none."),
        (" User: a Assistant:", " b"),
    ]
    branches = [(examples.encoded(asked), (*examples.encoded(said), beginning.end)) for asked, said in texts]
    weights = [0.5, 2.0]
    row = Row(
        begun.beginning,
        tuple(Branch((*a, *b), len(a), w) for (a, b), w in zip(branches, weights, strict=True)),
        begun.pixels_CHW3,
        begun.inside_CS,
        begun.layout,
    )
    inputs, target_BT, weight_BT = examples.batch([row], "cpu")
    with torch.no_grad():
        _, nats, *_ = model.losses(inputs, target_BT, weight_BT)
        slow = 0.0
        for (asked, said), weight in zip(branches, weights, strict=True):
            alone = Row(begun.beginning, (Branch((*asked, *said), len(asked), 1.0),), *_pixels(begun))
            logits_TV = model(examples.batch([alone], "cpu")[0])[0].log_softmax(-1)
            start = len(begun.beginning) + len(asked)
            slow += weight * -sum(logits_TV[start + n - 1, token].item() for n, token in enumerate(said))
    assert nats.item() == pytest.approx(slow, rel=1e-4)
    assert row.weight == pytest.approx(sum(w * len(b) for (_, b), w in zip(branches, weights, strict=True)))


def test_positions_that_write_a_point_aim_at_the_token_that_shows_it(whole: tuple[Path, dict[str, Any]]) -> None:
    beginning = opened(whole[0])
    model, examples = model_of(beginning), Examples(beginning.shape, beginning.tokenizer, beginning.end, 256)
    picture, points = drawn(7)
    label = max(points, key=lambda name: len(points[name]))
    said = (
        Annotation(
            "counting", None, "", tuple((x, y) for x, y in points[label]), f"{label} squares", len(points[label])
        ),
        Annotation("pointing", None, "", (), "pink squares", 0),
    )
    row = examples.row(Sample("7", picture, said), "tokens", "a")
    aims = examples.aims([row], "cpu")
    assert aims is not None
    tokens = [*row.beginning, *(token for branch in row.branches for token in branch.tokens)]
    written: dict[int, str] = {}
    for place, target in zip(aims.place_N.tolist(), aims.target_NW[:, 0].tolist(), strict=True):
        written[target] = written.get(target, "") + beginning.tokenizer.decode([tokens[place + 1]])
    # 8 x 8 patches of 4 pixels become 4 x 4 tokens, each row of which ends with a token of its own.
    grid = 4
    expected = {
        2 + int(y / 100 * grid) * (grid + 1) + int(x / 100 * grid): (f"{x:.1f}", f"{y:.1f}") for x, y in points[label]
    }
    assert written.keys() == {1, *expected}
    for target, (x, y) in expected.items():
        assert x in written[target] and y in written[target]
    # Once for the end of the list of points, once for the answer that there are none.
    assert aims.target_NW[:, 0].tolist().count(1) == 2
    inputs, target_BT, weight_BT = examples.batch([row], "cpu")
    with torch.no_grad():
        *_, found = model.losses(inputs, target_BT, weight_BT, aims=aims)
    assert found.item() == pytest.approx(slow_aiming(model, inputs, aims), rel=1e-4)


def slow_aiming(model: Any, inputs: Any, aims: Any) -> float:
    """The mean of -log of the weights of attention of the first head of the middle block, a position at a time."""
    seen: list[torch.Tensor] = []
    attention = model.decoder.blocks[1].attention
    hook = attention.register_forward_pre_hook(lambda _, given: seen.extend(given))
    with torch.no_grad():
        model(inputs)
        hook.remove()
        q, k, _ = attention._equal(attention.query_key_value(seen[0]), seen[1], seen[2])
        total = 0.0
        for row, place, target in zip(
            aims.row_N.tolist(), aims.place_N.tolist(), aims.target_NW[:, 0].tolist(), strict=True
        ):
            looks = [at for at in range(seen[0].shape[1]) if seen[3][row, 0, place, at]]
            scores = torch.stack([q[row, place, 0] @ k[row, at, 0] / q.shape[-1] ** 0.5 for at in looks])
            total -= scores.log_softmax(0)[looks.index(target)].item()
    return total / len(aims.row_N)


def _pixels(row: Row) -> tuple[Any, Any, Any]:
    return row.pixels_CHW3, row.inside_CS, row.layout


def test_replies_with_a_cache_equal_those_without(whole: tuple[Path, dict[str, Any]]) -> None:
    beginning = opened(whole[0])
    model, examples = model_of(beginning), Examples(beginning.shape, beginning.tokenizer, beginning.end, 256)
    asked = [
        Asked(drawn(2000)[0], "pointing: Point to the blue squares."),
        Asked(drawn(2001)[0], "long_caption 5: Describe this image in detail."),
        Asked(None, "Which colour is the sky?"),
    ]
    found = replies(model, examples, asked, most=24)
    for each, reply in zip(asked, found, strict=True):
        row, written = prompt(examples, each), []
        for _ in range(24):
            branch = Branch((*row.branches[0].tokens, *written), 1)
            with torch.no_grad():
                logits = model(examples.batch([Row(row.beginning, (branch,), *_pixels(row))], "cpu")[0])
            token = int(logits[0, len(row.beginning) + len(branch.tokens) - 1].argmax())
            if token == beginning.end:
                break
            written.append(token)
        assert reply == beginning.tokenizer.decode(written).strip()


def test_a_blind_model_never_sees_the_picture(shards: dict[str, str], tmp_path: Path) -> None:
    result = caption(configured(shards, tmp_path / "blind", blind=True, steps=2, batch=2))
    assert result["blind"] is True
    beginning = opened(tmp_path / "blind")
    examples = Examples(beginning.shape, beginning.tokenizer, beginning.end, 256, blind=True)
    model = model_of(beginning)
    two = [Asked(drawn(number)[0], "pointing: Point to the red squares.") for number in (1, 2)]
    first, second = replies(model, examples, two, most=8)
    assert first == second


def test_prompts_hints_and_points_have_their_published_forms() -> None:
    chance = random.Random(0)
    said = Annotation("caption", None, "x" * 975)
    hints = [length_hint(said.text, chance) for _ in range(2000)]
    assert 0.08 < hints.count(None) / 2000 < 0.12
    assert 60 <= sum(h for h in hints if h is not None) / sum(h is not None for h in hints) <= 70
    assert question(said) == "long_caption 65: Describe this image."
    pointed = Annotation("counting", None, "", ((50.0, 20.0), (9.96, 30.0)), "cats", 2)
    assert question(pointed) == "point_count: How many cats are there?"
    assert answer(pointed) == (
        'Counting the <points x1="10.0" y1="30.0" x2="50.0" y2="20.0" alt="cats">cats</points> shows a total of 2.'
    )
    assert points_text([], "cats") == "There are none."
    assert (
        points_text([(1, 2)], 'a "b" & c')
        == '<point x="1.0" y="2.0" alt="a &quot;b&quot; &amp; c">a &quot;b&quot; &amp; c</point>'
    )


@pytest.mark.parametrize("counting", [False, True])
@pytest.mark.parametrize("points", [[(7.5, 20.0)], [(10.0, 30.5), (10.0, 99.9), (100.0, 0.0)]])
def test_the_characters_of_each_point_are_found(points: list[tuple[float, float]], counting: bool) -> None:
    written = f" {points_text(points, 'box y', counting=counting)}"
    *spans, end = point_spans(written)
    assert [point for _, _, point in spans] == points
    assert written[: spans[0][0]] == (" Counting the " if counting else " ")
    for (begin, stop, (x, y)), after in zip(spans, [*spans[1:], end], strict=True):  # ty: ignore[not-iterable]
        assert after[0] == stop
        assert written[begin:stop].endswith(f'="{y:.1f}') and f'="{x:.1f}"' in written[begin:stop]
    assert written[end[0] : end[1]] == '"' and end[2] is None
    assert point_spans(" There are none.") == [(0, 2, None)]
    assert point_spans(" The sign says max=10.0.") == []


def test_the_stages_have_the_published_rates() -> None:
    sources = {"a": {"group": "a", "shards": ["x"]}}
    first = CaptionConfig(out="x", sources=sources, groups={"a": 1.0})
    assert first.of_stage("rates") == {"connector": 2e-4, "vision": 6e-6, "decoder": 2e-5}
    assert first.of_stage("warmups") == {"connector": 200, "vision": 2000, "decoder": 2000}
    assert (first.of_stage("weighting"), first.of_stage("dropout")) == ("tokens", 0.1)
    second = CaptionConfig(out="x", sources=sources, groups={"a": 1.0}, stage="mixture", rates={"vision": 1e-6})
    assert second.of_stage("rates") == {"connector": 5e-6, "vision": 1e-6, "decoder": 1e-5}
    assert second.of_stage("weighting") == "annotations"
    optimiser = optimiser_of(first)
    assert (optimiser.z_loss, optimiser.schedule, optimiser.final_fraction) == (1e-4, "cosine", 0.1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"sources": {"a": {"shards": ["x"]}}},
        {"sources": {"a": {"group": "a", "shards": ["x"], "chats": ["y"]}}},
        {"rates": {"eyes": 1.0}},
        {"groups": {"captions": 0.25, "pointing": 0.7, "text": 0.05, "more": 1.0}},
        {"model": "x"},
        {"shape": {"eyes": {}}},
    ],
)
def test_a_wrong_configuration_is_refused(shards: dict[str, str], tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(TrainerError):
        caption(configured(shards, tmp_path / "out", **wrong))


@pytest.mark.parametrize("member", ["png", "json"])
def test_a_damaged_shard_is_refused(tmp_path: Path, member: str) -> None:
    import tarfile

    path = Path(write_shard(tmp_path / "a.tar", range(2), ("points",)))
    kept = tmp_path / "b.tar"
    with tarfile.open(path) as old, tarfile.open(kept, "w") as new:
        for each in old:
            if not each.name.endswith(f"1-points.{member}"):
                new.addfile(each, old.extractfile(each))
    with pytest.raises(TrainerError, match="has no"):
        PictureShards([str(kept)])
    whole_tar = path.read_bytes()
    path.write_bytes(whole_tar[: len(whole_tar) // 3])
    with pytest.raises(TrainerError):
        PictureShards([str(path)])
    with pytest.raises(TrainerError, match="no such shard"):
        PictureShards([str(tmp_path / "none-*.tar")])
    assert len(COLOURS) == 3
