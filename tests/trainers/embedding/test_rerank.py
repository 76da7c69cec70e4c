"""`python -m trainers.rerank`: a cross-encoder learns to order documents, and the gain on held-out ones is measured."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_pairs import PLACES, SOUNDS, made_rows, write_pairs

from spark_jobs.retrieval.metrics import ndcg, reciprocal_rank
from trainers.core.checkpoint import checkpoint_folders, open_checkpoint
from trainers.embedding.config import RerankConfig
from trainers.embedding.cross_encoder import Scorer, open_cross_encoder, scored
from trainers.embedding.heldout import gain_lines, gains, placed
from trainers.embedding.listwise import Candidates, Listwise, with_hard_negatives
from trainers.embedding.pairs import Pair, Pairs, read_pairs
from trainers.embedding.words import WordIndex, words_of
from trainers.process.config_file import from_mapping
from trainers.process.errors import TrainerError
from trainers.rerank import BASE, MODEL, main, rerank


def animals(places: tuple[str, ...]) -> list[dict[str, Any]]:
    """Rows whose negatives have the words of the query too, so that another word tells the document that answers."""
    sounds = list(SOUNDS.values())
    return [
        {
            "query": f"which noise has the {animal} of our {place}?",
            "positive": f"{animal} of that {place}: they often {sounds[number]}",
            "negatives": [f"{animal} of that {place}: they never {sounds[number - step]}" for step in (1, 2, 3)],
        }
        for place in places
        for number, animal in enumerate(SOUNDS)
    ]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a trained reranker, with its data."""
    folder = tmp_path_factory.mktemp("rerank")
    write_pairs(folder / "train.jsonl", animals(PLACES[:4]))
    write_pairs(folder / "heldout.jsonl", animals(PLACES[6:7]))
    rerank(config(folder))
    return folder


def config(folder: Path, **changes: Any) -> RerankConfig:
    fields: Mapping[str, Any] = {
        "data": [str(folder / "train.jsonl")],
        "heldout": [str(folder / "heldout.jsonl")],
        "encoder": "new",
        "out": str(folder / "run"),
        "group": 4,
        "candidates": 4,
        "steps": 40,
        "batch": 16,
        "threads": 1,
        "checkpoint_every": 20,
        "optimiser": {"learning_rate": 0.002},
    }
    return from_mapping({**fields, **changes}, RerankConfig, "test")


@pytest.mark.slow
def test_the_order_of_held_out_documents_is_measured_before_and_after(made: Path) -> None:
    found = json.loads((made / "run" / "result.json").read_text())
    assert found["heldout_queries"] == len(SOUNDS)
    assert found["heldout_mrr_before"] < 0.8 and found["heldout_mrr_words"] < 0.8
    assert found["heldout_mrr"] > found["heldout_mrr_before"] + 0.2
    gain = found["heldout_ndcg"] - found["heldout_ndcg_before"]
    assert 0 < found["heldout_ndcg_low"] < gain < found["heldout_ndcg_high"]
    lines = gain_lines(found)
    assert lines[0].startswith(
        f"held-out MRR {found['heldout_mrr_before']:.3f} before, {found['heldout_mrr']:.3f} after"
    )
    assert lines[1].startswith("held-out nDCG@10") and "95% interval +" in lines[1] and "BM25" in lines[1]


def test_the_folder_is_a_cross_encoder_that_searches_load_with_the_measured_order(made: Path) -> None:
    from spark_jobs.retrieval.cross_encoder import cross_encoder

    score = cross_encoder(made / "run" / MODEL)
    heldout = read_pairs([str(made / "heldout.jsonl")])
    candidates = Candidates(heldout, read_pairs([str(made / "train.jsonl")]).documents, 4)
    again = candidates.measured([
        np.array(score(query, texts)) for query, texts in zip(candidates.queries, candidates.documents, strict=True)
    ])  # fmt: skip
    found = json.loads((made / "run" / "result.json").read_text())
    assert again.mean(axis=0) == pytest.approx([found["heldout_mrr"], found["heldout_ndcg"]])


def test_a_resumed_run_ends_in_the_same_bits_with_the_same_gain(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "run", tmp_path / "run")
    (tmp_path / "run" / "result.json").unlink()
    shutil.rmtree(tmp_path / "run" / MODEL)
    for folder in checkpoint_folders(tmp_path / "run"):
        if open_checkpoint(folder).step > 20:
            shutil.rmtree(folder)
    result = rerank(config(made, out=str(tmp_path / "run")))
    once = json.loads((made / "run" / "result.json").read_text())
    assert {k: v for k, v in result.items() if k.startswith("heldout")} == {
        k: v for k, v in once.items() if k.startswith("heldout")
    }
    one, other = (folder / MODEL / "model.safetensors" for folder in (made / "run", tmp_path / "run"))
    assert one.read_bytes() == other.read_bytes()


