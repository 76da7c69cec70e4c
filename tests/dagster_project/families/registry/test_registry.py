"""DCLM's registry in the lake: imported rows, missing references, recomputed aggregates, and refused files."""

from __future__ import annotations

import gzip
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from click.testing import CliRunner, Result
from made_registry import evaluation, model, uuid, write, write_registry

from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.settings import load_settings
from catalog.sql.query import connect
from catalog.tables import contract
from dagster_project.cli import main
from dagster_project.cli.registry import COUNTS_SQL
from dagster_project.engine.checks import CHECK, require_passing
from dagster_project.instance import open_instance
from dagster_project.jobs import DEMO, TABLES
from spark_jobs.registry.dclm_files import digest, read_registry
from trainers.icl.aggregate import aggregates

SHARED = os.environ.get("WATERSHED_SHARED")
DOCS = Path(__file__).parents[4] / "docs" / "registry.md"


def watershed(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(main, arguments, input=stdin)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project, which the command line finds."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "watershed.toml").touch()
    monkeypatch.setenv("WATERSHED_PROJECT", str(folder))
    return folder


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    return write_registry(tmp_path / "registry")


def rows(project: Path, sql: str) -> list[tuple]:
    return connect(load_settings(project)).execute(sql).fetchall()


def ranks_sql() -> str:
    """Return the query of docs/registry.md."""
    blocks = re.findall(r"```sql\n(.*?)```", DOCS.read_text(), re.DOTALL)
    return next(block for block in blocks if "rank_correlation" in block)


def write_tables(project: Path, registry: Path) -> None:
    """Write the tables as the asset does, without Dagster around it."""
    lake = Lake.of(load_settings(project))
    for name, table in read_registry(registry, aggregates).items():
        lake.replace(contract(name), table, "f" * 16)


def versions(project: Path) -> dict[str, int | None]:
    return {name: Lake.of(load_settings(project)).version(name) for name in TABLES["registry"]}


@pytest.mark.slow
def test_an_import_replaces_all_tables_or_finds_nothing_to_do_or_refuses(project: Path, registry: Path) -> None:
    result = watershed("registry", "import", str(registry))
    assert result.exit_code == 0, result.output
    assert "2 tokenized and 1 raw data sets, 3 models, 4 evaluations with 215 task scores" in result.stdout
    assert "WARNED models.registry: expected dataset_uuid is in models.registry_datasets.uuid" in result.stdout
    first = versions(project)

    assert "nothing to do" in watershed("registry", "import", str(registry)).stdout
    assert versions(project) == first

    write(registry, "models/model14.json", model(14, uuid(1)))
    assert "4 models" in watershed("registry", "import", str(registry)).stdout
    second = versions(project)
    assert all(version == (first[name] or 0) + 1 for name, version in second.items())

    (registry / "evals" / "eval21.json").write_text("{")
    refused = watershed("registry", "import", str(registry))
    assert refused.exit_code == 2
    assert "error: evals/eval21.json: not JSON" in refused.stderr
    assert "mend:" in refused.stderr
    assert versions(project) == second

    settings = load_settings(project)
    instance = open_instance(settings)
    require_passing(instance, settings, TABLES["registry"])
    keys = [dg.AssetCheckKey(dg.AssetKey(name.split(".")), CHECK) for name in TABLES["registry"]]
    checked: dict[Any, Any] = dict(instance.event_log_storage.get_latest_asset_check_execution_by_key(keys))
    instance.dispose()
    found = {key: record.event.dagster_event.asset_check_evaluation_data for key, record in checked.items()}
    warned = {".".join(key.asset_key.path): check.severity for key, check in found.items() if not check.passed}
    assert warned == dict.fromkeys(("models.registry", "evals.registry"), dg.AssetCheckSeverity.WARN)
    assert "WATERSHED_REGISTRY_FOLDER" not in os.environ


def test_the_content_of_the_files_is_in_the_tables(project: Path, registry: Path) -> None:
    write_tables(project, registry)
    assert rows(project, "SELECT count(*), count(DISTINCT evaluation) FROM evals.registry_scores") == [(215, 4)]
    assert rows(project, "SELECT name, tokens, bytes, origin FROM models.registry_datasets WHERE NOT tokenized") == [
        ("data3", None, None, "paths.txt.gz")
    ]
    assert (
        rows(project, "SELECT sources[1].name, bytes, tokens FROM models.registry_datasets WHERE tokenized")
        == [("data3", 7, 9)] * 2
    )
    assert rows(project, "SELECT record ->> '$.open_lm_args[1]', learning_rate FROM models.registry LIMIT 1") == [
        ("0.0001", 0.003)
    ]


def test_missing_references_are_named_and_only_warn(project: Path, registry: Path) -> None:
    write_tables(project, registry)
    result = watershed("check", "models", "evals")
    assert result.exit_code == 0, result.output
    asked = [re.sub(r"WARNED (\S+): expected (\w+).*", r"\1 \2", line) for line in result.stdout.splitlines()]
    asked = [line for line in asked if line.endswith("_uuid")]
    assert asked == ["models.registry dataset_uuid", "evals.registry model_uuid", "evals.registry model_uuid"]
    assert f"  uuid='{uuid(13)}', name='model13', dataset_uuid=''\n" in result.stdout
    assert f"  uuid='{uuid(24)}', model='open_lm_24', model_uuid=NULL\n" in result.stdout
    assert f"  uuid='{uuid(23)}', model='open_lm_23', model_uuid='{uuid(99)}'\n" in result.stdout


def test_stored_aggregates_are_compared_with_the_scores(project: Path, registry: Path) -> None:
    tables = read_registry(registry, aggregates)
    stored = {row["uuid"]: row for row in tables["evals.registry"].to_pylist()}
    for number in (21, 22, 23):
        errors = [value for name, value in stored[uuid(number)].items() if name.endswith("_error")]
        assert len(errors) == 4
        assert max(map(abs, errors)) < 1e-12
    lacking = stored[uuid(24)]
    assert lacking["missing_tasks"] == ["copa"]
    assert [lacking[f"{name}_error"] for name in ("core_v1", "core_v2", "extended_v1", "extended_v2")] == [None] * 4
    write(registry, "evals/eval22.json", evaluation(22, 0.44, high=0.01, model_uuid=uuid(12)))
    write_tables(project, registry)
    warned = [line for line in watershed("check", "evals.registry").stdout.splitlines() if "_error is" in line]
    assert [line.split()[3] for line in warned] == ["core_v1_error", "core_v2_error"]
    assert "1 of 3 values outside" in warned[0]


def test_an_aggregate_with_a_missing_task_is_null_and_names_it(registry: Path) -> None:
    found = json.loads((registry / "evals/eval24.json").read_text())
    computed = aggregates(found["eval_metrics"]["icl"], "v2")
    assert (computed["core"].value, computed["core"].missing) == (None, ("copa",))
    assert computed["extended"].reason == "N/A: lacks copa"


def test_a_compressed_file_is_read_as_it_is_without(registry: Path) -> None:
    path = registry / "evals" / "eval22.json"
    plain = read_registry(registry, aggregates)["evals.registry"].drop_columns("file")
    path.with_suffix(".json.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    assert read_registry(registry, aggregates)["evals.registry"].drop_columns("file") == plain


def test_the_digest_is_of_names_and_contents_alone(registry: Path, tmp_path: Path) -> None:
    elsewhere = write_registry(tmp_path / "elsewhere")
    assert digest(elsewhere) == digest(registry)
    (elsewhere / "models" / "model11.json").rename(elsewhere / "models" / "other.json")
    assert digest(elsewhere) != digest(registry)


def change(**entries: Any) -> Callable[[Path], None]:
    def write_changed(path: Path) -> None:
        found = json.loads(path.read_text()) | entries
        path.write_text(json.dumps({name: value for name, value in found.items() if value is not ...}))

    return write_changed


@pytest.mark.parametrize(
    ("name", "spoil", "cause"),
    [
        ("evals/eval21.json", lambda path: path.write_text("{"), "not JSON"),
        ("evals/eval21.json", lambda path: path.write_bytes(b"\xff{}"), "not JSON"),
        ("evals/eval21.json", lambda path: path.write_text("[1]"), "is not a JSON object"),
        ("evals/eval21.json", change(Core_v2=...), "lacks 'Core_v2'"),
        ("evals/eval21.json", change(Core_v2="high"), "'Core_v2' is 'high', which is not a finite number"),
        ("evals/eval21.json", change(Core_v2=float("nan")), "'Core_v2' is nan"),
        ("evals/eval21.json", change(eval_metrics={}), "lacks eval_metrics.icl"),
        ("evals/eval21.json", change(eval_metrics={"icl": {"boolq": 1.5}}), "the score of boolq is 1.5"),
        ("evals/eval21.json", change(**{"missing tasks": "copa"}), "'missing tasks' is not a list"),
        ("evals/eval21.json", change(eval_version="v3"), "version is one of v1, v2, but it is 'v3'"),
        ("evals/eval21.json", change(uuid=uuid(22)), f"its uuid {uuid(22)} is that of evals/eval"),
        ("evals/eval21.json", change(creation_date="May"), "'creation_date' is 'May', which is not a time"),
        ("models/model11.json", change(hyperparameters={}), "lacks 'hyperparameters.model'"),
        ("models/model11.json", change(uuid="eleven"), "uuid matches"),
        (
            "datasets/tokenized/data1.json",
            change(num_tokens="many"),
            "'num_tokens' is 'many', which is not a whole number",
        ),
        ("datasets/tokenized/data1.json", change(sources=["data3"]), "sources are not all of uuid and name"),
    ],
    ids=lambda value: value if isinstance(value, str) and "/" not in value else "",
)
def test_a_file_that_does_not_fit_is_refused_by_name(
    registry: Path, name: str, spoil: Callable[[Path], None], cause: str
) -> None:
    spoil(registry / name)
    with pytest.raises(WatershedError) as refused:
        read_registry(registry, aggregates)
    assert cause in refused.value.cause
    assert refused.value.cause.startswith(("evals/", name))
    assert "\n" not in refused.value.cause
    assert "nothing was written" in refused.value.mend


@pytest.mark.parametrize("folder", ["nowhere", "registry/models"])
def test_a_folder_without_a_registry_is_refused(project: Path, registry: Path, folder: str) -> None:
    refused = watershed("registry", "import", str(registry.parent / folder))
    assert refused.exit_code == 2
    assert "datasets/tokenized: no JSON files here" in refused.stderr


def test_without_a_folder_the_demo_asks_for_nothing_and_the_job_says_what_to_set(project: Path) -> None:
    assert not set(TABLES["registry"]) & set(DEMO)
    refused = watershed("make", "evals.registry")
    assert refused.exit_code == 2
    assert "no registry folder is set" in refused.stderr
    assert "[registry] folder" in refused.stderr


def test_ranks_of_two_scales_are_correlated_by_the_query_in_the_docs(project: Path, tmp_path: Path) -> None:
    folder = write_registry(tmp_path / "ranks")
    orders = {411_616_256: (1, 2, 3, 4), 1_439_795_200: (1, 2, 4, 3), 6_889_410_560: (4, 3, 2, 1)}
    number = 100
    for parameters, order in orders.items():
        for data, place in enumerate(order):
            # A worse run of the same data set, and a better one that read more, which do not count.
            for centred, multiple in ((0.1 * place, 1), (0.05 * place, 1), (0.9 - 0.1 * place, 5)):
                number += 1
                write(folder, f"models/m{number}.json", model(number, uuid(90 + data), parameters, multiple))
                write(folder, f"evals/e{number}.json", evaluation(500 + number, centred, model_uuid=uuid(number)))
    for name in ("model11", "model12"):
        (folder / "models" / f"{name}.json").unlink()
    write_tables(project, folder)
    result = watershed("sql", "--format", "json", stdin=ranks_sql())
    found = [tuple(row.values()) for row in json.loads(result.stdout)]
    assert found == [
        (411_616_256, 1_439_795_200, 4, 0.8),
        (411_616_256, 6_889_410_560, 4, -1.0),
        (1_439_795_200, 6_889_410_560, 4, -0.8),
    ]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with DCLM's own registry."""
    folder = tmp_path_factory.mktemp("published")
    (folder / "watershed.toml").touch()
    write_tables(folder, Path(f"{SHARED}/data/dclm_registry"))
    return folder


@pytest.mark.skipif(not SHARED, reason="WATERSHED_SHARED names no folder of data")
class TestPublished:
    """DCLM's own registry."""

    def test_all_files_are_imported(self, published: Path) -> None:
        assert rows(published, COUNTS_SQL) == [(62, 29, 133, 156, 8507)]

    def test_every_stored_aggregate_follows_from_the_scores(self, published: Path) -> None:
        scores: dict[str, dict[str, float]] = {}
        for evaluation_, task, score in rows(published, "FROM evals.registry_scores"):
            scores.setdefault(evaluation_, {})[task] = score
        compared = 0
        for row in connect(load_settings(published)).execute("FROM evals.registry").to_arrow_table().to_pylist():
            for version in ("v1", "v2"):
                computed = aggregates(scores[row["uuid"]], version)
                assert list(computed["extended"].missing) == row["missing_tasks"]
                for kind in ("core", "extended"):
                    stored = row[f"{kind}_{version}"]
                    if computed[kind].missing:
                        assert stored is None
                        assert (computed[kind].reason or "").startswith("N/A: lacks ")
                    else:
                        assert computed[kind].value == pytest.approx(stored, abs=1e-12)
                        compared += 1
        assert compared == 2 * (156 + 149)

    def test_missing_references_are_named(self, published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("WATERSHED_PROJECT", str(published))
        result = watershed("check", "models.registry", "evals.registry")
        assert result.exit_code == 0
        assert result.stdout.count("dataset_uuid=''") == 6
        assert result.stdout.count("model_uuid=NULL") == 22
        assert "uuid='597f32e8-21a1-43db-b06a-ac055167f92d'" in result.stdout
        assert "_error is" not in result.stdout

    def test_the_docs_query_gives_the_docs_numbers(self, published: Path) -> None:
        found = [(datasets, rho) for _, _, datasets, rho in rows(published, ranks_sql())]
        assert found == [(12, 0.64), (11, 0.75), (15, 0.7)]


@pytest.mark.slow
def test_make_makes_again_what_lost_a_file_and_what_is_forced_and_nothing_else(project: Path, registry: Path) -> None:
    (project / "watershed.toml").write_text(f'[registry]\nfolder = "{registry}"\n')
    assert "made evals.registry" in watershed("make", "models.registry").stdout
    lake = Lake.of(load_settings(project))
    assert "nothing was made again" in watershed("make", "models.registry").stdout
    stored = next(Path(lake.path("models.registry")).glob("*.parquet"))
    stored.unlink()
    failed = watershed("check", "models.registry")
    assert failed.exit_code == 1
    assert f"{stored} is missing" in failed.stdout
    assert "made evals.registry" in watershed("make", "models.registry").stdout
    assert watershed("check", "models.registry").exit_code == 0
    version = lake.version("models.registry")
    assert "made evals.registry" in watershed("make", "--force", "models.registry").stdout
    assert lake.version("models.registry") == (version or 0) + 1
    assert "nothing was made again" in watershed("make", "models.registry").stdout


def test_a_step_that_fails_is_not_said_to_be_made(project: Path, registry: Path) -> None:
    (project / "watershed.toml").write_text(f'[registry]\nfolder = "{registry}"\n')
    blocked = project / "lake" / "models"
    blocked.parent.mkdir()
    blocked.touch()
    result = watershed("make", "models.registry")
    assert result.exit_code != 0
    assert "not made evals.registry" in result.stdout
