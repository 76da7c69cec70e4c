"""The examples of a data set: their tokens in flat arrays on disk, made once a run and read in place.

`examples/` of a run's folder holds tokens.npy, labels.npy, offsets.npy (example i is offsets[i] .. offsets[i + 1]),
rows.npy (the row of the data that an example was made of), groups.npy, about.json, and left_out.jsonl: a line for
every row that is not trained on, with its reason. A run that is started again reads them instead of tokenizing.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainers.posttraining.labels import Labelled
from trainers.posttraining.rows import UnusableRow
from trainers.process.errors import TrainerError
from trainers.process.files import canonical_json, flush_to_disk, sha256_text, whole_folder
from trainers.process.sealed import read_sealed, write_sealed

FOLDER, ABOUT, LEFT_OUT = "examples", "about.json", "left_out.jsonl"
ARRAYS = ("tokens", "labels", "offsets", "rows", "groups")
VERSION = "examples-1"

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Example:
    """One text to train on, and the row that it was made of."""

    tokens: NDArray[np.int32]
    labels: NDArray[np.bool_]
    number: int
    """Of the example in its data set."""
    row: int
    """Of the data, numbered over all its files."""
    group: int
    """What it is in its row: 0 of a chat; 0 the chosen and 1 the rejected text of a pair; see the objective."""

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def targets(self) -> int:
        """Tokens that are trained on."""
        return int(self.labels[1:].sum())


class Examples:
    """A data set as a `Source`: sample i is the tuple of examples that were made together."""

    def __init__(self, folder: Path) -> None:
        self.about = read_sealed(folder / ABOUT, {"fingerprint": str, "together": int}, f"remove {folder}")
        try:
            loaded = [np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in ARRAYS]
        except (OSError, ValueError) as error:
            raise TrainerError(f"{folder} is damaged: {error}", f"remove {folder}; the run makes it again") from None
        self._tokens, self._labels, self._offsets, self.rows, self._groups = loaded
        self.together = int(self.about["together"])
        """Examples a sample."""

    def __len__(self) -> int:
        return len(self.rows) // self.together

    @property
    def fingerprint(self) -> str:
        """Hex SHA-256 of what decides tokens and labels."""
        return str(self.about["fingerprint"])

    @property
    def counts(self) -> Mapping[str, Any]:
        """Rows and examples, their tokens and trained tokens, and how many rows were left out for which reason."""
        return self.about["counts"]

    def example(self, number: int) -> Example:
        """One example."""
        part = slice(int(self._offsets[number]), int(self._offsets[number + 1]))
        return Example(
            self._tokens[part], self._labels[part], number, int(self.rows[number]), int(self._groups[number])
        )

    def sample(self, number: int) -> tuple[Example, ...]:
        """The examples of one sample."""
        first = number * self.together
        return tuple(self.example(place) for place in range(first, first + self.together))

    def __getitem__(self, places: Ints) -> list[tuple[Example, ...]]:
        return [self.sample(place) for place in places.tolist()]


Make = Callable[[dict[str, Any]], Sequence[Sequence[tuple[Labelled, int]]]]
"""From a row to its samples, each of texts with their groups; UnusableRow for one that is not trained on."""


def made_examples(
    out: Path, rows: Iterable[tuple[int, dict[str, Any]]], make: Make, decides: Mapping[str, Any], together: int = 1
) -> Examples:
    """The examples of a run in `out`: read, or made where they are missing or were made of something else.

    Args:
        rows: numbered rows of the data.
        decides: the literals that decide the examples, with the digest of the data.
        together: texts a sample.

    Raises:
        TrainerError: no row can be trained on.
    """
    folder = out / FOLDER
    fingerprint = sha256_text(canonical_json({"version": VERSION, **decides}))
    if (folder / ABOUT).is_file():
        try:
            there = Examples(folder)
        except TrainerError:
            there = None
        if there is not None and there.fingerprint == fingerprint:
            return there
    with whole_folder(folder) as partial:
        _make(partial, rows, make, fingerprint, together)
    return Examples(folder)


def _make(
    folder: Path, rows: Iterable[tuple[int, dict[str, Any]]], make: Make, fingerprint: str, together: int
) -> None:
    offsets, row_of, groups, reasons = [0], [], [], Counter[str]()
    trained = read = 0
    with (
        (folder / "tokens.bin").open("wb") as tokens,
        (folder / "labels.bin").open("wb") as labels,
        (folder / LEFT_OUT).open("w", encoding="utf-8") as left_out,
    ):
        for number, row in rows:
            read += 1
            try:
                samples = make(row)
            except UnusableRow as unusable:
                reasons[str(unusable)] += 1
                left_out.write(json.dumps({"row": number, "id": row.get("id"), "reason": str(unusable)}) + "\n")
                continue
            for labelled, group in (text for sample in samples for text in sample):
                tokens.write(labelled.tokens.astype(np.int32).tobytes())
                labels.write(labelled.labels.astype(np.bool_).tobytes())
                offsets.append(offsets[-1] + len(labelled))
                row_of.append(number)
                groups.append(group)
                trained += labelled.targets
    if not row_of:
        reason = f": {reasons.most_common(1)[0][0]}" if reasons else ""
        raise TrainerError(f"none of {read} rows can be trained on{reason}", "give rows that the chat template takes")
    arrays = {
        "tokens": np.memmap(folder / "tokens.bin", dtype=np.int32, mode="r"),
        "labels": np.memmap(folder / "labels.bin", dtype=np.bool_, mode="r"),
        "offsets": np.array(offsets, dtype=np.int64),
        "rows": np.array(row_of, dtype=np.int64),
        "groups": np.array(groups, dtype=np.int16),
    }
    for name, values in arrays.items():
        with (folder / f"{name}.npy").open("wb") as file:
            np.save(file, values, allow_pickle=False)
            flush_to_disk(file)
    for name in ("tokens", "labels"):
        (folder / f"{name}.bin").unlink()
    counts = {
        "rows": read,
        "examples": len(row_of),
        "tokens": offsets[-1],
        "trained_tokens": trained,
        "longest": int(np.diff(arrays["offsets"]).max()),
        "left_out": sum(reasons.values()),
        "reasons": dict(reasons.most_common(50)),
    }
    write_sealed(folder / ABOUT, {"fingerprint": fingerprint, "together": together, "counts": counts})
