"""The assets of the family `evals`: questions from held-out documents, and every model's answers to them."""

from __future__ import annotations

from typing import Any

from catalog.tables.evals import EXAMPLES, RESULTS, TARGET_RESULTS, TASKS
from dagster_project.engine.making import Making
from dagster_project.engine.side_by_side import parallel_runs, side_by_side
from dagster_project.engine.table_asset import table_asset
from dagster_project.families.evals.recipes import question_recipe
from dagster_project.families.models.partitions import LADDER_RUNS
from dagster_project.families.models.runs import ladder_runs, target_runs


@table_asset(EXAMPLES, TASKS, code_version="1", recipe=question_recipe, engine="spark")
def examples(making: Making) -> dict[str, Any]:
    """Makes questions that ask for the true continuation of a held-out document among four choices."""
    from spark_jobs.evals.continuations import questions_folder, write_questions

    counts = write_questions(making.spark, making.lake, making.recipe, making.fingerprint)
    making.wrote(questions_folder(making.lake, making.fingerprint))
    return counts


@table_asset(RESULTS, code_version="2", cut=LADDER_RUNS, keys=ladder_runs, parallel=True, engine="torch")
def results(making: Making) -> dict[str, Any]:
    """Scores every choice by its log-likelihood. The task decides how the choices are ranked."""
    from dagster_project.families.evals.evaluate import evaluate

    rows = evaluate(making, making.run, "models.checkpoints")
    making.replace(RESULTS, rows)
    return {"examples": rows.num_rows}


@table_asset(TARGET_RESULTS, code_version="2", engine="torch")
def target_results(making: Making) -> dict[str, Any]:
    """Evaluates every target on the same questions as the runs of the ladder."""
    import pyarrow as pa

    from dagster_project.families.evals.evaluate import evaluate

    runs = target_runs(making.settings)
    answers = side_by_side(lambda run: evaluate(making, run, "models.targets"), runs, parallel_runs(making.settings))
    rows = pa.concat_tables(answers)
    making.replace(TARGET_RESULTS, rows)
    return {"examples": rows.num_rows}
