"""Trainer processes: an asset starts a trainer in a process of its own, through Dagster Pipes.

A trainer reads a configuration file and writes files. It does not access the lake.
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

STOP_SECONDS = 60.0
"""How long an interrupted trainer may take to save its state, before it is killed."""
KEYS = ("error", "stopped", "mend")
"""The prefixes of the lines of a trainer that ends before its work is done."""
PROGRESS = "progress "
"""The prefix of the lines `progress {json}`, which trainers print about once a second."""


def start(making: Making, module: str, config: Mapping[str, Any], label: str, *, ranks: bool = True) -> None:
    """Run `python -m module --config FILE` through Dagster Pipes, and show its progress.

    Args:
        making: The asset execution that starts the process.
        module: The module to run.
        config: The configuration, which is written to FILE as JSON.
        label: The name of the work in progress and error messages.
        ranks: Whether the module distributes its work over the ranks of `[trainer] launcher`.

    Raises:
        WatershedError: The process failed. Cause and mend are those that it printed.
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
    """Run `python -m module --config FILE` in a process of its own, and show its progress.

    Args:
        module: The module to run.
        config: The configuration, which is written to FILE as JSON.
        label: The name of the work in progress and error messages.
        launcher: The words of the command before the module, as in `[trainer] launcher`.
        environment: Environment variables of the process, in addition to those of this process.

    Raises:
        WatershedError: The process failed. Cause and mend are those that it printed.
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
                # Ctrl+C reaches this process, which ends the trainer.
                process_group=0,
                cwd=Path(__file__).parents[2],
            )
            _follow(process, label)
        if process.returncode:
            raise WatershedError(*_cause(errors.read_text(), label))


def _environment() -> dict[str, str]:
    # A trainer uses one thread. More OpenMP threads would compete with the runs in parallel.
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


def _follow(process: subprocess.Popen[str], label: str) -> None:
    """Show the progress of the process until it ends.

    If this call is interrupted, the process is asked to stop, so that a training run saves its state, and killed if it
    has not ended after `STOP_SECONDS`.
    """
    assert process.stdout
    try:
        with track(label, 0) as task:
            for line in process.stdout:
                if line.startswith(PROGRESS):
                    progress = json.loads(line.removeprefix(PROGRESS))
                    if "step" in progress:
                        task.reach(progress["step"], total=progress.get("steps"), note=_note(progress))
        process.wait()
    except BaseException:
        _stop(process)
        raise


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except BaseException:
        process.kill()
        process.wait()


def _note(progress: Mapping[str, Any]) -> str:
    return f"loss {progress['loss']:.3f}" if progress.get("loss") is not None else ""


def _cause(errors: str, label: str) -> tuple[str, str]:
    lines = [line for line in errors.splitlines() if line.strip()]
    found = {key: line.removeprefix(f"{key}: ") for line in lines for key in KEYS if line.startswith(f"{key}: ")}
    last = lines[-1] if lines else "the process ended without a message; it may have run out of memory"
    return f"{label}: {found.get('error', found.get('stopped', last))}", found.get(
        "mend", "run it again; it resumes from its checkpoint"
    )
