"""The demo: the tables that it makes, its output, a second run, and a run that was killed."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from demo_project import Project, new_project, start, watershed

from catalog.printable import printable

SMOKE = ("demo", "--size", "smoke")
ONE_WORKER = """
[spark]
master = "local[1]"
[trainer]
parallel_runs = 1
"""


def test_the_printed_funnel_equals_the_view(demo: Project) -> None:
    for stage, documents in demo.rows("SELECT stage, documents FROM dclm.funnel"):
        assert re.search(rf"^{re.escape(stage)} +{documents:,} ", demo.output, re.MULTILINE), demo.output


def test_the_funnel_only_narrows_and_ends_with_documents(demo: Project) -> None:
    counts = [documents for (documents,) in demo.rows("SELECT documents FROM dclm.funnel ORDER BY position")]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] > 50


def test_every_response_record_of_the_crawl_is_a_document_exactly_once(demo: Project) -> None:
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    records = []
    for path in sorted((demo.folder / "crawl" / "smoke").glob("*.warc.gz")):
        with path.open("rb") as stream:
            for record in ArchiveIterator(stream, record_types=WarcRecordType.response):
                records.append((path.name, record.stream_pos))
    assert len(records) > 100
    documents = demo.rows("SELECT warc, record_offset FROM dclm.documents ORDER BY ALL")
    assert documents == sorted(records)


NOT_READ = {
    # The smallest demo has no evaluations that documents could contain.
    "dclm.contamination": {"dclm.documents", "dclm.measurements", "dclm.paragraphs"},
    "dclm.mixture": {"dclm.contamination", "dclm.contamination_report"},
    # A forecast fits the points again, to draw its error band.
    "ladder.predictions": {"ladder.fits"},
    # The forecast is stored before its target is trained.
    "models.targets": {"ladder.predictions"},
}
"""Upstream tables that the smallest demo does not read, with the reason."""


def test_every_asset_reads_the_tables_that_its_contracts_declare(demo: Project) -> None:
    import dagster as dg

    from dagster_project.assets import steps
    from dagster_project.engine.table_asset import TABLES_READ
    from dagster_project.instance import open_instance
    from dagster_project.jobs import DEMO

    made = steps()
    undeclared, not_read = {}, {}
    instance = open_instance(demo.settings)
    try:
        for step in (step for step in made.ordered if step.name in DEMO):
            found = instance.fetch_materializations(dg.AssetKey(step.name.split(".")), limit=1000).records
            read: set[str] = set()
            for record in found:
                metadata = record.asset_materialization.metadata if record.asset_materialization else {}
                if TABLES_READ in metadata:
                    names: Any = metadata[TABLES_READ].value
                    read |= set(names)
            # Tables that one step writes are made together: to declare one of them is to declare all.
            declared = {contract.name for name in step.upstream for contract in made.by_table[name].contracts}
            undeclared[step.name] = read - declared
            not_read[step.name] = set(step.upstream) - read
    finally:
        instance.dispose()
    assert {name: tables for name, tables in undeclared.items() if tables} == {}
    assert {name: tables for name, tables in not_read.items() if tables} == NOT_READ


def test_every_reason_for_leaving_a_document_out_is_counted_once(demo: Project) -> None:
    (left_out,) = demo.rows("SELECT sum(documents) FROM dclm.reasons")[0]
    (trained_on,) = demo.rows("SELECT documents FROM dclm.funnel WHERE stage = 'trained on'")[0]
    (crawl,) = demo.rows("SELECT count(*) FROM dclm.documents")[0]
    assert left_out + trained_on == crawl


def test_the_tokens_of_a_sequence_are_those_of_the_documents_that_its_spans_name(demo: Project) -> None:
    from tokenizers import Tokenizer

    from catalog.lake import Lake
    from spark_jobs.shards.format import read_shard

    lake = Lake.of(demo.settings)
    shard, path = demo.rows("SELECT shard, path FROM dclm.shards WHERE split = 'train' ORDER BY shard LIMIT 1")[0]
    tokens = read_shard(lake.files / path).reshape(-1)
    tokenizer = Tokenizer.from_file(str(lake.files / demo.rows("SELECT path FROM dclm.tokenizer")[0][0]))
    spans = demo.rows(
        "SELECT s.start, s.stop, d.text FROM dclm.spans s JOIN dclm.texts d USING (doc_id) "
        f"WHERE s.split = 'train' AND shard = '{shard}' ORDER BY start LIMIT 5"
    )
    assert len(spans) == 5
    for begin, stop, text in spans:
        assert tokenizer.decode(tokens[begin : stop - 1].tolist()) == text


def test_a_document_is_traced_to_its_record_and_its_text_read_again(demo: Project) -> None:
    (doc_id, text) = demo.rows(
        "SELECT doc_id, text FROM dclm.mixture JOIN dclm.documents USING (doc_id) ORDER BY doc_id LIMIT 1"
    )[0]
    output = watershed(demo.folder, "trace", doc_id, "--text")
    assert printable(text.splitlines()[0]) in output
    assert "shard_0" in output


def test_the_forecast_was_stored_before_the_target_was_trained(demo: Project) -> None:
    from catalog.lake import Lake

    lake = Lake.of(demo.settings)
    forecast, target = lake.written("ladder.predictions")[""], lake.written("models.targets")[""]
    assert forecast.timestamp_ms < target.timestamp_ms
    for task, error in demo.rows("SELECT task, error FROM ladder.outcomes"):
        assert re.search(rf"{task} .*{re.escape(f'{error * 100:+.1f} points')}", demo.output)


@pytest.mark.campaign  # The gate of `.ci/run` checks the same demo on both engines.
def test_all_contracts_hold_on_both_engines(demo: Project) -> None:
    watershed(demo.folder, "check")
    watershed(demo.folder, "check", "--engine", "gx")


def test_a_plan_says_that_nothing_was_run(tmp_path: Path) -> None:
    output = watershed(new_project(tmp_path), *SMOKE, "--plan")
    assert "Nothing was run" in output and "dclm.shards" in output
    assert [path.name for path in tmp_path.iterdir()] == ["watershed.toml"]


COMPARED = {
    "dclm.documents": "doc_id, text, minhash",
    "dclm.measurements": "*",
    "dclm.verdicts": "doc_id, recipe, kept, broken",
    "dclm.duplicates": "*",
    "dclm.paragraphs": "*",
    "dclm.scores": "*",
    "dclm.mixture": "*",
    "dclm.tokenizer": "sha256",
    "dclm.shards": "split, shard, sha256, sequences, tokens",
    "dclm.spans": "*",
    "models.checkpoints": "run, sha256, heldout_bits_per_byte",
    "models.targets": "run, sha256, heldout_bits_per_byte",
    "evals.results": "*",
    "ladder.outcomes": "*",
}


def same_tables(one: Project, other: Project) -> None:
    """Assert that both lakes hold the same rows, byte for byte, except times and throughput."""
    for table, columns in COMPARED.items():
        query = f"SELECT {columns} FROM {table} ORDER BY ALL"
        assert one.rows(query) == other.rows(query), table


def commits(project: Project) -> dict[str, int]:
    """Return the version of every table and partition, by `table partition`."""
    from catalog.lake import Lake
    from catalog.tables import CONTRACTS

    lake = Lake.of(project.settings)
    return {f"{name} {key}": done.version for name in CONTRACTS for key, done in lake.written(name).items()}


def wait_until(ready: Callable[[], bool], process) -> None:
    """Wait until `ready`; fail if the process ends before."""
    while not ready():
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.5)


@pytest.fixture(scope="module")
def killed(demo: Project, tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, list[dict[str, int]], str]:
    """A project whose demo ran with one worker, was ended in two stages, and then ran to its end.

    The first signal is SIGTERM, which the command answers, and the second SIGKILL. The fixture also has the commits at
    each signal, and the output of the last run.
    """
    project = Project(new_project(tmp_path_factory.mktemp("killed"), demo.folder / "crawl"))
    (project.folder / "watershed.toml").write_text(ONE_WORKER)
    models = project.folder / "lake" / "_files" / "models"
    stages: list[tuple[Callable[[], bool], signal.Signals, int]] = [
        (lambda: any(key.startswith("dclm.documents") for key in commits(project)), signal.SIGTERM, 143),
        (lambda: any(models.rglob("step_*")), signal.SIGKILL, -9),
    ]
    seen = []
    for ready, number, code in stages:
        process = start(project.folder, *SMOKE)
        wait_until(ready, process)
        os.killpg(process.pid, number)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == code, output
        assert output.rstrip().endswith("goes on with the rest") == (number == signal.SIGTERM), output
        seen.append(commits(project))
    return project, seen, watershed(project.folder, *SMOKE)


@pytest.mark.campaign
def test_a_demo_of_one_worker_killed_in_any_stage_ends_in_the_same_tables_as_one_of_two(demo: Project, killed) -> None:
    same_tables(demo, killed[0])


@pytest.mark.campaign
def test_what_was_finished_before_a_kill_is_not_made_again(killed) -> None:
    project, seen, _ = killed
    final = commits(project)
    for before in seen:
        assert before
        assert {key: final[key] for key in before} == before


@pytest.mark.campaign
def test_the_run_of_a_killed_process_is_shown_as_failed(killed, monkeypatch: pytest.MonkeyPatch) -> None:
    import dagster as dg

    monkeypatch.setenv("DAGSTER_HOME", str(killed[0].settings.dagster_home))
    with dg.DagsterInstance.get() as instance:
        statuses = {run.status for run in instance.get_runs()}
    assert statuses == {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE}


def test_a_second_run_makes_nothing(demo: Project, tmp_path: Path) -> None:
    folder = tmp_path / "again"
    shutil.copytree(demo.folder, folder, symlinks=True, ignore=shutil.ignore_patterns("*.sock"))
    again = watershed(folder, *SMOKE)
    assert "made" not in again.split("Documents")[0]
    assert "nothing was made again" in again
