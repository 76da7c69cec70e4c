import json
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_shards import make_shards
from PIL import Image

from trainers.analyse_routing import RoutingConfig, analyse, main, read_corpora
from trainers.exchange import export_model
from trainers.pretrain import pretrain
from trainers.pretraining.config import RunConfig
from trainers.process.config_file import from_mapping
from trainers.process.errors import TrainerError
from trainers.process.files import read_jsonl
from trainers.routing.counts import RoutingCounts, saturation
from trainers.routing.tables import domain_rows

L, E, K, V = 2, 5, 3, 11
MIXTURE = {"kind": "moe", "experts": 8, "experts_per_token": 2, "hidden": 24}


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> Path:
    return make_shards(tmp_path_factory.mktemp("data") / "shards")


def trained(shards: Path, out: Path, **changes) -> Path:
    settings = {"preset": "30k-0.2xC", "shards": str(shards), "out": str(out), "keep_checkpoints": 0}
    pretrain(from_mapping(settings | changes, RunConfig, "test"))
    return out


@pytest.fixture(scope="module")
def run(shards, tmp_path_factory) -> Path:
    """A mixture with four checkpoints."""
    out = tmp_path_factory.mktemp("runs") / "mixture"
    return trained(shards, out, model=MIXTURE, steps=80, checkpoint_every=20)


@pytest.fixture(scope="module")
def analysed(run, shards, tmp_path_factory) -> tuple[Path, dict]:
    out = tmp_path_factory.mktemp("routing")
    summary = analyse(RoutingConfig(checkpoint=run, shards=(("chain", shards / "heldout"),), out=out))
    return out, summary


