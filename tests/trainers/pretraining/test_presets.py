import math
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from made_shards import make_shards

from trainers.data.shards import check_manifest
from trainers.models.decoder import decoder
from trainers.models.dense import deviation
from trainers.names import find
from trainers.pretraining.config import RunConfig, resolve
from trainers.pretraining.presets import SCALES, parse, plan, preset, run_name
from trainers.process.errors import TrainerError

PUBLISHED_LADDER = {"190M": 190_354_176, "370M": 371_262_464, "760M": 758_220_288, "1B": 1_279_395_840}
PUBLISHED_DCLM = {
    "dclm-400M": 411_616_256,
    "dclm-1B": 1_439_795_200,
    "dclm-3B": 2_795_932_160,
    "dclm-7B": 6_889_410_560,
}


def on_meta(name):
    with torch.device("meta"):
        return decoder(preset(f"{name}-1xC").model)


@pytest.mark.parametrize("name", PUBLISHED_LADDER)
def test_ladder_sizes_have_their_published_parameters(name):
    model = on_meta(name)
    n = sum(parameter.numel() for parameter in model.parameters()) - model.embedding.weight.numel()
    assert n == plan(f"{name}-1xC")["parameters"] == SCALES[name].published == PUBLISHED_LADDER[name]


@pytest.mark.parametrize("name", PUBLISHED_DCLM)
def test_dclm_scales_have_their_published_parameters(name):
    qk_free = [p for n, p in on_meta(name).named_parameters() if not n.endswith("attention.norm.gain")]
    assert sum(parameter.numel() for parameter in qk_free) == SCALES[name].published == PUBLISHED_DCLM[name]


@pytest.mark.parametrize("name", [name for name, scale in SCALES.items() if scale.family == "tiny"])
def test_a_tiny_size_is_as_large_as_its_name(name):
    nominal = float(name[:-1]) * {"k": 1e3, "M": 1e6}[name[-1]]
    assert plan(f"{name}-1xC")["parameters"] == pytest.approx(nominal, rel=0.05)


def test_tokens_are_twenty_a_parameter_times_the_multiple():
    for name in ("70k-0.5xC", "130k-2xC", "190M-1xC"):
        p = plan(name)
        assert p["tokens"] == pytest.approx(20 * p["parameters"] * p["multiple"], rel=0.01)
        assert p["tokens"] == p["steps"] * p["batch"] * p["sequence_length"]
        assert p["flops"] == p["tokens"] * p["flops_per_token"]


def test_the_vocabulary_and_length_of_the_shards_decide_the_count():
    small, large = plan("70k-1xC", vocab_size=1024, sequence_length=64), plan("70k-1xC", vocab_size=4096)
    assert large["parameters"] - small["parameters"] == 3072 * small["width"]
    assert small["sequence_length"] == 64


def test_dclm_scales_train_as_published():
    p = preset("dclm-400M-1xC")
    assert (p.batch, p.optimiser.warmup_steps, p.optimiser.learning_rate) == (512, 2000, 3e-3)
    assert p.tokens == pytest.approx(8_232_325_120, rel=1e-4)


OPEN_LM_400M = {
    "embedding.weight": 1 / math.sqrt(1024),
    "unembedding.weight": 1 / math.sqrt(1024),
    "blocks.0.attention.query_key_value.weight": 1 / math.sqrt(1024),
    "blocks.0.attention.out.weight": 1 / math.sqrt(1024) / math.sqrt(2),
    "blocks.23.attention.out.weight": 1 / math.sqrt(1024) / math.sqrt(48),
    "blocks.5.feed_forward.gate_up.weight": 1 / math.sqrt(1024),
    "blocks.0.feed_forward.down.weight": 1 / math.sqrt(2816) / math.sqrt(2),
    "blocks.23.feed_forward.down.weight": 1 / math.sqrt(2816) / math.sqrt(48),
}
"""The deviations that open_lm's model.py draws with, before truncation at three of them."""


@pytest.mark.parametrize("name", OPEN_LM_400M)
def test_dclm_weights_are_drawn_with_the_deviations_of_open_lm(name):
    config, model = preset("dclm-400M-1xC").model, on_meta("dclm-400M")
    shape = tuple(dict(model.named_parameters())[name].shape)
    assert deviation(name, shape, config) == pytest.approx(OPEN_LM_400M[name], rel=1e-12)


