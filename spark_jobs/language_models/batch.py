"""The batch mode of providers: many requests in a file, answered within a day, at a lower price.

Requests are split into batches of at most `SIZE`, which are with the provider at the same time. A batch is written to
a file beside the journal before it is created, with a tag that the provider keeps. After a kill, the next run finds the
batch by that file and its tag, and reads its results: it is not created a second time. What a batch that expired has
answered is kept, and the rest is asked in another one.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catalog.errors import WatershedError
from catalog.files import write_whole
from catalog.lake import Lake
from catalog.progress import track
from spark_jobs.language_models.attempt import LOST, REFUSED, REJECTED, Attempt
from spark_jobs.language_models.client import Check, Client, answered
from spark_jobs.language_models.endpoint import Endpoint
from spark_jobs.language_models.replies import MalformedReply, bounded_json, error_message, reply_of, sound_text
from spark_jobs.language_models.request import Request, canonical

if TYPE_CHECKING:
    from openai import AsyncOpenAI

SIZE = 10_000
"""Most requests of a batch."""

ENDED = ("completed", "failed", "expired", "cancelled")

LARGEST_RESULTS = 2_000_000_000
"""Most bytes of the results of a batch."""


def ask_batch(
    lake: Lake,
    endpoint: Endpoint,
    requests: Sequence[Request],
    *,
    purpose: str,
    check: Check | None = None,
    cap: float | None = None,
    rounds: int = 3,
    poll_seconds: float = 30.0,
    wait_seconds: float = 86_400.0,
) -> list[Attempt]:
    """Return the last attempt of each request, in their order, as `client.ask` does, through the provider's batches.

    Args:
        lake: the lake with the ledger.
        endpoint: the model to ask; its server has /files and /batches.
        requests: the requests, all chats or all texts.
        purpose: what the replies are for; stored in the ledger.
        check: reads a reply against a schema.
        cap: the most that these requests may cost in US dollars, with what earlier runs paid for them.
        rounds: batches that a request may be part of in this run.
        poll_seconds: seconds between two looks at a batch.
        wait_seconds: seconds to wait for a batch. It goes on after that, and the next run reads its results.

    Raises:
        WatershedError: the requests are of both kinds, the cap does not allow the next batch, the server refuses it,
            or it is not done in time.

    Example:
        >>> requests = [Request.chat(f"Name river {n}.") for n in range(50_000)]
        >>> rows = ask_batch(lake, endpoint, requests, purpose="rivers", cap=20.0)
        >>> sum(row.answered for row in rows)
        50000
    """
    if len({request.is_chat for request in requests}) > 1:
        raise WatershedError(
            "some requests are chats, others are texts to continue; a batch has one kind", "ask each kind by itself"
        )

    async def run() -> list[Attempt]:
        # Results are as long as all replies together.
        large = min(LARGEST_RESULTS, endpoint.settings.reply_bytes * max(1, min(SIZE, len(requests))))
        wide = replace(endpoint, settings=replace(endpoint.settings, reply_bytes=large))
        async with Client(lake, wide, purpose=purpose, cap=cap) as client:
            batches = _Batches(client, check, poll_seconds, wait_seconds)
            return await batches.replies(requests, rounds)

    return asyncio.run(run())


class _Batches:
    def __init__(self, client: Client, check: Check | None, poll_seconds: float, wait_seconds: float) -> None:
        self.client, self.check = client, check
        self.poll_seconds, self.wait_seconds = poll_seconds, wait_seconds
        self.endpoint, self.ledger, self.scrub = client.endpoint, client.ledger, client.wire.scrub
        self.openai: AsyncOpenAI = client.wire.openai
        self.folder = self.ledger.folder / "batches"
        self._known: dict[str, Request] = {}
        self._open: dict[Path, float] = {}
        """Batches of this run whose results are not recorded, with the most that each can cost."""
        self._paid = 0.0
        """What the results that this process has recorded cost."""

    async def replies(self, requests: Sequence[Request], rounds: int) -> list[Attempt]:
        known = {request.identity(self.endpoint.model, self.endpoint.revision): request for request in requests}
        self._known = known
        self.ledger.load(known)
        with track(f"{self.client.purpose} (batch)", len(known), "requests") as task:
            for path in sorted(self.folder.glob("*.json")):
                await self._finish(path)
            for _ in range(rounds):
                due = [name for name in known if self._is_due(name)]
                task.reach(len(known) - len(due))
                if not due:
                    break
                waiting: deque[Path] = deque()
                for chosen in _pieces(due, SIZE):
                    planned = self._planned(chosen)
                    # A batch that ends gives back what it reserved and did not need.
                    while waiting and not self._has_room(planned):
                        await self._finish(waiting.popleft())
                    waiting.append(await self._create(planned))
                while waiting:
                    await self._finish(waiting.popleft())
                    task.reach(sum(not self._is_due(name) for name in known))
        found = [
            self.ledger.past(request.identity(self.endpoint.model, self.endpoint.revision)) for request in requests
        ]
        return [past.answered or past.last for past in found if past.last]

    def _is_due(self, name: str) -> bool:
        past = self.ledger.past(name)
        if past.last is None:
            return True
        if past.answered or past.last.outcome == REJECTED:
            return False
        return past.last.outcome == REFUSED or self.endpoint.asks_lost

    def _planned(self, names: Iterable[str]) -> list[Attempt]:
        share = self.endpoint.settings.batch_share
        return [
            self.client.planned(
                self._known[name],
                name,
                self.ledger.past(name).attempts + 1,
                self.endpoint.bound(self._known[name], share),
            )
            for name in names
        ]

    def _require_room(self, planned: Sequence[Attempt]) -> None:
        spent = sum(self.ledger.past(name).spent for name in self._known)
        reserved = sum(self._open.values()) + sum(row.cost_bound for row in planned)
        self.client.require_room(spent, reserved, self._paid)

    def _has_room(self, planned: Sequence[Attempt]) -> bool:
        try:
            self._require_room(planned)
        except WatershedError:
            return False
        return True

    async def _create(self, planned: Sequence[Attempt]) -> Path:
        """Write down a batch and create it; return the file that describes it."""
        self._require_room(planned)
        tag = hashlib.sha256(canonical([row.key for row in planned]).encode()).hexdigest()[:32]
        chat = self._known[planned[0].request].is_chat
        url = "/v1/chat/completions" if chat else "/v1/completions"
        path = self.folder / f"{tag}.json"
        write_whole(path, json.dumps({"tag": tag, "chat": chat, "rows": [row.to_json() for row in planned]}).encode())
        lines = [
            canonical({"custom_id": row.request, "method": "POST", "url": url, "body": self._body(row.request)})
            for row in planned
        ]
        data = io.BytesIO("\n".join(lines).encode() + b"\n")
        try:
            file = await self.openai.files.create(file=(f"{tag}.jsonl", data), purpose="batch")
            await self.openai.batches.create(
                input_file_id=file.id,
                endpoint=url,
                completion_window="24h",
                metadata={"watershed": tag},
                extra_headers={"Idempotency-Key": tag},
            )
        except Exception as error:  # whatever the server replied, the next run looks for the tag
            raise self._refused(error) from None
        self._open[path] = sum(row.cost_bound for row in planned)
        return path

    def _body(self, name: str) -> dict[str, Any]:
        return self._known[name].body(self.endpoint.model, with_schema=self.endpoint.settings.json_schema)

    def _refused(self, error: Exception) -> WatershedError:
        cause = self.scrub(f"{type(error).__name__}: {error}")[:200]
        return WatershedError(
            f"[models.{self.endpoint.name}] the batch mode of {self.endpoint.url} failed: {cause}",
            "run it again: a batch that was created is found by its tag, and not paid for again",
        )

    async def _finish(self, path: Path) -> None:
        """Wait for the batch that the file describes, record its results, and remove the file."""
        noted = json.loads(path.read_bytes())
        planned = [Attempt.from_json(values) for values in noted["rows"]]
        try:
            batch = await self._found(noted["tag"])
            if batch is not None:
                batch = await self._ended(batch)
                texts = [await self._content(batch.output_file_id), await self._content(batch.error_file_id)]
        except WatershedError:
            raise
        except Exception as error:
            raise self._refused(error) from None
        if batch is not None:
            results = dict(_lines(texts))
            for row in planned:
                if self.ledger.past(row.request).attempts < row.attempt:
                    await self.ledger.sent(replace(row, batch=batch.id))
                    done = self._row(row, results.get(row.request), noted["chat"], batch)
                    await self.ledger.done(done)
                    self._paid += done.spent
        path.unlink()
        self._open.pop(path, None)
        if batch is not None and batch.status == "failed":
            cause = self._cause(batch)
            raise WatershedError(
                f"[models.{self.endpoint.name}] the provider refused the batch {str(batch.id)[:100]}"
                + (f": {cause}" if cause else ""),
                "mend what it names and run it again: replies of other batches are kept",
            )

    def _cause(self, batch: Any) -> str:
        """What a batch says of its failure. Its types are the provider's word, and are not relied on."""
        faults = getattr(getattr(batch, "errors", None), "data", None)
        messages = [getattr(each, "message", None) for each in faults] if isinstance(faults, list) else []
        return next((self.scrub(sound_text(each))[:500] for each in messages if isinstance(each, str) and each), "")

    async def _found(self, tag: str) -> Any:
        async for batch in self.openai.batches.list(limit=100):
            if isinstance(batch.metadata, dict) and batch.metadata.get("watershed") == tag:
                return batch
        return None

    async def _ended(self, batch: Any) -> Any:
        until = time.monotonic() + self.wait_seconds
        while batch.status not in ENDED:
            if time.monotonic() > until:
                raise WatershedError(
                    f"the batch {batch.id} is not done after {self.wait_seconds:.0f} s ({batch.status})",
                    "run it again later: the batch goes on, and its results are read then",
                )
            await asyncio.sleep(self.poll_seconds)
            batch = await self.openai.batches.retrieve(batch.id)
        return batch

    async def _content(self, file: str | None) -> str:
        return (await self.openai.files.content(file)).text if file else ""

    def _row(self, planned: Attempt, result: Any, chat: bool, batch: Any) -> Attempt:
        planned = replace(planned, batch=str(batch.id)[:200])
        if result is None:
            # A provider charges for what it has answered, and lists that.
            cause = self._cause(batch) or None
            return replace(planned, outcome=REFUSED, error=f"batch_{batch.status}", message=cause, cost=0.0)
        response = result.get("response") if isinstance(result.get("response"), dict) else {}
        status = response.get("status_code")
        planned = replace(planned, status=status if isinstance(status, int) and 0 <= status < 1000 else None)
        if status == 200:
            try:
                reply = self.client.wire.scrubbed(reply_of(response.get("body"), chat=chat))
            except MalformedReply as error:
                return replace(planned, outcome=LOST, error="malformed", message=self.scrub(str(error)))
            return answered(planned, reply, self.endpoint, self.check, self.endpoint.settings.batch_share)
        message = self.scrub(error_message(result.get("error") or response.get("body")))[:500] or None
        again = status is None or status == 429 or (isinstance(status, int) and status >= 500)
        outcome = REFUSED if again else REJECTED
        return replace(planned, outcome=outcome, error="batch_error", message=message, cost=0.0)


def _lines(texts: Iterable[str]) -> Iterable[tuple[str, dict[str, Any]]]:
    for text in texts:
        for line in text.splitlines():
            try:
                value = bounded_json(line)
            except MalformedReply:
                continue
            if isinstance(value, dict) and isinstance(value.get("custom_id"), str):
                yield value["custom_id"], value


def _pieces(names: list[str], size: int) -> list[list[str]]:
    return [names[start : start + size] for start in range(0, len(names), size)]
