import math
from dataclasses import asdict, replace

import pytest
import torch
import torch.nn.functional as F

from trainers.models.config import (
    DenseConfig,
    flops_per_token,
    model_config,
    parameter_count,
    swiglu_width,
    total_parameter_count,
)
from trainers.models.decoder import decoder
from trainers.models.dense import DenseDecoder
from trainers.models.loss import _ChunkedCrossEntropy, cross_entropy, rows_of_chunk, token_nats
from trainers.models.moe import MoEDecoder
from trainers.process.errors import TrainerError

SMALL = DenseConfig(vocab_size=50, sequence_length=12, width=16, layers=2, heads=2, hidden=24, init_std=0.3)


def spelled_out(model: DenseDecoder, tokens_BT: torch.Tensor) -> torch.Tensor:
    """The same function from its definition: one position and one head at a time, angles as complex numbers."""
    c, weights = model.config, dict(model.named_parameters())
    K, G = c.width // c.heads, c.key_value_heads or c.heads

    def norm(x, gain):
        if c.norm == "layer":
            x = x - x.mean(-1, keepdim=True)
        return x / (x.square().mean(-1, keepdim=True) + c.norm_eps).sqrt() * gain

    def qk_norm(x_TX, w, which):
        gain = w["attention.norm.gain"][which] if c.heads == G else w[f"attention.{('query', 'key')[which]}_norm.gain"]
        if c.qk_norm_width == "full":
            return norm(x_TX, gain)
        return torch.cat([norm(head, gain.flatten()) for head in x_TX.split(K, dim=-1)], dim=-1)

    def turn(x_K, position):
        pair = torch.complex(x_K[: K // 2], x_K[K // 2 :])
        angle = position * c.rope_theta ** (-2 * torch.arange(K // 2) / K)
        turned = pair * torch.polar(torch.ones(K // 2), angle)
        return torch.cat((turned.real, turned.imag))

    def attend(x_TD, w):
        parts = w["attention.query_key_value.weight"].split((c.width, G * K, G * K))
        q_TD, k_TD, v_TD = (x_TD @ part.T for part in parts)
        if c.qk_norm:
            q_TD, k_TD = qk_norm(q_TD, w, 0), qk_norm(k_TD, w, 1)
        rows = []
        for t in range(len(x_TD)):
            heads, first = [], 0
            if c.separator >= 0:
                first = max((s for s in range(t + 1) if tokens_T[s] == c.separator), default=0)
            for h in range(c.heads):
                at = slice(h * K, (h + 1) * K)
                shared = slice((h * G // c.heads) * K, (h * G // c.heads + 1) * K)
                q = turn(q_TD[t, at], t)
                scores = torch.stack([q @ turn(k_TD[s, shared], s) for s in range(first, t + 1)]) / math.sqrt(K)
                heads.append(torch.softmax(scores, 0) @ v_TD[first : t + 1, shared])
            rows.append(torch.cat(heads))
        return torch.stack(rows) @ w["attention.out.weight"].T

    def feed(x_TD, w):
        gate, up = (x_TD @ part.T for part in w["feed_forward.gate_up.weight"].chunk(2))
        return (gate * torch.sigmoid(gate) * up) @ w["feed_forward.down.weight"].T

    logits, output = [], "embedding.weight" if c.tied else "unembedding.weight"
    for tokens_T in tokens_BT:
        x_TD = weights["embedding.weight"][tokens_T]
        for layer in range(c.layers):
            w = {k.split(".", 2)[2]: v for k, v in weights.items() if k.startswith(f"blocks.{layer}.")}
            for part, name in ((attend, "attention_norm"), (feed, "feed_forward_norm")):
                gain = w[f"{name}.gain"]
                x_TD = x_TD + (part(norm(x_TD, gain), w) if c.norm_placement == "pre" else norm(part(x_TD, w), gain))
        logits.append(norm(x_TD, weights["norm.gain"]) @ weights[output].T)
    return torch.stack(logits)


OPTIONS = {
    "norms before": {"norm_placement": "pre"},
    "norms after": {},
    "no QK-norm": {"qk_norm": False},
    "QK-norm a head": {"qk_norm_width": "head"},
    "as DCLM": {"norm": "layer", "norm_placement": "pre", "rope_theta": 10_000.0},
    "grouped": {"key_value_heads": 2},
    "one key for all, a norm a head": {"key_value_heads": 1, "qk_norm_width": "head", "norm": "layer"},
    "grouped without QK-norm": {"key_value_heads": 2, "qk_norm": False},
    "tied": {"tied": True},
    "documents apart": {"separator": 7},
}


@pytest.mark.parametrize("option", OPTIONS)
def test_logits_are_those_of_the_definition(option):
    config = replace(SMALL, heads=4, **OPTIONS[option])
    model = DenseDecoder(config).initialise(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("gain"):
                parameter.uniform_(0.5, 1.5, generator=torch.Generator().manual_seed(1))
        tokens = torch.randint(0, 50, (2, 12), generator=torch.Generator().manual_seed(2))
        tokens[0, 5], tokens[1, 0], tokens[1, 9] = 7, 7, 7
        assert torch.allclose(model(tokens), spelled_out(model, tokens), atol=1e-4)


def test_a_document_behind_a_separator_is_read_as_if_it_were_alone():
    """Rotary positions only know distances, so where the document lies makes no difference either."""
    model = DenseDecoder(replace(SMALL, separator=7)).initialise(0)
    before, alone = torch.tensor([[3, 4, 5, 6]]), torch.tensor([[7, 8, 9, 10, 11]])
    with torch.no_grad():
        both = model(torch.cat((before, alone), dim=1))
        assert torch.allclose(both[:, 4:], model(alone), atol=1e-4)
        assert torch.allclose(both[:, :4], model(before), atol=1e-4)


def test_a_later_token_changes_no_earlier_logit():
    model = DenseDecoder(SMALL).initialise(0)
    tokens = torch.arange(12)[None]
    changed = tokens.clone()
    changed[0, 7] = 40
    with torch.no_grad():
        difference = (model(tokens) - model(changed)).abs().amax(-1)[0]
    assert difference[:7].max() == 0
    assert difference[7:].min() > 0


def test_the_parameter_count_is_what_torch_counts():
    changes = ({"layers": 3}, *OPTIONS.values())
    for config in (SMALL, *(replace(SMALL, heads=4, **change) for change in changes)):
        model = DenseDecoder(config)
        total = sum(parameter.numel() for parameter in model.parameters())
        assert total_parameter_count(config) == total
        assert parameter_count(config) == total - (0 if config.tied else model.embedding.weight.numel())


def test_the_inner_width_of_swiglu_follows_the_published_rules():
    assert [swiglu_width(width) for width in (1024, 2048, 2560, 4096)] == [2816, 5632, 6912, 11_008]
    assert swiglu_width(768, ratio=4, multiple_of=1) == 3072


def test_flops_are_six_a_parameter_and_attention_in_full():
    assert flops_per_token(SMALL) == 6 * parameter_count(SMALL) + 12 * 2 * 16 * 12
    assert flops_per_token(SMALL, 100) - flops_per_token(SMALL, 50) == 12 * 2 * 16 * 50


@pytest.mark.parametrize("z_loss", [0.0, 1e-2])
def test_the_chunked_loss_and_its_gradients_are_torchs(z_loss):
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(700, 24, generator=draw)
    weight = torch.randn(2048, 24, generator=draw)
    target = torch.randint(0, 2048, (700,), generator=draw)
    ours = [x.clone().requires_grad_(), weight.clone().requires_grad_()]
    descend, nats_N = cross_entropy(ours[0], ours[1], target, z_loss)
    (3 * descend).backward()
    theirs = [x.clone().double().requires_grad_(), weight.clone().double().requires_grad_()]
    logits = theirs[0] @ theirs[1].T
    nats = F.cross_entropy(logits, target)
    whole = nats + z_loss * logits.logsumexp(1).square().mean()
    (3 * whole).backward()
    assert descend.item() == pytest.approx(whole.item(), rel=1e-5)
    assert torch.allclose(nats_N.double(), F.cross_entropy(logits, target, reduction="none"), rtol=1e-5)
    for mine, reference in zip(ours, theirs, strict=True):
        assert mine.grad is not None and reference.grad is not None
        assert torch.allclose(mine.grad.double(), reference.grad, rtol=1e-3, atol=1e-6)


def test_a_chunk_reads_the_output_matrix_for_enough_rows_at_any_vocabulary():
    """With 16 rows a chunk, as once at 8,192 entries, each reads the whole matrix for a few rows: half the speed."""
    rows = {vocabulary: rows_of_chunk(vocabulary, "cpu") for vocabulary in (257, 2048, 8192, 50_304, 100_352, 262_144)}
    assert all(64 <= count <= 256 for count in rows.values())
    assert rows[8192] == 256
    assert all(count * vocabulary * 4 <= 64 * 2**20 for vocabulary, count in rows.items())


@pytest.mark.parametrize("vocabulary", [8192, 40_000])
def test_the_loss_of_a_large_vocabulary_in_several_chunks_is_torchs(vocabulary):
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(rows_of_chunk(vocabulary, "cpu") + 9, 8, generator=draw).requires_grad_()
    weight = torch.randn(vocabulary, 8, generator=draw).requires_grad_()
    target = torch.randint(0, vocabulary, (len(x),), generator=draw)
    expected = torch.autograd.grad(F.cross_entropy(x @ weight.T, target), (x, weight))
    found = torch.autograd.grad(cross_entropy(x, weight, target)[0], (x, weight))
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-3, atol=1e-7)


def test_bfloat16_products_keep_softmax_and_sums_in_float32():
    """What a GPU does under autocast: within bfloat16's rounding of the gradients in float32."""
    draw = torch.Generator().manual_seed(0)
    x, weight = torch.randn(600, 16, generator=draw), torch.randn(2048, 16, generator=draw)
    target = torch.randint(0, 2048, (600,), generator=draw)
    narrow = [x.bfloat16().requires_grad_(), weight.bfloat16().requires_grad_()]
    wide = [tensor.detach().float().requires_grad_() for tensor in narrow]
    descend, nats_N = _ChunkedCrossEntropy.apply(*narrow, target, 1e-3)
    reference, _ = cross_entropy(*wide, target, 1e-3)
    assert descend.dtype == nats_N.dtype == torch.float32
    assert descend.item() == pytest.approx(reference.item(), rel=2e-3)
    found, expected = torch.autograd.grad(descend, narrow), torch.autograd.grad(reference, wide)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == torch.bfloat16
        assert (ours.float() - theirs).norm() < 0.02 * theirs.norm()


def test_the_gradients_of_a_loss_are_given_once():
    x, weight = torch.randn(4, 8, requires_grad=True), torch.randn(300, 8, requires_grad=True)
    descend, _ = cross_entropy(x, weight, torch.zeros(4, dtype=torch.int64))
    descend.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="one backward pass"):
        descend.backward()


def test_a_hopeless_token_has_a_finite_loss_and_an_exact_gradient():
    x = torch.tensor([[200.0, 0.0]], requires_grad=True)
    weight = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    descend, nats_N = cross_entropy(x, weight.requires_grad_(), torch.tensor([1]))
    descend.backward()
    assert 80 < nats_N.item() < 100
    assert x.grad is not None and x.grad.tolist() == [[2.0, 0.0]]


def test_token_nats_are_torchs():
    draw = torch.Generator().manual_seed(0)
    x, weight = torch.randn(300, 8, generator=draw), torch.randn(2048, 8, generator=draw)
    target = torch.randint(0, 2048, (300,), generator=draw)
    expected = F.cross_entropy(x @ weight.T, target, reduction="none")
    assert torch.allclose(token_nats(x, weight, target), expected, atol=1e-5)


def test_the_seed_names_the_weights():
    one, same, other = (DenseDecoder(SMALL).initialise(seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["embedding.weight"], other["embedding.weight"])


def test_weights_lie_within_three_deviations():
    weight = DenseDecoder(replace(SMALL, width=64, init_std=0.02)).initialise(0).unembedding.weight
    assert weight.abs().max() <= 0.06
    assert weight.std().item() == pytest.approx(0.02, rel=0.1)


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"heads": 3}, "16 cannot be cut into 3 heads"),
        ({"heads": 16}, "heads of an even width"),
        ({"layers": 0}, "layers is 0"),
        ({"norm_placement": "post"}, "norm_placement is 'post'"),
        ({"norm": "batch"}, "norm is 'batch'"),
        ({"key_value_heads": 3}, "2 heads cannot share 3 keys"),
    ],
)
def test_an_impossible_shape_is_refused(change, cause):
    with pytest.raises(TrainerError, match=cause):
        replace(SMALL, **change)


@pytest.mark.parametrize("kind", ["dense", "moe"])
def test_recomputed_blocks_give_the_same_bits_and_keep_less(kind):
    config = DenseConfig(vocab_size=50, sequence_length=64, width=32, layers=6, heads=2, hidden=64)
    if kind == "moe":
        config = model_config(asdict(config) | {"kind": "moe", "experts": 4, "experts_per_token": 2})
    tokens = torch.randint(0, 50, (4, 65), generator=torch.Generator().manual_seed(0))
    found, kept = {}, {}
    for recompute in (False, True):
        model = decoder(config).initialise(0)
        model.recompute = recompute
        own = {parameter.data_ptr() for parameter in model.parameters()}
        held: dict[int, int] = {}

        def keep(tensor, held=held, own=own):
            if tensor.data_ptr() not in own:
                held[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            descend, _ = model.loss(tokens)
        kept[recompute] = sum(held.values())
        routings = model.routings if isinstance(model, MoEDecoder) else []
        descend.backward()
        # A routing of the second pass would keep the graph of its block, until the next step.
        assert not isinstance(model, MoEDecoder) or list(map(id, model.routings)) == list(map(id, routings))
        found[recompute] = [parameter.grad for parameter in model.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(found[False], found[True], strict=True))
    assert kept[True] < kept[False] / 4


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"later": 1}, "another version of Watershed: 'later' in its DenseConfig"),
        ({"width": None}, "another version of Watershed: 'width' in its DenseConfig"),
        ({"kind": "recurrent"}, "the model is of the kind 'recurrent'"),
    ],
)
def test_a_shape_that_another_version_wrote_is_refused_by_name(change, cause):
    written = asdict(SMALL) | change
    with pytest.raises(TrainerError, match=cause):
        model_config({name: value for name, value in written.items() if value is not None})