def test_every_kind_of_drawn_tensor_of_a_dclm_model_has_the_deviation_of_open_lm():
    narrow = replace(preset("dclm-400M-1xC").model, width=192, heads=2, layers=3, hidden=512, vocab_size=2048)
    truncated = 0.98658  # the deviation of a standard normal truncated at three
    expected = dict.fromkeys(("query_key_value", "gate_up", "embedding", "unembedding"), 192**-0.5)
    for name, parameter in decoder(narrow).initialise(0).named_parameters():
        if name.endswith("gain"):
            assert (parameter == 1).all()
            continue
        kind = name.split(".")[-2]
        writes = {"out": 192**-0.5, "down": 512**-0.5}.get(kind)
        wanted = expected[kind] if writes is None else writes / math.sqrt(2 * (int(name.split(".")[1]) + 1))
        assert parameter.std().item() == pytest.approx(truncated * wanted, rel=0.01), name


def test_open_lm_decays_every_parameter_and_the_ladder_all_but_the_embedding():
    assert preset("dclm-1B-1xC").optimiser.decay_embedding
    assert preset("olmoe-1B-7B-1xC").optimiser.decay_embedding
    assert not preset("190M-1xC").optimiser.decay_embedding


def test_ladder_hyperparameters_are_those_of_the_formulas():
    p = preset("190M-1xC")
    assert p.batch == round(80 * (190_354_176 / 108e6) ** (2 / 3))
    assert p.optimiser.learning_rate == pytest.approx(0.0047 / 4 * (190_354_176 / 108e6) ** (-1 / 3))
    assert p.optimiser.warmup_steps * p.batch * 4096 == pytest.approx(190_354_176, rel=0.01)
    assert preset("190M-0.5xC").optimiser.warmup_steps == pytest.approx(p.optimiser.warmup_steps / 2, abs=1)


def test_the_schedule_warms_up_and_falls_to_its_floor():
    for name in ("70k-1xC", "dclm-400M-1xC"):
        p = preset(name)
        rates = [p.schedule.rate(step) for step in range(1, p.steps + 1)]
        peak = p.optimiser.warmup_steps - 1
        assert rates[peak] == max(rates) == p.optimiser.learning_rate
        assert all(a <= b for a, b in pairwise(rates[: peak + 1]))
        assert all(a >= b for a, b in pairwise(rates[peak:]))
        assert rates[-1] == pytest.approx(p.optimiser.final_fraction * p.optimiser.learning_rate, abs=1e-12)


def test_a_name_is_read_back():
    scale, multiple = parse(run_name("130k", 0.25))
    assert (scale.name, multiple) == ("130k", 0.25)


@pytest.mark.parametrize(
    ("name", "cause"),
    [("80k-1xC", "no model size is called '80k'"), ("70k", "names no Chinchilla multiple"), ("70k-0xC", "multiple")],
)
def test_an_unknown_name_lists_the_known_ones(name, cause):
    with pytest.raises(TrainerError, match=cause) as refused:
        parse(name)
    assert "70k" in refused.value.mend


def test_a_plan_needs_no_torch():
    code = (
        "import sys; from trainers.pretraining.presets import plan; plan('70k-1xC'); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_run_has_one_name_however_its_letters_are_written():
    assert preset("190m-1xc") == preset("190M-1xC")
    assert preset("190m-1xc").name == plan("190m-1XC")["run"] == "190M-1xC"
    assert parse("70K-0.5xc") == parse("70k-0.5xC")


def test_a_name_that_differs_in_case_alone_must_be_the_only_one():
    assert find("B", ("a", "B", "b")) == "B"
    assert find("C", ("c", "d")) == "c"
    assert find("ab", ("Ab", "aB")) is None


def test_an_unknown_size_lists_the_closest_known_ones():
    with pytest.raises(TrainerError, match=r"no model size is called '190N'; close: 190M") as refused:
        parse("190N-1xC")
    assert "sizes: 30k, 70k" in refused.value.mend


def test_a_choice_of_initialisation_changes_the_fingerprints_of_published_dclm_sizes_alone(tmp_path):
    shards = make_shards(tmp_path / "shards")
    train, heldout = (check_manifest(shards / split) for split in ("train", "heldout"))
    small = {"width": 32, "layers": 1, "heads": 1, "hidden": 32}
    identities = {
        name: resolve(RunConfig(preset=name, shards="", out="", model=small), train, heldout).identity
        for name in ("70k-1xC", "70k-moe-1xC", "190M-1xC", "olmoe-1B-7B-1xC", "dclm-400M-1xC")
    }
    chosen = {name: identity["model"].get("initialisation") for name, identity in identities.items()}
    assert chosen == {**dict.fromkeys(identities), "dclm-400M-1xC": "open_lm"}
