"""The decoder that a configuration describes."""

from __future__ import annotations

from trainers.models.config import DenseConfig, MoEConfig
from trainers.models.dense import DenseDecoder
from trainers.models.moe import MoEDecoder


def decoder(config: DenseConfig) -> DenseDecoder:
    """A decoder without numbers yet, on torch's current default device: `initialise` it or load weights."""
    return (MoEDecoder if isinstance(config, MoEConfig) else DenseDecoder)(config)
