import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F

from trainers.models.config import (
    MoEConfig,
    active_parameter_count,
    flops_per_token,
    literals,
    parameter_count,
    total_parameter_count,
)
from trainers.models.decoder import decoder
from trainers.models.experts import grouped_product, has_grouped_kernel, sort_by_expert
from trainers.models.moe import (
    MoE,
    MoEDecoder,
    Router,
    Routing,
    grouped_load_balancing_loss,
    load_balancing_loss,
    router_z_loss,
)
from trainers.pretraining.presets import preset
from trainers.process.errors import TrainerError

SMALL = MoEConfig(
    vocab_size=50,
    sequence_length=12,
    width=16,
    layers=2,
    heads=2,
    hidden=8,
    experts=6,
    experts_per_token=3,
    norm_placement="pre",
    init_std=0.3,
)


def layer(config=SMALL, seed=0) -> MoE:
    made = MoE(config)
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(0, 0.4, generator=draw)
    return made


def every_expert_on_every_token(moe: MoE, x_ND, k, renormalise=False):
    """The definition: all experts compute all tokens, and those not chosen are weighted by zero."""
    probability_NE = torch.softmax(x_ND @ moe.router.weight.T, dim=-1)
    kept_NE = torch.zeros_like(probability_NE)
    for n in range(len(x_ND)):
        best = sorted(range(len(probability_NE[n])), key=lambda e: -probability_NE[n, e].item())[:k]
        total = sum(probability_NE[n, e] for e in best) if renormalise else 1.0
        for e in best:
            kept_NE[n, e] = probability_NE[n, e] / total
    y_ND = torch.zeros_like(x_ND)
    for e in range(len(moe.down)):
        gate, up = (x_ND @ moe.gate_up[e].T).chunk(2, dim=-1)
        y_ND = y_ND + kept_NE[:, e : e + 1] * ((gate * torch.sigmoid(gate) * up) @ moe.down[e].T)
    return y_ND


@pytest.mark.parametrize("renormalise", [False, True])
@pytest.mark.parametrize(("experts", "k"), [(6, 3), (6, 6), (1, 1), (40, 1)])
def test_output_and_gradients_are_those_of_the_definition(experts, k, renormalise):
    moe = layer(replace(SMALL, experts=experts, experts_per_token=k, renormalise=renormalise))
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(2, 7, 16, generator=draw)
    towards = torch.randn(2, 7, 16, generator=draw)
    found = []
    for forward in (moe, lambda x: every_expert_on_every_token(moe, x.flatten(0, 1), k, renormalise).view_as(x)):
        moe.zero_grad()
        entered = x.clone().requires_grad_()
        y = forward(entered)
        (y * towards).sum().backward()
        found.append([y.detach(), entered.grad, *(parameter.grad for parameter in moe.parameters())])
    for ours, theirs in zip(*found, strict=True):
        assert ours is not None
        # An expert that no token reached has no gradient by the definition, and zeros here.
        assert torch.allclose(ours, torch.zeros_like(ours) if theirs is None else theirs, atol=1e-5)


def test_every_choice_reaches_its_expert():
    moe = layer()
    moe(torch.randn(3, 5, 16, generator=torch.Generator().manual_seed(0)))
    assert moe.routing is not None
    assert moe.routing.counts_E.sum() == 3 * 5 * 3
    assert torch.equal(moe.routing.counts_E, torch.bincount(moe.routing.expert_Nk.flatten(), minlength=6))
    assert all(len(set(row)) == 3 for row in moe.routing.expert_Nk.tolist())


def test_rows_are_sorted_by_expert_and_back():
    expert_Nk = torch.tensor([[2, 0], [1, 2], [2, 1]])
    order, place, counts = sort_by_expert(expert_Nk, 4)
    assert order.tolist() == [1, 2, 5, 0, 3, 4]
    assert order[place].tolist() == list(range(6))
    assert counts.tolist() == [1, 2, 3, 0]


def test_the_grouped_product_is_one_product_an_expert_in_any_precision():
    draw = torch.Generator().manual_seed(0)
    x, weight = torch.randn(10, 8, generator=draw), torch.randn(4, 16, 8, generator=draw)
    counts = torch.tensor([3, 0, 6, 1])
    expected = torch.cat([part @ w.T for part, w in zip(x.split(counts.tolist()), weight, strict=True)])
    assert torch.allclose(grouped_product(x, weight, counts), expected, atol=1e-5)
    assert not has_grouped_kernel(x)
    with torch.autocast("cpu", torch.bfloat16):
        low = grouped_product(x, weight, counts)
    assert low.dtype == torch.bfloat16
    # torch's grouped kernel runs on a CPU too, though slowly: it computes the same.
    ends = counts.cumsum(0).to(torch.int32)
    theirs = torch._grouped_mm(x.bfloat16(), weight.bfloat16().transpose(1, 2), offs=ends)
    assert torch.allclose(low.float(), theirs.float(), atol=0.1)


