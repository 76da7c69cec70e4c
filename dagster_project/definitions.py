"""The Dagster definitions: the assets of every family, one blocking check for each table, the jobs, and automation."""

from __future__ import annotations

import dagster as dg

from catalog.settings import Settings, load_settings
from dagster_project.automation import schedules, sensors
from dagster_project.configured import configured
from dagster_project.due_job import make_what_is_due, what_is_due
from dagster_project.engine.checks import contract_checks
from dagster_project.engine.steps import REGISTERED, Steps
from dagster_project.families import commands
from dagster_project.families.cheatsheet import assets as cheatsheet
from dagster_project.families.dclm import assets as dclm
from dagster_project.families.dclm.archives import new_archives
from dagster_project.families.dialogues import assets as dialogues
from dagster_project.families.evals import assets as evals
from dagster_project.families.ladder import assets as ladder
from dagster_project.families.models import assets as models
from dagster_project.families.moe import assets as moe
from dagster_project.families.registry import assets as registry
from dagster_project.jobs import JOBS

FAMILIES = (dclm, models, evals, ladder, moe, dialogues, registry, cheatsheet)
"""The asset modules, one for each family. A new family adds its module here."""


def steps() -> Steps:
    """Return the steps of all families."""
    return Steps(REGISTERED)


def definitions(settings: Settings) -> dg.Definitions:
    """Return the definitions of a project: owners, tags, freshness and automation are those of its settings."""
    return dg.Definitions(
        assets=configured([*dg.load_assets_from_modules(FAMILIES), *commands.SPECS], settings),
        asset_checks=contract_checks(),
        jobs=[*JOBS, make_what_is_due],
        sensors=[what_is_due, *sensors(settings, new_archives)],
        schedules=schedules(settings),
    )


defs = definitions(load_settings())
