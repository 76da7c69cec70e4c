"""Endpoints at a scripted server of the OpenAI protocol, for tests."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

from catalog.settings import EndpointSettings
from spark_jobs.language_models.endpoint import Endpoint

Serve = Callable[..., Endpoint]
"""From a script and entries of `[models]` to an endpoint."""


def endpoint(url: str, **entries: Any) -> Endpoint:
    """An endpoint at `url`."""
    settings = EndpointSettings(**entries)
    return Endpoint(name="scripted", url=url, model="org/scripted", revision="1", settings=settings)


def files_with(folder: Path, key: str) -> list[str]:
    """Files that hold a key, plain or in base64, Parquet columns included."""
    import pyarrow.parquet as pq

    forms = [key.encode(), base64.b64encode(key.encode()).rstrip(b"=")]
    wrong = []
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            if path.suffix == ".parquet":
                data += repr(pq.read_table(path).to_pylist()).encode()
            if any(form in data for form in forms):
                wrong.append(str(path))
    return wrong
