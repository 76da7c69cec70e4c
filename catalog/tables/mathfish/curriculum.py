"""The standards of the Common Core, the map of their prerequisites, and the problems that are labelled with them."""

from __future__ import annotations

from catalog.columns import boolean, integer, text, texts
from catalog.contract import Contract, between, one_of, references, row_count, warned

OWNER = "mathfish"
STANDARDS_SOURCE = "Achieve the Core's coherence map in the schema of MathFish (allenai/mathfish, arXiv 2408.04226)"
STANDARDS_LICENCE = "as the file of standards says; the made curriculum is Apache-2.0"
PROBLEMS_SOURCE = "MathFish (allenai/mathfish, arXiv 2408.04226), GSM8K (arXiv 2110.14168)"
PROBLEMS_LICENCE = "ODC-BY for MathFish, with the licences of Illustrative Mathematics and Fishtank; MIT for GSM8K"
LEVELS = ("Grade", "HS Category", "Domain", "Cluster", "Standard", "Sub-standard")
CLUSTER_TYPES = (
    *("major cluster", "supporting cluster", "additional cluster"),
    *("widely applicable prerequisite", "none"),
)
GRADES = ("K", "1", "2", "3", "4", "5", "6", "7", "8", "HS")
CONNECTION = ("progress", "related")
POSITIVE = ("Alignment", "Addressing")
"""Relations of a label that say that the problem teaches the standard."""
LABEL_FAULTS = ("", "unknown", "practice", "no standard")

STANDARDS = Contract(
    name="mathfish.standards",
    modalities=("text",),
    description="The tree of the curriculum: grades, domains, clusters, standards and sub-standards, a row each.",
    columns=(
        text("standard", "Identifier, such as 3.NF.A.1 or F-IF.C.7e."),
        text("description", "What students learn."),
        text("level", "Grade, HS Category, Domain, Cluster, Standard or Sub-standard."),
        text("grade", "Grade: K, 1 to 8, or HS."),
        text(
            "domain",
            "Domain of K-8 (such as NF) or category of high school (such as F); null for a grade.",
            nullable=True,
        ),
        text("domain_group", "Group of domains that models choose from; null if none has the domain.", nullable=True),
        text(
            "cluster_type",
            "Emphasis: major, supporting or additional cluster, widely applicable prerequisite, or none.",
        ),
        texts("aspects", "Aspects of rigor."),
        text("parent", "The row above; null for a grade and a category.", nullable=True),
        texts("children", "The rows below."),
        texts("path", "Identifiers from the root of the tree to the row itself."),
        boolean("modeling", "Whether the standard is marked for modeling."),
        text("source", "Source, as written."),
    ),
    primary_key=("standard",),
    named_by=("description",),
    source=STANDARDS_SOURCE,
    licence=STANDARDS_LICENCE,
    licences=("LicenseRef-Own-Licence", "Apache-2.0"),
    owner=OWNER,
    expectations=(
        row_count(1),
        one_of("level", LEVELS),
        one_of("grade", GRADES),
        one_of("cluster_type", CLUSTER_TYPES),
        references("parent", "mathfish.standards.standard"),
    ),
)

CONNECTIONS = Contract(
    name="mathfish.connections",
    description="The coherence map: which standard prepares which, and which are related. Edges are between standards.",
    columns=(
        text("source", "Standard where the edge begins; of `related`, the first of both in the order of the alphabet."),
        text("target", "Standard where it ends."),
        text("relation", "progress (source is needed for target) or related."),
    ),
    primary_key=("source", "target", "relation"),
    upstream=("mathfish.standards",),
    source=STANDARDS_SOURCE,
    licence=STANDARDS_LICENCE,
    licences=("LicenseRef-Own-Licence", "Apache-2.0"),
    owner=OWNER,
    expectations=(
        one_of("relation", CONNECTION),
        references("source", "mathfish.standards.standard"),
        references("target", "mathfish.standards.standard"),
    ),
)

