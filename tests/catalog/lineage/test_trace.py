"""Traces of rows, tables and columns: by links that the contracts declare, and by the commits of the lake."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import duckdb
import pytest
from click.testing import CliRunner, Result
from openlineage.client.event_v2 import RunEvent

from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.lineage import columns
from catalog.lineage.drawing import draw, graph_of, write_graph
from catalog.lineage.links import links
from catalog.lineage.openlineage import events, write_events
from catalog.lineage.readings import readings_of_documents
from catalog.lineage.trace import Thing, Trace, named_things, trace
from catalog.lineage.versions import Versions, made_from
from catalog.settings import Settings
from catalog.sql.query import connect
from catalog.tables import CONTRACTS
from dagster_project.cli import main
from tests.small_lake import CURATED, RUNS, UUID, doc_id, good_rows, settings_in, write_lake, write_rows

FORECAST = Thing("ladder.predictions", {"target": "80k-4xC", "task": "continuation"})


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A lake with every table, which no test changes."""
    return write_lake(tmp_path_factory.mktemp("traced"))


@pytest.fixture(scope="module")
def connection(settings: Settings) -> duckdb.DuckDBPyConnection:
    """A connection to that lake."""
    return connect(settings)


@pytest.fixture(scope="module")
def forecast(connection: duckdb.DuckDBPyConnection) -> Trace:
    """The trace of a forecast."""
    return trace(connection, FORECAST)