def routed(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    draw = np.random.default_rng(seed)
    experts = np.stack([np.stack([draw.permutation(E)[:K] for _ in range(n)]) for _ in range(L)])
    tokens = {name: draw.integers(0, V, n) for name in ("input", "target", "predicted")}
    return experts, draw.integers(-1, 2, n), tokens


def counted(parts) -> RoutingCounts:
    counts = RoutingCounts(L, E, K, ("law", "code"), V)
    for part in parts:
        counts.add(*part)
    return counts


def test_a_domain_without_a_token_has_no_rows():
    experts, domains, variants = routed(40, 0)
    counts = counted([(experts, np.where(domains == 1, 0, domains), variants)])
    assert {row["domain"] for row in domain_rows(counts)} == {"law"}


def test_shares_are_those_counted_one_token_at_a_time():
    parts = [routed(40, 0), routed(25, 1)]
    counts = counted(parts)
    tokens = [
        (layer, experts[layer, n].tolist(), domains[n], {name: t[n] for name, t in variants.items()})
        for experts, domains, variants in parts
        for n in range(len(domains))
        for layer in range(L)
    ]
    every, adjacent, domain = counts.coactivation(), counts.coactivation(adjacent=True), counts.domain_specialisation()
    for layer in range(L):
        here = [(chosen, d, v) for at, chosen, d, v in tokens if at == layer]
        for i, j in np.ndindex(E, E):
            chose_i = sum(i in chosen for chosen, *_ in here)
            pairs = [list(combinations(chosen, 2)) for chosen, *_ in here]
            neighbours = [list(pairwise(chosen)) for chosen, *_ in here]
            for found, lists in ((every, pairs), (adjacent, neighbours)):
                both = sum((i, j) in pair or (j, i) in pair for pair in lists)
                assert found[layer, i, j] == pytest.approx(both / chose_i)
        for d, i in np.ndindex(2, E):
            mine = [chosen for chosen, dom, _ in here if dom == d]
            assert domain[d, layer, i] == pytest.approx(sum(i in chosen for chosen in mine) / len(mine))
        for variant in ("input", "target", "predicted"):
            shares = []
            for token in range(V):
                firsts = [chosen[0] for chosen, _, v in here if v[variant] == token]
                if firsts:
                    shares.append(max(firsts.count(e) for e in range(E)) / len(firsts))
            assert counts.vocabulary_specialisation(variant)[layer] == pytest.approx(np.mean(shares))
    assert counts.load().sum(1) == pytest.approx([K, K])


def test_neighbours_in_rank_are_fewer_than_all_pairs():
    counts = counted([routed(100, 0)])
    assert (counts.coactivation(adjacent=True) <= counts.coactivation()).all()
    # Of three ranks two of three pairs are neighbours.
    assert counts.coactivation(adjacent=True).sum() < 0.75 * counts.coactivation().sum()


def test_saturation_is_the_share_of_experts_that_stayed():
    early = np.array([[[0, 1, 2], [3, 4, 0]], [[0, 1, 2], [0, 1, 2]]])
    final = np.array([[[2, 1, 0], [1, 2, 0]], [[0, 2, 1], [3, 4, 2]]])
    every, first = saturation(early, final)
    assert every.tolist() == [pytest.approx(4 / 6), pytest.approx(4 / 6)]
    assert first.tolist() == [0.0, 0.5]
    assert saturation(final, final)[0].tolist() == [1.0, 1.0]


def test_an_analysis_reports_what_the_model_routed(analysed, run):
    out, summary = analysed
    assert summary == json.loads((out / "routing.json").read_text())
    assert (summary["tokens"], summary["domain_tokens"]) == (64 * 16, {"chain": 64 * 16})
    with np.load(out / "counts.npz") as counts:
        alone = np.einsum("lee->le", counts["together_LEE"])
        assert alone.sum(1).tolist() == [2 * 1024] * 2
        assert np.array_equal(counts["domain_DLE"][0], alone)
        assert counts["first_LVE_input"].sum() == counts["first_LVE_predicted"].sum() == 2 * 1024
        # Of two experts a token all pairs are neighbours.
        off = ~np.eye(8, dtype=bool)
        assert np.array_equal(counts["together_LEE"][:, off], counts["adjacent_LEE"][:, off])
    rows = read_jsonl(out / "coactivation.jsonl")
    assert len(rows) == 2 * 8 * 7
    assert sum(row["all_pairs"] for row in rows) == pytest.approx(2 * 8)
    assert len(read_jsonl(out / "domains.jsonl")) == 2 * 8
    for row in read_jsonl(out / "vocabulary.jsonl"):
        assert row["occurrences"] >= 10 and 1 / 8 <= row["share"] <= 1


def test_the_router_settles_towards_its_end(analysed):
    rows = read_jsonl(analysed[0] / "saturation.jsonl")
    assert analysed[1]["earlier"] == ["step_00000020", "step_00000040", "step_00000060"]
    means = [np.mean([r["saturation"] for r in rows if r["step"] == step]) for step in (20, 40, 60)]
    assert means == sorted(means) and means[-1] > 0.8
    assert {row["top_k"] for row in rows} == {1, 2}


def test_pictures_are_drawn_and_the_same_each_time(analysed, run, shards, tmp_path):
    out, summary = analysed
    assert set(summary["pictures"]) == {"coactivation.png", "domains.png", "saturation.png", "vocabulary.png"}
    analyse(RoutingConfig(checkpoint=run, shards=(("chain", shards / "heldout"),), out=tmp_path, batch=5))
    for name in [*summary["pictures"], "routing.json", "coactivation.jsonl", "vocabulary.jsonl"]:
        assert (tmp_path / name).read_bytes() == (out / name).read_bytes(), name
    with Image.open(out / "coactivation.png") as picture:
        assert picture.width > 500 and len(np.unique(np.asarray(picture.convert("L")))) > 50


def test_a_hugging_face_folder_gives_the_same(analysed, run, shards, tmp_path):
    export_model(run, tmp_path / "olmoe")
    arguments = ["--checkpoint", str(tmp_path / "olmoe"), "--shards", f"chain={shards}", "--out", str(tmp_path / "out")]
    assert main([*arguments, "--earlier", str(run / "step_00000060")]) == 0
    for name in ("coactivation.jsonl", "domains.jsonl", "vocabulary.jsonl"):
        assert (tmp_path / "out" / name).read_bytes() == (analysed[0] / name).read_bytes()
    expected = [row for row in read_jsonl(analysed[0] / "saturation.jsonl") if row["step"] == 60]
    assert read_jsonl(tmp_path / "out" / "saturation.jsonl") == expected


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_spans_name_the_domain_of_each_token(shards, tmp_path, kind):
    # 17 tokens a sequence: the first holds ten of law and seven of code, the next is code up to its fifth.
    rows = [
        {"shard": "shard_00000000", "start": 0, "stop": 10, "domain": "law"},
        {"shard": "shard_00000000", "start": 10, "stop": 22, "domain": "code"},
    ]
    path = tmp_path / f"spans.{kind}"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = RoutingConfig(checkpoint=Path(), shards=(("", shards),), out=Path(), domains=path)
    (corpus,), names = read_corpora(config)
    assert names == ("code", "law")
    found = corpus.domain_of(np.array([1, 0, 2]), 16, names)
    assert found.tolist() == [[0] * 5 + [-1] * 11, [1] * 10 + [0] * 6, [-1] * 16]


def test_spans_separate_the_domains(run, shards, tmp_path):
    path = tmp_path / "spans.jsonl"
    half = {"shard": "shard_00000000", "start": 0, "stop": 32 * 17, "domain": "first"}
    path.write_text(json.dumps(half) + "\n")
    summary = analyse(RoutingConfig(checkpoint=run, shards=(("", shards),), out=tmp_path / "out", domains=path))
    assert summary["domain_tokens"] == {"first": 32 * 16}


@pytest.mark.parametrize("what", ["dense", "vocabulary", "domains"])
def test_invalid_analysis_inputs_are_refused(run, shards, tmp_path, capsys, what):
    arguments = {"--checkpoint": str(run), "--shards": str(shards), "--out": str(tmp_path / "out")}
    if what == "dense":
        trained(shards, tmp_path / "dense", steps=1)
        arguments["--checkpoint"] = str(tmp_path / "dense")
        cause = "is a dense model"
    elif what == "vocabulary":
        arguments["--shards"] = str(make_shards(tmp_path / "wide", vocab_size=100))
        cause = "has a vocabulary of 100, the model 64"
    else:
        arguments["--domains"] = str(tmp_path / "none.parquet")
        cause = "none.parquet does not exist"
    assert main([part for pair in arguments.items() for part in pair]) == 2
    assert cause in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_config_refuses_checkpoints_of_another_shape(run, shards, tmp_path):
    trained(shards, tmp_path / "other", steps=1, model=MIXTURE | {"experts_per_token": 3})
    other = (tmp_path / "other" / "step_00000001",)
    config = RoutingConfig(checkpoint=run, shards=(("", shards),), out=tmp_path / "out", earlier=other)
    with pytest.raises(TrainerError, match="other layers or experts"):
        analyse(config)
