"""The ladder that the settings name: its runs and its target."""

from __future__ import annotations

from catalog.errors import WatershedError
from catalog.settings import Settings
from trainers.presets import LADDERS, Ladder


def ladder(settings: Settings) -> Ladder:
    """The ladder `[ladder] name`.

    Raises:
        WatershedError: no ladder has that name.
    """
    if settings.ladder.name not in LADDERS:
        raise WatershedError(
            f"[ladder] name is {settings.ladder.name!r}, which is no ladder", f"use one of {', '.join(LADDERS)}"
        )
    return LADDERS[settings.ladder.name]


def ladder_runs(settings: Settings) -> tuple[str, ...]:
    """Names of the runs that are fitted."""
    return ladder(settings).runs


def target_run(settings: Settings) -> str:
    """Name of the run that is forecast."""
    return ladder(settings).target
