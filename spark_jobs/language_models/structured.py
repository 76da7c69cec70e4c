"""Replies as objects of a pydantic model: by the server's JSON schema where it has one, and by a recorded repair."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from catalog.lake import Lake
from spark_jobs.language_models.attempt import Attempt
from spark_jobs.language_models.client import Check, Checked, ask
from spark_jobs.language_models.endpoint import Endpoint
from spark_jobs.language_models.limits import FIRST_DELAY
from spark_jobs.language_models.replies import MalformedReply, bounded_json, depth
from spark_jobs.language_models.request import Request, canonical

Object = TypeVar("Object", bound=BaseModel)

ANOTHER = 1_000_000
"""Added to the number of the sample when a reply that does not fit is asked for again."""

LARGEST = 100_000
"""Most characters of a reply that are repaired."""

INSTRUCTION = "Reply with one JSON object and nothing else. It must match this JSON schema:\n"

_FENCED = re.compile(r"```[a-zA-Z]*\s*\n(.*?)```", re.DOTALL)


@dataclass(frozen=True)
class Structured(Generic[Object]):
    """A reply as an object.

    Attributes:
        value: the object; None if there is no reply, or none that fits.
        attempt: the row of the ledger. `repair` says how the text was made JSON, and `problem` why it does not fit.
    """

    value: Object | None
    attempt: Attempt


def ask_structured(
    lake: Lake,
    endpoint: Endpoint,
    requests: Sequence[Request],
    model: type[Object],
    *,
    purpose: str,
    tries: int = 2,
    cap: float | None = None,
    first_delay: float = FIRST_DELAY,
) -> list[Structured[Object]]:
    """Return the replies as objects of `model`, in the order of the requests.

    The server is asked for the schema if `json_schema` of the endpoint is set; otherwise the prompt asks for it. A
    reply that does not fit is repaired if it can be, and the repair is recorded. If it cannot, another sample is asked
    for, up to `tries` samples in all; each of them is a row.

    Args:
        lake: the lake with the ledger.
        endpoint: the model to ask.
        requests: the requests, without a schema.
        model: the pydantic model.
        purpose: what the replies are for; stored in the ledger.
        tries: samples of a request, at most.
        cap: the most that these requests may cost in US dollars, with what earlier runs paid for them.
        first_delay: seconds before the second attempt of a request.

    Raises:
        WatershedError: see `client.ask`.

    Example:
        >>> class River(BaseModel):
        ...     name: str
        ...     kilometres: int
        >>> ask_structured(lake, endpoint, [Request.chat("A long river?")], River, purpose="rivers")[0].value
        River(name='Amazon', kilometres=6400)
    """
    check = check_of(model)
    asked = [structured_request(request, model, endpoint) for request in requests]
    rows = ask(lake, endpoint, asked, purpose=purpose, check=check, cap=cap, first_delay=first_delay)
    for number in range(1, tries):
        again = [place for place, row in enumerate(rows) if row.answered and row.problem is not None]
        if not again:
            break
        samples = [replace(asked[place], sample=asked[place].sample + number * ANOTHER) for place in again]
        found = ask(lake, endpoint, samples, purpose=purpose, check=check, cap=cap, first_delay=first_delay)
        for place, row in zip(again, found, strict=True):
            rows[place] = row if row.answered else rows[place]
    return [Structured(object_of(row, model), row) for row in rows]


def structured_request(request: Request, model: type[BaseModel], endpoint: Endpoint) -> Request:
    """Return a request for a reply that fits `model`."""
    schema = model.model_json_schema()
    if not endpoint.settings.json_schema:
        instruction = INSTRUCTION + canonical(schema)
        if request.is_chat:
            *before, (role, content) = request.messages
            request = replace(request, messages=(*before, (role, f"{content}\n\n{instruction}")))
        elif isinstance(request.prompt, str):
            request = replace(request, prompt=f"{request.prompt}\n\n{instruction}\n")
    return request.with_schema(schema)


def object_of(row: Attempt, model: type[Object]) -> Object | None:
    """Return the object that was parsed from a reply; None if there is none, or the model has changed since."""
    if row.parsed is None:
        return None
    try:
        return model.model_validate_json(row.parsed)
    except ValidationError:
        return None


def check_of(model: type[BaseModel]) -> Check:
    """Return a check that reads a reply as an object of `model`, after the least repair that makes it one."""

    def check(text: str) -> Checked:
        problem = "the reply is empty" if not text.strip() else ""
        for repair, value in _readings(text):
            try:
                found = model.model_validate(value)
            except ValidationError as error:
                problem = problem or _said(error)
            except (ValueError, RecursionError) as error:
                problem = problem or f"{type(error).__name__}: {str(error)[:200]}"
            else:
                return Checked(parsed=canonical(found.model_dump(mode="json")), repair=repair)
        return Checked(problem=problem or "the reply holds no JSON")

    return check


def _readings(text: str) -> Iterator[tuple[str | None, Any]]:
    """Yield the JSON values that a text can be read as, with the repair that each needs, smallest repair first."""
    candidates = [(None, text.strip())]
    candidates += [("fenced", inner.strip()) for inner in _FENCED.findall(text[:LARGEST])]
    begin, end = text.find("{"), text.rfind("}")
    if 0 <= begin < end:
        candidates.append(("surrounded", text[begin : end + 1]))
    for repair, candidate in candidates:
        try:
            yield repair, bounded_json(candidate)
        except MalformedReply:
            continue
    if begin >= 0 and (value := _repaired(text[begin:])) is not None:
        yield "json_repair", value


def _repaired(text: str) -> Any:
    # The repair is recursive and takes more than linear time on hostile text.
    if len(text) > LARGEST or depth(text) > 20 or text.count("{") + text.count("[") > 1000:
        return None
    import json_repair

    try:
        return json_repair.loads(text, skip_json_loads=True)
    except (ValueError, RecursionError):
        return None


def _said(error: ValidationError) -> str:
    """Return the first faults of a reply: where and what, without the values."""
    faults = _faults(error)
    return "; ".join(faults[:3]) + (f"; {len(faults) - 3} more" if len(faults) > 3 else "")


def _faults(error: ValidationError) -> list[str]:
    details: Iterable[Any] = error.errors(include_url=False, include_context=False, include_input=False)
    return [f"{'.'.join(map(str, each['loc'])) or 'reply'}: {each['msg']}"[:150] for each in details]