PROBLEMS = Contract(
    name="mathfish.problems",
    modalities=("text", "image"),
    description="Problems and activities, a row each, with the labels as they were published.",
    columns=(
        text("problem", "Identifier, unique over all files."),
        text("collection", "Name of the file without its ending."),
        text("source", "Where the problem comes from, or the model that wrote it; as written."),
        text("type", "Type of the problem or activity; null if the row has none.", nullable=True),
        text("text", "Text, with marks ###IMAGEn### and ###TABLEn### where elements stood."),
        text("elements", "The elements by mark, as a JSON object."),
        text("metadata", "The metadata as a JSON object; types of fields differ between rows."),
        text("acquired", "Date of acquisition, YYYY-MM-DD; null if it cannot be read.", nullable=True),
        text("answer", "Answer, of problems that have one.", nullable=True),
        text("labels", "Labels as written, as a JSON list of [relation, label]."),
        integer("images", "Number of images in the text."),
        integer("tables", "Number of tables in the text."),
        boolean("positive", "Whether at least one label says that the problem teaches a standard."),
        texts("standards", "These standards, sorted.", derived_from="mathfish.labels.standard"),
        texts("grades", "Their grades, in order."),
        integer("row", "Position of the row in its file, from 0."),
    ),
    primary_key=("problem",),
    upstream=("mathfish.standards",),
    source=PROBLEMS_SOURCE,
    licence=PROBLEMS_LICENCE,
    licences=("ODC-By-1.0", "CC-BY-4.0", "CC-BY-NC-SA-4.0", "MIT"),
    owner=OWNER,
    expectations=(row_count(1), between("row", 0), between("images", 0), between("tables", 0)),
)

LABELS = Contract(
    name="mathfish.labels",
    description="Labels of problems, standardised and inherited to standards: a row per label and standard.",
    columns=(
        text("problem", "The problem.", derived_from="mathfish.problems.problem"),
        text("relation", "Relation, as written: Alignment, Addressing, Building On and others."),
        text("written", "Label as written."),
        integer("number", "Position of the row among those of the problem, from 0."),
        text("label", "Label as `mathfish.standards` has it; null if it is not there.", nullable=True),
        text("standard", "Standard that the label stands for; null if there is none.", nullable=True),
        text("inherited", "Level of the label from which the standard follows; null if there is none.", nullable=True),
        boolean("positive", "Whether the problem teaches the standard: Alignment or Addressing."),
        text("fault", "Empty, or why there is no standard: unknown, practice (a practice standard) or no standard."),
    ),
    primary_key=("problem", "number"),
    upstream=("mathfish.standards",),
    source=PROBLEMS_SOURCE,
    licence=PROBLEMS_LICENCE,
    licences=("ODC-By-1.0", "CC-BY-4.0", "CC-BY-NC-SA-4.0", "MIT"),
    owner=OWNER,
    expectations=(
        one_of("fault", LABEL_FAULTS),
        references("problem", "mathfish.problems.problem"),
        references("standard", "mathfish.standards.standard"),
    ),
)

ALIGNMENT = Contract(
    name="mathfish.alignment",
    description="Problems that models wrote for a standard, with a teacher's verdict of their alignment: a row each.",
    columns=(
        text("problem", "The problem; null if none of the files has its text.", nullable=True),
        text("model", "The model that wrote it; null without the problem.", nullable=True),
        integer("row", "Position of the verdict in its file, from 0."),
        text("standard", "Standard that the problem was to teach."),
        text("grade", "Grade of the standard."),
        text("verdict", "full, partial, none, or not_math (no mathematical problem)."),
        text("explanation", "The teacher's reason, as written.", personal_data="opinion"),
        text(
            "matched", "How the problem was found: exact, similar (the likeliest text for the same standard), or none."
        ),
    ),
    primary_key=("row",),
    upstream=("mathfish.standards", "mathfish.problems"),
    source="Teachers' annotations of generated problems (allenai/mathfish)",
    licence="Apache-2.0",
    owner=OWNER,
    expectations=(
        one_of("verdict", ("full", "partial", "none", "not_math")),
        one_of("matched", ("exact", "similar", "none")),
        warned(references("problem", "mathfish.problems.problem", why="a file of problems may have been taken out")),
    ),
)

VERDICTS = Contract(
    name="mathfish.verdicts",
    description="Verdicts of teachers that were entered on the local page: a row per rater, problem and standard.",
    command="watershed mathfish review",
    columns=(
        text("rater", "Name that the rater gave.", personal_data="name"),
        text("problem", "The problem.", derived_from="mathfish.problems.problem"),
        text("standard", "The standard.", derived_from="mathfish.standards.standard"),
        text("verdict", "full, partial, none or not_math."),
        text("comment", "Remark of the rater; may be empty.", personal_data="opinion"),
        text("at", "When the verdict was entered, ISO 8601 in UTC."),
    ),
    primary_key=("rater", "problem", "standard"),
    upstream=("mathfish.problems", "mathfish.standards"),
    source="people who use the page",
    licence="CC0-1.0",
    owner=OWNER,
    expectations=(
        one_of("verdict", ("full", "partial", "none", "not_math")),
        warned(references("problem", "mathfish.problems.problem", why="a file of problems may have been taken out")),
    ),
)
