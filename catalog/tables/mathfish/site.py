"""The pages of MathFish on the site: a page a standard, with its problems, its neighbours and the errors of models."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from catalog.cards.site.charts import bars
from catalog.cards.site.html import Markup, file_name, join, short, table, tag
from catalog.cards.site.lineage_picture import layered
from catalog.cards.site.page import Entry, Item, Page, Section, badge, facts, filter_list
from catalog.cards.site.reading import SiteLake
from catalog.personal import masked

INDEX = "mathfish/index.html"
LEVELS = ("Standard", "Sub-standard")
"""Levels whose rows have a page."""
FACETS = (("grade", "Grade"), ("level", "Level"), ("emphasis", "Emphasis"))
PROBLEMS_SHOWN = 6
PROBLEM = 420
"""Characters of a problem."""
Row = dict[str, Any]


@dataclass
class Curriculum:
    """What the pages are made from, by standard."""

    standards: dict[str, Row]
    before: Mapping[str, list[str]] = field(default_factory=dict)
    after: Mapping[str, list[str]] = field(default_factory=dict)
    related: Mapping[str, list[str]] = field(default_factory=dict)
    problems: Mapping[str, list[Row]] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    errors: Mapping[str, list[Row]] = field(default_factory=dict)
    tagged: Mapping[str, list[Row]] = field(default_factory=dict)

    def link(self, standard: str) -> str | None:
        """The page of a standard, from the page of another one; None if it has none."""
        found = self.standards.get(standard)
        return f"{file_name(standard)}.html" if found and found["level"] in LEVELS else None


def pages(site: SiteLake) -> Iterator[Page]:
    """A page of all standards and one a standard; none while the standards are not made."""
    if not site.made("mathfish.standards"):
        return
    curriculum = _read(site)
    shown = [row for row in curriculum.standards.values() if row["level"] in LEVELS]
    yield _index(site, curriculum, shown)
    for row in shown:
        yield _page(curriculum, row)


def _read(site: SiteLake) -> Curriculum:
    found = Curriculum({row["standard"]: row for row in site.rows("FROM mathfish.standards ORDER BY standard")})
    if site.made("mathfish.connections"):
        before, after, related = defaultdict(list), defaultdict(list), defaultdict(list)
        for row in site.rows("FROM mathfish.connections ORDER BY source, target"):
            if row["relation"] == "progress":
                before[row["target"]].append(row["source"])
                after[row["source"]].append(row["target"])
            else:
                related[row["source"]].append(row["target"])
                related[row["target"]].append(row["source"])
        found.before, found.after, found.related = before, after, related
    if site.made("mathfish.problems", "mathfish.labels"):
        found.problems, found.counts = _problems(site)
    if site.made("mathfish.answers", "mathfish.tasks"):
        rows = site.rows("FROM mathfish.errors ORDER BY model, strategy")
        found.errors = _grouped(rows, "standard")
    if site.made("mathfish.traversals"):
        rows = site.rows(
            "SELECT model, label AS standard, count(*) AS problems, "
            "count(*) FILTER (WHERE list_contains(predicted, label)) AS found, "
            "count(*) FILTER (WHERE NOT complete) AS malformed "
            "FROM (SELECT model, predicted, complete, unnest(labels) AS label FROM mathfish.traversals) "
            "GROUP BY ALL ORDER BY model"
        )
        found.tagged = _grouped(rows, "standard")
    return found


def _problems(site: SiteLake) -> tuple[dict[str, list[Row]], dict[str, int]]:
    """The first problems of each standard, and how many there are."""
    rows = site.rows(
        "SELECT l.standard, p.problem, p.source, p.collection, left(p.text, 2000) AS text, "
        "row_number() OVER (PARTITION BY l.standard ORDER BY p.collection, p.row) AS number, "
        "count(*) OVER (PARTITION BY l.standard) AS total "
        "FROM (SELECT DISTINCT problem, standard FROM mathfish.labels WHERE positive AND standard IS NOT NULL) l "
        f"JOIN mathfish.problems p USING (problem) QUALIFY number <= {PROBLEMS_SHOWN} ORDER BY l.standard, number"
    )
    return _grouped(rows, "standard"), {row["standard"]: row["total"] for row in rows}


def _grouped(rows: list[Row], key: str) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row[key]].append(row)
    return found


def _index(site: SiteLake, curriculum: Curriculum, shown: list[Row]) -> Page:
    items = [
        Item(
            title=row["standard"],
            address=f"{file_name(row['standard'])}.html",
            words=short(row["description"], 240),
            facts=(f"grade {row['grade']}", f"{curriculum.counts.get(row['standard'], 0):,} problems"),
            facets={"grade": (row["grade"],), "level": (row["level"],), "emphasis": (row["cluster_type"],)},
        )
        for row in shown
    ]
    sections = [
        Section(title="Standards", body=filter_list("standards", FACETS, items, "Words in name or description"))
    ]
    by_grade = site.rows("FROM mathfish.by_grade")
    grades = [(f"grade {row['grade']}", float(row["standards"]), f"{row['standards']:,}") for row in by_grade]
    sections.append(Section(title="Standards by grade", body=bars(grades, "Standards by grade")))
    if site.made("mathfish.alignment"):
        found = site.rows("FROM mathfish.alignment_by_model")
        rows = ((row["model"], row["full"], row["partial"], row["none"], row["not_math"]) for row in found)
        head = ("model", ">full", ">partial", ">none", ">no mathematics")
        body = table(head, rows, "Teachers' verdicts by model")
        sections.append(Section(title="Do generated problems teach their standard? Teachers say", body=body))
    return Page(
        path=INDEX,
        title="Mathematical standards",
        lead="What each standard asks, the problems that teach it, its place in the coherence map, and models' errors.",
        sections=tuple(sections),
        menu="Standards",
        lists={"standards": items},
    )


def _page(curriculum: Curriculum, row: Row) -> Page:
    standard = row["standard"]
    path = f"mathfish/{file_name(standard)}.html"
    stated = facts(
        [
            ("grade", row["grade"]),
            ("level", row["level"]),
            ("emphasis", row["cluster_type"] if row["cluster_type"] != "none" else None),
            ("aspects of rigor", ", ".join(row["aspects"]) or None),
            ("modeling", "yes" if row["modeling"] else None),
            ("problems", f"{curriculum.counts.get(standard, 0):,}"),
        ]
    )
    above = [curriculum.standards[each] for each in row["path"][:-1] if each in curriculum.standards]
    way = join((tag("span", f"{each['standard']}: {short(each['description'], 110)}") for each in above), " › ")
    sections = (
        Section(title="In the coherence map", body=_neighbours(curriculum, row)),
        Section(title="Problems", body=_problem_list(curriculum, standard)),
        Section(title="Errors of models", body=_errors(curriculum, standard)),
    )
    return Page(
        path=path,
        title=standard,
        lead=short(row["description"], 1200),
        above=join((tag("p", way, class_="quiet") if above else None, stated)),
        sections=sections,
        crumbs=(("Standards", INDEX),),
        entries=(Entry(title=standard, words=row["description"], kind="standard", address=path),),
    )


def _neighbours(curriculum: Curriculum, row: Row) -> Markup:
    standard = row["standard"]
    before, after = curriculum.before.get(standard, []), curriculum.after.get(standard, [])
    edges = [*((each, standard) for each in before), *((standard, each) for each in after)]
    columns = [column for column in (before, [standard], after) if column]
    drawn = layered(columns, edges, curriculum.link, current=standard)
    picture = tag("div", drawn, class_="scroll lineage", tabindex="0", role="region", aria_label="Neighbours")
    lines = []
    groups = (
        ("prepares for it", before),
        ("it prepares for", after),
        ("related", curriculum.related.get(standard, [])),
        ("parts", row["children"]),
    )
    for name, neighbours in groups:
        for each in dict.fromkeys(neighbours):
            words = short(curriculum.standards.get(each, {}).get("description", ""), 160)
            address = curriculum.link(each)
            lines.append((badge(name), tag("a", each, href=address) if address else each, words))
    if not lines:
        return tag("p", "It has no neighbours in the map.")
    return join((picture, table(("relation", "standard", "what it asks"), lines, f"Neighbours of {standard}")))


def _problem_list(curriculum: Curriculum, standard: str) -> Markup:
    problems = curriculum.problems.get(standard, [])
    if not problems:
        return tag("p", "No problem in the lake is labelled with it.")
    shown = (
        tag("li", tag("blockquote", short(masked(row["text"]), PROBLEM)), tag("span", row["source"], class_="quiet"))
        for row in problems
    )
    more = curriculum.counts[standard] - len(problems)
    return join(
        (tag("ul", join(shown), class_="plain"), tag("p", f"and {more:,} more", class_="note") if more else None)
    )


def _errors(curriculum: Curriculum, standard: str) -> Markup:
    parts = []
    if errors := curriculum.errors.get(standard):
        rows = (
            (row["model"], row["strategy"], row["prompts"], row["wrong"] - row["malformed"], row["malformed"])
            for row in errors
        )
        head = ("model", "does the problem teach it?", ">asked", ">wrong", ">malformed")
        parts.append(table(head, rows, f"Verification of {standard} by models"))
    if tagged := curriculum.tagged.get(standard):
        rows = ((row["model"], row["problems"], row["found"], row["malformed"]) for row in tagged)
        head = ("model", ">problems that teach it", ">tagged with it", ">malformed")
        parts.append(table(head, rows, f"Tagging of problems of {standard} by models"))
    return join(parts) if parts else tag("p", "No model was asked about it.")
