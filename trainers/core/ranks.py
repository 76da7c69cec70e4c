"""One process or many: the ranks that torchrun started, and tensors of which each rank holds a part.

With more than one rank the model is sharded by FSDP2 (torch's fully_shard, a group a block): each rank keeps its rows
of every parameter and of its moments, and a block's parameters are whole only while it computes. With one rank nothing
here changes anything, and torch.distributed is not imported.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from trainers.process.errors import TrainerError

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh


@dataclass(frozen=True)
class Ranks:
    """This process among `count`."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the rank that writes files and reports progress."""
        return self.rank == 0

    def total(self, value: float, device: torch.device) -> float:
        """The sum of every rank's value."""
        return value if self.count == 1 else self.totals(torch.tensor(value, dtype=torch.float64, device=device)).item()

    def totals(self, values: Tensor) -> Tensor:
        """The sum of every rank's tensor."""
        if self.count > 1:
            torch.distributed.all_reduce(values)
        return values

    def from_first(self, value: Any) -> Any:
        """The first rank's value, on every rank; every rank must call this."""
        if self.count == 1:
            return value
        box = [value]
        torch.distributed.broadcast_object_list(box)
        return box[0]


@contextmanager
def started_ranks(device_type: str) -> Generator[Ranks]:
    """The ranks of this run, connected inside the block: WORLD_SIZE of torchrun is their number, one without it.

    Raises:
        TrainerError: there are several ranks, and this build of torch has no torch.distributed.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Ranks()
        return
    if not torch.distributed.is_available():
        raise TrainerError("this torch has no torch.distributed", "install another build of torch, or use one rank")
    if device_type == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    torch.distributed.init_process_group("cpu:gloo,cuda:nccl" if device_type == "cuda" else "gloo")
    try:
        yield Ranks(int(os.environ["RANK"]), count)
    finally:
        torch.distributed.destroy_process_group()


def shard(
    model: nn.Module,
    ranks: Ranks,
    device_type: str,
    blocks: Sequence[nn.Module],
    entry_points: Sequence[str],
    *,
    half: bool = False,
) -> None:
    """Spread a model's parameters over the ranks; it may still be on the meta device.

    Args:
        blocks: modules whose parameters are whole together, while they compute.
        entry_points: methods of the model, besides `forward`, that will be called.
        half: whether the matrices of blocks are sent to the ranks in bfloat16, as autocast would round them.
    """
    if ranks.count == 1:
        return
    from torch.distributed.device_mesh import init_device_mesh

    spread(model, init_device_mesh(device_type, (ranks.count,)), blocks, entry_points, half=half)


def spread(
    model: nn.Module, mesh: DeviceMesh, blocks: Sequence[nn.Module], entry_points: Sequence[str], *, half: bool
) -> None:
    """`shard` over a mesh.

    With `half`, matrices are gathered in bfloat16, half as many bytes, and their gradients are added up in float32.
    Under autocast the products are those of one rank: norms, routers and what is outside of blocks stay in float32.
    """
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method

    policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32, cast_forward_inputs=False)
    for block in blocks:
        for module in _with_matrices(block) if half else ():
            for inner in module.modules():
                if _full_precision(inner):
                    fully_shard(inner, mesh=mesh)
            fully_shard(module, mesh=mesh, mp_policy=policy)
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    for method in entry_points:
        register_fsdp_forward_method(model, method)


def _with_matrices(block: nn.Module) -> list[nn.Module]:
    """The modules of a block that hold matrices of their own, but for those that stay in float32."""
    found = [module for module in block.modules() if any(p.ndim > 1 for p in module.parameters(recurse=False))]
    return [module for module in found if not _full_precision(module)]


def _full_precision(module: nn.Module) -> bool:
    return getattr(module, "full_precision", False)


def reduce_gradients(model: nn.Module, now: bool) -> None:
    """Whether the next backward pass of a sharded model adds its gradients up over the ranks, or on each rank alone.

    Gradients of a step's microbatches are reduced once, with the last: until then a rank keeps them whole in memory.
    """
    if hasattr(model, "set_requires_gradient_sync"):
        model.set_requires_gradient_sync(now)  # ty: ignore[not-callable]


def reshard(model: nn.Module) -> None:
    """Give back the parameters that a pass without a backward pass leaves whole."""
    if hasattr(model, "reshard"):
        model.reshard()  # ty: ignore[not-callable]


def local(tensor: Tensor) -> Tensor:
    """This rank's part of a tensor, sharing its memory."""
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor  # ty: ignore[not-callable]


def put(parameter: Tensor, whole: Tensor) -> None:
    """Store a whole tensor, which every rank has, in a parameter: this rank's part of it."""
    put_part(local(parameter), whole, parameter)


def put_part(part: Tensor, whole: Tensor, like: Tensor) -> None:
    """Store this rank's part of `whole`, cut as the parameter `like` is."""
    if hasattr(like, "to_local"):
        from torch.distributed.tensor import distribute_tensor

        whole = whole.to(part.device)
        whole = local(distribute_tensor(whole, like.device_mesh, like.placements, src_data_rank=None))  # ty: ignore
    with torch.no_grad():
        part.copy_(whole)


def whole(part: Tensor, like: Tensor) -> Tensor:
    """The whole of which each rank holds a part, cut as the parameter `like` is; every rank must call this."""
    if not hasattr(like, "to_local"):
        return part
    from torch.distributed.tensor import DTensor

    mesh, placements = like.device_mesh, like.placements  # ty: ignore[missing-attribute]
    spread = DTensor.from_local(part, mesh, placements, shape=like.shape, stride=like.stride())
    return spread.full_tensor()


def gathered(parts: Mapping[str, Tensor], like: Mapping[str, Tensor], ranks: Ranks) -> dict[str, Tensor]:
    """Whole tensors by name in the first rank's memory, one after the other; {} on the other ranks."""
    found = {}
    for name, part in parts.items():
        tensor = whole(part.detach(), like[name])
        if ranks.first:
            found[name] = tensor if ranks.count == 1 else tensor.cpu()
    return found


def number(value: Tensor) -> float:
    """A number that every rank holds, or holds a part of."""
    return (value.full_tensor() if hasattr(value, "full_tensor") else value).item()  # ty: ignore[not-callable]