def test_the_grouped_kernel_is_asked_only_for_rows_of_whole_blocks_of_sixteen_bytes(monkeypatch):
    asked = []

    def grouped(x, weight, offs):
        asked.append(weight.shape)
        return torch.cat([x[a:b] @ weight[e] for e, (a, b) in enumerate(pairwise([0, *offs.tolist()]))])

    monkeypatch.setattr("trainers.models.experts.has_grouped_kernel", lambda x: True)
    monkeypatch.setattr(torch, "_grouped_mm", grouped)
    counts = torch.tensor([3, 0, 6])
    draw = torch.Generator().manual_seed(0)
    for inner, outer in ((16, 24), (12, 24), (16, 20), (6, 10)):
        x = torch.randn(9, inner, generator=draw).bfloat16().requires_grad_()
        weight = torch.randn(3, outer, inner, generator=draw).bfloat16().requires_grad_()
        found = grouped_product(x, weight, counts)
        expected = torch.cat([part @ w.T for part, w in zip(x.split([3, 0, 6]), weight, strict=True)])
        assert torch.allclose(found.float(), expected.float(), atol=0.1)
        found.float().square().sum().backward()
    assert asked == [torch.Size([3, 16, 24])]


def routing(logits_NE, k) -> Routing:
    probability = logits_NE.softmax(-1)
    chosen = probability.topk(k).indices
    return Routing(logits_NE, probability, chosen, torch.bincount(chosen.flatten(), minlength=logits_NE.shape[1]))


def test_the_load_balancing_loss_is_one_at_balance_and_e_over_k_at_worst():
    E, k = 8, 2
    # Each token prefers the two experts of its number, and the tokens go round.
    even = torch.full((16, E), -20.0)
    for n in range(16):
        even[n, n % E], even[n, (n + 1) % E] = 0.0, 0.0
    assert load_balancing_loss([routing(even, k)] * 3).item() == pytest.approx(1.0)
    alone = torch.full((16, E), -20.0)
    alone[:, 0], alone[:, 1] = 0.0, 0.0
    assert load_balancing_loss([routing(alone, k)] * 3).item() == pytest.approx(E / k, rel=1e-4)


def test_descending_the_load_balancing_loss_spreads_the_tokens():
    moe = layer()
    # A part that all tokens share makes the router prefer the same experts for each.
    x = torch.randn(4, 50, 16, generator=torch.Generator().manual_seed(2)) + 2.0
    values = []
    for _ in range(200):
        moe(x)
        assert moe.routing is not None
        loss = load_balancing_loss([moe.routing])
        values.append(loss.item())
        (gradient,) = torch.autograd.grad(loss, [moe.router.weight])
        with torch.no_grad():
            moe.router.weight -= 0.02 * gradient
    assert values[0] > 1.8 and values[-1] < 1.3


def test_both_router_losses_are_those_summed_one_by_one():
    draw = torch.Generator().manual_seed(0)
    layers = [torch.randn(9, 5, generator=draw) for _ in range(3)]
    k, total, squares = 2, 0.0, 0.0
    for logits in layers:
        rows = logits.tolist()
        softmax = [[math.exp(x) / sum(map(math.exp, row)) for x in row] for row in rows]
        for e in range(5):
            given = sum(e in sorted(range(5), key=lambda i: -row[i])[:k] for row in rows)
            total += given * sum(p[e] for p in softmax) / len(rows)
        squares += sum(math.log(sum(map(math.exp, row))) ** 2 for row in rows) / len(rows)
    routings = [routing(logits, k) for logits in layers]
    assert load_balancing_loss(routings).item() == pytest.approx(5 / (3 * 9 * k) * total, rel=1e-5)
    assert router_z_loss(routings).item() == pytest.approx(squares / 3, rel=1e-5)


def test_the_load_balancing_loss_is_k_times_less_than_that_of_transformers_on_one_layer():
    from transformers.models.olmoe.modeling_olmoe import load_balancing_loss_func

    logits = torch.randn(30, 8, generator=torch.Generator().manual_seed(0))
    theirs = load_balancing_loss_func((logits,), num_experts=8, top_k=4)
    assert load_balancing_loss([routing(logits, 4)]).item() == pytest.approx(float(theirs) / 4, rel=1e-5)


