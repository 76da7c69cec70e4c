import torch
from torch import nn

from trainers.core.adamw import AdamW
from trainers.core.optimiser import Optimiser

SETTINGS = Optimiser(learning_rate=0.01, warmup_steps=1, weight_decay=0.3)


def tiny() -> nn.ModuleDict:
    torch.manual_seed(0)
    return nn.ModuleDict({"embedding": nn.Embedding(7, 5), "out": nn.Linear(5, 7)})


def descend(model: nn.ModuleDict) -> None:
    model["out"](model["embedding"](torch.arange(7))).square().sum().backward()


def test_it_is_torchs_adamw_with_an_undecayed_embedding():
    ours, theirs = tiny(), tiny()
    mine = AdamW(ours, SETTINGS, undecayed=("embedding.weight",))
    groups = [
        {"params": list(theirs["out"].parameters()), "weight_decay": 0.3},
        {"params": list(theirs["embedding"].parameters()), "weight_decay": 0.0},
    ]
    reference = torch.optim.AdamW(groups, lr=0.01, betas=(0.9, 0.95), eps=1e-8)
    for rate in (0.01, 0.02, 0.005):
        descend(ours)
        mine.step(rate)
        descend(theirs)
        for group in reference.param_groups:
            group["lr"] = rate
        reference.step()
        reference.zero_grad()
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-7)


def test_moments_put_back_go_on_in_the_same_bits():
    whole, stopped = tiny(), tiny()
    first, second = (AdamW(model, SETTINGS, undecayed=("embedding.weight",)) for model in (whole, stopped))
    for model, optimiser in ((whole, first), (stopped, second)):
        descend(model)
        optimiser.step(0.01)
    again = AdamW(stopped, SETTINGS, undecayed=("embedding.weight",))
    again.load_state_dict(second.state_dict())
    for model, optimiser in ((whole, first), (stopped, again)):
        descend(model)
        optimiser.step(0.01)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), stopped.parameters(), strict=True))
