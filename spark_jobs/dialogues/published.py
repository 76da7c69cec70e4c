"""Dialogues that others published: files of rows in the layout of allenai/sdsd-dialogues and allenai/sdsd-revisions.

A row that cannot be read as a dialogue is kept, with its faults, and counted: the collections are known to have
ill-formed messages. Messages may be lists or JSON texts, and roles may be written in several ways.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from catalog.errors import WatershedError
from spark_jobs.dialogues.adherence import adherence
from spark_jobs.dialogues.forms import faults_of
from spark_jobs.language_models.replies import MalformedReply, bounded_json, sound_text

ROLES = {"user": "user", "human": "user", "agent": "assistant", "assistant": "assistant", "gpt": "assistant"}
ROLES |= {"system": "system", "plan": "system"}

LARGEST_ROW = 5_000_000
"""Most characters of a line."""

BATCH = 1000


def read_published(collection: str, files: Sequence[Path]) -> list[dict[str, Any]]:
    """Return rows of dialogues.published for JSON-lines or Parquet files.

    Raises:
        WatershedError: a file cannot be read, or none has a row.
    """
    rows = [
        {"collection": collection, "row": number, **_row(raw)}
        for number, raw in enumerate(raw for path in sorted(files) for raw in _raw_rows(path))
    ]
    if not rows:
        raise WatershedError(f"{', '.join(map(str, files))}: no rows", "give the JSON-lines or Parquet files")
    return rows


def _raw_rows(path: Path) -> Iterator[Any]:
    mend = "give JSON-lines or Parquet files of dialogues"
    try:
        if path.suffix == ".parquet":
            import pyarrow.parquet as pq

            for batch in pq.ParquetFile(path).iter_batches(BATCH):
                yield from batch.to_pylist()
            return
        with path.open(encoding="utf-8", errors="replace") as file:
            while line := file.readline(LARGEST_ROW):
                if line.strip():
                    try:
                        yield bounded_json(line)
                    except MalformedReply:
                        yield None
    except (OSError, ValueError) as error:
        raise WatershedError(f"{path} cannot be read: {str(error).splitlines()[0]}", mend) from error


def _row(raw: Any) -> dict[str, Any]:
    row: Mapping[str, Any] = raw if isinstance(raw, dict) else {}
    messages, faults = _messages(row.get("messages"))
    plan = _text(row.get("plan"))
    if messages and messages[0]["role"] == "system":
        plan = plan or messages[0]["content"]
        messages = messages[1:]
    faults |= set() if isinstance(raw, dict) else {"not_a_row"}
    faults |= set(faults_of(messages)) if messages else {"no_messages"}
    return {
        "domain": _text(row.get("domain")),
        "subtopic": _text(row.get("subarea", row.get("subtopic"))),
        "principles": _texts(row.get("principle", row.get("principles"))),
        "goal": _text(row.get("goal")),
        "plan": plan,
        "messages": messages,
        "violation": _truth(row.get("is_violation")),
        "truncated": _truth(row.get("is_truncated")),
        "critique": _text(row.get("critique")),
        "violations": _texts(row.get("violations")),
        "revision": _text(row.get("revision")),
        "ill_formed": sorted(faults),
        "adherence": adherence(plan, [each["content"] for each in messages]) if plan and messages else None,
    }


def _messages(value: Any) -> tuple[list[dict[str, str]], set[str]]:
    if isinstance(value, str):
        try:
            value = bounded_json(value)
        except MalformedReply:
            return [], {"messages_not_json"}
    if not isinstance(value, (list, tuple)):
        return [], {"messages_not_a_list"}
    found, faults = [], set()
    for each in value:
        role = each.get("role", each.get("from")) if isinstance(each, dict) else None
        content = each.get("content", each.get("value")) if isinstance(each, dict) else None
        known = ROLES.get(role.strip().casefold()) if isinstance(role, str) else None
        if known is None:
            faults.add("unknown_role")
        elif not isinstance(content, str):
            faults.add("content_not_text")
        else:
            found.append({"role": known, "content": sound_text(content)})
    return found, faults


def _text(value: Any) -> str | None:
    return sound_text(value) if isinstance(value, str) else None


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [sound_text(value)]
    if not isinstance(value, (list, tuple)):
        return []
    return [sound_text(each) if isinstance(each, str) else json.dumps(each, default=str) for each in value]


def _truth(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None
