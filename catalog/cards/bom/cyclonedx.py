"""A model's bill of materials in CycloneDX 1.6 (JSON): a machine-learning model with its card, and its data."""

from __future__ import annotations

import datetime
import uuid
from typing import Any

from catalog.cards.bom.facts import INTENDED, LIMITS, DataFacts, ModelFacts
from catalog.licences.inherited import Held
from catalog.licences.known import REFERENCE

Part = dict[str, Any]


def cyclonedx_bom(facts: ModelFacts, now: datetime.datetime | None = None) -> Part:
    """The bill of materials.

    Args:
        now: the moment of creation; by default the present.
    """
    moment = (now or datetime.datetime.now(datetime.UTC)).astimezone(datetime.UTC)
    data = {each.name: each for each in (*facts.trained_on, *facts.tested_on)}
    model, digest = _reference(facts.table, facts.run), facts.row["sha256"]
    direct = [*(each.name for each in facts.trained_on[:1]), *(each.name for each in facts.tested_on)]
    depends = [{"ref": model, "dependsOn": [_reference(name) for name in dict.fromkeys(direct)]}]
    depends += [{"ref": _reference(n), "dependsOn": [_reference(s) for s in each.sources]} for n, each in data.items()]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{model}:{digest}')}",
        "version": 1,
        "metadata": {
            "timestamp": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "tools": {"components": [{"type": "application", "name": "Watershed"}]},
            "component": _model(facts, model),
        },
        "components": [_data(each) for each in data.values()],
        "dependencies": depends,
    }


def _reference(*names: str) -> str:
    return f"urn:watershed:{':'.join(names)}"


def _model(facts: ModelFacts, reference: str) -> Part:
    metrics = [
        {"type": each.measure, "value": f"{each.value:.6g}", "slice": f"{each.task} ({each.examples:,} examples)"}
        for each in facts.scores
    ]
    kind = facts.settings.get("model.kind", '"transformer"').strip('"')
    return {
        "type": "machine-learning-model",
        "bom-ref": reference,
        "name": facts.run,
        "version": str(facts.row["sha256"])[:16],
        "description": f"{facts.row['parameters']:,} parameters, trained on {facts.row['tokens']:,} tokens.",
        "hashes": [{"alg": "SHA-256", "content": facts.row["sha256"]}],
        "licenses": _licences(facts.licences),
        "modelCard": {
            "modelParameters": {
                "approach": {"type": "self-supervised"},
                "task": "text generation",
                "architectureFamily": "transformer",
                "modelArchitecture": kind,
                "datasets": [{"ref": _reference(each.name)} for each in facts.trained_on],
            },
            **({"quantitativeAnalysis": {"performanceMetrics": metrics}} if metrics else {}),
            "considerations": {
                "useCases": [INTENDED],
                "technicalLimitations": [LIMITS],
                "environmentalConsiderations": {"energyConsumptions": [_energy(facts)]},
            },
        },
    }


def _energy(facts: ModelFacts) -> Part:
    energy = {"value": round(facts.energy.kwh, 9), "unit": "kWh"}
    return {
        "activity": "training",
        "energyProviders": [
            {
                "description": facts.energy.assumptions,
                "organization": {"name": "not stated"},
                "energySource": "unknown",
                "energyProvided": energy,
            }
        ],
        "activityEnergyCost": energy,
        "co2CostEquivalent": {"value": round(facts.energy.kg_co2e / 1000, 12), "unit": "tCO2eq"},
    }


def _data(data: DataFacts) -> Part:
    sensitive = "may hold personal data" if data.personal else "not stated"
    return {
        "type": "data",
        "bom-ref": _reference(data.name),
        "name": data.name,
        "version": data.version,
        "description": data.contract.description,
        "licenses": _licences(data.licences),
        "data": [
            {
                "type": "dataset",
                "name": data.name,
                "contents": {"url": f"urn:watershed:{data.name}@{data.version}"},
                "classification": "public" if not data.personal else "personal",
                "sensitiveData": [sensitive],
                "governance": {"owners": [{"organization": {"name": data.contract.owner}}]},
            }
        ],
        "properties": [
            {"name": "watershed:rows", "value": str(data.state.rows)},
            {"name": "watershed:bytes", "value": str(data.state.bytes)},
            {"name": "watershed:source", "value": data.contract.source},
        ],
    }


def _licences(held: tuple[Held, ...]) -> list[Part]:
    """Each licence apart. An identifier that SPDX lists is an id; any other is a name."""
    found = []
    for each in held:
        named = each.id.startswith(REFERENCE) or " OR " in each.id or bool(each.problem)
        found.append({"license": {"name": each.id} if named else {"id": each.id}})
    return found
