import pytest
import torch
from torch import Tensor, nn

from trainers.core.adamw import AdamW
from trainers.core.muon import Muon, optimiser_of, orthogonalised
from trainers.core.optimiser import Optimiser
from trainers.process.errors import TrainerError

SETTINGS = Optimiser(learning_rate=0.01, warmup_steps=1, weight_decay=0.3, matrices="muon")
MATRICES = ["tall.weight", "wide.weight", "picture.weight", "experts.gate"]


class Experts(nn.Module):
    """Two matrices, as the experts of a layer are kept."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Parameter(torch.randn(2, 6, 5))


def tiny() -> nn.ModuleDict:
    torch.manual_seed(0)
    return nn.ModuleDict(
        {
            "embedding": nn.Embedding(7, 5),
            "wide": nn.Linear(5, 3),
            "tall": nn.Linear(3, 5),
            "picture": nn.Conv2d(5, 4, 2),
            "experts": Experts(),
        }
    )


def descend(model: nn.ModuleDict, step: int) -> None:
    """A loss in which every parameter has a gradient that differs from step to step."""
    torch.manual_seed(step)
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)


def parts(tensor: Tensor | None) -> list[Tensor]:
    """The matrices of a parameter: each expert, and a convolution with all that an output reads in a row."""
    assert tensor is not None
    return list(tensor) if tensor.ndim == 3 else [tensor.flatten(1)]


def muon(model: nn.Module) -> Muon:
    found = optimiser_of(model, SETTINGS, undecayed=("embedding.weight",))
    assert isinstance(found, Muon)
    return found


def test_matrices_are_torchs_muon_and_the_rest_is_adamw():
    ours, theirs = tiny(), tiny()
    mine = muon(ours)
    assert sorted(mine.matrices) == sorted(MATRICES)
    # Torch's takes parameters of two dimensions alone.
    given = {
        name: [nn.Parameter(each.clone()) for each in parts(theirs.get_parameter(name).detach())] for name in MATRICES
    }
    flat = [each for some in given.values() for each in some]
    reference = torch.optim.Muon(flat, lr=0.01, weight_decay=0.3, momentum=0.95, adjust_lr_fn="match_rms_adamw")
    plain = AdamW(theirs, SETTINGS, undecayed=("embedding.weight",))
    for step, rate in enumerate((0.01, 0.02, 0.005)):
        descend(ours, step)
        mine.step(rate)
        descend(theirs, step)
        for name, some in given.items():
            for part, grad in zip(some, parts(theirs.get_parameter(name).grad), strict=True):
                part.grad = grad
            theirs.get_parameter(name).grad = None
        reference.param_groups[0]["lr"] = rate
        reference.step()
        plain.step(rate)
    for name, parameter in ours.named_parameters():
        if name in MATRICES:
            # Torch orthogonalises in bfloat16, whose rounding is 0.4% of a value.
            wanted = torch.stack([each.detach() for each in given[name]]).view_as(parameter)
            assert torch.allclose(parameter, wanted, atol=1e-3)
            assert not torch.allclose(parameter, tiny().get_parameter(name), atol=5e-3)
        else:
            assert torch.equal(parameter, theirs.get_parameter(name))


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 5, 40), (2, 40, 5)])
def test_singular_values_become_about_one_and_directions_stay(shape: tuple[int, int, int]):
    torch.manual_seed(1)
    matrices = torch.randn(shape, dtype=torch.float64)
    for matrix, found in zip(matrices, orthogonalised(matrices), strict=True):
        left, _, right = torch.linalg.svd(matrix, full_matrices=False)
        diagonal = left.T @ found @ right.T
        assert torch.allclose(diagonal, torch.diag(diagonal.diagonal()), atol=1e-9)
        assert ((diagonal.diagonal() > 0.6) & (diagonal.diagonal() < 1.25)).all()


def test_moments_put_back_go_on_in_the_same_bits():
    whole, stopped = tiny(), tiny()
    first, second = muon(whole), muon(stopped)
    for model, optimiser in ((whole, first), (stopped, second)):
        descend(model, 0)
        optimiser.step(0.01)
    again = muon(stopped)
    again.load_state_dict(second.state_dict())
    for model, optimiser in ((whole, first), (stopped, again)):
        descend(model, 1)
        optimiser.step(0.01)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), stopped.parameters(), strict=True))
    with pytest.raises(TrainerError, match="another optimiser"):
        AdamW(stopped, SETTINGS, undecayed=()).load_state_dict(second.state_dict())


def test_runs_from_before_are_identified_as_before():
    plain = Optimiser(learning_rate=0.1, warmup_steps=1)
    assert "matrices" not in plain.identity and "momentum" not in plain.identity
    assert {"matrices": "muon", "momentum": 0.95}.items() <= SETTINGS.identity.items()
    with pytest.raises(TrainerError, match="sgd"):
        Optimiser(learning_rate=0.1, warmup_steps=1, matrices="sgd")  # ty: ignore[invalid-argument-type]
