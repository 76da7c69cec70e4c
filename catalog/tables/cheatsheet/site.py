"""The page of the cheatsheet on the site: every resource with filters by modality and stage, and the findings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from catalog.cards.site.charts import bars
from catalog.cards.site.html import join, short, table, tag
from catalog.cards.site.page import Entry, Item, Page, Section, filter_list
from catalog.cards.site.reading import SiteLake
from catalog.tables.cheatsheet.taxonomy import STAGES

PATH = "cheatsheet/index.html"
FACETS = (("modality", "Modality"), ("stage", "Stage of development"), ("category", "Category"))


def pages(site: SiteLake) -> Iterator[Page]:
    """The page of all resources; none while they are not made."""
    if not site.made("cheatsheet.resources", "cheatsheet.categories"):
        return
    rows = site.rows("FROM cheatsheet.resources ORDER BY lower(name), resource")
    items = [_item(row) for row in rows]
    entries = tuple(
        Entry(
            title=row["name"],
            words=f"{row['description']} {' '.join(row['categories'])}",
            kind="resource",
            address=f"{PATH}#find={quote(row['name'])}",
        )
        for row in rows
    )
    by_stage = site.rows("FROM cheatsheet.by_stage")
    stages = [(row["stage"], float(row["resources"]), f"{row['resources']:,}") for row in by_stage]
    coverage = site.rows("FROM cheatsheet.coverage")
    modalities = list(dict.fromkeys(row["modality"] for row in coverage))
    counts = {(row["stage"], row["modality"]): row["resources"] for row in coverage}
    cells = ((stage, *(f"{counts.get((stage, each), 0):,}" for each in modalities)) for stage in STAGES)
    sections = [
        Section(
            title="Resources",
            body=filter_list("resources", FACETS, items, "Words in name or description"),
            note="As published in allenai/fm-cheatsheet, repaired and merged, with a starter set of Watershed's own.",
        ),
        Section(
            title="Where resources are, and where they are not",
            body=join(
                (
                    bars(stages, "Resources by stage of development"),
                    table(("stage", *(f">{each}" for each in modalities)), cells, "Resources by stage and modality"),
                )
            ),
        ),
    ]
    if site.made("cheatsheet.codings"):
        found = site.rows("FROM cheatsheet.findings")
        measures = (
            (row["finding"], row["measure"], row["resources"], row["total"], f"{row['share']:.1%}") for row in found
        )
        shown = table((">finding", "measure", ">resources", ">of", ">share"), measures, "The four findings in numbers")
        sections.append(Section(title="The paper's four findings, in numbers", body=join((shown, _query()))))
    yield Page(
        path=PATH,
        title="The Foundation Model Development Cheatsheet",
        lead=f"{len(rows):,} tools, data sets, papers and guides for developing foundation models.",
        sections=tuple(sections),
        menu="Cheatsheet",
        entries=entries,
        lists={"resources": items},
    )


def _query() -> str:
    return tag("p", "The query behind these numbers: ", tag("code", 'watershed sql "FROM cheatsheet.findings"'))


def _item(row: dict[str, Any]) -> Item:
    modalities, stages, categories = (list(map(str, row[key])) for key in ("modalities", "stages", "categories"))
    year = "updated often" if row["updated_frequently"] else str(row["year"] or "")
    return Item(
        title=str(row["name"]),
        address=str(row["primary_link"] or ""),
        words=short(row["description"], 300),
        facts=tuple(each for each in (year, *modalities, *categories) if each),
        facets={"modality": modalities, "stage": stages, "category": categories},
    )
