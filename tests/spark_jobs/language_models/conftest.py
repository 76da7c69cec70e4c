"""A scripted server of the OpenAI protocol."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack
from typing import Any

import pytest
from scripted_endpoint import Serve, endpoint

from benchmarks.model_server import Script, running
from spark_jobs.language_models.endpoint import Endpoint


@pytest.fixture
def served() -> Generator[Serve]:
    """A function from a script and entries of `[models]` to an endpoint whose server runs until the test ends."""
    with ExitStack() as servers:

        def start(script: Script, **entries: Any) -> Endpoint:
            url = servers.enter_context(running(script))
            return endpoint(url, **{"concurrency": 8, "timeout": 60.0, **entries})

        yield start
