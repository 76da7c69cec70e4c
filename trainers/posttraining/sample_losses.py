"""The loss of every training row at every epoch, as files: which rows are learned, which are not, and when.

`sample_losses/` of a run's folder holds step_00000100.jsonl: a line for each sample of the steps up to that checkpoint
since the one before. Lines name the step, the epoch, the row of the data and the values of the objective. A run that
goes on from a checkpoint removes the files after it, so that each sample of each step has exactly one line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from trainers.process.files import write_jsonl

FOLDER = "sample_losses"


class SampleLosses:
    """The lines of the steps since the last checkpoint.

    Args:
        out: the run's folder.
        samples: in the data, to count epochs.
        rank: of this process; each writes its own samples.
    """

    def __init__(self, out: Path, samples: int, rank: int = 0) -> None:
        self.folder, self.samples = out / FOLDER, samples
        self._suffix = f".rank{rank}" if rank else ""
        self._lines: list[dict[str, Any]] = []

    def add(self, step: int, place: int, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add samples that stand at `place` of the loader's order and after it, over all epochs."""
        for number, row in enumerate(rows):
            epoch = (place + number) // self.samples + 1
            self._lines.append({"step": step, "epoch": epoch, **row})

    def write(self, step: int) -> None:
        """Write the lines up to the checkpoint of `step`."""
        if self._lines:
            write_jsonl(self.folder / f"step_{step:08d}{self._suffix}.jsonl", self._lines)
            self._lines = []

    def go_back(self, step: int) -> None:
        """Remove the files of steps after `step`."""
        for path in self.folder.glob("step_*.jsonl") if self.folder.is_dir() else ():
            found = re.match(r"step_(\d+)", path.name)
            if found and int(found[1]) > step and (".rank" in path.name) == bool(self._suffix):
                path.unlink(missing_ok=True)
        self._lines = []
