"""The assets of the family `router` through Dagster: experts are trained once, added alone, and removed for nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from demo_project import ROOT

from catalog.settings import RouterSettings, load_settings
from dagster_project.families.router.recipes import pairs_needed, runs_of, training_recipe

PROGRAM = """
import json, sys
from pathlib import Path
from catalog.files import sha256_of
from catalog.lake import Lake
from catalog.settings import load_settings
from dagster_project.assets import steps
from trainers.embedding.small import make_encoder
from dagster_project.cli.screen.router import print_router
from dagster_project.engine.steps import State
from dagster_project.families.router.recipes import project_experts, run_name
from dagster_project.instance import open_instance
from dagster_project.jobs import TABLES
from dagster_project.run import make, wanted
from spark_jobs.router.answering import routed_documents
from spark_jobs.router.beir import Document, Domain, write_domain
from tests.trainers.made_pairs import PLACES, SOUNDS
from rich.console import Console

project = Path(sys.argv[1])
KINDS = {"animals": "near that {place} they often {sound}", "plants": "a {sound} tree grows in the {place}",
         "tools": "take the {sound} hammer to our {place}", "stars": "over this {place} shines {sound}"}


def domain(name):
    made = [(a, s, p) for a, s in SOUNDS.items() for p in PLACES[:4]]
    documents = tuple(Document(f"{a}-{p}", "", KINDS[name].format(place=p, sound=s)) for a, s, p in made)
    asked = {f"{a}-{p}?": f"{name}: what of the {a} and the {p}" for a, _, p in made}
    grades = {query: {query[:-1]: 1} for query in asked}
    split = {"train": dict(list(grades.items())[:30]), "test": dict(list(grades.items())[30:])}
    if name == "stars":
        del split["train"]
        split["test"]["lost"] = {"dog-barn": 1}
    write_domain(project / "domains" / name, Domain(name, documents, asked, split))
    return f"domains/{name}"


places = {name: domain(name) for name in KINDS}
make_encoder(project / "small", [*SOUNDS, *SOUNDS.values(), *PLACES, *KINDS.values()], seed=0)
for experts in (["animals", "plants"], ["animals", "plants", "tools"], ["animals", "plants"]):
    (project / "watershed.toml").write_text(
        "[router]\\nseeds = [0]\\nepochs = 1.0\\nbatch = 8\\nlearning_rate = 0.002\\n"
        f"domains = {json.dumps([places[name] for name in experts])}\\n"
        f"unseen = {json.dumps([places['stars']])}\\n" 'encoder = "small"\\n'
    )
    settings = load_settings()
    instance = open_instance(settings)
    tables = (*TABLES["router_domains"], *TABLES["router"])
    make(settings, instance, tables)
    due = [step.name for step in wanted(steps(), tables) if State(steps(), settings).due(step)]
    instance.dispose()
    lake = Lake.of(settings)
    files = {str(path.relative_to(lake.files)): [sha256_of(path), path.stat().st_mtime_ns]
             for path in lake.files.joinpath("router", "experts").rglob("*") if path.is_file()}
    rows = {name: lake.read(f"router.{name}").to_pylist() for name in ("experts", "results", "comparisons", "domains")}
    asked = "animals: what of the owl and the barn"
    routed = routed_documents(
        lake, [*experts, "stars"], project_experts(settings), asked, seed=0, run_of=run_name, top=3
    )
    console = Console(width=200, record=True, file=open("/dev/null", "w"))
    print_router(console, lake)
    found = {"files": files, "due": due, "routed": routed, "printed": console.export_text(), **rows}
    print(json.dumps(found), flush=True)
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    """What the lake holds with two experts, with a third one, and again with two."""
    project = tmp_path_factory.mktemp("project")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(project)],
        cwd=ROOT,
        env={**os.environ, "WATERSHED_PROJECT": str(project), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"files"')]


def of_expert(state: dict, expert: str) -> dict[str, list]:
    return {name: found for name, found in state["files"].items() if f"/{expert}-0/" in name}


def test_a_new_domain_changes_nothing_that_decides_another_expert(tmp_path: Path) -> None:
    """The small form of the tests below."""
    two, three = (
        replace(load_settings(tmp_path), router=RouterSettings(domains=names, seeds=[0, 1]))
        for names in (["d/animals", "d/plants"], ["d/animals", "d/plants", "d/tools"])
    )
    runs = [run for run, (expert, _) in runs_of(two).items() if expert != "(multi-task)"]
    assert len(runs) == 4 and set(runs) < set(runs_of(three))
    for run in runs:
        assert training_recipe(two, {"run": run}) == training_recipe(three, {"run": run})
        needed = [pairs_needed(each, {"run": run}, "router.queries") for each in (two, three)]
        assert needed[0] == needed[1] == [{"domain": run.rpartition("-")[0]}]


@pytest.mark.campaign
def test_an_added_expert_is_trained_alone_and_changes_only_its_own_files(made: list[dict]) -> None:
    before, after, _ = made
    for expert in ("animals", "plants"):
        assert of_expert(before, expert) and of_expert(after, expert) == of_expert(before, expert)
    assert not of_expert(before, "tools") and of_expert(after, "tools")
    # The lake's vectors of documents were read: no run has embedded one.
    assert not any(name.endswith("documents.safetensors") for name in after["files"])
    new = after["files"].keys() - before["files"].keys()
    # The baseline that is trained on all domains is another one.
    assert {name.split("/")[2] for name in new} == {"tools-0", "(multi-task)-0"}
    digests = [{row["run"]: row["sha256"] for row in state["experts"]} for state in (before, after)]
    assert all(digests[1][run] == digests[0][run] for run in ("animals-0", "plants-0"))


@pytest.mark.campaign
def test_a_removed_expert_trains_no_other_and_is_routed_to_no_more(made: list[dict]) -> None:
    before, _, removed = made
    for expert in ("animals", "plants"):
        assert of_expert(removed, expert) == of_expert(before, expert)
    assert removed["results"] == before["results"] and removed["comparisons"] == before["comparisons"]
    assert "tools" not in removed["routed"]["experts"]


@pytest.mark.campaign
def test_nothing_is_due_and_every_method_has_a_row(made: list[dict]) -> None:
    for state in made:
        assert state["due"] == []
        methods = {row["method"] for row in state["results"]}
        assert len(state["results"]) == len(methods) * len(state["domains"]) and len(methods) == 9
    stars = [row for row in made[0]["results"] if row["domain"] == "stars"]
    # One judged query has no text.
    assert all((row["queries"], row["answered"], row["expert"]) == (49 - 30, 48 - 30, False) for row in stars)


@pytest.mark.campaign
def test_the_printed_conclusions_are_those_of_the_table(made: list[dict]) -> None:
    from dagster_project.cli.screen.router import sentence

    for state in made:
        for row in state["comparisons"]:
            assert sentence(row) in state["printed"]
        near = state["routed"]["experts"]
        assert state["routed"]["expert"] == max(near, key=near.get) and len(state["routed"]["documents"]) == 3
