"""Scores the rows of a file in order, and makes the summary."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from catalog.errors import WatershedError
from dagster_project.cli.scoring.rows import lines, read_row
from dagster_project.cli.scoring.scorer import Options, Row, Scorer
from trainers.process.errors import TrainerError


@dataclass
class Scoring:
    """A file that is being scored: iterate over `rows`, then read `summary`."""

    scorer: Scorer
    options: Options
    path: Path
    skip_bad: bool
    scored: list[Row] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)
    """Of each row that was skipped, the file, the line and the cause."""

    def rows(self) -> Iterator[Row]:
        """The scored rows, in the order of the file.

        Raises:
            WatershedError: a row is malformed, with file and line, unless such rows are skipped.
        """
        score, self._summarise = self.scorer.load()
        workers = (os.cpu_count() or 1) if self.scorer.concurrent else 1

        def one(line: bytes | None) -> Row:
            row = read_row(line, self.scorer.fields, self.scorer.prepare)
            return {"id": row["id"], **score(row, self.options)}

        with ThreadPoolExecutor(workers) as pool:
            waiting: deque[tuple[int, Future[Row]]] = deque()
            try:
                for number, line in lines(self.path):
                    waiting.append((number, pool.submit(one, line)))
                    if len(waiting) > 4 * workers:
                        yield from self._finished(*waiting.popleft())
                while waiting:
                    yield from self._finished(*waiting.popleft())
            finally:
                for _, future in waiting:
                    future.cancel()

    def _finished(self, number: int, future: Future[Row]) -> Iterator[Row]:
        try:
            row = future.result()
        except (WatershedError, TrainerError) as error:
            cause = f"{self.path}:{number}: {error.cause}"
            if not self.skip_bad:
                raise WatershedError(cause, f"{error.mend}, or give --skip-bad") from None
            self.bad.append(cause)
            return
        self.scored.append(row)
        yield row

    def summary(self) -> Row:
        """The summary of the rows that were scored."""
        found: Row = {"scorer": self.scorer.name, "rule": self.options.rule, "rows": len(self.scored)}
        if self.skip_bad:
            found["bad_rows"] = len(self.bad)
        return {**found, **self._summarise(self.scored, self.options)}
