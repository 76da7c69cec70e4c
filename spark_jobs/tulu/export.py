"""A mixture as JSON-lines files that a trainer reads, byte-identical for a seed whatever the number of workers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from catalog.errors import WatershedError
from catalog.files import whole_folder, write_whole

ROWS_PER_FILE = 50_000
Row = Mapping[str, Any]


def line_of(row: Row) -> dict[str, Any]:
    """A row of tulu.rows as a trainer reads it, with its provenance.

    A row for fine-tuning has `messages`; a pair has `prompt`, `chosen` and `rejected`; a prompt has `messages`,
    `verifier`, and what that compares with. `id`, `source`, `licence` and `revision` are in each line, so that losses
    and rollouts can name what they came from.
    """
    messages = [_message(each) for each in row["messages"]]
    found: dict[str, Any] = {"id": row["row_id"], "source": row["source"]}
    if row["chosen"] is not None:
        found |= {"prompt": messages, "chosen": row["chosen"], "rejected": row["rejected"]}
    else:
        found["messages"] = messages
    if row["on_policy"] is not None:
        found["on_policy"] = row["on_policy"]
    if row["tools"]:
        found["tools"] = row["tools"]
    if row["verifier"]:
        name = {"ifeval": "instructions", "code": "tests"}.get(row["verifier"], "answer")
        found |= {"verifier": row["verifier"], name: _read(row["answer"]) if name == "instructions" else row["answer"]}
    return found | {"licence": row["licence"], "revision": row["revision"]}


def _message(message: Row) -> dict[str, Any]:
    found = {"role": message["role"], "content": message["content"]}
    if message["reasoning"]:
        found["reasoning_content"] = message["reasoning"]
    if message["tool_calls"]:
        found["tool_calls"] = _read(message["tool_calls"])
    return found


def _read(text: str | None) -> Any:
    """The value of a JSON text; the text itself if it is none."""
    try:
        return json.loads(text or "null")
    except ValueError:
        return text


def write_mixture(
    out: Path,
    mixture: str,
    taken: Sequence[Row],
    rows: Mapping[str, Row],
    facts: Iterable[Row],
    *,
    workers: int = 1,
) -> dict[str, Any]:
    """Write the files of a mixture and `manifest.json`, whole or not at all; returns the manifest.

    Args:
        out: a folder that does not exist.
        mixture: its name.
        taken: rows of tulu.mixture in order.
        rows: rows of tulu.rows by id.
        facts: rows of tulu.sources, for the manifest.
        workers: threads that write.

    Raises:
        WatershedError: the folder exists.
    """
    if out.exists():
        raise WatershedError(f"{out} exists", "give a folder that does not exist, or remove it")
    parts = [taken[start : start + ROWS_PER_FILE] for start in range(0, len(taken), ROWS_PER_FILE)]
    with whole_folder(out) as partial:

        def write(number: int) -> dict[str, Any]:
            lines = []
            for each in parts[number]:
                line = line_of(rows[each["row_id"]]) | {"repeat": each["repeat"]}
                lines.append(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")
            data = "".join(lines).encode()
            name = f"part-{number:05}.jsonl"
            write_whole(partial / name, data)
            return {"file": name, "rows": len(lines), "sha256": hashlib.sha256(data).hexdigest()}

        with ThreadPoolExecutor(max(workers, 1)) as pool:
            files = list(pool.map(write, range(len(parts))))
        named = ("source", "repository", "revision", "licence", "taken", "distinct", "wanted")
        manifest = {
            "mixture": mixture,
            "rows": len(taken),
            "files": files,
            "sources": [{name: row[name] for name in named} for row in facts],
        }
        write_whole(partial / "manifest.json", (json.dumps(manifest, indent=2, ensure_ascii=False) + "\n").encode())
    return manifest