def test_the_balance_of_groups_is_the_mean_of_the_losses_of_each():
    logits = [torch.randn(12, 5, generator=torch.Generator().manual_seed(seed)) for seed in range(2)]
    cuts = [x.split(4) for x in logits]
    each = [load_balancing_loss([routing(cut[place], 2) for cut in cuts]) for place in range(3)]
    found = grouped_load_balancing_loss([routing(x, 2) for x in logits], 3)
    assert found.item() == pytest.approx(torch.stack(each).mean().item(), rel=1e-6)


def test_parts_that_know_the_counts_of_the_batch_have_its_loss_on_average():
    logits = [torch.randn(12, 5, generator=torch.Generator().manual_seed(seed)) for seed in range(2)]
    whole = [routing(x, 2) for x in logits]
    counts = torch.stack([r.counts_E for r in whole])
    parts = [[routing(x[a:b], 2) for x in logits] for a, b in ((0, 4), (4, 12))]
    known = [load_balancing_loss(part, counts).item() for part in parts]
    assert known[0] / 3 + known[1] * 2 / 3 == pytest.approx(load_balancing_loss(whole).item(), rel=1e-6)
    alone = [load_balancing_loss(part).item() for part in parts]
    assert alone[0] / 3 + alone[1] * 2 / 3 != pytest.approx(load_balancing_loss(whole).item(), rel=1e-2)


def test_training_descends_both_losses_and_reports_neither():
    model = decoder(SMALL).initialise(0)
    assert isinstance(model, MoEDecoder)
    tokens = torch.randint(0, 50, (2, 12), generator=torch.Generator().manual_seed(0))
    descend, report = model.loss(tokens)
    added = 0.01 * load_balancing_loss(model.routings) + 0.001 * router_z_loss(model.routings)
    assert (descend - report).item() == pytest.approx(added.item(), rel=1e-4)
    expected = F.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
    assert report.item() == pytest.approx(expected.item(), rel=1e-5)
    descend.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_the_router_is_in_float32_under_autocast():
    model = decoder(SMALL).initialise(0)
    assert isinstance(model, MoEDecoder)
    with torch.autocast("cpu", torch.bfloat16):
        model.loss(torch.zeros(1, 5, dtype=torch.int64))
    assert {r.logits_NE.dtype for r in model.routings} == {torch.float32}


def test_counts_are_what_torch_counts_and_what_a_token_meets():
    for config in (SMALL, replace(SMALL, layers=3, qk_norm=False, tied=True)):
        model = decoder(config)
        assert total_parameter_count(config) == sum(p.numel() for p in model.parameters())
        passed_by = config.layers * (config.experts - config.experts_per_token) * 3 * config.width * config.hidden
        assert active_parameter_count(config) == total_parameter_count(config) - passed_by
        assert flops_per_token(config) == 6 * parameter_count(config) + 12 * config.layers * 16 * 12


def test_olmoe_has_its_published_parameters():
    p = preset("olmoe-1B-7B-1xC")
    with torch.device("meta"):
        model = decoder(p.model)
    assert sum(parameter.numel() for parameter in model.parameters()) == p.scale.published == 6_919_161_856
    assert active_parameter_count(p.model) == 1_282_017_280
    assert (p.batch, p.optimiser.warmup_steps, p.optimiser.decay_embedding) == (1024, 2500, True)


def test_more_experts_a_token_than_there_are_is_refused():
    with pytest.raises(TrainerError, match="7 experts a token of 6"):
        replace(SMALL, experts_per_token=7)


def each_expert_takes_its_tokens(moe: MoE, x_BTD, k):
    """Expert choice by its definition, a sequence, an expert and a token at a time (arXiv 2202.09368, section 3.2)."""
    B, T, _ = x_BTD.shape
    E = len(moe.down)
    y_BTD = torch.zeros_like(x_BTD)
    for b in range(B):
        probability_TE = torch.softmax(x_BTD[b] @ moe.router.weight.T, dim=-1)
        for e in range(E):
            best = sorted(range(T), key=lambda t: -probability_TE[t, e].item())[: max(1, round(T * k / E))]
            for t in best:
                gate, up = (x_BTD[b, t] @ moe.gate_up[e].T).chunk(2)
                add = probability_TE[t, e] * ((gate * torch.sigmoid(gate) * up) @ moe.down[e].T)
                y_BTD = y_BTD + torch.zeros_like(y_BTD).index_put((torch.tensor(b), torch.tensor(t)), add)
    return y_BTD


