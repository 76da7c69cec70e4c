"""An attempt of a request: a row of `models.requests`."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from catalog.tables import CONTRACTS

if TYPE_CHECKING:
    import pyarrow as pa

REQUESTS = CONTRACTS["models.requests"]

ANSWERED, REFUSED, REJECTED, LOST = "answered", "refused", "rejected", "lost"


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One row of `models.requests`, whose contract describes the fields."""

    request: str
    attempt: int
    model: str
    revision: str
    endpoint: str
    purpose: str
    prompt: str
    prompt_digest: str
    settings: str
    sample: int
    cost_bound: float
    asked_at: float
    """Seconds since 1970, in UTC."""
    outcome: str = LOST
    error: str | None = "killed"
    message: str | None = None
    status: int | None = None
    reply: str | None = None
    finish_reason: str | None = None
    details: str | None = None
    parsed: str | None = None
    repair: str | None = None
    problem: str | None = None
    prompt_tokens: int | None = None
    reply_tokens: int | None = None
    cost: float | None = None
    latency: float | None = None
    batch: str | None = None

    @property
    def key(self) -> tuple[str, int]:
        """The primary key."""
        return self.request, self.attempt

    @property
    def answered(self) -> bool:
        """Whether the model replied."""
        return self.outcome == ANSWERED

    @property
    def text(self) -> str:
        """The text of the reply; empty if there is none."""
        return self.reply or ""

    @property
    def truncated(self) -> bool:
        """Whether the reply was cut off by the limit of tokens."""
        return self.finish_reason == "length"

    @property
    def value(self) -> Any:
        """The reply as JSON values, if a schema was asked for and the reply fits it; else None."""
        return None if self.parsed is None else json.loads(self.parsed)

    @property
    def spent(self) -> float:
        """What the attempt counts against a cap: its cost, or the most that it can have cost if that is not known."""
        return self.cost_bound if self.cost is None else self.cost

    def to_json(self) -> dict[str, Any]:
        """Return the attempt as JSON values, for the journal."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Attempt:
        """Return the attempt that `to_json` described.

        Raises:
            TypeError: a field is missing or unknown.
        """
        return cls(**values)


def to_table(attempts: Iterable[Attempt]) -> pa.Table:
    """Return attempts as rows of `models.requests`."""
    import pyarrow as pa

    rows = [
        asdict(each) | {"asked_at": datetime.datetime.fromtimestamp(each.asked_at, datetime.UTC)} for each in attempts
    ]
    return pa.Table.from_pylist(rows, schema=REQUESTS.schema)


def from_table(table: pa.Table) -> list[Attempt]:
    """Return the attempts in rows of `models.requests`."""
    names = [field.name for field in fields(Attempt)]
    return [Attempt(**{**row, "asked_at": row["asked_at"].timestamp()}) for row in table.select(names).to_pylist()]
