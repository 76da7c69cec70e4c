"""A project's own tables in Dagster: of files that were added, and of a module in its folder `assets`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from catalog.cards.croissant.importing import read_croissant
from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.licences.names import read_licence
from catalog.projects.registry import own_tables
from catalog.settings import Settings, load_settings
from dagster_project import own
from dagster_project.assets import assets_and_jobs, steps
from dagster_project.cli.add import add_command
from dagster_project.cli.croissant import _tables, import_command
from dagster_project.run import due_of_each, make_by_command
from tests.catalog.croissant.made_croissants import made

CONTRACT = """
name = "weather.warmest"
description = "The warmest day of every town."
primary_key = ["town"]
upstream = ["weather.days"]

[[columns]]
name = "town"
type = "VARCHAR"
description = "The town."
derived_from = "weather.days.town"

[[columns]]
name = "degrees"
type = "DOUBLE"
description = "Temperature in degrees Celsius."
minimum = -90
maximum = 60
"""
MODULE = '''
"""The warmest days."""

from catalog.sql.query import connect
from catalog.tables import contract
from dagster_project.engine.table_asset import table_asset


@table_asset(contract("weather.warmest"), code_version="1")
def warmest(making):
    """Takes the warmest day of every town."""
    with connect(making.settings) as connection:
        rows = connection.execute("SELECT town, max(degrees) AS degrees FROM weather.days GROUP BY 1").to_arrow_table()
    making.replace(contract("weather.warmest"), rows)
    return {"towns": rows.num_rows}
'''
DAYS = "day,town,degrees\n" + "".join(f"2026-01-{day:02},{town},{day}.5\n" for day in range(1, 8) for town in "ab")


@dataclass(frozen=True)
class Project:
    """A project in which a file was added, and then another one."""

    folder: Path
    first: Result
    refused: Result
    imported: Result
    versions: tuple[int | None, int | None]
    """Versions of the table before and after the file that was refused."""

    @property
    def settings(self) -> Settings:
        """Its settings."""
        return load_settings(self.folder)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose tables are made by the command line and by the job `own`."""
    folder = tmp_path_factory.mktemp("weather")
    (folder / "watershed.toml").write_text("")
    (folder / "days.csv").write_text(DAYS)
    (folder / "later.csv").write_text("day,town,degrees\n2026-02-01,a,warm\n2026-02-02,,3\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WATERSHED_PROJECT", str(folder))
        words = ["weather.days", str(folder / "days.csv"), "--key", "day", "--key", "town", "--licence", "CC0-1.0"]
        first = CliRunner().invoke(add_command, [*words, "--propose"])
        (folder / "contracts" / "warmest.toml").write_text(CONTRACT)
        (folder / "assets").mkdir()
        (folder / "assets" / "warmest.py").write_text(MODULE)
        # One run makes both.
        make_by_command(load_settings(), ["weather.warmest"])
        before = Lake.of(load_settings()).version("weather.days")
        refused = CliRunner().invoke(add_command, ["weather.days", str(folder / "later.csv")])
        after = Lake.of(load_settings()).version("weather.days")
        described = json.loads((croissant := made("csv-1.1", folder)).read_text())
        described["recordSet"][0]["field"][1]["description"] = "Years of age."
        croissant.write_text(json.dumps(described))
        out = str(folder / "passengers")
        imported = CliRunner().invoke(import_command, [str(croissant), "--name", "sea.passengers", "--out", out])
    return Project(folder, first, refused, imported, (before, after))


def test_a_file_becomes_a_table_through_its_asset(project: Project) -> None:
    assert project.first.exit_code == 0, project.first.output
    assert "weather.days: a contract for 14 rows, proposed in contracts/weather.days.toml" in project.first.output
    lake = Lake.of(project.settings)
    assert lake.read("weather.days").num_rows == 14
    table = own_tables()["weather.days"]
    assert table.contract.primary_key == ("day", "town")
    assert table.contract.licence == "CC0-1.0"


def test_a_later_file_that_breaks_the_contract_ends_with_exit_code_2(project: Project) -> None:
    assert project.refused.exit_code == 2
    assert "later.csv row 1 (day=datetime.date(2026, 2, 1), town='a', degrees='warm')" in project.refused.output
    assert "later.csv row 2" in project.refused.output
    before, after = project.versions
    assert before == after
    assert "later.csv" not in own_tables()["weather.days"].files_list.read_text()


def test_a_croissant_file_becomes_a_table_with_its_key_licence_and_descriptions(project: Project) -> None:
    assert project.imported.exit_code == 0, project.imported.output
    table = own_tables()["sea.passengers"]
    assert table.contract.primary_key == ("name",)
    assert read_licence(table.contract.licence).id == "CC-BY-4.0"
    assert table.contract.column("age").description == "Years of age."
    assert Lake.of(project.settings).read("sea.passengers").column("age").to_pylist() == [36, None, 4]


def test_names_of_imported_tables_are_refused_before_anything_is_written(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATERSHED_PROJECT", str(project.folder))
    path, out = str(made("several", tmp_path)), tmp_path / "out"
    assert _tables("films.imdb", read_croissant(Path(path))) == ["films.imdb_movies", "films.imdb_ratings"]
    single = str(made("csv-1.1", tmp_path))
    for name, cause in (("dclm.films", "a family of Watershed's own"), ("sea.passengers", "exists already")):
        refused = CliRunner().invoke(import_command, [single, "--name", name, "--out", str(out)])
        assert refused.exit_code == 2
        assert cause in refused.output
    assert not out.exists()


def test_a_module_of_the_project_makes_a_table_of_it(project: Project) -> None:
    rows = Lake.of(project.settings).read("weather.warmest").sort_by("town").to_pylist()
    assert rows == [{"town": "a", "degrees": 7.5}, {"town": "b", "degrees": 7.5}]


def test_own_tables_stand_in_the_graph_with_checks_and_a_job(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATERSHED_PROJECT", str(project.folder))
    found = assets_and_jobs(project.settings)
    graph = found.resolve_asset_graph()
    days, warmest = (
        next(key for key in graph.get_all_asset_keys() if key.path[-1] == name) for name in ("days", "warmest")
    )
    assert graph.get(warmest).parent_keys == {days}
    assert {key.name for key in graph.get_check_keys_for_assets({days})} == {"contract", "up_to_date"}
    assert found.resolve_job_def(own.JOB).description == own.JOB_DESCRIPTION
    assert {"weather.days", "weather.warmest"} <= steps().by_table.keys()


def test_nothing_is_due_until_a_file_or_the_contract_changes(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATERSHED_PROJECT", str(project.folder))
    assert not {"weather.days", "weather.warmest"} & due_of_each(project.settings).keys()
    listed = own_tables()["weather.days"].files_list
    text = listed.read_text()
    listed.write_text(text.replace('"digest": "', '"digest": "0'))
    assert {"weather.days", "weather.warmest"} <= due_of_each(project.settings).keys()
    listed.write_text(text)


def test_a_module_that_fails_is_named(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATERSHED_PROJECT", str(project.folder))
    broken = project.folder / "assets" / "broken.py"
    broken.write_text("import nothing_of_this_name\n")
    try:
        with pytest.raises(WatershedError, match=r"broken\.py cannot be imported: ModuleNotFoundError"):
            own.load(project.settings)
    finally:
        broken.unlink()


def test_the_assets_of_a_project_leave_with_it(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATERSHED_PROJECT", str(project.folder))
    assert "weather.days" in steps().by_table
    monkeypatch.setenv("WATERSHED_PROJECT", str(tmp_path))
    assert "weather.days" not in steps().by_table
