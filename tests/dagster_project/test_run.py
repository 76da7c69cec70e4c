"""Steps that are due are grouped into Dagster runs, in an order that Dagster keeps."""

from __future__ import annotations

from dagster_project.assets import steps
from dagster_project.run import Group


def group(*tables: str) -> Group:
    """A group of the job `scaling` with the steps of some tables."""
    known = steps()
    found = [known.by_table[table] for table in tables]
    return Group("scaling", found, next((step.cut for step in found if step.cut), None))


def test_a_step_joins_the_run_of_what_it_reads() -> None:
    known = steps()
    assert group("models.checkpoints").takes(known.by_table["evals.results"], known)
    chain = group("models.checkpoints", "evals.results", "ladder.points", "ladder.fits", "ladder.predictions")
    assert chain.takes(known.by_table["models.targets"], known)


def test_a_step_waits_for_the_next_run_if_only_steps_that_are_up_to_date_connect_it_with_an_earlier_one() -> None:
    """After the files of all models and answers were lost, forecasts are still up to date."""
    known = steps()
    assert not group("models.checkpoints", "evals.results").takes(known.by_table["models.targets"], known)
