"""What a post-training run left in its folder, as rows of sample_losses, rollouts, curves and heldout of `tulu`.

A rollout is what the policy sampled: token ids and their log-probabilities. Its text may be spelt by other ids, which
were never sampled. A row whose ids are not those that its digest covers is refused, and nothing of the run is stored.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from catalog.errors import WatershedError
from catalog.lines import bounded_lines
from catalog.tables.tulu.training import PER_TOKEN
from spark_jobs.language_models.replies import MalformedReply, bounded_json
from trainers.posttraining.rollouts import digest_of_row

Row = dict[str, Any]
LARGEST_LINE = 64 << 20


def lines(path: Path) -> Iterator[tuple[int, Row]]:
    """The objects of a file of JSON lines, with the numbers of their lines from 1.

    Raises:
        WatershedError: the file cannot be read, or a line is not an object.
    """
    mend = "give the file as the run wrote it"
    try:
        with path.open("rb") as file:
            for number, line in bounded_lines(file, LARGEST_LINE):
                row = None if line is None else bounded_json(line)
                if not isinstance(row, dict):
                    raise WatershedError(f"{path}:{number}: no JSON object", mend)
                yield number, row
    except MalformedReply as error:
        raise WatershedError(f"{path}: {error}", mend) from None
    except OSError as error:
        raise WatershedError(f"{path}: {error.strerror or error}", mend) from None


def data_rows(files: Sequence[Path]) -> list[Row]:
    """The id, the source and what a verifier reads of each row of training data, in order."""
    found = []
    for path in files:
        for _, row in lines(path):
            known = {name: row[name] for name in ("answer", "instructions", "tests", "cases", "choices") if name in row}
            number = len(found)
            found.append({"id": str(row.get("id", number)), "source": str(row.get("source", "")), "known": known})
    return found


def sample_losses(run: str, folder: Path, data: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Rows of tulu.sample_losses from `sample_losses/` of a run's folder; empty if the run wrote none.

    Args:
        run: the name of the run.
        folder: its folder.
        data: the rows that it trained on, from `data_rows`.

    Raises:
        WatershedError: a file cannot be read, or names a row that the data does not have.
    """
    found = []
    for path in sorted((folder / "sample_losses").glob("*.jsonl")):
        for number, row in lines(path):
            place = row.get("row")
            if not isinstance(place, int) or not 0 <= place < len(data):
                raise WatershedError(
                    f"{path}:{number}: the data has no row {str(place)[:20]} ({len(data):,} rows were read)",
                    "give the files that the run trained on, in the same order, by --data",
                )
            reward = row.get("reward")
            sided = "chosen_reward" if row.get("desirable") else "rejected_reward"
            found.append(
                {
                    "run": run,
                    "row_id": data[place]["id"],
                    "example": int(row.get("example", place)),
                    "source": data[place]["source"],
                    "epoch": int(row["epoch"]),
                    "step": int(row["step"]),
                    "loss": float(row["loss"]),
                    "tokens": row.get("tokens"),
                    "margin": row.get("margin"),
                    "chosen_reward": row.get("chosen_reward"),
                    "rejected_reward": row.get("rejected_reward"),
                }
                | ({sided: float(reward)} if reward is not None else {})
            )
    return found


