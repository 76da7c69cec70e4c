"""`python -m trainers.embed`: contrastive training of an encoder, with all weights or with adapters."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from made_pairs import PLACES, made_rows, write_pairs
from safetensors.numpy import load_file

from trainers.core.checkpoint import checkpoint_folders, open_checkpoint
from trainers.embed import ADAPTER, MODEL, VECTORS, embed, main
from trainers.embedding.config import EmbedConfig, Lora, read_runs
from trainers.embedding.contrastive import Contrastive
from trainers.embedding.encoder import adapt, open_encoder
from trainers.embedding.pairs import Pair, Pairs, read_pairs
from trainers.embedding.small import make_encoder
from trainers.embedding.vectors import key_of, read_vectors, write_vectors
from trainers.process.config_file import from_mapping
from trainers.process.errors import TrainerError

LORA = {"adapters": {"rank": 4}, "optimiser": {"learning_rate": 0.01}}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    write_pairs(folder / "train.jsonl", made_rows(PLACES[:6]))
    write_pairs(folder / "heldout.jsonl", made_rows(PLACES[6:]))
    make_encoder(folder / "base", [text for row in made_rows() for text in row.values()], seed=0)
    return folder


def config(data: Path, out: Path, **changes) -> EmbedConfig:
    common = {
        "encoder": str(data / "base"),
        "data": [str(data / "train.jsonl")],
        "out": str(out),
        "steps": 8,
        "batch": 12,
        "threads": 1,
        "checkpoint_every": 4,
        "keep_checkpoints": 0,
    }
    return from_mapping(common | changes, EmbedConfig, "test")


@pytest.fixture(scope="module")
def expert(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that trains adapters of the queries alone, with mined negatives."""
    out = tmp_path_factory.mktemp("runs") / "expert"
    embed(config(data, out, trains="query", mined=2, **LORA))
    return out


def test_a_resumed_run_ends_in_the_same_bits(data: Path, expert: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    shutil.copytree(expert, again)
    (again / "result.json").unlink()
    shutil.rmtree(again / ADAPTER)
    for folder in checkpoint_folders(again):
        if open_checkpoint(folder).step > 4:
            shutil.rmtree(folder)
    embed(config(data, again, trains="query", mined=2, **LORA))
    last = checkpoint_folders(expert)[-1].name
    for name in (f"{last}/model.pt", f"{last}/optimizer.pt", f"{ADAPTER}/adapter_model.safetensors"):
        assert (again / name).read_bytes() == (expert / name).read_bytes(), name
    assert (again / ADAPTER / "adapter_config.json").read_text() == (
        expert / ADAPTER / "adapter_config.json"
    ).read_text()


def test_checkpoints_hold_the_adapters_alone_and_dropout_and_seed_count(
    data: Path, expert: Path, tmp_path: Path
) -> None:
    weights = open_checkpoint(checkpoint_folders(expert)[-1]).weights()
    assert weights and all("lora_" in name for name in weights)
    embed(config(data, tmp_path / "other", trains="query", mined=2, seed=1, **LORA))
    one, other = (load_file(place / ADAPTER / "adapter_model.safetensors") for place in (expert, tmp_path / "other"))
    assert one.keys() == other.keys()
    assert any(not np.array_equal(one[name], other[name]) for name in one)


def test_the_adapter_loads_beside_the_encoder_and_changes_its_queries(data: Path, expert: Path) -> None:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(data / "base"), device="cpu")
    texts = [row["query"] for row in made_rows()[:4]]
    before = model.encode_query(texts)
    model.load_adapter(str(expert / ADAPTER), adapter_name="expert")
    model.eval()
    assert np.abs(model.encode_query(texts) - before).max() > 1e-3
    model.disable_adapters()
    assert np.array_equal(model.encode_query(texts), before)


def test_training_teaches_words_that_no_document_shares(data: Path, tmp_path: Path) -> None:
    changes = {"heldout": [str(data / "heldout.jsonl")], "steps": 30, "batch": 24, "checkpoint_every": 0}
    rate = {"optimiser": {"learning_rate": 0.002}}
    untrained = embed(config(data, tmp_path / "none", **changes, optimiser={"learning_rate": 1e-9}))
    trained = embed(config(data, tmp_path / "full", **changes, **rate))
    assert trained["heldout_mrr"] > untrained["heldout_mrr"] + 0.3
    assert (tmp_path / "full" / MODEL / "modules.json").is_file()
    # The exported folder holds what the last checkpoint holds.
    opened = dict(open_encoder(tmp_path / "full" / MODEL).named_parameters())
    kept = open_checkpoint(checkpoint_folders(tmp_path / "full")[-1]).weights()
    assert all(torch.equal(opened[name.replace("/", ".")], weight) for name, weight in kept.items())


