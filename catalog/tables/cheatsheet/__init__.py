"""The tables of the Foundation Model Development Cheatsheet: the published rows, what was repaired, and the resources.

Source: The Foundation Model Development Cheatsheet (arXiv 2406.16746), whose resource file is published in
allenai/fm-cheatsheet as app/resources/resources.json.
"""

from __future__ import annotations

from catalog.columns import boolean, integer, text, texts
from catalog.contract import Column, Contract, between, matches, one_of, references, row_count, warned
from catalog.family import Family, Searchable
from catalog.licences.known import NOT_STATED
from catalog.tables.cheatsheet.taxonomy import CATEGORIES, STAGES
from catalog.tables.cheatsheet.views import VIEWS

OWNER = "cheatsheet"
SOURCE = "the Foundation Model Development Cheatsheet (allenai/fm-cheatsheet), and a starter set of Watershed's own"
LICENCE = "none stated for the published rows; the starter set and the codings are Apache-2.0"
LICENCES = (NOT_STATED, "Apache-2.0")
URL = r"https?://[^\s/]+\.[^\s]+$"

SOURCES = ("published", "starter")
OUTCOMES = ("kept", "repaired", "merged", "rejected")
LINKS = ("paper_link", "website_link", "github_link", "huggingface_link")
"""The columns of links, which are also the fields of the published file."""
QUESTIONS = {
    "languages": ("English", "one other language", "multilingual", "code", "no language", "not stated"),
    "evaluates": ("model", "system", "people or data"),
    "serves": ("capability", "ethics", "real-world use"),
}
"""The questions of `cheatsheet.codings`, and their answers."""


def _place() -> tuple[Column, Column]:
    return (
        text("source", "Where the row comes from: published (the imported file) or starter (Watershed's own set)."),
        integer("position", "Position of the row in its file, from 0."),
    )


TAXONOMY = Contract(
    name="cheatsheet.categories",
    description="The cheatsheet's categories of resources and the stages of development that they belong to.",
    columns=(
        text("category", "Name of the category."),
        text("number", "Its section in the cheatsheet, such as 2.3."),
        text("stage", "Stage of development, one of seven."),
        integer("stage_number", "Position of the stage, 1..7."),
    ),
    primary_key=("category",),
    source=SOURCE,
    licence=LICENCE,
    licences=LICENCES,
    owner=OWNER,
    expectations=(row_count(len(CATEGORIES)), one_of("stage", STAGES), between("stage_number", 1, len(STAGES))),
)

RAW = Contract(
    name="cheatsheet.raw",
    description="Every row of the resource file as it was published, and what became of it.",
    columns=(
        *_place(),
        text("entry", "The row as JSON, unchanged; shortened if it was rejected for its size."),
        text("sha256", "Digest of the whole row."),
        text("outcome", "kept (unchanged), repaired, merged (into the resource of an earlier row) or rejected."),
        text("resource", "The resource that the row is part of; null if it was rejected.", nullable=True),
        text("reason", "Why the row was repaired, merged or rejected; empty for one that was kept."),
    ),
    primary_key=("source", "position"),
    source=SOURCE,
    licence=LICENCE,
    licences=LICENCES,
    owner=OWNER,
    expectations=(
        row_count(1),
        one_of("source", SOURCES),
        one_of("outcome", OUTCOMES),
        references("resource", "cheatsheet.resources.resource"),
    ),
)

RESOURCES = Contract(
    name="cheatsheet.resources",
    description="Tools, data sets, papers and guides for developing foundation models, a row each.",
    columns=(
        text("resource", "Identifier: the name in lower case, with hyphens.", derived_from="cheatsheet.raw.entry"),
        text("name", "Name.", derived_from="cheatsheet.raw.entry"),
        text("description", "What the resource is.", derived_from="cheatsheet.raw.entry"),
        integer("year", "Year of publication; null if unknown or updated frequently.", nullable=True),
        integer("month", "Month of publication, 1..12; null if unknown.", nullable=True),
        boolean("updated_frequently", "Whether the resource is updated so often that it has no date."),
        texts("modalities", "What it is for: Text, Speech, Vision, Video, Tabular."),
        texts("categories", "Categories of `cheatsheet.categories`, in their order."),
        texts("stages", "Stages of development that these categories belong to."),
        text("primary_link", "The link to follow first.", nullable=True),
        *(text(link, f"Link: {link.removesuffix('_link')}.", nullable=True) for link in LINKS),
        text("added_by", "Who added the row.", nullable=True, personal_data="name"),
        texts("sources", "The files that have a row of it: published, starter."),
        integer("rows", "Rows that were merged into it, itself included."),
    ),
    primary_key=("resource",),
    upstream=("cheatsheet.raw", "cheatsheet.categories"),
    named_by=("name",),
    source=SOURCE,
    licence=LICENCE,
    licences=LICENCES,
    owner=OWNER,
    expectations=(
        row_count(1),
        matches("resource", r"[a-z0-9]+(-[a-z0-9]+)*$"),
        between("year", 1990, 2100),
        between("month", 1, 12),
        between("rows", 1),
        *(matches(link, URL) for link in ("primary_link", *LINKS)),
    ),
)

REPAIRS = Contract(
    name="cheatsheet.repairs",
    description="Every change between a published row and its resource, with the reason.",
    columns=(
        *_place(),
        integer("number", "Position of the repair among those of the row, from 0."),
        text("field", "The field that was changed."),
        text("rule", "The rule that changed it, such as category_alias."),
        text("before", "The published value, shortened."),
        text("after", "The value that is used; empty if none is."),
        text("reason", "Why."),
    ),
    primary_key=("source", "position", "number"),
    upstream=("cheatsheet.raw",),
    source=SOURCE,
    licence=LICENCE,
    licences=LICENCES,
    owner=OWNER,
    expectations=(one_of("source", SOURCES),),
)

CODINGS = Contract(
    name="cheatsheet.codings",
    description="What the published rows do not state about a resource, coded by Watershed with a reason each.",
    columns=(
        text("resource", "The resource."),
        text("question", "languages, evaluates or serves."),
        text("value", "The answer."),
        text("reason", "What the answer rests on."),
    ),
    primary_key=("resource", "question"),
    source="Watershed's own reading of names, descriptions and linked papers",
    licence="Apache-2.0",
    owner=OWNER,
    expectations=(
        one_of("question", tuple(QUESTIONS)),
        one_of("value", tuple(dict.fromkeys(value for values in QUESTIONS.values() for value in values))),
        warned(references("resource", "cheatsheet.resources.resource", why="a resource may have been withdrawn")),
    ),
)

CONTRACTS = (TAXONOMY, RAW, RESOURCES, REPAIRS, CODINGS)
SEARCHABLE = Searchable(
    kind="resource",
    tables=(RESOURCES.name,),
    sql=f"""
    SELECT name, description, list_concat(categories, stages) AS tags, concat_ws(' ', primary_link, year) AS detail,
           list_transform(modalities, lambda each: lower(each)) AS modalities
    FROM {RESOURCES.name}
    """,
)
FAMILY = Family(
    name="cheatsheet",
    contracts=CONTRACTS,
    views=VIEWS,
    searchable=(SEARCHABLE,),
    site="catalog.tables.cheatsheet.site",
)
