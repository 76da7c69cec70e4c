"""The Dagster definitions: all assets, checks and jobs, and what starts runs by itself."""

from __future__ import annotations

import dagster as dg

from catalog.settings import Settings, load_settings
from dagster_project.assets import assets_and_jobs
from dagster_project.automation import schedules, sensors
from dagster_project.due_job import make_what_is_due, what_is_due
from dagster_project.families.dclm.archives import new_archives


def definitions(settings: Settings) -> dg.Definitions:
    """Return the definitions of a project. Which sensors and schedules are on follows from its settings."""
    automatic = dg.Definitions(
        jobs=[make_what_is_due],
        sensors=[what_is_due, *sensors(settings, new_archives)],
        schedules=schedules(settings),
    )
    return dg.Definitions.merge(assets_and_jobs(settings), automatic)


defs = definitions(load_settings())
