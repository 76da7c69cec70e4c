"""The assets of evaluations: declared tasks, results of models, comparisons with a baseline, and selections."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from catalog.errors import WatershedError
from catalog.names import close
from catalog.settings import Settings
from catalog.tables.tulu import COMPARISONS, RESULTS, SEALED_RESULTS, SELECTIONS, TASKS
from dagster_project.engine.making import Making
from dagster_project.engine.partitions import Partition
from dagster_project.engine.table_asset import table_asset
from dagster_project.families.tulu.mixture_assets import name_of, write
from dagster_project.families.tulu.recipes import MODELS, digest_of, folder, model_keys, workers_of

SELECTION = "development"
"""The name of the project's selection."""


def _declared(settings: Settings, _: Partition | None) -> list[dict[str, Any]]:
    from spark_jobs.tulu.suites import tasks

    return [task.row() for task in tasks().values()]


@table_asset(TASKS, code_version="1", recipe=_declared)
def tulu_tasks(making: Making) -> dict[str, Any]:
    """Writes the evaluations as the paper declares them."""
    return {"tasks": write(making, TASKS, making.recipe)}


def _replies(settings: Settings, partition: Partition | None) -> dict[str, Path]:
    from dagster_project.families.tulu.results import tasks_of_files

    assert partition
    return tasks_of_files(folder(settings, settings.tulu.results) / str(partition["model"]))


def _replies_identity(files: dict[str, Path]) -> Any:
    """Contents of the replies, and the versions of the scorers: a changed scorer makes results due."""
    from dagster_project.families.tulu.scoring import version_of
    from spark_jobs.tulu.suites import tasks

    return {
        task: [digest_of(path), tasks()[task].scorer, tasks()[task].rule, version_of(tasks()[task].scorer)]
        for task, path in files.items()
    }


@table_asset(
    RESULTS,
    SEALED_RESULTS,
    code_version="1",
    recipe=_replies,
    identity=_replies_identity,
    cut=MODELS,
    keys=model_keys,
)
def tulu_results(making: Making) -> dict[str, Any]:
    """Scores the recorded replies of a model. Those of the unseen suite go into a table of their own, which is
    sealed."""
    from dagster_project.families.tulu.results import read_replies, scored
    from spark_jobs.tulu.suites import tasks

    found: dict[bool, list[dict[str, Any]]] = {False: [], True: []}
    for name, path in making.recipe.items():
        rows = list(read_replies(path))
        found[tasks()[name].sealed] += scored(name_of(making), tasks()[name], rows, workers_of(making.settings))
    write(making, SEALED_RESULTS, found[True])
    return {"tasks": len(making.recipe), "replies": write(making, RESULTS, found[False]), "sealed": len(found[True])}


@table_asset(COMPARISONS, code_version="1", recipe=lambda settings, _: settings.tulu.baseline)
def tulu_comparisons(making: Making) -> dict[str, Any]:
    """Compares every model with `[tulu] baseline` on the development suite, instance by instance.

    Sealed results are left out: `watershed tulu compare --unseal` reads them, and records the look.
    """
    from dagster_project.families.tulu import results as evaluated

    baseline = making.recipe
    found = evaluated.results(making.lake)
    known = {model for by_model in found.values() for model in by_model}
    if baseline and baseline not in known:
        raise WatershedError(
            f"[tulu] baseline is {baseline!r}, which has no results{close(baseline, known)}",
            f"use one of {', '.join(sorted(known)) or 'the models in [tulu] results'}",
        )
    rows = evaluated.comparisons(found, baseline) if baseline else []
    return {"comparisons": write(making, COMPARISONS, rows), "clear": sum(row["clear"] for row in rows)}


@table_asset(SELECTIONS, code_version="1", recipe=lambda settings, _: tuple(settings.tulu.select_tasks))
def tulu_selections(making: Making) -> dict[str, Any]:
    """Chooses the model with the highest mean over development tasks, of which the six safety tasks count as one.

    A task of the unseen suite in `[tulu] select_tasks` is read, which is recorded in tulu.looks, and breaks the
    contract of the table: its check fails.
    """
    from dagster_project.families.tulu import results as evaluated
    from spark_jobs.tulu.suites import tasks

    if unknown := sorted(set(making.recipe) - tasks().keys()):
        raise WatershedError(
            f"[tulu] select_tasks has {unknown[0]!r}{close(unknown[0], tasks())}", f"use {', '.join(tasks())}"
        )
    found = dict(evaluated.results(making.lake))
    sealed = [name for name in making.recipe if tasks()[name].sealed]
    if sealed:
        models = sorted({model for by_model in found.values() for model in by_model})
        evaluated.record_look(making.lake, models, sealed, "a selection reads it", "tulu.selections")
        hidden = evaluated.results(making.lake, sealed=True)
        found |= {name: hidden[name] for name in sealed if name in hidden}
    every = {model for by_model in found.values() for model in by_model}
    chosen = making.recipe or [name for name in tasks() if set(found.get(name, {})) == every and every]
    rows = evaluated.selection(SELECTION, found, chosen)
    return {"rows": write(making, SELECTIONS, rows), "chosen": next((r["model"] for r in rows if r["chosen"]), "none")}
