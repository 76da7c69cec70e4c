"""Bills of materials of a model, read by the official bindings of SPDX 3 and the schema of CycloneDX."""

from __future__ import annotations

import datetime
import json
import re
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from small_lake import good_rows, settings_in, write_rows
from spdx_python_model import v3_0_1 as spdx

from catalog.cards.bom.cyclonedx import cyclonedx_bom
from catalog.cards.bom.eu_summary import eu_summary
from catalog.cards.bom.facts import ModelFacts, expression, model_facts
from catalog.cards.bom.spdx import spdx_bom
from catalog.cards.site.reading import SiteLake
from catalog.errors import WatershedError
from catalog.licences.inherited import ancestors, licences_of
from catalog.tables import CONTRACTS

NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
RUN = "80k-4xC"
MADE = (
    *("dclm.pool", "dclm.documents", "dclm.mixture", "dclm.shards", "dclm.scores", "models.targets"),
    *("evals.examples", "evals.target_results", "ladder.predictions"),
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> SiteLake:
    rows = {name: good_rows()[name] for name in MADE}
    rows["dclm.shards"][0] |= {"sources": [{"source": "lake.example", "tokens": 15}, {"source": "a|b", "tokens": 5}]}
    rows["dclm.shards"][0] |= {"text_bytes": 80, "documents": 3}
    return SiteLake.of(write_rows(settings_in(tmp_path_factory.mktemp("bom")), rows), {})


@pytest.fixture(scope="module")
def facts(site: SiteLake) -> ModelFacts:
    return model_facts(site, RUN)


def test_a_model_was_trained_on_its_shards_and_all_that_they_are_made_from(site: SiteLake, facts: ModelFacts) -> None:
    names = [each.name for each in facts.trained_on]
    assert names[0] == "dclm.shards"
    assert set(names) == {name for name in ancestors("dclm.shards", CONTRACTS) if site.made(name)}
    # A forecast that was stored before the training is upstream of the run, and no training data.
    assert "ladder.predictions" not in names
    assert [each.name for each in facts.tested_on] == ["evals.examples"]
    assert {each.id for each in facts.licences} == {each.id for each in licences_of("dclm.shards", CONTRACTS)}
    with pytest.raises(WatershedError, match="no model is called '80k-4x'; close: 80k-4xC"):
        model_facts(site, "80k-4x")


def related(objects: list[Any], kind: str) -> dict[str, list[str]]:
    return {
        each.from_.name: [getattr(target, "name", target) for target in each.to]
        for each in objects
        if isinstance(each, spdx.Relationship) and str(each.relationshipType).endswith(f"/{kind}")
    }


def test_spdx_is_read_by_its_bindings_and_says_trained_on_and_tested_on(facts: ModelFacts, tmp_path: Path) -> None:
    path = tmp_path / "model.spdx.json"
    path.write_text(json.dumps(spdx_bom(facts, NOW)))
    found = spdx.SHACLObjectSet()
    with path.open("rb") as file:
        spdx.JSONLDDeserializer().read(file, found)
    found.link()
    objects: list[Any] = list(found.foreach())
    (model,) = [each for each in objects if isinstance(each, spdx.ai_AIPackage)]
    assert model.name == RUN and model.verifiedUsing[0].hashValue == facts.row["sha256"]
    assert related(objects, "trainedOn") == {RUN: ["dclm.shards"]}
    assert related(objects, "testedOn") == {RUN: ["evals.examples"]}
    descent = related(objects, "descendantOf")
    listed = {each.name for each in (*facts.trained_on, *facts.tested_on)}
    for each in (*facts.trained_on, *facts.tested_on):
        assert descent.get(each.name, []) == [name for name in CONTRACTS[each.name].upstream if name in listed]
    concluded = [
        each.to[0].simplelicensing_licenseExpression
        for each in objects
        if isinstance(each, spdx.Relationship)
        and str(each.relationshipType).endswith("/hasConcludedLicense")
        and each.from_.name == RUN
    ]
    assert concluded == [expression(facts.licences)] == ["LicenseRef-Common-Crawl AND LicenseRef-Web-Page"]
    energy = model.ai_energyConsumption.ai_trainingEnergyConsumption[0]
    assert float(energy.ai_energyQuantity) == pytest.approx(facts.energy.kwh, abs=1e-9)


def test_cyclonedx_is_valid_and_says_the_same(facts: ModelFacts) -> None:
    made = cyclonedx_bom(facts, NOW)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(made)) is None
    model = made["metadata"]["component"]
    assert model["modelCard"]["modelParameters"]["datasets"][0] == {"ref": "urn:watershed:dclm.shards"}
    depends = {each["ref"]: each["dependsOn"] for each in made["dependencies"]}
    assert depends[model["bom-ref"]] == ["urn:watershed:dclm.shards", "urn:watershed:evals.examples"]
    assert {each["name"] for each in made["components"]} == {e.name for e in (*facts.trained_on, *facts.tested_on)}
    metrics = model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    assert {"type": "accuracy", "value": "1", "slice": "continuation (1 examples)"} in metrics
    assert made == cyclonedx_bom(facts, NOW)


def test_each_number_of_the_summary_is_what_its_query_gives(site: SiteLake, facts: ModelFacts) -> None:
    summary = eu_summary(site, facts)
    answers = {each.asked: each for _, part in summary.parts for each in part}
    assert answers["Size of the training text, in tokens"].answer == "20"
    assert answers["The same in bytes of text"].answer == "80"
    assert answers["Domains"].answer == "2"
    assert answers["Removals ordered (opt-outs, requests)"].answer == "0"
    assert answers["First crawled page"].answer == "2026-01-02"
    asked = [each for each in answers.values() if each.query and re.fullmatch(r"[\d,]+", each.answer)]
    assert len(asked) >= 5
    for each in asked:
        (row,) = site.rows(each.query)
        assert f"{next(iter(row.values())):,}" == each.answer
    assert answers["Source of dclm.pool"].answer.endswith(CONTRACTS["dclm.pool"].licence)
    found = site.rows(answers["Top domains"].query)
    assert [each["source"] for each in found] == [name for name, _ in summary.domains]
    assert summary.domains == (("lake.example", 0.75), ("a|b", 0.25))
    text = summary.markdown()
    assert "| a/b | 25.000% |" in text and "SELECT sum(tokens)::BIGINT FROM dclm.shards" in text
    assert text.count("(to be filled in by the provider)") == 5


def test_a_document_can_be_written_by_the_command(
    site: SiteLake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from click.testing import CliRunner

    from dagster_project.cli import main

    monkeypatch.setenv("WATERSHED_PROJECT", str(site.settings.project))
    out = tmp_path / "model.json"
    run = CliRunner().invoke(main, ["bom", RUN, "--format", "cyclonedx", "-o", str(out)])
    assert run.exit_code == 0, run.output
    assert json.loads(out.read_text())["bomFormat"] == "CycloneDX"
    shown = CliRunner().invoke(main, ["licences", "dclm.mixture"])
    assert "LicenseRef-Web-Page: commercial use unknown" in shown.output
    shown = CliRunner().invoke(main, ["licences", "GPL", "--json"])
    assert json.loads(shown.output)["problem"] == "no version"
