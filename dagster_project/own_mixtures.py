"""The assets of a project's mixtures: for each recipe in its folder `mixtures`, a step that makes all its tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.projects.mixture_file import MixtureRecipe, MixtureSource
from catalog.projects.mixture_tables import Mixture
from catalog.settings import Settings
from catalog.sql.views import VIEWS
from catalog.tables import CONTRACTS
from dagster_project.engine.making import Making
from dagster_project.engine.steps import REGISTERED
from dagster_project.engine.table_asset import table_asset

if TYPE_CHECKING:
    import pyarrow as pa

    from catalog.projects.files_list import ListedFile
    from spark_jobs.mixtures.making import Inputs
    from spark_jobs.mixtures.sources import Rows

NOT_HASHED = ("name", "path", "description", "owner", "tokenizer", "evaluations", "train")
"""Entries of a recipe that decide no row by themselves: the contents of the files that they name do. The models that
are trained on a mixture are another step."""


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """A mixture with the files that it reads."""

    mixture: Mixture
    files: Mapping[str, tuple[ListedFile, ...]] = field(default_factory=dict)
    """By source."""
    evaluations: tuple[Path, ...] = ()
    tokenizer: Path | None = None
    """None for the tokenizer of a table."""
    versions: Mapping[str, int | None] = field(default_factory=dict)
    """The versions of the tables that it reads and that commands write: no fingerprint of a step identifies them."""
    fault: WatershedError | None = None
    """Why a file cannot be read. It is raised when the mixture is made, so that what else is due can be listed."""


def mixture_asset(mixture: Mixture) -> dg.AssetsDefinition:
    """The asset that makes the tables of a mixture."""

    def body(making: Making) -> dict[str, Any]:
        """Reads the sources of the recipe, drops copies and evaluation examples across them, and writes the shards."""
        return _make(making)

    # Dagster names the step so, and steps of other families must have other names.
    body.__name__ = f"mixture__{mixture.recipe.name}"
    return table_asset(
        *mixture.contracts,
        code_version="1",
        recipe=lambda settings, _: chosen_files(mixture, settings),
        identity=identity,
    )(body)


def chosen_files(mixture: Mixture, settings: Settings) -> Chosen:
    """The files that a mixture reads, beside its tables."""
    from spark_jobs.mixtures.examples import evaluation_files
    from spark_jobs.mixtures.sources import listed_files

    recipe, project = mixture.recipe, settings.project
    try:
        files = {each.name: listed_files(recipe, each, project) for each in recipe.sources if each.files}
        evaluations = evaluation_files(project / recipe.evaluations) if recipe.evaluations else []
        tokenizer = None if recipe.tokenizer in CONTRACTS else _tokenizer_file(recipe, project)
    except WatershedError as error:
        return Chosen(mixture=mixture, fault=error)
    made = {contract.name for step in REGISTERED for contract in step.contracts}
    lake, upstream = Lake.of(settings), (*mixture.documents.upstream, *mixture.shards.upstream)
    versions = {name: lake.version(name) for name in upstream if name not in made}
    return Chosen(mixture=mixture, files=files, evaluations=tuple(evaluations), tokenizer=tokenizer, versions=versions)


def _tokenizer_file(recipe: MixtureRecipe, project: Path) -> Path:
    place = project / Path(recipe.tokenizer).expanduser()
    path = place / "tokenizer.json" if place.is_dir() else place
    if not path.is_file():
        raise WatershedError(
            f"{recipe.path}: tokenizer = {recipe.tokenizer!r} is neither a file of the project nor a table of the lake",
            "name a tokenizer.json, the folder of one, or dclm.tokenizer",
        )
    return path


def identity(chosen: Chosen) -> Any:
    """What decides the rows: the recipe, and the contents of the files that it names."""
    from catalog.files import sha256_of
    from spark_jobs.mixtures.sources import files_digest

    recipe = chosen.mixture.recipe
    decided = {name: getattr(recipe, name) for name in recipe.__dataclass_fields__ if name not in NOT_HASHED}
    return {
        **decided,
        "files": {name: files_digest(files) for name, files in chosen.files.items()},
        "evaluations": [[path.name, sha256_of(path)] for path in chosen.evaluations],
        "tokenizer": sha256_of(chosen.tokenizer) if chosen.tokenizer else recipe.tokenizer,
        "versions": dict(chosen.versions),
        "fault": str(chosen.fault) if chosen.fault else "",
    }


def _make(making: Making) -> dict[str, Any]:
    from catalog.sql.engine import open_engine
    from catalog.sql.query import connect
    from spark_jobs.mixtures.making import rows_of, write_mixture
    from spark_jobs.mixtures.sources import row_batches

    chosen: Chosen = making.recipe
    if chosen.fault:
        raise chosen.fault
    mixture, project = chosen.mixture, making.settings.project
    columns = {
        source.name: column
        for source in mixture.recipe.sources
        if source.table in CONTRACTS and (column := CONTRACTS[source.table].licence_column)
    }
    rows = rows_of(mixture, columns, chosen.files)
    with connect(making.settings) as tables, open_engine(making.lake) as files:

        def opened(each: Rows) -> Iterator[pa.RecordBatch]:
            yield from row_batches(files if each.files else tables, each, mixture.recipe, project)

        counts = write_mixture(making.lake, mixture, _inputs(making, chosen, rows), opened, making.fingerprint)
    making.wrote(making.lake.folder(mixture.shards.name, making.fingerprint))
    return counts


def _inputs(making: Making, chosen: Chosen, rows: list[Rows]) -> Inputs:
    from catalog.licences.rows import RowLicences
    from spark_jobs.mixtures.making import Inputs

    settings = making.settings.licences
    return Inputs(
        rows=rows,
        licences={each.source.name: RowLicences(_stated(each.source), settings) for each in rows},
        evaluations=chosen.evaluations,
        tokenizer=chosen.tokenizer or _stored_tokenizer(making, chosen.mixture.recipe),
    )


def _stated(source: MixtureSource) -> Any:
    """The licences of the rows of a source that state none themselves."""
    from catalog.licences.inherited import own_licences
    from catalog.licences.names import read_licences
    from catalog.licences.rows import table_licences

    if source.files:
        return read_licences(source.licence)
    if source.table in VIEWS:
        return table_licences(VIEWS[source.table].tables, CONTRACTS)
    contract = CONTRACTS[source.table]
    return own_licences(contract) if contract.licence_column else table_licences([contract.name], CONTRACTS)


def _stored_tokenizer(making: Making, recipe: MixtureRecipe) -> Path:
    """The file of the only tokenizer in the table that a recipe names."""
    found = making.lake.read(recipe.tokenizer, ["path"])["path"].to_pylist()
    if len(found) != 1:
        raise WatershedError(
            f"{recipe.tokenizer} has {len(found)} tokenizers", "name the tokenizer.json of one of them in the recipe"
        )
    return making.lake.files / found[0]
