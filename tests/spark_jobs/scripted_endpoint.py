"""Endpoints at a scripted server of the OpenAI protocol, for tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from catalog.settings import EndpointSettings
from spark_jobs.language_models.endpoint import Endpoint

Serve = Callable[..., Endpoint]
"""From a script and entries of `[models]` to an endpoint."""


def endpoint(url: str, **entries: Any) -> Endpoint:
    """An endpoint at `url`."""
    settings = EndpointSettings(**entries)
    return Endpoint(name="scripted", url=url, model="org/scripted", revision="1", settings=settings)
