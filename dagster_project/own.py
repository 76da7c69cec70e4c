"""The assets of a project's own tables: of files that `watershed add` listed, of modules in its folder `assets`, of
mixtures, and of models that are trained on them.

A table whose contract stands beside a list of files is made from these files. A module `assets/NAME.py` declares assets
as the modules of Watershed's families do, with `table_asset` and `catalog.tables.contract`. A table that neither makes
is written by a program of the project, and is shown and checked.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg

from catalog.errors import WatershedError
from catalog.projects.contract_file import OwnTable
from catalog.projects.files_list import ListedFile, read_list
from catalog.projects.registry import own_mixtures, own_tables
from catalog.projects.types import sql_type
from catalog.settings import Settings, load_settings
from dagster_project.engine.making import Making
from dagster_project.engine.steps import REGISTERED, Step
from dagster_project.engine.table_asset import command_spec, table_asset
from dagster_project.own_mixtures import mixture_asset
from dagster_project.own_training import models_asset

JOB = "own"
"""The job that makes a project's own tables."""
FOLDER = "assets"
JOB_DESCRIPTION = (
    "This job makes the project's own tables: those of files that `watershed add` listed, those of the modules in the "
    "folder `assets`, mixtures, and models that are trained on them."
)
PROGRAM = "a program of the project"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What decides the rows of a table of files: the files, by name and digest, and how columns are read."""

    files: tuple[tuple[str, str, str, str], ...]
    columns: tuple[tuple[str, str, str], ...]


@dataclass
class _Loaded:
    """What was loaded of the current project."""

    sign: Any = None
    steps: list[Step] = field(default_factory=list)
    assets: list[dg.AssetsDefinition] = field(default_factory=list)
    specs: list[dg.AssetSpec] = field(default_factory=list)


_LOADED = _Loaded()


def load(settings: Settings) -> _Loaded:
    """Declare the assets of the project, unless they are the ones that were declared last.

    Raises:
        WatershedError: a module of the project cannot be imported.
    """
    tables, mixtures = own_tables(), own_mixtures()
    modules = sorted((settings.project / FOLDER).glob("*.py")) if tables else []
    sign = (settings.project, {name: id(each) for name, each in (tables | mixtures).items()}, *map(_sign, modules))
    sign = (*sign, *(table.files_list.exists() for table in tables.values()))
    if sign == _LOADED.sign:
        return _LOADED
    for step in _LOADED.steps:
        REGISTERED.remove(step)
    _LOADED.steps, _LOADED.assets, _LOADED.specs, _LOADED.sign = [], [], [], None
    before = len(REGISTERED)
    try:
        _LOADED.assets += [_files_asset(table) for table in tables.values() if table.files_list.exists()]
        for module in modules:
            _LOADED.assets += _assets_of(module)
        _LOADED.assets += [mixture_asset(mixture) for mixture in mixtures.values()]
        _LOADED.assets += [models_asset(each, each.trained) for each in mixtures.values() if each.trained]
    finally:
        _LOADED.steps = REGISTERED[before:]
    made = {contract.name for step in _LOADED.steps for contract in step.contracts}
    _LOADED.specs = [
        command_spec(table.contract, table.contract.command or PROGRAM)
        for name, table in tables.items()
        if name not in made
    ]
    _LOADED.sign = sign
    return _LOADED


def made_tables() -> tuple[str, ...]:
    """The project's own tables that the job `own` makes."""
    return tuple(contract.name for step in load(load_settings()).steps for contract in step.contracts)


def job(settings: Settings) -> tuple[Any, ...]:
    """The job `own`, if the project has tables that it makes."""
    load(settings)
    names = made_tables()
    selection = dg.AssetSelection.assets(*(name.split(".") for name in names))
    return (dg.define_asset_job(JOB, selection, description=JOB_DESCRIPTION),) if names else ()


def _sign(path: Path) -> tuple[str, int, int]:
    stat = path.stat()
    return path.name, stat.st_mtime_ns, stat.st_size


def _files_asset(table: OwnTable) -> dg.AssetsDefinition:
    def body(making: Making) -> dict[str, Any]:
        """Reads the files that `watershed add` listed, and checks their rows against the contract."""
        return _make(making, table)

    # Dagster names the step so, and steps of other families must have other names.
    body.__name__ = f"{table.contract.family}__{table.contract.table}"
    return table_asset(
        table.contract,
        code_version="1",
        recipe=lambda settings, _: read_list(table.files_list),
        identity=lambda files: _identity(table, files),
    )(body)


def _identity(table: OwnTable, files: Sequence[ListedFile]) -> Recipe:
    return Recipe(
        files=tuple((each.name, each.format, each.digest, each.split or "") for each in files),
        columns=tuple(
            (column.name, table.name_in_files(column.name), sql_type(column.type)) for column in table.contract.columns
        ),
    )


def _make(making: Making, table: OwnTable) -> dict[str, Any]:
    from catalog.adding.breaking import require_kept
    from catalog.adding.reading import batches, open_files
    from catalog.adding.sources import unchanged
    from catalog.sql.engine import open_engine

    files, project = making.recipe, making.settings.project
    for each in files:
        if changed := unchanged(each, project):
            raise changed
    connection = open_engine(making.lake)
    try:
        found = open_files(connection, files, project)
        require_kept(connection, making.lake, table, found, beside=False)
        making.replace(table.contract, batches(connection, table, found))
    finally:
        connection.close()
    return {"files": len(files), "bytes read": sum(each.bytes for each in files)}


def _assets_of(path: Path) -> list[Any]:
    """The assets that a module of the project declares."""
    name = f"watershed_project_assets.{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise WatershedError(f"{path} cannot be imported", "write a module of Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except WatershedError:
        raise
    except Exception as error:
        raise WatershedError(
            f"{path} cannot be imported: {type(error).__name__}: {error}", "correct the module, or move it away"
        ) from error
    return list(dg.load_assets_from_modules([module]))
