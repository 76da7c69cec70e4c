"""The assets of the family `mathfish`: standards, problems and prompts, then the answers of each model."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catalog.contract import Contract
from catalog.tables.mathfish import (
    ALIGNMENT,
    ANSWERS,
    CONNECTIONS,
    JUDGEMENTS,
    LABELS,
    PROBLEMS,
    RESULTS,
    STANDARDS,
    TASKS,
    TRAVERSALS,
    WORDINGS,
)
from dagster_project.engine.making import Making
from dagster_project.engine.table_asset import table_asset
from dagster_project.families.mathfish.recipes import (
    MODELS,
    asked_in,
    asker_of,
    curriculum_files,
    curriculum_in,
    groups_of,
    literals,
    made_files,
    model_recipe,
    models_of,
    problem_files,
    prompt_recipe,
    recorded_replies,
    teacher_file,
    without_wordings,
)
from dagster_project.families.mathfish.shown import wordings_page

if TYPE_CHECKING:
    from spark_jobs.mathfish.asking import Asker
    from spark_jobs.mathfish.tasks import TaskRecipe


def _write(making: Making, contract: Contract, rows: Sequence[Mapping[str, Any]]) -> None:
    import pyarrow as pa

    making.replace(contract, pa.Table.from_pylist(list(rows), schema=contract.schema))


def _name(making: Making) -> str:
    assert making.partition is not None
    return str(making.partition["model"])


def _of_model(making: Making, contract: Contract) -> list[dict[str, Any]]:
    table = making.lake.table(contract.name).to_pyarrow_table(partitions=[("model", "=", _name(making))])
    return table.to_pylist()


@contextmanager
def _asker(making: Making) -> Generator[Asker]:
    """Yield what asks the partition's model: its server, which runs for the block, or its recorded replies."""
    from dagster_project.engine.model_server import answering
    from spark_jobs.mathfish.asking import Recorded, read_recorded

    if path := recorded_replies(making.settings, _name(making)):
        yield Recorded(read_recorded(path))
        return
    with answering(making.settings, _name(making)) as endpoint:
        yield asker_of(making.settings, making.lake, endpoint, making.recipe)


@table_asset(STANDARDS, CONNECTIONS, code_version="1", recipe=curriculum_files, identity=literals)
def standards(making: Making) -> dict[str, Any]:
    """Reads the tree of standards and the coherence map, or makes the small curriculum of Watershed's own."""
    from spark_jobs.mathfish.curriculum import connection_rows, standard_rows
    from spark_jobs.mathfish.made import STANDARDS_FILE
    from spark_jobs.mathfish.reading import read_curriculum

    place = making.recipe.places[0]
    path = Path(place) if place else made_files(making.lake)[STANDARDS_FILE]
    tree = read_curriculum(path, groups_of(making.settings))
    _write(making, CONNECTIONS, connection_rows(tree))
    _write(making, STANDARDS, standard_rows(tree))
    return {"standards": len(tree.standards), "edges": len(tree.edges)}


@table_asset(PROBLEMS, LABELS, code_version="1", recipe=problem_files, identity=literals)
def problems(making: Making) -> dict[str, Any]:
    """Reads problems as published, and inherits their labels to the level of standards."""
    from spark_jobs.mathfish.labels import problem_and_label_rows
    from spark_jobs.mathfish.made import GENERATED_FILE, PROBLEMS_FILE, STORIES_FILE
    from spark_jobs.mathfish.reading import read_problems

    places = list(making.recipe.places)
    if not places:
        made = made_files(making.lake)
        places = [str(made[name]) for name in (PROBLEMS_FILE, GENERATED_FILE, STORIES_FILE)]
    tree = curriculum_in(making.lake, making.settings)
    rows, labels = problem_and_label_rows(tree, read_problems(places))
    _write(making, LABELS, labels)
    _write(making, PROBLEMS, rows)
    faults = sum(bool(row["fault"]) for row in labels)
    return {
        "problems": len(rows),
        "with a positive label": sum(row["positive"] for row in rows),
        "unknown labels": faults,
    }


@table_asset(ALIGNMENT, code_version="1", recipe=teacher_file, identity=literals)
def alignment(making: Making) -> dict[str, Any]:
    """Reads teachers' verdicts of generated problems, and finds the problem that each belongs to."""
    from collections import Counter

    from dagster_project.families.mathfish.shown import alignment_page
    from spark_jobs.mathfish.alignment import alignment_rows
    from spark_jobs.mathfish.made import TEACHERS_FILE
    from spark_jobs.mathfish.reading import read_teachers

    places, rows = making.recipe.places, []
    if places or not making.settings.mathfish.problems:
        path = Path(places[0]) if places else made_files(making.lake)[TEACHERS_FILE]
        tree = curriculum_in(making.lake, making.settings)
        rows = alignment_rows(tree, making.lake.read(PROBLEMS.name).to_pylist(), read_teachers(path))
    _write(making, ALIGNMENT, rows)
    making.metadata |= alignment_page(rows)
    return {"verdicts": len(rows), **Counter(f"matched: {row['matched']}" for row in rows)}


