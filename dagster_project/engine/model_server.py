"""The language model of an entry of `[models]`: at its URL, or served by a process that is started for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from catalog.errors import WatershedError
from catalog.names import find
from catalog.settings import EndpointSettings, Settings
from spark_jobs.language_models.endpoint import Endpoint, endpoint_of

READY_SECONDS = 900.0
"""Seconds in which a server must be ready. A large model takes minutes to load on a busy machine."""
UNNAMED = "default"
"""What a server is asked for that lists no model."""
ASKED = "url"
"""The entry of [models] that a URL becomes."""


def with_url(settings: Settings, model: str | None) -> tuple[Settings, str | None]:
    """Return the settings with an entry of [models] for a model that is given as a URL, and the name of the entry.

    Args:
        settings: the project.
        model: the name of an entry, the base URL of a server, or None.

    Raises:
        WatershedError: the URL is not that of a server.

    Example:
        >>> with_url(settings, "smollm2")[1], with_url(settings, "http://127.0.0.1:8000/v1")[1]
        ('smollm2', 'url')
    """
    if model is None or "://" not in model:
        return settings, model
    name = _served_model(model)
    # Replies of another server must not be taken for this one's, if its model has no name.
    entry = EndpointSettings(url=model, model=name, revision=model if name == UNNAMED else "")
    return replace(settings, models={**settings.models, ASKED: entry}), ASKED


def _served_model(url: str) -> str:
    """Return the first model that a server lists; a server that lists none is asked for `default`."""
    if not url.startswith(("http://", "https://")):
        raise WatershedError(
            f"{url} is not an address of a server", "write http://HOST:PORT/v1, or the name of an entry"
        )
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/models", timeout=10) as response:
            listed = json.loads(response.read(1_000_000))
        return str(listed["data"][0]["id"])
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return UNNAMED


@contextmanager
def answering(settings: Settings, name: str) -> Generator[Endpoint]:
    """Yield the endpoint of `[models.NAME]`. If it has `serve` and no URL, its server runs for the block.

    Raises:
        WatershedError: there is no such entry, or the server does not become ready.
    """
    entry = settings.models.get(find(name, settings.models) or "")
    if entry is None or entry.url or not entry.serve:
        yield endpoint_of(settings, name)
        return
    with served(settings, name) as url:
        yield endpoint_of(settings, name, url)


@contextmanager
def served(settings: Settings, name: str) -> Generator[str]:
    """Serve the model of an entry with `serve` for the block; yield the base URL.

    Raises:
        WatershedError: the server does not become ready.
    """
    entry = settings.models[name]
    path = settings.project / Path(entry.serve).expanduser()
    # What is not a path may be the name of a packaged model.
    model = str(path) if path.exists() else entry.serve
    words = ["--model", model, "--name", entry.model or name, "--device", settings.trainer.device]
    with serving(words, name) as url:
        yield url


@contextmanager
def serving(words: Sequence[str], label: str) -> Generator[str]:
    """Run `python -m trainers.serve` with these words for the block; yield the base URL of its protocol.

    Raises:
        WatershedError: the server ended, or is not ready in time.
    """
    with tempfile.TemporaryDirectory() as folder:
        port_file, errors = Path(folder) / "port", Path(folder) / "errors.txt"
        with errors.open("w") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", "trainers.serve", *words, "--port", "0", "--port-file", str(port_file)],
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                # Ctrl+C reaches this process, which ends the server.
                process_group=0,
                cwd=Path(__file__).parents[2],
            )
        try:
            yield _ready(process, port_file, errors, label)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _ready(process: subprocess.Popen[bytes], port_file: Path, errors: Path, label: str) -> str:
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            lines = [line for line in errors.read_text().splitlines() if line.strip()]
            found = {
                key: line.removeprefix(f"{key}: ") for line in lines for key in ("error", "mend") if key in line[:5]
            }
            raise WatershedError(
                f"the server of {label} ended: {found.get('error', lines[-1] if lines else 'without a message')}",
                found.get("mend", "run `watershed serve` on the same model to see why"),
            )
        if port_file.exists() and (port := port_file.read_text().strip()) and _answers(port):
            return f"http://127.0.0.1:{port}/v1"
        time.sleep(0.05)
    raise WatershedError(f"the server of {label} is not ready after {READY_SECONDS:.0f} s", "use a smaller model")


def _answers(port: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as response:
            return response.status == 200
    except OSError:
        return False
