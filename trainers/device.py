"""Where to compute, and how much memory it took."""

from __future__ import annotations

import resource
import sys

import torch

from trainers.errors import TrainerError


def chosen_device(name: str) -> torch.device:
    """ "auto" is the GPU when there is one, else the CPU; TrainerError for a device that is not here."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise TrainerError(f"no device is called {name!r}", 'set device to "auto", "cpu" or "cuda"') from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise TrainerError(f"device {name!r} asked for, but torch sees no GPU", 'set device to "auto" or "cpu"')
    return device


def peak_memory_bytes(device: torch.device) -> int:
    """Largest memory held so far: allocated on a GPU, resident on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