def test_the_loss_is_that_of_a_softmax_over_the_documents_of_the_batch(data: Path, tmp_path: Path) -> None:
    rows = [Pair("a b", "one", ("far",)), Pair("a b", "two"), Pair("c", "one")]
    vectors = {name: np.eye(128, dtype=np.float32)[place] for place, name in enumerate(("one", "two", "far"))}
    encoder = open_encoder(data / "base")
    frozen = {key_of(name): vector for name, vector in vectors.items()}
    objective = Contrastive(config(data, tmp_path, batch=3), encoder, Pairs(rows), None, frozen)
    model = objective.build().eval()
    found = objective.loss(model, rows, torch.device("cpu")).report.item()
    queries = {query: encoder.encode_query([query])[0].astype(np.float64) for query in ("a b", "c")}
    expected = []
    for pair in rows:
        # "one" and "two" both answer "a b": neither is a negative of the other.
        against = [n for n in vectors if n == pair.positive or pair.query == "c" or n == "far"]
        logits = np.array([queries[pair.query] @ vectors[name] / 0.05 for name in against])
        expected.append(np.log(np.exp(logits).sum()) - logits[against.index(pair.positive)])
    assert found == pytest.approx(np.mean(expected), abs=1e-4)


def test_documents_are_embedded_once_and_given_vectors_are_used(data: Path, expert: Path, tmp_path: Path) -> None:
    kept = read_vectors(expert / VECTORS)
    assert len(kept) == len(read_pairs([str(data / "train.jsonl")]).documents)
    embed(config(data, tmp_path / "given", trains="query", mined=2, vectors=str(expert / VECTORS), **LORA))
    assert not (tmp_path / "given" / VECTORS).exists()
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        assert (tmp_path / "given" / ADAPTER / name).read_bytes() == (expert / ADAPTER / name).read_bytes()
    write_vectors(tmp_path / "others", kept, "0" * 64)
    with pytest.raises(TrainerError, match="another encoder"):
        embed(config(data, tmp_path / "refused", trains="query", vectors=str(tmp_path / "others"), **LORA))


def test_a_small_encoder_is_the_same_for_the_same_texts_and_seed(data: Path, tmp_path: Path) -> None:
    texts = [text for row in made_rows() for text in row.values()]
    make_encoder(tmp_path / "same", texts, seed=0)
    make_encoder(tmp_path / "other", texts, seed=1)
    weights = [
        (folder / "model.safetensors").read_bytes() for folder in (data / "base", tmp_path / "same", tmp_path / "other")
    ]
    assert weights[0] == weights[1] != weights[2]


def test_adapters_are_drawn_by_their_seed(data: Path) -> None:
    drawn = []
    for seed in (0, 0, 1):
        encoder = open_encoder(data / "base")
        adapt(encoder, Lora(rank=2), seed)
        drawn.append(torch.cat([p.flatten() for p in encoder.parameters() if p.requires_grad]))
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"microbatch": 4}, "microbatch is 4"),
        ({"batch": 1}, "batch is 1"),
        ({"adapters": {"rnk": 1}}, "adapters has no field 'rnk'"),
        ({"adapters": {"rank": 4, "targets": ["nothing"]}}, "adapters.targets"),
        ({"encoder": "nowhere"}, "nowhere has no modules.json"),
        ({"temperature": 0}, "temperature is 0"),
    ],
)
def test_what_no_run_can_have_is_refused_by_name(data: Path, tmp_path: Path, changes: dict, cause: str) -> None:
    with pytest.raises(TrainerError) as error:
        embed(config(data, tmp_path / "run", **changes))
    assert cause in error.value.cause


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ('{"query": "a"}', "row 2: positive is not a string"),
        ('{"query": " ", "positive": "b"}', "row 2: query is not a string, or an empty one"),
        ('{"query": "a", "positive": "b", "negatives": "c"}', "row 2: negatives is not a list"),
        ("[1]", "line 2 is not a JSON object"),
        ("{", "line 2 is not JSON"),
    ],
)
def test_a_malformed_row_is_refused_by_its_number(tmp_path: Path, line: str, cause: str) -> None:
    (tmp_path / "pairs.jsonl").write_text(f'{{"query": "a", "positive": "b"}}\n{line}\n')
    with pytest.raises(TrainerError) as error:
        read_pairs([str(tmp_path / "pairs.jsonl")])
    assert cause in error.value.cause


def test_runs_of_a_file_share_its_fields(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "runs.json"
    shared = {"encoder": str(data / "base"), "data": [str(data / "train.jsonl")]}
    path.write_text(json.dumps({**shared, "runs": [{"out": "a", "seed": 1}, {"out": "b", "batch": 8}]}))
    first, second = read_runs(path, EmbedConfig)
    assert (first.out, first.seed, first.batch, second.out, second.batch) == ("a", 1, 32, "b", 8)
    path.write_text(json.dumps({**shared, "runs": [{"out": "a", "seeds": 1}]}))
    assert main(["--config", str(path)]) == 2
    assert "run 1 has an unknown field 'seeds'" in capsys.readouterr().err
