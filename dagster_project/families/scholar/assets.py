"""The assets of the family `scholar`: papers to passages to vectors to indexes."""

from __future__ import annotations

from typing import Any

from catalog.tables.scholar import EMBEDDINGS, INDEX, PAPERS, PASSAGES, REJECTED
from dagster_project.engine.making import Making
from dagster_project.engine.table_asset import table_asset
from dagster_project.families.scholar.recipes import PapersRecipe, encoder_identity, papers_recipe


def _literals(recipe: PapersRecipe) -> Any:
    # Where the files lie does not decide the rows.
    return recipe.digests, recipe.withdrawn


@table_asset(PAPERS, REJECTED, code_version="1", recipe=papers_recipe, identity=_literals)
def papers(making: Making) -> dict[str, Any]:
    """Reads the papers of `[scholar] papers`, merges the records of one paper, and leaves out forgotten ones."""
    from spark_jobs.scholar.papers import paper_tables

    recipe: PapersRecipe = making.recipe
    found, rejected = paper_tables(recipe.places, recipe.withdrawn)
    making.replace(REJECTED, rejected)
    making.replace(PAPERS, found)
    return {"papers": found.num_rows, "rejected": rejected.num_rows}


@table_asset(
    PASSAGES,
    code_version="1",
    recipe=lambda settings, _: {"words": settings.scholar.words, "stride": settings.scholar.stride},
)
def passages(making: Making) -> dict[str, Any]:
    """Cuts the papers into blocks of words."""
    from spark_jobs.retrieval.passages import Cut
    from spark_jobs.scholar.tables import passages_of

    rows = passages_of(making.lake.read(PAPERS.name), Cut(**making.recipe))
    making.replace(PASSAGES, rows)
    return {"passages": rows.num_rows}


@table_asset(EMBEDDINGS, code_version="1", recipe=encoder_identity)
def embeddings(making: Making) -> dict[str, Any]:
    """Embeds the passages by the encoder of `[scholar] encoder`, with their titles in front."""
    from catalog.progress import track
    from dagster_project.families.scholar.recipes import project_encoder
    from spark_jobs.scholar.tables import embeddings_of

    rows = making.lake.read(PASSAGES.name, ["passage", "title", "text"])
    encoder = project_encoder(making.settings)
    with track("embeddings", rows.num_rows, "passages") as task:
        found = embeddings_of(rows, encoder, task.advance)
    making.replace(EMBEDDINGS, found)
    return {"passages": found.num_rows, "dimensions": encoder.stamp.dimensions}


@table_asset(INDEX, code_version="1", recipe=lambda settings, _: settings.scholar.index)
def index(making: Making) -> dict[str, Any]:
    """Builds the indexes of vectors and words, or adds and deletes what has changed since."""
    from dagster_project.families.scholar.recipes import project_encoder
    from spark_jobs.scholar.indexing import index_passages

    def encode(questions: list[str]) -> Any:
        return project_encoder(making.settings).queries(questions)

    row, changes = index_passages(making.lake, making.recipe, encode)
    making.replace(INDEX, row)
    return changes