@table_asset(TASKS, code_version="1", recipe=prompt_recipe, identity=without_wordings)
def prompts(making: Making) -> dict[str, Any]:
    """Makes the prompts of verification, assisted tagging and solving."""
    from spark_jobs.mathfish.tasks import tasks_of

    tree = curriculum_in(making.lake, making.settings)
    chosen = asked_in(making.lake, making.recipe)
    rows = [task.row() for task in tasks_of(tree, chosen, making.recipe.tasks)]
    _write(making, TASKS, rows)
    counts = {kind: sum(row["kind"] == kind for row in rows) for kind in ("verification", "tagging", "solving")}
    return {"problems": len(chosen), **counts}


@table_asset(WORDINGS, code_version="1", recipe=model_recipe, identity=without_wordings, cut=MODELS, keys=models_of)
def prompt_wordings(making: Making) -> dict[str, Any]:
    """Asks the model about problems of the development split in every wording, and chooses the best for it."""
    from spark_jobs.mathfish.choosing import development_problems
    from spark_jobs.mathfish.comparing import compared, not_compared

    tree, choices = curriculum_in(making.lake, making.settings), making.recipe.prompts
    problems = development_problems(making.lake.read(PROBLEMS.name).to_pylist(), choices.wording_problems)
    rows = not_compared(_name(making))
    # Recorded replies are to prompts of one wording.
    if problems and not making.recipe.recorded:
        with _asker(making) as asker:
            rows = compared(asker, _name(making), tree, problems, tasks=choices.tasks, recipe=making.recipe.ask)
    _write(making, WORDINGS, rows)
    making.metadata |= wordings_page(rows)
    return {"problems": len(problems), "prompts": sum(row["prompts"] for row in rows)}


def _worded(making: Making) -> TaskRecipe:
    """The choices of the prompts, in the words that are chosen for the model."""
    from spark_jobs.mathfish.comparing import chosen_wordings

    return chosen_wordings(_of_model(making, WORDINGS), making.recipe.prompts.tasks)


@table_asset(ANSWERS, code_version="1", recipe=model_recipe, identity=without_wordings, cut=MODELS, keys=models_of)
def model_answers(making: Making) -> dict[str, Any]:
    """Asks the model the prompts of mathfish.tasks in the chosen wording, and reads and scores its replies."""
    from dagster_project.families.mathfish.solving import solve
    from spark_jobs.mathfish.asking import answers as answered
    from spark_jobs.mathfish.comparing import reworded

    tree, problems = curriculum_in(making.lake, making.settings), asked_in(making.lake, making.recipe.prompts)
    asked = reworded(tree, making.lake.read(TASKS.name).to_pylist(), problems, _worded(making))
    with _asker(making) as asker:
        rows = answered(asker, _name(making), asked, making.recipe.ask, solve)
    _write(making, ANSWERS, rows)
    return {"replies": len(rows), "malformed": sum(bool(row["malformed"]) for row in rows)}


@table_asset(TRAVERSALS, code_version="1", recipe=model_recipe, identity=without_wordings, cut=MODELS, keys=models_of)
def traversals(making: Making) -> dict[str, Any]:
    """Lets the model tag problems from domain group to cluster to standard, along its own choices."""
    from spark_jobs.mathfish.asking import traversals as traversed

    tree, chosen = curriculum_in(making.lake, making.settings), asked_in(making.lake, making.recipe.prompts)
    taggable = [row for row in chosen if row["standards"] or row["answer"]]
    with _asker(making) as asker:
        rows = traversed(asker, _name(making), tree, taggable, tasks=_worded(making), recipe=making.recipe.ask)
    _write(making, TRAVERSALS, rows)
    return {
        "problems": len(rows),
        "with a standard at the end": sum(bool(row["predicted"]) for row in rows),
        "complete": sum(row["complete"] for row in rows),
    }


@table_asset(JUDGEMENTS, code_version="1", recipe=model_recipe, identity=without_wordings, cut=MODELS, keys=models_of)
def alignment_judgements(making: Making) -> dict[str, Any]:
    """Asks the model how well generated problems teach their standards, for those that a teacher judged."""
    from spark_jobs.mathfish.asking import judgements as judged

    tree, choices = curriculum_in(making.lake, making.settings), making.recipe.prompts
    chosen = asked_in(making.lake, choices)
    with _asker(making) as asker:
        rows = judged(
            asker,
            _name(making),
            tree,
            making.lake.read(ALIGNMENT.name).to_pylist(),
            problems={row["problem"]: row for row in chosen},
            recipe=making.recipe.ask,
            most=choices.tasks.problem_characters,
        )
    _write(making, JUDGEMENTS, rows)
    return {"verdicts": len(rows), "malformed": sum(bool(row["malformed"]) for row in rows)}


@table_asset(RESULTS, code_version="1", cut=MODELS, keys=models_of)
def model_results(making: Making) -> dict[str, Any]:
    """Computes the metrics of the paper, by grade, strategy and level, beside those of random answers."""
    from dagster_project.families.mathfish.shown import results_page
    from spark_jobs.mathfish.results import result_rows

    tree = curriculum_in(making.lake, making.settings)
    asked = {row["task"]: row for row in making.lake.read(TASKS.name).to_pylist()}
    parts = {contract: _of_model(making, contract) for contract in (ANSWERS, TRAVERSALS, JUDGEMENTS)}
    rows = result_rows(
        _name(making),
        tree,
        asked,
        parts[ANSWERS],
        traversals=parts[TRAVERSALS],
        judgements=parts[JUDGEMENTS],
    )
    _write(making, RESULTS, rows)
    making.metadata |= results_page(tree, rows, asked, parts[ANSWERS])
    return {"measures": len(rows)}
