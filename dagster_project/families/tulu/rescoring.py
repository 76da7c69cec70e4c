"""Stored replies scored again by the present scorers, and the numbers that moved. No model is asked."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from catalog.lake import Lake
from catalog.tables.tulu import RESULTS, ROLLOUTS, SEALED_RESULTS
from dagster_project.families.tulu.scoring import names, score_row, stored_row, version_of

Row = dict[str, Any]


@dataclass(frozen=True)
class Moved:
    """A number that changed: the mean score of a model on a task, or of a run's verifier."""

    origin: str
    run: str
    task: str
    scorer: str
    replies: int
    changed: int
    before: float
    after: float


def rescored(
    lake: Lake, *, scorers: Sequence[str] = (), sealed: bool = False, workers: int = 1
) -> tuple[list[Row], int]:
    """Rows of tulu.rescores, and how many stored replies could not be scored again, as their answers are not known.

    Args:
        lake: the lake.
        scorers: the scorers whose replies are scored again; by default all.
        sealed: whether sealed results are read too; whoever asks for them calls `record_look` first.
        workers: threads.

    Raises:
        WatershedError, TrainerError: a stored row lacks what its scorer reads.
    """
    work: list[Row] = []
    for contract in (RESULTS, *([SEALED_RESULTS] if sealed else [])):
        if lake.exists(contract.name):
            for row in lake.read(contract.name).to_pylist():
                work.append(
                    {
                        "origin": contract.name,
                        "run": row["model"],
                        "row_id": f"{row['task']}/{row['instance']}/{row['sample']}",
                        "task": row["task"],
                        "scorer": row["scorer"],
                        "rule": row["rule"],
                        "version_before": row["scorer_version"],
                        "before": row["score"],
                        "given": stored_row(row["response"], row["row"]),
                    }
                )
    skipped = 0
    columns = ["run", "rollout_id", "verifier", "completion", "answer", "score"]
    for row in lake.read(ROLLOUTS.name, columns).to_pylist() if lake.exists(ROLLOUTS.name) else []:
        if row["answer"] is None or row["verifier"] not in names():
            skipped += 1
            continue
        work.append(
            {
                "origin": ROLLOUTS.name,
                "run": row["run"],
                "row_id": row["rollout_id"],
                "task": row["verifier"],
                "scorer": row["verifier"],
                "rule": "",
                "version_before": "as trained",
                "before": row["score"],
                "given": {**json.loads(row["answer"]), "response": row["completion"]},
            }
        )
    chosen = [row for row in work if not scorers or row["scorer"] in scorers]
    with ThreadPoolExecutor(max(workers, 1)) as pool:
        scores = list(pool.map(lambda row: score_row(row["scorer"], row["rule"], row["given"]), chosen))
    found = []
    for row, score in zip(chosen, scores, strict=True):
        kept = {name: value for name, value in row.items() if name != "given"}
        found.append(kept | {"version": version_of(row["scorer"]), "score": score})
    return found, skipped


def moved(rows: Iterable[Mapping[str, Any]]) -> list[Moved]:
    """The numbers that changed, the largest change first."""
    grouped: dict[tuple[str, str, str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        grouped[row["origin"], row["run"], row["task"], row["scorer"]].append(row)
    found = []
    for key, own in grouped.items():
        changed = sum(row["before"] != row["score"] for row in own)
        if changed:
            before, after = fmean(row["before"] for row in own), fmean(row["score"] for row in own)
            found.append(Moved(*key, replies=len(own), changed=changed, before=before, after=after))
    return sorted(found, key=lambda each: (-abs(each.after - each.before), each.origin, each.run, each.task))
