"""The configured ladder: the names of its runs and targets."""

from __future__ import annotations

from typing import Any

from catalog.errors import WatershedError
from catalog.settings import Settings
from dagster_project.families.demo.sizes import size_of
from trainers.pretraining.presets import Ladder, canonical


def ladder(settings: Settings) -> Ladder:
    """Return the ladder that `[ladder] name` names.

    Raises:
        WatershedError: No ladder has that name.
    """
    return size_of(settings).ladder


def ladder_runs(settings: Settings, *_: Any) -> tuple[str, ...]:
    """Return the names of the runs that the scaling law is fitted to."""
    return ladder(settings).runs


def target_runs(settings: Settings, *_: Any) -> tuple[str, ...]:
    """Return the names of the runs that are forecast: `[ladder] targets`, or by default the targets of the ladder.

    Raises:
        WatershedError: A name is repeated, or is a run of the ladder itself.
        TrainerError: A name is not a run, or no model has that size.
    """
    named = tuple(canonical(run) for run in settings.ladder.targets) or ladder(settings).targets
    for run in named:
        if run in ladder_runs(settings):
            raise WatershedError(
                f"[ladder] targets has {run}, which the ladder fits", "name a run well above the ladder"
            )
    if len(set(named)) < len(named):
        raise WatershedError(f"[ladder] targets names a run twice: {', '.join(named)}", "name each once")
    return named