def test_the_loss_is_that_of_a_softmax_over_each_group(made: Path) -> None:
    model = open_cross_encoder(made / "run" / BASE, seed=0)
    rows = Pairs([Pair("a dog", "bark", ("purr", "low")), Pair("a cat", "purr", ("bark",))])
    objective = Listwise(model, rows, None, seed=0, batch=2)
    trained = objective.build().eval()
    found = objective.loss(trained, rows.pairs, torch.device("cpu")).report.item()
    expected = []
    for pair in rows.pairs:
        texts = (pair.positive, *pair.negatives)
        logits = scored(Scorer(model), [(pair.query, text) for text in texts]).double().numpy()
        expected.append(np.log(np.exp(logits).sum()) - logits[0])
    assert found == pytest.approx(np.mean(expected), abs=1e-5)
    # A drawn layer of scores is decided by the seed.
    layers = [open_cross_encoder(made / "run" / BASE, seed).model.classifier.weight for seed in (0, 0, 1)]
    assert torch.equal(layers[0], layers[1]) and not torch.equal(layers[0], layers[2])


def test_negatives_are_hard_and_never_answers() -> None:
    rows = Pairs([
        Pair("ice flow", "ice flows", ("own negative",)),
        Pair("ice flow", "ice flow too"),
        Pair("salt", "salty ice flow"),
        Pair("sun", "the sun"),
    ])  # fmt: skip
    found = with_hard_negatives(rows, 3, seed=0)
    assert found.pairs[0].negatives[:2] == ("own negative", "salty ice flow")
    for pair in found.pairs:
        assert len(pair.negatives) == 3 == len(set(pair.negatives))
        assert not rows.answers[pair.query] & set(pair.negatives)
    assert with_hard_negatives(Pairs(rows.pairs[:2]), 5, 0).pairs[1].negatives == ("own negative",)


def test_bm25_is_that_of_a_published_library() -> None:
    import bm25s

    texts = [f"{row['positive']} {row['query']}" for row in made_rows(PLACES[:3])] + ["", "the the the dog"]
    peer = bm25s.BM25(k1=1.5, b=0.75, method="lucene")
    split = [words_of(text) for text in texts]
    peer.index(split, show_progress=False)
    known = {word for words in split for word in words}
    ours = WordIndex(texts)
    for query in ("the dog of our barn", "which noise", "nothing known"):
        theirs = peer.get_scores(words_of(query)) if known & {*words_of(query)} else 0.0
        # Lucene's method leaves out the constant factor k1 + 1, which changes no order.
        assert ours.scores(query) / 2.5 == pytest.approx(np.broadcast_to(theirs, len(texts)), abs=1e-5)


def test_measures_are_those_of_searches_and_ties_earn_nothing() -> None:
    draw = np.random.default_rng(0)
    for _ in range(50):
        scores = draw.permutation(12) / 12
        relevant = sorted(draw.choice(12, size=draw.integers(1, 12), replace=False).tolist())
        order = [str(place) for place in np.argsort(-scores)]
        grades = {str(place): 1 for place in relevant}
        assert placed(scores, relevant) == pytest.approx((reciprocal_rank(order, grades), ndcg(order, grades, 10)))
    assert placed([0.5] * 4, [0]) == (0.25, 1 / math.log2(5))


def test_the_interval_is_that_of_the_paired_difference() -> None:
    draw = np.random.default_rng(1)
    before = draw.random((200, 2))
    # Every query gains about a tenth, which differs far less than the queries do.
    after = before + 0.1 + draw.normal(0, 0.02, size=(200, 2))
    found = gains(before, after)
    assert 0.09 < found["heldout_mrr_low"] < 0.1 < found["heldout_mrr_high"] < 0.11
    assert "heldout_mrr_low" not in gains(before[:1], after[:1])
    assert gain_lines({"pairs": 3}) == []


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"group": 1}, "group is 1"),
        ({"candidates": 1}, "candidates is 1"),
        ({"parts": 4}, "parts is 4"),
        ({"encoder": "nowhere"}, "nowhere has no config.json"),
        ({"optimiser": {"rate": 1}}, "optimiser has no field 'rate'"),
    ],
)
def test_what_no_run_can_have_is_refused_by_name(made: Path, tmp_path: Path, changes: dict, cause: str) -> None:
    with pytest.raises(TrainerError) as error:
        rerank(config(made, out=str(tmp_path / "out"), **changes))
    assert cause in error.value.cause


def test_the_command_takes_a_file(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run.yaml").write_text(f"data: [{made / 'none.jsonl'}]\nencoder: new\nout: {tmp_path / 'run'}\n")
    assert main(["--config", str(tmp_path / "run.yaml")]) == 2
    assert "none.jsonl" in capsys.readouterr().err
