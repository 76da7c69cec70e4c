"""A model's bill of materials in SPDX 3.0.1 (JSON-LD), with the profiles AI and Dataset.

The model is an `ai_AIPackage`, and every table a `dataset_DatasetPackage`. The model is `trainedOn` its shards and
`testedOn` the tables of its evaluations; a table is a `descendantOf` the tables that it was made from.
"""

from __future__ import annotations

import datetime
from typing import Any

from catalog.cards.bom.facts import INTENDED, LIMITS, DataFacts, ModelFacts, expression
from catalog.licences.inherited import Held
from catalog.licences.known import REFERENCE

CONTEXT = "https://spdx.org/rdf/3.0.1/spdx-context.jsonld"
CREATED = "_:created"
NO_ASSERTION = "https://spdx.org/rdf/3.0.1/terms/Licensing/NoAssertion"
Element = dict[str, Any]


def spdx_bom(facts: ModelFacts, now: datetime.datetime | None = None) -> Element:
    """The document. Elements have identifiers `urn:watershed:bom:RUN:...`.

    Args:
        now: the moment of creation; by default the present.
    """
    base = f"urn:watershed:bom:{facts.run}"
    made = _Document(base)
    made.add("SoftwareAgent", "watershed", name="Watershed")
    data = {each.name: each for each in (*facts.trained_on, *facts.tested_on)}
    owners = {each.contract.owner for each in data.values()} | {"training"}
    for owner in sorted(owners):
        made.add("Organization", f"owner:{owner}", name=owner)
    model = made.add("ai_AIPackage", "model", **_model(facts, base))
    for each in data.values():
        made.add("dataset_DatasetPackage", f"data:{each.name}", **_data_set(each, base))
    made.licence(model, facts.licences)
    for each in data.values():
        made.licence(f"{base}:data:{each.name}", each.licences)
    if facts.trained_on:
        made.relate(model, "trainedOn", [f"{base}:data:{facts.trained_on[0].name}"])
    if facts.tested_on:
        made.relate(model, "testedOn", [f"{base}:data:{each.name}" for each in facts.tested_on])
    for each in data.values():
        if each.sources:
            made.relate(f"{base}:data:{each.name}", "descendantOf", [f"{base}:data:{name}" for name in each.sources])
    return made.document(model, now or datetime.datetime.now(datetime.UTC))


class _Document:
    def __init__(self, base: str) -> None:
        self._base = base
        self._elements: list[Element] = []
        self._licences: dict[str, str] = {}

    def add(self, kind: str, place: str, /, **properties: Any) -> str:
        """Add an element; returns its identifier."""
        identifier = f"{self._base}:{place}"
        given = {key: value for key, value in properties.items() if value not in (None, [], "")}
        self._elements.append({"type": kind, "spdxId": identifier, "creationInfo": CREATED, **given})
        return identifier

    def relate(self, source: str, kind: str, targets: list[str]) -> None:
        """Add a relationship of one element to others."""
        number = sum(each["type"] == "Relationship" for each in self._elements)
        properties = {"from": source, "relationshipType": kind, "to": targets}
        self.add("Relationship", f"relationship:{number}", **properties)

    def licence(self, element: str, held: tuple[Held, ...]) -> None:
        """Say which licences an element carries. Nothing is declared beside what is concluded from lineage."""
        written = expression(held)
        if written not in self._licences:
            texts = {each.id: self._text(each) for each in held if each.id.startswith(REFERENCE)}
            entries = [{"type": "DictionaryEntry", "key": name, "value": place} for name, place in texts.items()]
            self._licences[written] = self.add(
                "simplelicensing_LicenseExpression",
                f"licence:{len(self._licences)}",
                simplelicensing_licenseExpression=written,
                simplelicensing_customIdToUri=entries,
            )
        self.relate(element, "hasConcludedLicense", [self._licences[written]])
        self.relate(element, "hasDeclaredLicense", [NO_ASSERTION])

    def _text(self, held: Held) -> str:
        identifier = f"{self._base}:text:{held.id}"
        if any(each["spdxId"] == identifier for each in self._elements):
            return identifier
        words = f"{held.title}: {held.terms.words}. {held.problem}".strip()
        kind = "simplelicensing_SimpleLicensingText"
        return self.add(kind, f"text:{held.id}", name=held.id, simplelicensing_licenseText=words)

    def document(self, root: str, now: datetime.datetime) -> Element:
        """The whole, with the elements that hold it together."""
        inner = [each["spdxId"] for each in self._elements]
        bill = self.add("software_Sbom", "bill", software_sbomType=["build"], rootElement=[root], element=inner)
        profiles = ["core", "software", "ai", "dataset", "simpleLicensing"]
        self.add("SpdxDocument", "document", profileConformance=profiles, rootElement=[bill], element=[*inner, bill])
        created = {
            "type": "CreationInfo",
            "@id": CREATED,
            "specVersion": "3.0.1",
            "created": _moment(now),
            "createdBy": [f"{self._base}:watershed"],
        }
        return {"@context": CONTEXT, "@graph": [created, *self._elements]}


def _model(facts: ModelFacts, base: str) -> Element:
    row = facts.row
    settings = facts.settings
    energy = {"type": "ai_EnergyConsumptionDescription", "ai_energyQuantity": round(facts.energy.kwh, 9)}
    measures = [
        {"type": "DictionaryEntry", "key": f"{each.task}, {each.measure}", "value": f"{each.value:.6g}"}
        for each in facts.scores
    ]
    return {
        "name": facts.run,
        "summary": f"{row['parameters']:,} parameters, trained on {row['tokens']:,} tokens.",
        "suppliedBy": f"{base}:owner:training",
        "releaseTime": _moment(facts.released),
        "verifiedUsing": [{"type": "Hash", "algorithm": "sha256", "hashValue": row["sha256"]}],
        "software_downloadLocation": f"urn:watershed:{facts.table}:{facts.run}",
        "software_packageVersion": str(row["sha256"])[:16],
        "software_primaryPurpose": "model",
        "ai_typeOfModel": [settings.get("model.kind", '"transformer"').strip('"')],
        "ai_hyperparameter": [{"type": "DictionaryEntry", "key": k, "value": v} for k, v in settings.items()],
        "ai_metric": measures,
        "ai_limitation": LIMITS,
        "ai_informationAboutApplication": INTENDED,
        "ai_informationAboutTraining": f"Data set {row['dataset']}. {facts.energy.assumptions}",
        "ai_energyConsumption": {
            "type": "ai_EnergyConsumption",
            "ai_trainingEnergyConsumption": [{**energy, "ai_energyUnit": "kilowattHour"}],
        },
        "ai_useSensitivePersonalInformation": "yes" if any(e.personal for e in facts.trained_on) else "noAssertion",
    }


def _data_set(data: DataFacts, base: str) -> Element:
    written = data.state.written_at
    return {
        "name": data.name,
        "description": data.contract.description,
        "originatedBy": [f"{base}:owner:{data.contract.owner}"],
        "builtTime": _moment(written) if written else None,
        "releaseTime": _moment(written) if written else None,
        "software_downloadLocation": f"urn:watershed:{data.name}@{data.version}",
        "software_packageVersion": data.version,
        "software_primaryPurpose": "data",
        "dataset_datasetType": ["structured"],
        "dataset_datasetSize": data.state.bytes,
        "dataset_dataCollectionProcess": data.contract.source if data.contract.source != "derived" else None,
        "dataset_hasSensitivePersonalInformation": "yes" if data.personal else "noAssertion",
    }


def _moment(when: datetime.datetime) -> str:
    return when.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
