"""A run's folder: one run, one process at a time, and metrics that end at the run's last step."""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trainers.process.errors import TrainerError
from trainers.process.files import canonical_json, read_jsonl, remove_partial, sha256_text, write_jsonl
from trainers.process.progress import Progress
from trainers.process.sealed import read_sealed, write_sealed

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
        remove_partial(folder)
        yield


def _check_same_run(folder: Path, identity: dict[str, Any], fingerprint: str) -> None:
    place = folder / CONFIG
    if not place.is_file():
        write_sealed(place, {"fingerprint": fingerprint, "identity": identity})
        return
    there = read_config_json(folder)
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


def read_config_json(folder: Path) -> dict[str, Any]:
    """config.json of the run in `folder`: its `fingerprint` and `identity`.

    Raises:
        TrainerError: it is missing or damaged.
    """
    mend = "give the `out` folder of a run; if config.json is damaged, remove it: the run writes it again"
    found = read_sealed(folder / CONFIG, {"fingerprint": str, "identity": dict}, mend)
    if sha256_text(canonical_json(found["identity"])) != found["fingerprint"]:
        raise TrainerError(f"{folder / CONFIG} is damaged: its identity has another fingerprint", mend)
    return found


def read_result(folder: Path) -> dict[str, Any]:
    """result.json of the finished run in `folder`.

    Raises:
        TrainerError: it is missing or damaged.
    """
    kinds = {"checkpoint": str, "checkpoint_sha256": str, "fingerprint": str, "steps": int, "tokens": int}
    return read_sealed(folder / RESULT, kinds, "start the run again: it writes its result again")


def finished_result(folder: Path) -> dict[str, Any] | None:
    """The contents of result.json if the run has ended and its checkpoint still exists, else None.

    None too where it is damaged: the run then writes it again from its last checkpoint.
    """
    if not (folder / RESULT).is_file():
        return None
    try:
        result = read_result(folder)
    except TrainerError:
        return None
    return result if (folder / Path(result["checkpoint"]).name).is_dir() else None


def metrics_mark(folder: Path) -> dict[str, Any]:
    """Bytes and SHA-256 of metrics.jsonl as it is now: a checkpoint and a result keep them."""
    written = (folder / METRICS).read_bytes() if (folder / METRICS).is_file() else b""
    return {"bytes": len(written), "sha256": hashlib.sha256(written).hexdigest()}


def read_metrics(folder: Path, mark: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """The rows of metrics.jsonl up to `mark`; all rows where there is no mark, as in runs of an earlier version.

    Raises:
        TrainerError: it is missing, or differs from the mark.
    """
    mend = "remove metrics.jsonl to go on without the rows before, or train in another `out` folder"
    if mark is None and (folder / METRICS).is_file():
        return read_jsonl(folder / METRICS)
    try:
        written = (folder / METRICS).read_bytes()[: mark["bytes"] if mark else 0]
    except OSError as error:
        raise TrainerError(f"{folder / METRICS} cannot be read: {error.strerror}", mend) from None
    if mark and hashlib.sha256(written).hexdigest() != mark["sha256"]:
        raise TrainerError(f"{folder / METRICS} is damaged: it differs from what was written", mend)
    return [json.loads(line) for line in written.decode("utf-8").splitlines()]


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
