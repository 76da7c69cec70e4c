"""What can be made: the assets of every family, one blocking check for each table, and the jobs.

`definitions` adds what starts runs by itself: the job that makes what is due, sensors and schedules.
"""

from __future__ import annotations

import dagster as dg

from catalog.settings import Settings, load_settings
from dagster_project import own
from dagster_project.configured import configured
from dagster_project.engine.checks import contract_checks
from dagster_project.engine.steps import REGISTERED, Steps
from dagster_project.families import commands
from dagster_project.families.cheatsheet import assets as cheatsheet
from dagster_project.families.dclm import assets as dclm
from dagster_project.families.dialogues import assets as dialogues
from dagster_project.families.evals import assets as evals
from dagster_project.families.ladder import assets as ladder
from dagster_project.families.mathfish import assets as mathfish
from dagster_project.families.models import assets as models
from dagster_project.families.moe import assets as moe
from dagster_project.families.pixmo import assets as pixmo
from dagster_project.families.registry import assets as registry
from dagster_project.families.router import assets as router
from dagster_project.families.scholar import assets as scholar
from dagster_project.families.tulu import assets as tulu
from dagster_project.jobs import JOBS

FAMILIES = (dclm, models, evals, ladder, moe, dialogues, tulu, registry, cheatsheet, scholar, router, mathfish, pixmo)
"""The asset modules, one for each family. A new family adds its module here."""


def steps() -> Steps:
    """Return the steps of all families, and those of the project's own tables."""
    own.load(load_settings())
    return Steps(REGISTERED)


def assets_and_jobs(settings: Settings) -> dg.Definitions:
    """Return the assets, with owners, tags and freshness as the settings have them, their checks and the jobs."""
    project = own.load(settings)
    declared = [*dg.load_assets_from_modules(FAMILIES), *commands.SPECS, *project.assets, *project.specs]
    return dg.Definitions(
        assets=configured(declared, settings),
        asset_checks=contract_checks(),
        jobs=[*JOBS, *own.job(settings)],
    )