def rollouts(run: str, folder: Path, data: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Rows of tulu.rollouts from `rollouts/` of a run's folder; empty if the run wrote none.

    Raises:
        WatershedError: a file cannot be read, a row lacks a field, or its tokens are not those that were sampled.
    """
    known = {row["id"]: row["known"] for row in data}
    found = []
    for path in sorted((folder / "rollouts").glob("phase_*.jsonl")):
        phase = int(re.sub(r"\D", "", path.stem) or 0)
        for number, row in lines(path):
            try:
                found.append({"run": run, "rollout_id": f"{phase}-{number}", "phase": phase})
                found[-1] |= _rollout(row, known, f"{path}:{number}")
            except (KeyError, TypeError, ValueError) as error:
                raise WatershedError(
                    f"{path}:{number}: no rollout: {error!r}"[:200], "give the file as the run wrote it"
                ) from None
    return found


def _rollout(row: Row, known: Mapping[str, Mapping[str, Any]], place: str) -> Row:
    tokens = list(row["tokens"])
    if digest_of_row(row) != row["digest"] or len(row["logprobs"]) != len(tokens):
        raise WatershedError(
            f"{place}: the token ids or log-probabilities are not those that were sampled",
            "record the rollouts as the policy wrote them; a text that is tokenised again is another reply",
        )
    answer = known.get(str(row["id"]))
    per_token = {name: _numbers(row.get(name), len(tokens), name, place) for name in PER_TOKEN}
    return {
        "prompt_id": str(row["id"]),
        "source": str(row["source"]),
        "group": int(row["group"]),
        "policy_version": int(row["policy_version"]),
        "temperature": float(row["temperature"]),
        "prompt_tokens": list(row["prompt_tokens"]),
        "tokens": tokens,
        "logprobs": list(row["logprobs"]),
        **per_token,
        "completion": str(row["text"]),
        "finish": str(row["finish"]),
        "verifier": str(row["verifier"]),
        "answer": json.dumps(answer, sort_keys=True, ensure_ascii=False) if answer else None,
        "score": float(row["score"]),
        "reason": str(row.get("reason", "")),
        "reward": float(row["reward"]),
        "digest": row["digest"],
    }


def _numbers(value: Any, count: int, name: str, place: str) -> list[float] | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != count:
        raise WatershedError(
            f"{place}: {name} has not a number for each token", "record the rollouts as they were written"
        )
    return [float(each) for each in value]


def curves(run: str, folder: Path) -> list[Row]:
    """Rows of tulu.curves from metrics.jsonl of a run's folder; empty if it has none.

    Raises:
        WatershedError: the file cannot be read, or a row has no step.
    """
    path = folder / "metrics.jsonl"
    found = []
    for number, row in lines(path) if path.is_file() else ():
        if not _is_number(row.get("step")):
            raise WatershedError(f"{path}:{number}: no step", "give the file as the run wrote it")
        values = {name: value for name, value in row.items() if name != "step" and _is_number(value)}
        found += [{"run": run, "step": int(row["step"]), "metric": k, "value": float(v)} for k, v in values.items()]
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def heldout(run: str, folder: Path) -> list[Row]:
    """Rows of tulu.heldout from heldout/ of a run's folder, and from answers/ of `trainers.answer_problems` in it.

    The replies in answers/ are those of the run's last step, and stand in place of what the run itself wrote then.

    Raises:
        WatershedError: a file cannot be read, or a row lacks a field.
    """
    files = [(None, path) for path in sorted((folder / "heldout").glob("step_*.jsonl"))]
    last = _steps_of(folder)
    if (answers := folder / "answers" / "answers.jsonl").is_file():
        files = [*((step, path) for step, path in files if int(path.stem[5:]) != last), (last, answers)]
    found = []
    for step, path in files:
        for number, row in lines(path):
            try:
                found.append(
                    {
                        "run": run,
                        "step": int(row["step"] if step is None else step),
                        "problem": str(row["id"]),
                        "sample": int(row["sample"]),
                        "source": str(row["source"]),
                        "prompt": str(row["prompt"]),
                        "reply": str(row["text"]),
                        "finish": str(row["finish"]),
                        "verifier": str(row["verifier"]),
                        "score": float(row["score"]),
                        "reason": str(row.get("reason", "")),
                    }
                )
            except (KeyError, TypeError, ValueError) as error:
                raise WatershedError(
                    f"{path}:{number}: no held-out reply: {error!r}"[:200], "give the file as the run wrote it"
                ) from None
    return found


def _steps_of(folder: Path) -> int:
    """Optimiser steps of a run that has ended; 0 if it has not."""
    path = folder / "result.json"
    if not path.is_file():
        return 0
    try:
        return int(json.loads(path.read_text(encoding="utf-8"))["steps"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise WatershedError(f"{path} is not a result of a run", "give the folder as the run wrote it") from None
