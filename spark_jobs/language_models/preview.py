"""A preview: some requests of a run are asked, and the cost of all of them is estimated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from catalog.lake import Lake
from spark_jobs.language_models.attempt import Attempt
from spark_jobs.language_models.client import Check, ask
from spark_jobs.language_models.endpoint import Endpoint
from spark_jobs.language_models.request import Request


@dataclass(frozen=True, kw_only=True)
class Preview:
    """The rows of a preview, and what the whole run is expected to take. Money is in US dollars.

    Attributes:
        rows: the last attempts of the requests that were asked.
        requests: the number of requests of the run, each counted once.
        expected_tokens: tokens of prompts and replies of the whole run; None if the server counts none.
        expected_cost: the cost of the whole run at the prices of the endpoint; None if the server counts none.
        cost_bound: the most that the first attempts of the run can cost.
    """

    rows: tuple[Attempt, ...]
    requests: int
    expected_tokens: int | None
    expected_cost: float | None
    cost_bound: float


def preview(
    lake: Lake,
    endpoint: Endpoint,
    requests: Sequence[Request],
    *,
    purpose: str,
    rows: int = 3,
    check: Check | None = None,
    cap: float | None = None,
) -> Preview:
    """Ask `rows` of the requests, spread evenly over the list, and estimate the rest.

    Their replies are in the ledger, so the run that follows does not ask them again.

    Raises:
        WatershedError: see `client.ask`.
    """
    distinct = list({request.identity(endpoint.model, endpoint.revision): request for request in requests}.values())
    step = max(1, len(distinct) // max(1, rows))
    chosen = distinct[::step][:rows]
    found = ask(lake, endpoint, chosen, purpose=purpose, check=check, cap=cap)
    counted = [row for row in found if row.prompt_tokens is not None and row.reply_tokens is not None]
    scale = len(distinct) / len(counted) if counted else 0.0
    sums = [sum(getattr(row, name) for row in counted) * scale for name in ("prompt_tokens", "reply_tokens")]
    return Preview(
        rows=tuple(found),
        requests=len(distinct),
        expected_tokens=round(sum(sums)) if counted else None,
        expected_cost=endpoint.cost(round(sums[0]), round(sums[1])) if counted else None,
        cost_bound=sum(endpoint.bound(request) for request in distinct),
    )
