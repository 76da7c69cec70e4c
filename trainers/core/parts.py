"""A batch in fixed parts, and threads that share them.

A tiny model on a CPU is bound by many small kernels, which torch's own threads do not speed up. So the batch is cut
into parts, each with its own forward and backward pass, and threads take the parts. The gradients of the parts are
added up in the order of the parts: the weights depend on the number of parts, in rounding, and never on the number of
threads.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self, TypeVar

from torch import nn

R = TypeVar("R")


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Parts:
    """The model and, for every part but the first, a twin that shares its weights and has gradients of its own.

    Args:
        count: parts; 1 leaves everything to the model itself.
        workers: threads that take the parts.
    """

    def __init__(self, model: nn.Module, count: int, workers: int) -> None:
        self.models = [model, *(_twin(model) for _ in range(count - 1))]
        self._pool = ThreadPoolExecutor(workers, "part") if min(workers, count) > 1 else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def compute(self, work: Callable[[nn.Module, Any], R], inputs: Sequence[Any]) -> list[R]:
        """`work` of each part's model and input, in the order of the parts; its gradients are then the model's."""
        if self._pool is None:
            found = [work(model, given) for model, given in zip(self.models, inputs, strict=True)]
        else:
            found = list(self._pool.map(work, self.models, inputs))
        self._add_gradients()
        return found

    def _add_gradients(self) -> None:
        whole = list(self.models[0].parameters())
        for twin in self.models[1:]:
            for parameter, other in zip(whole, twin.parameters(), strict=True):
                if parameter.grad is None:
                    parameter.grad = other.grad
                elif other.grad is not None:
                    parameter.grad.add_(other.grad)
                other.grad = None


def cut(samples: Any, count: int) -> list[Any]:
    """The samples in `count` runs of nearly the same length, in order; some are empty when there are fewer samples."""
    return [samples[len(samples) * i // count : len(samples) * (i + 1) // count] for i in range(count)]


def _twin(model: nn.Module) -> nn.Module:
    """A copy with parameters of its own over the same memory; buffers are copied, as they hold tables alone."""
    twin = copy.deepcopy(model)
    for ours, its in zip(model.parameters(), twin.parameters(), strict=True):
        its.data = ours.data
    return twin
