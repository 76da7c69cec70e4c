"""A model asked the declared tasks: from files of instances to files of recorded replies."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from catalog.errors import WatershedError
from catalog.files import write_whole
from catalog.lake import Lake
from catalog.names import close
from catalog.settings import Settings
from dagster_project.engine.model_server import answering
from dagster_project.families.tulu.records import lines
from spark_jobs.tulu.asking import replies
from spark_jobs.tulu.suites import tasks


def evaluate(
    settings: Settings, lake: Lake, names: Sequence[str], *, model: str, data: Path, judge: str, out: Path
) -> Iterator[tuple[Path, int]]:
    """Write the replies of a model to each task; yields each file and its rows.

    Raises:
        WatershedError: a task or a model is unknown, a file cannot be read, or see `asking.replies`.
    """
    known = tasks()
    if unknown := [name for name in names if name not in known]:
        raise WatershedError(f"no task is called {unknown[0]!r}{close(unknown[0], known)}", f"use {', '.join(known)}")
    with ExitStack() as servers:
        endpoint = servers.enter_context(answering(settings, model))
        judging = servers.enter_context(answering(settings, judge)) if judge else None
        for name in names:
            instances = [row for _, row in lines(data / f"{name}.jsonl")]
            shown = data / f"{name}.examples.jsonl"
            examples = [row for _, row in lines(shown)] if known[name].shots else []
            found = replies(lake, endpoint, known[name], instances, examples, judge=judging)
            path = out / model / f"{name}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found).encode())
            yield path, len(found)
