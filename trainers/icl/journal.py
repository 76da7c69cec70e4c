"""A task's answers as they come: JSON lines after a header that says what they are answers to.

A line is on disk before the next batch is asked, so a killed evaluation goes on at the example where it stopped. A line
cut off by the kill is taken away. Each line holds a digest of itself.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from trainers.process.errors import TrainerError
from trainers.process.files import write_jsonl
from trainers.process.sealed import sealed, unsealed


class Journal:
    """The answers in `path`, by example.

    Raises:
        TrainerError: they are answers to something else, or a line was changed.
    """

    def __init__(self, path: Path, identity: dict[str, Any]) -> None:
        self.path = path
        self.rows: dict[int, dict[str, Any]] = {}
        found = list(_whole_lines(path))
        if found:
            _check_same(path, found[0], identity)
            self.rows = {row["example"]: row for row in found[1:]}
        else:
            write_jsonl(path, [sealed(identity)])
        self._file = path.open("ab")
        self._file.truncate(_whole_bytes(path))

    def append(self, rows: Iterable[dict[str, Any]]) -> None:
        """Write rows of examples that have none yet, and wait until they are on disk."""
        new = {row["example"]: row for row in rows if row["example"] not in self.rows}
        text = "".join(json.dumps(sealed(row), separators=(",", ":")) + "\n" for row in new.values())
        self._file.write(text.encode())
        self._file.flush()
        os.fsync(self._file.fileno())
        self.rows |= new

    def close(self) -> None:
        """Close the file. What was added is on the disk already."""
        self._file.close()


def _whole_bytes(path: Path) -> int:
    return path.read_bytes().rfind(b"\n") + 1


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    whole = path.read_bytes()[: _whole_bytes(path)]
    try:
        found = [unsealed(json.loads(line)) for line in whole.splitlines()]
    except (ValueError, RecursionError):
        found = [None]
    rows = [row for row in found if row is not None]
    if len(rows) < len(found) or not all(isinstance(row.get("example"), int) for row in rows[1:]):
        raise TrainerError(f"{path} is damaged", "remove it: its task is then asked again")
    return rows


def _check_same(path: Path, there: dict[str, Any], here: dict[str, Any]) -> None:
    differ = [name for name in sorted(there.keys() | here.keys()) if there.get(name) != here.get(name)]
    if differ:
        raise TrainerError(
            f"{path} holds another evaluation, with another {', '.join(differ)}",
            "give another --out, or remove that one",
        )
