"""A trainer as a process of its own, started by an asset through Dagster Pipes, with files in and files out.

A trainer is given a configuration file and returns files. It knows nothing of the lake.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import dagster as dg

from catalog.errors import WatershedError
from catalog.progress import track
from dagster_project.engine.making import Making

PROGRESS = "progress "
"""Trainers print a line `progress {json}` about every second."""


def start(making: Making, module: str, config: Mapping[str, Any], label: str, *, ranks: bool = True) -> None:
    """Run `python -m module --config FILE` through Pipes, drawing its progress.

    Args:
        ranks: whether the module shares its work over the ranks of `[trainer] launcher`.

    Raises:
        WatershedError: it failed; cause and mend are its own.
    """
    with dg.open_pipes_session(
        context=making.context,
        context_injector=dg.PipesEnvContextInjector(),
        message_reader=dg.PipesTempFileMessageReader(),
    ) as session:
        launcher = making.settings.trainer.launcher if ranks else []
        run_trainer(module, config, label, launcher, session.get_bootstrap_env_vars())


def run_trainer(
    module: str,
    config: Mapping[str, Any],
    label: str,
    launcher: Sequence[str] = (),
    environment: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Run `python -m module --config FILE` in a process of its own, drawing its progress.

    Args:
        launcher: words before the module, as `[trainer] launcher`.
        environment: what the process finds in its environment besides ours.

    Raises:
        WatershedError: it failed; cause and mend are its own.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.json"
        path.write_text(json.dumps(config))
        errors = Path(folder) / "errors.txt"
        with errors.open("w") as stderr:
            process = subprocess.Popen(
                [*(launcher or (sys.executable, "-m")), module, "--config", str(path)],
                env={**_environment(), **environment},
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                cwd=Path(__file__).parents[2],
            )
            _follow(process, label)
        if process.returncode:
            raise WatershedError(*_cause(errors.read_text(), label))


def _environment() -> dict[str, str]:
    # A trainer of one thread must not start OpenMP's others, which would fight with the run beside it.
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


def _follow(process: subprocess.Popen[str], label: str) -> None:
    """Draw progress until the process ends; it does not outlive this call."""
    assert process.stdout
    try:
        with track(label, 0) as task:
            for line in process.stdout:
                if line.startswith(PROGRESS):
                    said = json.loads(line.removeprefix(PROGRESS))
                    if "step" in said:
                        task.reach(said["step"], total=said.get("steps"), note=_note(said))
        process.wait()
    except BaseException:
        process.kill()
        raise


def _note(said: Mapping[str, Any]) -> str:
    return f"loss {said['loss']:.3f}" if said.get("loss") is not None else ""


def _cause(errors: str, label: str) -> tuple[str, str]:
    lines = [line for line in errors.splitlines() if line.strip()]
    said = {key: line.removeprefix(f"{key}: ") for line in lines for key in ("error", "mend") if line.startswith(key)}
    last = lines[-1] if lines else "it ended without a word; was it killed for memory?"
    return f"{label}: {said.get('error', last)}", said.get("mend", "run it again; it resumes from its checkpoint")
