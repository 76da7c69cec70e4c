"""The client: replies to requests, in their order, each paid for once.

`ask` takes a list. `Client` is for requests that depend on earlier replies, such as the turns of a dialogue.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.progress import Task, track
from spark_jobs.language_models.attempt import ANSWERED, LOST, REFUSED, Attempt
from spark_jobs.language_models.endpoint import Endpoint
from spark_jobs.language_models.limits import FIRST_DELAY, LONGEST_DELAY, Budget, CapReached, Pace, delay_after
from spark_jobs.language_models.replies import Reply
from spark_jobs.language_models.request import Request
from spark_jobs.language_models.requests import FOLD, Ledger, Past
from spark_jobs.language_models.wire import Outcome, Wire

Result = TypeVar("Result")


@dataclass(frozen=True)
class Checked:
    """A reply against its schema; the fields are those of `Attempt`."""

    parsed: str | None = None
    repair: str | None = None
    problem: str | None = None


Check = Callable[[str], Checked]
"""Reads the text of a reply against a schema. It must give the same result for the same text."""


def ask(
    lake: Lake,
    endpoint: Endpoint,
    requests: Sequence[Request],
    *,
    purpose: str,
    check: Check | None = None,
    cap: float | None = None,
    first_delay: float = FIRST_DELAY,
) -> list[Attempt]:
    """Return the last attempt of each request, in the order of the requests.

    A request that has been answered before, in this run or an earlier one, is not sent again. A request that appears
    twice is sent once. One that failed is among the results with its failure, and is sent again by the next call.

    Args:
        lake: the lake with the ledger.
        endpoint: the model to ask.
        requests: the requests.
        purpose: what the replies are for; stored in the ledger.
        check: reads a reply against a schema; see `structured.ask_structured`.
        cap: the most that these requests may cost in US dollars, with what earlier runs paid for them.
        first_delay: seconds before the second attempt of a request.

    Raises:
        WatershedError: the cap is reached, the server refuses the key or does not answer at all, or another process
            asks the same model. All replies that came are in the ledger.

    Example:
        >>> rows = ask(lake, endpoint, [Request.chat(f"Name river {n}.") for n in range(100)], purpose="rivers")
        >>> [row.text for row in rows if row.answered]
    """

    async def run(client: Client) -> list[Attempt]:
        with track(f"{purpose} of {endpoint.name}", len(requests), "requests") as task:
            return await client.replies(requests, check=check, task=task)

    return converse(lake, endpoint, run, purpose=purpose, cap=cap, first_delay=first_delay)


def converse(
    lake: Lake,
    endpoint: Endpoint,
    run: Callable[[Client], Coroutine[Any, Any, Result]],
    *,
    purpose: str,
    cap: float | None = None,
    first_delay: float = FIRST_DELAY,
    fold: int = FOLD,
) -> Result:
    """Run a coroutine with a `Client` in an event loop of its own, and return its result.

    Example:
        >>> async def two_turns(client):
        ...     first = await client.reply(Request.chat("Name a river."))
        ...     history = (("user", "Name a river."), ("assistant", first.text))
        ...     return await client.reply(Request.chat("Where does it end?", history=history))
        >>> converse(lake, endpoint, two_turns, purpose="rivers").text
    """

    async def main() -> Result:
        async with Client(lake, endpoint, purpose=purpose, cap=cap, first_delay=first_delay, fold=fold) as client:
            return await run(client)

    return asyncio.run(main())


class Client:
    """Asks one endpoint, and records every attempt. Use it as an asynchronous context manager."""

    def __init__(
        self,
        lake: Lake,
        endpoint: Endpoint,
        *,
        purpose: str,
        cap: float | None = None,
        first_delay: float = FIRST_DELAY,
        fold: int = FOLD,
    ) -> None:
        self.lake, self.endpoint, self.purpose = lake, endpoint, purpose
        self._cap, self._first_delay, self._fold = cap, first_delay, fold
        self._slots = asyncio.Semaphore(endpoint.settings.concurrency)
        self._pace = Pace(endpoint.settings.requests_per_minute, endpoint.settings.tokens_per_minute)
        self._pending: dict[str, asyncio.Task[Attempt]] = {}
        self._sending: set[asyncio.Task[Any]] = set()
        """Tasks with an attempt between its first record and its last."""
        self._stopping = False
        self._counted: set[str] = set()
        self._unreachable = 0
        self._tokens = 0
        self._heard = False
        """Whether the server has replied to this client in any way."""

    async def __aenter__(self) -> Client:
        self.wire = Wire(self.endpoint)
        # Waiting for another process must not stop the event loop.
        self.ledger = await asyncio.to_thread(
            Ledger.open, self.lake, self.endpoint.model, once=self.endpoint.settings.idempotent, fold=self._fold
        )
        self._budget = Budget(self._cap)
        self._model_budget = Budget(self.endpoint.settings.cap or None, self.ledger.spent_before)
        await self.wire.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        # What is being sent may be paid for already, so its reply is waited for, unless the program is to end at once.
        self._stopping = True
        at_once = bool(error) and isinstance(error[1], (KeyboardInterrupt, asyncio.CancelledError))
        left = list(self._pending.values())
        for task in left:
            if at_once or task not in self._sending:
                task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        try:
            await self.wire.__aexit__(*error)
        finally:
            await self.ledger.close()

    @property
    def spent(self) -> float:
        """What the requests of this client cost, in US dollars, with what earlier runs paid for them."""
        return self._budget.spent

    @property
    def note(self) -> str:
        """What this client has got so far, for a line of progress."""
        price = f", ${self._budget.spent:,.2f}" if self.endpoint.priced else ""
        return f"{self._tokens:,} tokens written{price}"

    async def replies(
        self, requests: Sequence[Request], *, check: Check | None = None, task: Task | None = None
    ) -> list[Attempt]:
        """Return the last attempt of each request, in the order of the requests, as `ask` does."""
        self.ledger.load(self._identity(request) for request in requests)
        results: list[Attempt | None] = [None] * len(requests)
        waiting = iter(enumerate(requests))

        async def work() -> None:
            for place, request in waiting:
                results[place] = await self.reply(request, check=check)
                if task:
                    task.advance(note=self.note)

        await gathered(work() for _ in range(min(self.endpoint.settings.concurrency, len(requests))))
        return [row for row in results if row is not None]

    async def reply(self, request: Request, *, check: Check | None = None) -> Attempt:
        """Return the last attempt of a request: its reply, or how it failed.

        Raises:
            WatershedError: see `ask`.
        """
        identity = self._identity(request)
        if identity not in self._pending:
            self._pending[identity] = asyncio.create_task(self._once(request, identity, check))
            self._pending[identity].add_done_callback(lambda _: self._pending.pop(identity, None))
        return await asyncio.shield(self._pending[identity])

    def _identity(self, request: Request) -> str:
        return request.identity(self.endpoint.model, self.endpoint.revision)

    async def _once(self, request: Request, identity: str, check: Check | None) -> Attempt:
        past = self.ledger.past(identity)
        if identity not in self._counted:
            self._counted.add(identity)
            self._budget.spent += past.spent
        if past.answered:
            return past.answered
        if past.last and past.last.outcome == LOST and not self.endpoint.asks_lost:
            return past.last
        async with self._slots:
            return await self._attempts(request, identity, past, check)

    async def _attempts(self, request: Request, identity: str, past: Past, check: Check | None) -> Attempt:
        most, once, bound = self.endpoint.settings.attempts, self.endpoint.settings.idempotent, self._bound(request)
        # A charge that an earlier process may have caused is the charge of this request, if there is one only.
        held = once and past.lost > 0
        for budget in self._budgets if held else ():
            budget.hold(past.lost, bound)
        try:
            for number in range(1, most + 1):
                await self._pace.wait(request.prompt_token_bound + request.settings.max_tokens)
                if not held:
                    await self._reserve(bound)
                    held = True
                row, outcome = await self._attempt(request, identity, past.attempts + number, check)
                if not (once and row.outcome == LOST):
                    self._settle(bound, row.spent)
                    held = False
                self._stop_if_hopeless(outcome, last=number == most)
                again = row.outcome == REFUSED or (row.outcome == LOST and self.endpoint.asks_lost)
                if not again or number == most or self._stopping:
                    break
                if outcome.pause is not None and row.error == "rate_limited":
                    self._pace.pause(outcome.pause)
                delay = delay_after(identity, number, first=self._first_delay)
                await asyncio.sleep(min(LONGEST_DELAY, max(delay, outcome.pause or 0.0)))
            return row
        finally:
            if held:
                self._settle(bound, bound)

    async def _attempt(
        self, request: Request, identity: str, number: int, check: Check | None
    ) -> tuple[Attempt, Outcome]:
        planned = self.planned(request, identity, number, self._bound(request))
        running = asyncio.current_task()
        assert running is not None
        self._sending.add(running)
        try:
            await self.ledger.sent(planned)
            outcome = await self.wire.exchange(request, identity, number)
            row = finished(planned, outcome, self.endpoint, check)
            await self.ledger.done(row)
            self._tokens += row.reply_tokens or 0
        finally:
            self._sending.discard(running)
        return row, outcome

    def _bound(self, request: Request) -> float:
        return self.endpoint.bound(request)

    @property
    def _budgets(self) -> tuple[Budget, Budget]:
        return self._budget, self._model_budget

    async def _reserve(self, bound: float) -> None:
        reserved: list[Budget] = []
        for budget in self._budgets:
            try:
                await budget.reserve(bound)
            except BaseException as error:
                for other in reserved:
                    other.settle(bound, 0.0)
                if not isinstance(error, CapReached):
                    raise
                raise self._reached(budget, bound) from None
            reserved.append(budget)

    def _reached(self, budget: Budget, bound: float) -> WatershedError:
        return WatershedError(
            f"the cap on spending is reached: ${budget.spent:.4f} of ${budget.cap:.4f} are spent on "
            f"{self.endpoint.model}, and the next request may cost ${bound:.4f}",
            "raise the cap and run it again: replies that came are not paid for again",
        )

    def require_room(self, spent: float, bound: float, paid: float) -> None:
        """Check that `bound` fits under the caps.

        Args:
            spent: what was spent on the requests of this run, in US dollars, in earlier runs too.
            bound: the most that is to be spent, with what is reserved already.
            paid: what this run has spent on the model.

        Raises:
            WatershedError: it does not.
        """
        for budget, before in zip(self._budgets, (spent, self._model_budget.spent + paid), strict=True):
            if budget.cap is not None and before + bound > budget.cap * (1 + 1e-12):
                raise self._reached(replace(budget, spent=before), bound)

    def _settle(self, bound: float, cost: float) -> None:
        for budget in self._budgets:
            budget.settle(bound, cost)

    def planned(self, request: Request, identity: str, number: int, bound: float) -> Attempt:
        """Return an attempt as it is recorded before it is sent."""
        return Attempt(
            request=identity,
            attempt=number,
            model=self.endpoint.model,
            revision=self.endpoint.revision,
            endpoint=self.endpoint.name,
            purpose=self.purpose,
            prompt=self.wire.scrub(request.prompt_json),
            prompt_digest=request.prompt_digest,
            settings=request.settings_json,
            sample=request.sample,
            cost_bound=bound,
            asked_at=round(time.time(), 6),
        )

    def _stop_if_hopeless(self, outcome: Outcome, *, last: bool) -> None:
        """Raise if all other requests would fail as this one did; `last` says that it is not attempted again."""
        if outcome.fatal:
            message = f": {outcome.message}" if outcome.message else ""
            key = self.endpoint.settings.key or "no key"
            raise WatershedError(
                f"[models.{self.endpoint.name}] {self.endpoint.url} refuses requests for {self.endpoint.model} "
                f"({outcome.error}, status {outcome.status}){message}",
                f"check url and model, and the key in the environment ({key})",
            )
        unreachable = outcome.error == "unreachable"
        self._heard = self._heard or not unreachable
        self._unreachable = self._unreachable + 1 if unreachable else 0
        many = self._unreachable >= self.endpoint.settings.attempts * self.endpoint.settings.concurrency
        if many or (unreachable and last and not self._heard):
            raise WatershedError(
                f"[models.{self.endpoint.name}] {self.endpoint.url} does not answer",
                "start the server, or correct the url; replies that came are kept",
            )


def finished(planned: Attempt, outcome: Outcome, endpoint: Endpoint, check: Check | None, share: float = 1) -> Attempt:
    """Return a planned attempt with its outcome, cost and check."""
    row = replace(
        planned,
        outcome=outcome.outcome,
        error=outcome.error,
        message=outcome.message,
        status=outcome.status,
        latency=outcome.latency,
        cost=None if outcome.outcome == LOST else 0.0,
    )
    return answered(row, outcome.reply, endpoint, check, share) if outcome.reply else row


def answered(row: Attempt, reply: Reply, endpoint: Endpoint, check: Check | None, share: float = 1) -> Attempt:
    """Return an attempt with its reply."""
    checked = check(reply.text) if check else Checked()
    counted = reply.prompt_tokens is not None and reply.reply_tokens is not None
    return replace(
        row,
        outcome=ANSWERED,
        error=None,
        message=None,
        reply=reply.text,
        finish_reason=reply.finish_reason,
        details=reply.details,
        prompt_tokens=reply.prompt_tokens,
        reply_tokens=reply.reply_tokens,
        cost=endpoint.cost(reply.prompt_tokens or 0, reply.reply_tokens or 0, share) if counted else None,
        parsed=checked.parsed,
        repair=checked.repair,
        problem=checked.problem,
    )


async def gathered(coroutines: Iterable[Coroutine[Any, Any, Result]]) -> list[Result]:
    """Return the results of coroutines that run at the same time. The first error cancels the others and is raised."""
    tasks = [asyncio.create_task(each) for each in coroutines]
    try:
        return list(await asyncio.gather(*tasks))
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
