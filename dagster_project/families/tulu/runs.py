"""The post-training runs whose folders are stored in the lake: which they are, and what they left.

`watershed tulu record` names a run. Its entry is a JSON file in the lake's files: the folder of the run, the files that
it trained on, and a digest of all that is read. A folder that has changed since is refused until it is recorded again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from catalog.contract import Contract
from catalog.errors import WatershedError
from catalog.files import sha256_of, write_whole
from catalog.settings import Settings
from catalog.tables.tulu import CURVES, HELDOUT, ROLLOUTS, SAMPLE_LOSSES
from dagster_project.engine.partitions import Partition
from dagster_project.families.tulu import records

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
READ = ("sample_losses/*.jsonl", "rollouts/phase_*.jsonl", "heldout/step_*.jsonl", "answers/answers.jsonl")
"""Files of a run's folder that are read, beside metrics.jsonl and result.json."""


@dataclass(frozen=True, kw_only=True)
class RecordedRun:
    """A run that is stored in the lake."""

    run: str
    folder: str
    """Its folder, as an absolute path."""
    data: tuple[str, ...] = ()
    """The files that it trained on, in its order."""
    before: str = ""
    """The run that it began from, whose replies are shown beside its own; empty for none."""
    digest: str = ""
    """Hex SHA-256 of all files that are read."""


def entries(settings: Settings) -> Path:
    """The folder of the entries."""
    return settings.files_root / "tulu" / "runs"


def recorded_runs(settings: Settings) -> dict[str, RecordedRun]:
    """The recorded runs by name.

    Raises:
        WatershedError: an entry is damaged.
    """
    found = {}
    for path in sorted(entries(settings).glob("*.json")):
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            texts = {name: str(values[name]) for name in ("run", "folder", "before", "digest")}
            run = RecordedRun(**texts, data=tuple(map(str, values["data"])))
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            raise WatershedError(
                f"{path} is not an entry of a run", "remove it, and record the run again: `watershed tulu record`"
            ) from None
        found[run.run] = run
    return found


def run_keys(settings: Settings) -> Iterable[str]:
    """The names of the recorded runs."""
    return recorded_runs(settings)


def run_recipe(settings: Settings, partition: Partition | None) -> RecordedRun:
    """The recorded run of a partition."""
    assert partition
    return recorded_runs(settings)[str(partition["run"])]


def run_identity(run: RecordedRun) -> str:
    """What decides the rows of a run."""
    return run.digest


def digest_of(run: RecordedRun) -> str:
    """Hex SHA-256 of the contents of all files that are read.

    Raises:
        WatershedError: a file cannot be read.
    """
    folder = Path(run.folder)
    files = {str(path.relative_to(folder)): path for pattern in READ for path in sorted(folder.glob(pattern))}
    files |= {name: folder / name for name in ("metrics.jsonl", "result.json") if (folder / name).is_file()}
    files |= {f"data {number}": Path(name) for number, name in enumerate(run.data)}
    try:
        return hashlib.sha256(json.dumps({name: sha256_of(path) for name, path in files.items()}).encode()).hexdigest()
    except OSError as error:
        raise WatershedError(
            f"{error.filename}: {error.strerror}", "give the files as the run read and wrote them"
        ) from None


def rows_of(run: RecordedRun) -> dict[Contract, list[dict[str, Any]]]:
    """The rows of a run, by table.

    Raises:
        WatershedError: a file is not as a run wrote it, or a rollout is not what the policy sampled.
    """
    folder = Path(run.folder)
    data = records.data_rows([Path(name) for name in run.data])
    return {
        SAMPLE_LOSSES: records.sample_losses(run.run, folder, data),
        ROLLOUTS: records.rollouts(run.run, folder, data),
        CURVES: records.curves(run.run, folder),
        HELDOUT: records.heldout(run.run, folder),
    }


def heldout_of(settings: Settings, run: str) -> list[dict[str, Any]]:
    """Rows of tulu.heldout of a recorded run; empty for one that is not recorded, or whose folder is gone.

    Raises:
        WatershedError: a file is not as a run wrote it.
    """
    found = recorded_runs(settings).get(run)
    return records.heldout(run, Path(found.folder)) if found else []


def record(
    settings: Settings, folder: Path, *, run: str = "", data: Sequence[Path] = (), before: str = ""
) -> dict[str, int]:
    """Add or replace the entry of a run whose rows can be read; returns the number of its rows by table.

    Raises:
        WatershedError: the name is none, the folder has nothing to store, or a row cannot be stored.
    """
    name = run or folder.absolute().name
    if not NAME.fullmatch(name):
        raise WatershedError(
            f"{name[:60]!r} is not a name of a run", "give one with --run, of letters, digits, . - and _"
        )
    entry = RecordedRun(
        run=name, folder=str(folder.absolute()), data=tuple(str(path.absolute()) for path in data), before=before
    )
    rows = rows_of(entry)
    if not any(rows.values()):
        raise WatershedError(
            f"{folder} has neither sample_losses/ nor rollouts/ nor metrics.jsonl", "give the folder of a run"
        )
    fields = asdict(entry) | {"digest": digest_of(entry)}
    entries(settings).mkdir(parents=True, exist_ok=True)
    write_whole(entries(settings) / f"{name}.json", (json.dumps(fields, indent=2) + "\n").encode())
    return {contract.name: len(found) for contract, found in rows.items()}