def with_shared(forward, moe: MoE):
    def both(x_BTD):
        y_BTD = forward(x_BTD)
        if moe.shared is None:
            return y_BTD
        gate, up = (x_BTD @ moe.shared.gate_up.weight.T).chunk(2, dim=-1)
        return y_BTD + (gate * torch.sigmoid(gate) * up) @ moe.shared.down.weight.T

    return both


@pytest.mark.parametrize("shared", [0, 2])
@pytest.mark.parametrize("choice", ["token", "expert"])
def test_shared_experts_and_expert_choice_are_those_of_their_definitions(shared, choice, monkeypatch):
    # The router is in float32 by design, which would hide the agreement of all else.
    monkeypatch.setattr(Router, "forward", lambda self, x: F.linear(x, self.weight))
    moe = layer(replace(SMALL, shared_experts=shared, choice=choice)).double()
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(2, 7, 16, generator=draw, dtype=torch.float64)
    towards = torch.randn(2, 7, 16, generator=draw, dtype=torch.float64)

    def by_definition(x_BTD):
        if choice == "expert":
            return each_expert_takes_its_tokens(moe, x_BTD, 3)
        return every_expert_on_every_token(moe, x_BTD.flatten(0, 1), 3).view_as(x_BTD)

    found = []
    for forward in (moe, with_shared(by_definition, moe)):
        moe.zero_grad()
        entered = x.clone().requires_grad_()
        y = forward(entered)
        (y * towards).sum().backward()
        found.append([y.detach(), entered.grad, *(parameter.grad for parameter in moe.parameters())])
    for ours, theirs in zip(*found, strict=True):
        assert ours is not None and theirs is not None
        assert torch.allclose(ours, theirs, rtol=1e-10, atol=1e-10)


def test_experts_that_choose_have_equal_loads_and_leave_tokens_unread():
    config = replace(SMALL, choice="expert", experts_per_token=1)
    model = decoder(config).initialise(0)
    tokens = torch.randint(50, (3, 13), generator=torch.Generator().manual_seed(0))
    model.loss(tokens)
    assert isinstance(model, MoEDecoder)
    for routing_ in model.routings:
        assert routing_.counts_E.tolist() == [3 * 2] * 6
        assert routing_.unread is not None and 0 < routing_.unread < 36
    assert model.router_losses_2[0].item() == pytest.approx(1.0)
    # A sequence is chosen from by itself: the others in a batch change nothing.
    assert torch.allclose(model(tokens[:, :-1])[1], model(tokens[1:2, :-1])[0], atol=1e-5)


def test_a_later_token_changes_what_experts_chose_before_it_and_not_what_tokens_chose():
    tokens = torch.randint(50, (8, 12), generator=torch.Generator().manual_seed(0))
    other = tokens.clone()
    other[:, -1] = (other[:, -1] + 1) % 50
    for choice, leaks in (("token", False), ("expert", True)):
        model = decoder(replace(SMALL, choice=choice, shared_experts=1)).initialise(0)
        same = torch.allclose(model(tokens)[:, :-1], model(other)[:, :-1], atol=1e-5)
        assert same is not leaks


def test_shared_experts_count_as_read_by_every_token():
    for config in (SMALL, replace(SMALL, experts=5, experts_per_token=2, shared_experts=1)):
        model = decoder(config)
        assert total_parameter_count(config) == sum(p.numel() for p in model.parameters())
    one_shared = replace(SMALL, experts=5, experts_per_token=2, shared_experts=1)
    # One of six experts became shared: only a row of the router is gone from each layer.
    assert total_parameter_count(SMALL) - total_parameter_count(one_shared) == 2 * 16
    assert active_parameter_count(SMALL) - active_parameter_count(one_shared) == 2 * 16
    assert flops_per_token(SMALL) - flops_per_token(one_shared) == 6 * 2 * 16


def test_fields_that_change_nothing_are_not_in_a_fingerprint():
    assert {"shared_experts", "choice"}.isdisjoint(literals(SMALL))
    assert literals(replace(SMALL, shared_experts=1, choice="expert")).items() >= {
        ("shared_experts", 1),
        ("choice", "expert"),
    }


@pytest.mark.parametrize(
    ("fields", "cause"),
    [
        ({"shared_experts": -1}, "shared_experts is -1"),
        ({"choice": "both"}, "choice is 'both'"),
        ({"choice": "expert", "renormalise": True}, "experts choose their tokens"),
    ],
)
def test_options_that_do_not_fit_are_refused(fields, cause):
    with pytest.raises(TrainerError, match=cause):
        replace(SMALL, **fields)
