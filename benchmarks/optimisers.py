"""AdamW beside Muon: one preset trained with both at several learning rates, and the held-out loss of each.

    uv run python -m benchmarks.optimisers SHARDS [--preset 130k-0.5xC] [--factors 0.5,1,2,4]

SHARDS is a folder of shards with `train` and `heldout`, such as that of dclm.shards. A factor multiplies the learning
rate of the preset. All runs read the same batches. docs/trainers.md has the results.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

from trainers.pretrain import pretrain
from trainers.pretraining.config import RunConfig
from trainers.pretraining.presets import preset

FACTORS = (0.5, 1.0, 2.0, 4.0)


@dataclass(frozen=True)
class Measured:
    """A run: its optimiser, what its learning rate was multiplied by, and its results."""

    matrices: str
    factor: float
    bits_per_byte: float
    """Of the held-out shards."""
    seconds: float

    def line(self) -> str:
        """The run as a row of a table."""
        return f"{self.matrices:<7} x {self.factor:<4g} {self.bits_per_byte:.4f} bits per byte  {self.seconds:6.1f} s"


def measure(shards: Path, name: str, matrices: str, factor: float) -> Measured:
    """Train one model.

    Args:
        shards: a folder with `train` and `heldout`.
        name: the preset.
        matrices: the optimiser of matrices.
        factor: what the learning rate of the preset is multiplied by.
    """
    from trainers.data.shards import check_manifest

    split = check_manifest(shards / "train", digests=False)
    rate = preset(name, split.vocab_size, split.sequence_length).optimiser.learning_rate
    optimiser = {"matrices": matrices, "learning_rate": factor * rate}
    with tempfile.TemporaryDirectory() as out:
        result = pretrain(RunConfig(preset=name, shards=str(shards), out=out, optimiser=optimiser))
    return Measured(matrices, factor, result["heldout_bits_per_byte"], result["seconds"])


def main() -> None:
    """Print a line for each run, and the best of each optimiser."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("shards", type=Path)
    parser.add_argument("--preset", default="130k-0.5xC")
    parser.add_argument("--factors", default=",".join(f"{factor:g}" for factor in FACTORS))
    options = parser.parse_args()
    runs = []
    for matrices in ("adamw", "muon"):
        for factor in map(float, options.factors.split(",")):
            runs.append(measure(options.shards, options.preset, matrices, factor))
            print(runs[-1].line(), flush=True)
    for matrices in ("adamw", "muon"):
        best = min((run for run in runs if run.matrices == matrices), key=lambda run: run.bits_per_byte)
        print(f"best of {best.line()}")


if __name__ == "__main__":
    main()
