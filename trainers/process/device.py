"""Where to compute, how much memory it took, and how fast it could be."""

from __future__ import annotations

import os
import re
import resource
import sys

import torch

from trainers.process.errors import TrainerError


def chosen_device(name: str) -> torch.device:
    """ "auto" is the GPU when there is one (of torchrun's ranks, each its own), else the CPU.

    Raises:
        TrainerError: the device is not here.
    """
    rank = int(os.environ.get("LOCAL_RANK", "0"))
    if name == "auto":
        return torch.device("cuda", rank) if torch.cuda.is_available() else torch.device("cpu")
    if name == "cuda":
        name = f"cuda:{rank}"
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


PEAKS: dict[str, dict[str, float]] = {
    "B200": {"bfloat16": 2250e12, "float32": 75e12},
    "GH200": {"bfloat16": 989e12, "float32": 67e12},
    "H200": {"bfloat16": 989e12, "float32": 67e12},
    "H100 NVL": {"bfloat16": 835e12, "float32": 60e12},
    "H100 PCIe": {"bfloat16": 756e12, "float32": 51e12},
    "H100": {"bfloat16": 989e12, "float32": 67e12},
    "A100": {"bfloat16": 312e12, "float32": 19.5e12},
    "L40S": {"bfloat16": 362e12, "float32": 91.6e12},
    "L40": {"bfloat16": 181e12, "float32": 90.5e12},
    "A10": {"bfloat16": 125e12, "float32": 31.2e12},
    "L4": {"bfloat16": 121e12, "float32": 30.3e12},
}
"""FLOP/s of dense matrix products by words of the device's name, the longer names first: NVIDIA's data sheets, without
sparsity, which doubles the number they print, and for float32 without TF32."""


def peak_flops(device: torch.device, dtype: str) -> tuple[str, float] | None:
    """The device's name and its peak in FLOP/s; None for one that is not in PEAKS, such as a CPU."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    part = known_part(name)
    return (name, PEAKS[part][dtype]) if part else None


def known_part(name: str) -> str | None:
    """The entry of PEAKS for a device's name, whose whole words it must be: an "NVIDIA L40" is not an L4."""
    return next((part for part in PEAKS if re.search(rf"\b{part}\b", name)), None)
