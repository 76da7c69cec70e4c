"""The assets of the family `dialogues`: the stages of self-directed dialogues (arXiv 2407.18421), one after another."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from catalog.contract import Contract
from catalog.tables.dialogues import (
    CONVERSATIONS,
    CRITIQUES,
    FLAGS,
    GOALS,
    PLANS,
    PREFERENCES,
    REVISIONS,
    STATISTICS,
    TOPICS,
)
from dagster_project.engine.making import Making
from dagster_project.engine.table_asset import table_asset
from dagster_project.families.dialogues.recipes import MODELS, dialogue_recipe, models_of

if TYPE_CHECKING:
    from spark_jobs.dialogues.stages import Stage


def _name(making: Making) -> str:
    assert making.partition is not None
    return str(making.partition["model"])


@contextmanager
def _stage(making: Making) -> Generator[Stage]:
    """Yield the stage of the partition's model, whose server runs for the block if Watershed serves it."""
    from dagster_project.engine.model_server import answering
    from spark_jobs.dialogues.stages import Stage

    with answering(making.settings, _name(making)) as endpoint:
        yield Stage(making.lake, endpoint, _name(making), making.recipe)


def _list(making: Making, contract: Contract) -> list[dict[str, Any]]:
    """Return the rows of the partition's model, in the order in which they were written."""
    table = making.lake.table(contract.name).to_pyarrow_table(partitions=[("model", "=", _name(making))])
    return table.to_pylist()


def _rows(making: Making, contract: Contract) -> dict[str, dict[str, Any]]:
    """Return the rows of the partition's model by dialogue, in the order of the dialogues' ids."""
    return {row["dialogue"]: row for row in sorted(_list(making, contract), key=lambda row: row["dialogue"])}


def _write(making: Making, contract: Contract, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    import pyarrow as pa

    making.replace(contract, pa.Table.from_pylist(list(rows), schema=contract.schema))
    failed = sum(bool(row.get("failure")) for row in rows)
    return {"rows": len(rows)} | ({"failed": failed} if "failure" in contract.schema.names else {})


@table_asset(TOPICS, code_version="1", recipe=dialogue_recipe, cut=MODELS, keys=models_of)
def topics(making: Making) -> dict[str, Any]:
    """Asks the model for subtopics of each domain that its dialogues need."""
    from spark_jobs.dialogues import stages

    with _stage(making) as stage:
        return _write(making, TOPICS, stages.topics(stage))


@table_asset(GOALS, code_version="1", recipe=dialogue_recipe, cut=MODELS, keys=models_of)
def goals(making: Making) -> dict[str, Any]:
    """Draws the topic and the principles of each dialogue, and asks the model for the goal of a user."""
    from spark_jobs.dialogues import stages

    with _stage(making) as stage:
        return _write(making, GOALS, stages.goals(stage, _list(making, TOPICS)))


@table_asset(PLANS, code_version="1", recipe=dialogue_recipe, cut=MODELS, keys=models_of)
def plans(making: Making) -> dict[str, Any]:
    """Asks the model for a plan whose last turn of the agent violates the principles."""
    from spark_jobs.dialogues import stages

    with _stage(making) as stage:
        return _write(making, PLANS, stages.plans(stage, _rows(making, GOALS)))


@table_asset(CONVERSATIONS, code_version="2", recipe=dialogue_recipe, cut=MODELS, keys=models_of)
def conversations(making: Making) -> dict[str, Any]:
    """Lets two instances of the model converse under the plan until DONE or the limit of turns.

    Every message is in models.requests as soon as it is spoken, so that an interrupted run goes on within a dialogue.
    """
    from spark_jobs.dialogues import stages

    with _stage(making) as stage:
        rows = stages.conversations(stage, _rows(making, GOALS), _rows(making, PLANS))
    return _write(making, CONVERSATIONS, rows) | {"messages": sum(row["turns"] for row in rows)}


@table_asset(FLAGS, code_version="1", recipe=dialogue_recipe, cut=MODELS, keys=models_of)
def flags(making: Making) -> dict[str, Any]:
    """Finds truncated and ill-formed dialogues by rules, and asks the model which last turns violate a principle."""
    from spark_jobs.dialogues import stages

    with _stage(making) as stage:
        rows = stages.flags(stage, *(_rows(making, contract) for contract in (GOALS, PLANS, CONVERSATIONS)))
    return _write(making, FLAGS, rows) | {
        "violations": sum(bool(row["violation"]) for row in rows),
        "truncated": sum(row["truncated"] for row in rows),
        "ill-formed": sum(bool(row["ill_formed"]) for row in rows),
    }


@table_asset(CRITIQUES, code_version="1", recipe=dialogue_recipe, cut=MODELS, keys=models_of)
def critiques(making: Making) -> dict[str, Any]:
    """Asks the model what is wrong with the last turn of each flagged, well-formed dialogue."""
    from spark_jobs.dialogues import stages

    with _stage(making) as stage:
        rows = stages.critiques(stage, *(_rows(making, contract) for contract in (GOALS, CONVERSATIONS, FLAGS)))
    return _write(making, CRITIQUES, rows)


@table_asset(REVISIONS, code_version="1", recipe=dialogue_recipe, cut=MODELS, keys=models_of)
def revisions(making: Making) -> dict[str, Any]:
    """Asks the model for the last turn of the agent again, given the critique. No other turn is changed."""
    from spark_jobs.dialogues import stages

    with _stage(making) as stage:
        rows = stages.revisions(stage, *(_rows(making, contract) for contract in (GOALS, CONVERSATIONS, CRITIQUES)))
    return _write(making, REVISIONS, rows)


@table_asset(PREFERENCES, code_version="1", recipe=dialogue_recipe, cut=MODELS, keys=models_of)
def preferences(making: Making) -> dict[str, Any]:
    """Pairs the revised turn with the original one, where both are well-formed and differ."""
    from spark_jobs.dialogues import stages

    before = (_rows(making, contract) for contract in (CONVERSATIONS, FLAGS, CRITIQUES, REVISIONS))
    return _write(making, PREFERENCES, stages.preferences(_name(making), *before))


@table_asset(STATISTICS, code_version="1", cut=MODELS, keys=models_of)
def statistics(making: Making) -> dict[str, Any]:
    """Counts what the paper reports of its dialogues, their diversity, and every kind of failure."""
    from dagster_project.families.dialogues.shown import statistics_page
    from spark_jobs.dialogues.statistics import statistics as counted

    parts = (GOALS, PLANS, CONVERSATIONS, FLAGS, CRITIQUES, REVISIONS, PREFERENCES)
    found = {contract.table: _list(making, contract) for contract in parts}
    rows = counted(_name(making), found)
    making.metadata |= statistics_page(rows, found)
    making.metadata |= {row["measure"]: row["value"] for row in rows if row["value"] is not None}
    return _write(making, STATISTICS, rows)
