"""The ledger: the attempts of one model, in the table `models.requests` and in the journal that is not yet part of it.

One process writes the ledger of a model at a time. An attempt is in the journal before it is sent (`sent`), and its
outcome before the reply counts (`done`). The journal is folded into the table in batches: the folded attempts are
committed, and then the journal that held them is removed. After a kill between the two, the next process finds these
attempts in the table and leaves them out; attempts without an outcome become rows that are `lost`.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import re
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catalog.errors import WatershedError
from catalog.fingerprint import fingerprint
from catalog.lake import Lake
from catalog.reads import not_recorded
from spark_jobs.compute import pc
from spark_jobs.language_models.attempt import ANSWERED, LOST, REQUESTS, Attempt, from_table, to_table
from spark_jobs.language_models.journal import Journal, read_journal

if TYPE_CHECKING:
    import numpy as np

FOLD = 2000
"""Attempts in the journal before they are committed to the table."""

LOOKED_UP = 1000
"""Requests that one query of the table looks up."""

LOCK_WAIT = 600.0
"""Seconds to wait for another process that asks the same model."""


@dataclass(frozen=True)
class Past:
    """What the ledger knows of a request."""

    attempts: int = 0
    """The number of its last attempt."""
    answered: Attempt | None = None
    last: Attempt | None = None
    spent: float = 0.0
    """What it counts against a cap, in US dollars."""
    lost: float = 0.0
    """The part of `spent` that lost attempts may have cost. If the server charges a request once, this is the largest
    bound of them, and nothing once there is a reply."""


class Ledger:
    """The attempts of `model`. Use `Ledger.open`, and close it."""

    def __init__(self, lake: Lake, model: str, *, once: bool, fold: int = FOLD) -> None:
        self.lake, self.model, self.fold = lake, model, fold
        self._once = once
        self._rows: dict[str, list[Attempt]] = defaultdict(list)
        """Attempts in memory, by request: those of this process, and those that were looked up."""
        self._loaded: set[str] = set()
        self._in_flight: dict[tuple[str, int], Attempt] = {}
        self._finishing: dict[tuple[str, int], Attempt] = {}
        """Attempts in flight whose outcome is being written to the journal."""
        self._unfolded: dict[tuple[str, int], Attempt] = {}
        self._known: np.ndarray
        """Sorted 16-byte ids of the requests in the table."""
        self.spent_before = 0.0
        """What the model has cost before, in US dollars; unknown costs count with their bounds."""
        self._folding: asyncio.Task[None] | None = None
        self._unsure = False
        """Whether a commit failed, so that the table may or may not have its rows."""

    @classmethod
    def open(cls, lake: Lake, model: str, *, once: bool, fold: int = FOLD, wait: float = LOCK_WAIT) -> Ledger:
        """Lock the ledger of a model, and recover what a killed process left in its journal.

        Args:
            lake: the lake.
            model: the model, as the endpoint knows it.
            once: whether the server charges a request once, however often it is sent.
            fold: attempts in the journal before they are committed to the table.
            wait: seconds to wait for another process that asks the same model.

        Raises:
            WatershedError: another process asks the model for longer than that, or the journal is damaged.
        """
        ledger = cls(lake, model, once=once, fold=fold)
        ledger.folder.mkdir(parents=True, exist_ok=True)
        ledger._lock(wait)
        try:
            with not_recorded():
                lake.create(REQUESTS)
                ledger._recover()
                ledger._index()
            ledger._journal = Journal(ledger.folder / f"{ledger._next_segment():08}.jsonl")
        except BaseException:
            ledger._unlock()
            raise
        return ledger

    @property
    def folder(self) -> Path:
        """The folder of the journal."""
        readable = re.sub(r"[^A-Za-z0-9._-]+", "-", self.model)[:40].strip(".-")
        digest = hashlib.sha256(self.model.encode()).hexdigest()[:12]
        return self.lake.folder("models.requests", "journal", f"{readable}-{digest}")

    def _lock(self, wait: float) -> None:
        self._lock_file = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        until = time.monotonic() + wait
        while True:
            try:
                fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                if time.monotonic() >= until:
                    os.close(self._lock_file)
                    raise WatershedError(
                        f"another process has asked the model {self.model} for {wait:.0f} s",
                        "run it again when that process has ended",
                    ) from None
                time.sleep(0.05)
            else:
                return

    def _unlock(self) -> None:
        os.close(self._lock_file)

    def _segments(self) -> list[Path]:
        return sorted(self.folder.glob("*.jsonl"))

    def _next_segment(self) -> int:
        return max((int(path.stem) for path in self._segments()), default=0) + 1

    def _recover(self) -> None:
        """Commit what the journal holds, and remove it."""
        found: dict[tuple[str, int], Attempt] = {}
        segments = self._segments()
        for path in segments:
            for record in read_journal(path):
                attempt = Attempt.from_json(record["attempt"])
                # An attempt that was in flight when a segment ended is written into the next one again.
                if record["kind"] == "done" or attempt.key not in found:
                    found[attempt.key] = attempt
        self._commit(found.values(), again=True)
        for path in segments:
            path.unlink()

    def _commit(self, attempts: Iterable[Attempt], *, again: bool = False) -> None:
        rows = sorted(attempts, key=lambda each: each.key)
        if again and rows:
            there = {row.key for row in self._read({row.request for row in rows})}
            rows = [row for row in rows if row.key not in there]
        if rows:
            made = fingerprint(REQUESTS.name, [row.key for row in rows])
            self.lake.append(REQUESTS, to_table(rows), made, {"model": self.model})

    def _dataset(self) -> Any:
        return self.lake.table(REQUESTS.name).to_pyarrow_dataset(partitions=[("model", "=", self.model)])

    @not_recorded()
    def _read(self, requests: Iterable[str]) -> list[Attempt]:
        import pyarrow.dataset as ds

        dataset, wanted, found = self._dataset(), sorted(requests), []
        for start in range(0, len(wanted), LOOKED_UP):
            chosen = ds.field("request").isin(wanted[start : start + LOOKED_UP])
            found += from_table(dataset.to_table(filter=chosen))
        return found

    def _index(self) -> None:
        import numpy as np

        columns = self._dataset().to_table(columns=["request", "outcome", "cost", "cost_bound"])
        names = columns["request"].unique().to_pylist()
        self._known = np.sort(np.array([bytes.fromhex(name) for name in names], dtype="S16"))
        is_lost = pc.equal(columns["outcome"], LOST)
        lost, kept = columns.filter(is_lost), columns.filter(pc.invert(is_lost))
        if self._once:
            # A request is charged once: with its reply, or with one of its lost attempts.
            answered = kept.filter(pc.equal(kept["outcome"], ANSWERED))["request"]
            lost = lost.filter(pc.invert(pc.is_in(lost["request"], value_set=answered.combine_chunks())))
            bounds = lost.group_by("request").aggregate([("cost_bound", "max")])["cost_bound_max"]
        else:
            bounds = lost["cost_bound"]
        costs = pc.coalesce(kept["cost"], kept["cost_bound"])
        self.spent_before = (pc.sum(costs).as_py() or 0.0) + (pc.sum(bounds).as_py() or 0.0)

    def load(self, requests: Iterable[str]) -> None:
        """Read the attempts of these requests into memory, in few queries."""
        unread = {name for name in requests if name not in self._loaded and self._is_known(name)}
        self._loaded |= unread
        for row in self._read(unread) if unread else ():
            self._rows[row.request].append(row)

    @not_recorded()
    def load_purpose(self, purpose: str) -> None:
        """Read all attempts with that purpose into memory."""
        import pyarrow.dataset as ds

        rows = from_table(self._dataset().to_table(filter=ds.field("purpose") == purpose))
        new = {row.request for row in rows} - self._loaded
        self._loaded |= new
        # Attempts of the same request may have other purposes.
        for row in self._read(new) if new else ():
            self._rows[row.request].append(row)

    def _is_known(self, request: str) -> bool:
        import numpy as np

        wanted = np.array([bytes.fromhex(request)], dtype="S16")
        place = int(np.searchsorted(self._known, wanted)[0])
        return place < len(self._known) and self._known[place] == wanted[0]

    def past(self, request: str) -> Past:
        """Return what is known of a request."""
        self.load([request])
        rows = sorted(self._rows.get(request, ()), key=lambda row: row.attempt)
        if not rows:
            return Past()
        answered = next((row for row in rows if row.answered), None)
        bounds = [row.spent for row in rows if row.outcome == LOST]
        lost = (0.0 if answered else max(bounds, default=0.0)) if self._once else sum(bounds)
        spent = sum(row.spent for row in rows if row.outcome != LOST) + lost
        return Past(rows[-1].attempt, answered, rows[-1], spent, lost)

    async def sent(self, attempt: Attempt) -> None:
        """Record an attempt, before it is sent."""
        self._in_flight[attempt.key] = attempt
        await self._journal.append({"kind": "sent", "attempt": attempt.to_json()})

    async def done(self, attempt: Attempt) -> None:
        """Record the outcome of an attempt, before it counts; commit the journal if it has become long.

        Raises:
            WatershedError: the journal or the table cannot be written.
        """
        self._finishing[attempt.key] = attempt
        await self._journal.append({"kind": "done", "attempt": attempt.to_json()})
        self._finishing.pop(attempt.key)
        self._in_flight.pop(attempt.key, None)
        self._unfolded[attempt.key] = attempt
        self._rows[attempt.request].append(attempt)
        await self._fold_if_long()

    async def _fold_if_long(self) -> None:
        if self._folding and self._folding.done():
            ended, self._folding = self._folding, None
            ended.result()
        if self._folding is None and len(self._unfolded) >= self.fold:
            self._folding = asyncio.create_task(self._fold())
        if self._folding and len(self._unfolded) >= 2 * self.fold:
            await asyncio.shield(self._folding)

    async def _fold(self) -> None:
        """Begin a new segment of the journal, commit what the ones before it hold, and remove those."""
        old, ended = self._journal, self._segments()
        self._journal = Journal(self.folder / f"{self._next_segment():08}.jsonl")
        carried = {key: ("sent", each) for key, each in self._in_flight.items()}
        carried |= {key: ("done", each) for key, each in self._finishing.items()}
        # Without a turn of the event loop in between, so that nothing is sent or done meanwhile.
        self._journal.write_now([{"kind": kind, "attempt": each.to_json()} for kind, each in carried.values()])
        rows, self._unfolded = self._unfolded, {}
        await old.drain()
        old.close()
        try:
            await asyncio.to_thread(self._commit, list(rows.values()))
        except BaseException:
            self._unfolded, self._unsure = {**rows, **self._unfolded}, True
            raise
        for path in ended:
            path.unlink()

    async def close(self) -> None:
        """Commit everything, attempts in flight as `lost`, and unlock the ledger.

        Raises:
            WatershedError: the table cannot be written. The journal is then kept for the next `open`.
        """
        try:
            if self._folding:
                await asyncio.wait([self._folding])
            await self._journal.drain()
            self._journal.close()
            left = [
                self._finishing.get(key) or replace(each, error="interrupted") for key, each in self._in_flight.items()
            ]
            await asyncio.to_thread(self._commit, [*self._unfolded.values(), *left], again=self._unsure)
            for path in self._segments():
                path.unlink()
        finally:
            self._unlock()


@not_recorded()
def attempts_of(lake: Lake, requests: Sequence[str], model: str) -> list[Attempt]:
    """Return all attempts of requests to a model that are in the table, ordered by request and attempt."""
    if not lake.exists(REQUESTS.name):
        return []
    found = Ledger(lake, model, once=False)._read(set(requests))
    return sorted(found, key=lambda row: row.key)