@pytest.fixture(scope="module")
def curated(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A lake with the tables from a crawl to a forecast: every command binds all tables that are made."""
    return write_lake(tmp_path_factory.mktemp("curated"), CURATED)


@pytest.fixture
def watershed(curated: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """The command line, on that lake."""
    monkeypatch.setenv("WATERSHED_PROJECT", str(curated.project))

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(main, arguments)

    yield run


def reached(found: Trace, direction: str) -> dict[str, int]:
    """The rows that a trace reached, by table."""
    return {each.table: each.rows for each in getattr(found, direction)}


def test_a_forecast_leads_to_its_documents(forecast: Trace) -> None:
    rows = reached(forecast, "upstream")
    assert (rows["ladder.fits"], rows["ladder.points"], rows["models.checkpoints"]) == (1, 4, 4)
    (documents,) = (each for each in forecast.upstream if each.table == "dclm.documents")
    # The training and the held-out shard hold these three; document 1, 3 and 4 were left out of the mixture.
    assert [key["doc_id"] for key in documents.keys] == [doc_id(0), doc_id(2), doc_id(5)]
    assert reached(forecast, "downstream") == {"ladder.outcomes": 1}


def test_an_evaluation_of_the_registry_leads_to_its_dataset_across_three_tables(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    found = trace(connection, Thing("evals.registry", {"uuid": UUID}))
    assert list(reached(found, "upstream")) == ["models.registry", "models.registry_datasets"]
    assert reached(found, "downstream") == {"evals.registry_scores": 1}


def test_a_document_leads_to_models_scores_and_forecasts_that_rest_on_it(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    found = trace(connection, Thing("dclm.documents", {"doc_id": doc_id(2)}))
    rows = reached(found, "downstream")
    assert (rows["dclm.spans"], rows["dclm.shards"], rows["models.checkpoints"]) == (2, 1, 4)
    assert {"evals.results", "ladder.predictions", "moe.models"} <= rows.keys()
    left_out = trace(connection, Thing("dclm.documents", {"doc_id": doc_id(3)}))
    assert {"dclm.measurements", "dclm.verdicts", "dclm.contamination"} == reached(left_out, "downstream").keys()


def test_how_often_each_model_read_a_document_is_counted_step_by_step(connection: duckdb.DuckDBPyConnection) -> None:
    often = {each.run: (each.sequences, each.tokens) for each in readings_of_documents(connection, [doc_id(2)])}
    # Steps 1 and 2 read the two sequences of the shard: 4 tokens of it are in the first, and 10 in the second.
    assert often == dict.fromkeys((*RUNS, "80k-4xC", "10k-1xC-moe"), (2, 14))
    assert readings_of_documents(connection, [doc_id(5)]) == []


def test_an_answer_leads_to_the_papers_that_it_cites(connection: duckdb.DuckDBPyConnection) -> None:
    (thing,) = named_things(connection, "a" * 16)
    assert thing.name == f"scholar.answers:{'a' * 16}"
    assert {"scholar.references", "scholar.training"} <= reached(trace(connection, thing), "downstream").keys()
    cited = trace(connection, Thing("scholar.references", {"answer": "a" * 16, "number": 1}))
    assert [t for t in reached(cited, "upstream") if t != "scholar.answers"] == ["scholar.passages", "scholar.papers"]


def test_a_name_means_the_rows_that_own_it(connection: duckdb.DuckDBPyConnection) -> None:
    assert [thing.name for thing in named_things(connection, "80k-4xC")] == [
        "models.targets:80k-4xC",
        "ladder.predictions:80k-4xC",
    ]
    assert named_things(connection, "80k-4xC/continuation") == [FORECAST]
    assert named_things(connection, "DCLM.Mixture@1") == [Thing("dclm.mixture", version=1)]
    assert named_things(connection, "nothing has this name") == []
    with pytest.raises(WatershedError, match="no table is called"):
        named_things(connection, "dclm.nope@1")


def test_links_hold_together_what_names_a_row() -> None:
    assert ("models.batches", ("dataset", "split", "shard"), "dclm.shards") in {
        (e.table, e.columns, e.upstream) for e in links()
    }
    # The recipe alone would lead to all documents.
    assert {e.columns for e in links() if (e.table, e.upstream) == ("dclm.mixture", "dclm.measurements")} == {
        ("doc_id", "recipe")
    }


def test_a_version_rests_on_the_versions_that_were_the_latest_when_it_was_written(tmp_path: Path) -> None:
    names = ("dclm.pool", "dclm.documents", "dclm.measurements", "dclm.verdicts")
    settings = write_rows(settings_in(tmp_path), {name: good_rows()[name] for name in names})
    first = Versions(connect(settings)).latest("dclm.verdicts")
    assert first
    assert first.fingerprint == "f" * 16
    assert first.code
    write_rows(settings, {"dclm.documents": good_rows()["dclm.documents"]}, "e" * 16)
    versions = Versions(connect(settings))
    read = {each.table: each for each in made_from(versions, first)}
    assert read.keys() == set(names) - {"dclm.verdicts"}
    assert read["dclm.documents"].outdated
    assert read["dclm.documents"].fingerprint == "f" * 16
    found = trace(connect(settings), Thing("dclm.verdicts", version=first.version))
    assert {each.table: each.version for each in found.read} == {name: each.version for name, each in read.items()}
    with pytest.raises(WatershedError, match="has no version 99"):
        trace(connect(settings), Thing("dclm.verdicts", version=99))


def test_lineage_survives_a_run_that_fails(tmp_path: Path) -> None:
    settings = write_lake(tmp_path, ("dclm.pool", "dclm.documents"))
    before = trace(connect(settings), Thing("dclm.documents", {"doc_id": doc_id(0)})).as_json()
    lake, contract = Lake.of(settings), CONTRACTS["dclm.documents"]
    rows = lake.read(contract.name).drop_columns("state")
    with pytest.raises(WatershedError, match="missing state"):
        lake.replace(contract, rows, "e" * 16)
    assert trace(connect(settings), Thing("dclm.documents", {"doc_id": doc_id(0)})).as_json() == before


def test_the_declared_lineage_of_columns_is_borne_out_by_schemas_and_views() -> None:
    assert columns.faults() == []
    assert columns.view_columns("dclm.texts")["text"] == (
        "dclm.documents.text",
        "dclm.measurements.text",
        "dclm.paragraphs.text",
    )
    assert ("dclm.scores.bucket", "dclm.mixture.bucket") in columns.downstream_columns("dclm.scores.bucket")
    assert columns.upstream_columns("ladder.outcomes.predicted")[0] == (
        "ladder.outcomes.predicted",
        "ladder.predictions.accuracy",
    )


def test_a_view_that_reads_what_it_does_not_declare_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    from catalog.view import View

    wrong = View("Wrong.", ("dclm.scores",), "SELECT s.score FROM dclm.scores s JOIN dclm.pool p ON true")
    monkeypatch.setitem(columns.VIEWS, "dclm.wrong", wrong)
    columns.view_tables.cache_clear()
    columns.view_columns.cache_clear()
    assert columns.faults() == [
        "the view dclm.wrong declares ['dclm.scores'], and its SQL reads ['dclm.pool', 'dclm.scores']"
    ]


def test_events_fit_openlineage(connection: duckdb.DuckDBPyConnection, settings: Settings, tmp_path: Path) -> None:
    versions = Versions(connection)
    path = tmp_path / "events.jsonl"
    count = write_events(versions, settings.lake_root, path, ["dclm.mixture", "dclm.documents"])
    found = [json.loads(line) for line in path.read_text().splitlines()]
    assert (count, [event["job"]["name"] for event in found]) == (2, ["dclm.documents", "dclm.mixture"])
    all_events = list(events(versions, settings.lake_root))
    assert {event["job"]["name"] for event in all_events} == CONTRACTS.keys()
    for event in all_events:
        fields = {key: value for key, value in event.items() if key != "schemaURL"}
        # The classes of the project's own client check ids, times and addresses.
        assert RunEvent(**fields).eventType == "COMPLETE"
        assert datetime.datetime.fromisoformat(event["eventTime"]).tzinfo
    mixture = found[1]
    assert [each["name"].rpartition("/dclm/")[2] for each in mixture["inputs"]][:2] == ["documents", "measurements"]
    facets = mixture["outputs"][0]["facets"]
    assert facets["columnLineage"]["fields"]["bucket"]["inputFields"][0]["field"] == "bucket"
    assert facets["version"]["datasetVersion"] == str(versions.of["dclm.mixture"][-1].version)


def test_the_picture_is_sound_and_puts_sources_on_the_left(forecast: Trace, tmp_path: Path) -> None:
    boxes, edges = graph_of(forecast)
    svg = draw(boxes, edges, 'Lineage of <a> & "b"')
    tree = ElementTree.fromstring(svg)
    left = {
        str(title.text).split(":")[0]: float(box.attrib["x"])
        for group in tree.iter("{http://www.w3.org/2000/svg}g")
        for title, box in zip(group.findall("{*}title"), group.findall("{*}rect"), strict=True)
    }
    assert left.keys() == {box.name for box in boxes}
    assert left["dclm.pool"] < left["dclm.documents"] < left["models.checkpoints"] < left["ladder.predictions"]
    assert all(left[one] < left[other] for one, other in edges)
    write_graph(forecast, tmp_path / "graph.html")
    page = (tmp_path / "graph.html").read_text()
    assert "<svg" in page
    assert "://" not in page.replace("http://www.w3.org/2000/svg", "")
    with pytest.raises(WatershedError, match="ends in neither"):
        write_graph(forecast, tmp_path / "graph.png")


@pytest.mark.slow
def test_the_command_traces_rows_tables_and_columns(watershed, tmp_path: Path) -> None:
    shown = watershed("trace", "80k-4xC/continuation")
    assert shown.exit_code == 0, shown.output
    # Columns are as wide as their longest entry.
    text = re.sub(" +", " ", shown.stdout)
    for part in ("ladder.points", doc_id(5), "licence", "Common Crawl", "next watershed trace dclm.documents:"):
        assert part in text, part
    model = watershed("trace", "80k-4xC").stdout
    assert model.startswith("row models.targets:80k-4xC\n")
    assert "also watershed trace ladder.predictions:80k-4xC" in re.sub(" +", " ", model)
    assert "dclm.spans" in watershed("trace", "train/0").stdout
    assert "dclm.mixture.bucket" in watershed("trace", "dclm.scores.bucket").stdout
    assert "version 2, written" in watershed("trace", "dclm.mixture").stdout
    document = watershed("trace", doc_id(2)).stdout
    assert "read 2 sequences with 14 of its tokens" in document
    assert "never read it in training" in watershed("trace", doc_id(5)).stdout


def test_the_command_writes_json_pictures_and_events(watershed, tmp_path: Path) -> None:
    found = json.loads(watershed("trace", doc_id(2), "--json").stdout)
    assert found["thing"] == f"dclm.documents:{doc_id(2)}"
    assert found["readings"][0] == {
        "run": "10k-1xC",
        "sequences": 2,
        "tokens": 14,
        "table": "models.batches",
    }
    pieces = json.loads(watershed("trace", "train/0/0", "--json").stdout)["documents"]
    assert [piece["doc_id"] for piece in pieces] == [doc_id(0), doc_id(2)]
    drawn = watershed("trace", "dclm.mixture", "--graph", str(tmp_path / "mixture.svg"))
    assert drawn.exit_code == 0, drawn.output
    ElementTree.parse(tmp_path / "mixture.svg")
    written = watershed("trace", "--openlineage", str(tmp_path / "events.jsonl"))
    assert written.exit_code == 0, written.output
    assert len((tmp_path / "events.jsonl").read_text().splitlines()) == len(CURATED)
    assert watershed("trace").exit_code == 2
    assert watershed("trace", "dclm.mixture@77").exit_code == 2
