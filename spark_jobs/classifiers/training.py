"""Trains fastText so that the same examples give the same bytes.

A single thread fixes the order of updates. Memory must be fixed too: per thread, the library draws initial vectors
for a tenth of the rows and leaves the rest uninitialised (DenseMatrix::uniform). In a long-lived process these rows
hold whatever was freed before, even NaN. Therefore training runs in its own process, whose allocator returns zeros.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from catalog.errors import WatershedError

# glibc fills allocated memory with the complement of this byte and maps large blocks anew.
ZEROED_MEMORY = {"MALLOC_PERTURB_": "255", "MALLOC_MMAP_THRESHOLD_": "131072"}


@dataclass(frozen=True, kw_only=True)
class Hyperparameters:
    """Parameters by fastText's names, with the values of DCLM-Baseline's classifier (arXiv 2406.11794, 4.4)."""

    epoch: int = 5
    lr: float = 0.1
    dim: int = 100
    wordNgrams: int = 2
    minCount: int = 1
    bucket: int = 100_000
    """Rows for hashed n-grams. The library's default, 2,000,000, makes a file of 800 MB at dim 100."""
    seed: int = 0


def train(examples: Path, model: Path, hyperparameters: Hyperparameters) -> None:
    """Train a softmax classifier on `examples` (one per line: __label__NAME and the text) and save it as `model`.

    Raises:
        WatershedError: there is nothing to train on, or fastText ran out of memory.
    """
    settings = json.dumps({"input": str(examples), **asdict(hyperparameters)})
    rooms = str(Path(__file__).parents[2])
    environment = os.environ | ZEROED_MEMORY | {"PYTHONPATH": rooms}
    done = subprocess.run(
        [sys.executable, "-m", "spark_jobs.classifiers.training", str(model), settings],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        message = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
        raise WatershedError(
            f"fastText could not train a model: {message}", "free some memory, or change the recipe's dim, bucket or lr"
        )


def load(model: Path) -> Any:
    """The classifier in the file."""
    import fasttext

    return fasttext.load_model(str(model))


def _main(model: str, settings: str) -> None:
    import fasttext

    fasttext.train_supervised(**json.loads(settings), loss="softmax", thread=1, verbose=0).save_model(model)


if __name__ == "__main__":
    _main(*sys.argv[1:])
