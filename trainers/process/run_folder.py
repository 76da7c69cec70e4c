"""A run's folder: one run, one process at a time, and metrics that end at the run's last step."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trainers.process.errors import TrainerError
from trainers.process.files import read_jsonl, write_json, write_jsonl
from trainers.process.progress import Progress

CONFIG, RESULT, METRICS, LOCK = "config.json", "result.json", "metrics.jsonl", ".lock"
TOKENIZER = "tokenizer.json"


@contextmanager
def claimed(folder: Path, identity: dict[str, Any], fingerprint: str, kind: str) -> Generator[None]:
    """Hold `folder` for this run while inside; its config.json keeps the run's identity.

    A second process on the same folder waits here, so a process that outlived its killed parent is never overwritten.

    Args:
        kind: the command's verb, for the report that this process waits.

    Raises:
        TrainerError: the folder holds a run with another fingerprint.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            Progress(kind, folder.name, 0).event("waiting", cause="another process trains in this folder")
            fcntl.flock(lock, fcntl.LOCK_EX)
        _check_same_run(folder, identity, fingerprint)
        yield


def _check_same_run(folder: Path, identity: dict[str, Any], fingerprint: str) -> None:
    place = folder / CONFIG
    if not place.is_file():
        write_json(place, {"fingerprint": fingerprint, "identity": identity})
        return
    there = json.loads(place.read_text(encoding="utf-8"))
    if there["fingerprint"] != fingerprint:
        raise TrainerError(
            f"{folder} holds a run with another configuration: {_difference(there['identity'], identity)}",
            "give this run another `out` folder, or remove that one",
        )


def _difference(there: dict[str, Any], here: dict[str, Any], place: str = "") -> str:
    """The first field in which two identities differ, with both values."""
    for name in sorted(there.keys() | here.keys()):
        old, new = there.get(name), here.get(name)
        if old != new:
            if isinstance(old, dict) and isinstance(new, dict):
                return _difference(old, new, f"{place}{name}.")
            return f"{place}{name} is {old!r} there and {new!r} here"
    return "its fingerprint"


def finished_result(folder: Path) -> dict[str, Any] | None:
    """The contents of result.json if the run has ended and its checkpoint still exists, else None."""
    if not (folder / RESULT).is_file():
        return None
    result: dict[str, Any] = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    return result if (folder / Path(result["checkpoint"]).name).is_dir() else None


class Metrics:
    """metrics.jsonl: a row every few steps. Rows after the step from which a run resumes are dropped first."""

    def __init__(self, path: Path, resumed_at: int) -> None:
        kept = [row for row in read_jsonl(path) if row["step"] <= resumed_at] if path.is_file() else []
        write_jsonl(path, kept)
        self._file = path.open("a", encoding="utf-8")

    def write(self, row: dict[str, Any]) -> None:
        """Append one row, at once."""
        self._file.write(json.dumps(row, separators=(",", ":")) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
