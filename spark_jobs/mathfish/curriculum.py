"""The tree of standards, the map of their prerequisites, and the groups of domains that tagging begins with."""

from __future__ import annotations

import re
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from catalog.errors import WatershedError
from catalog.tables.mathfish.curriculum import CLUSTER_TYPES, GRADES, LEVELS

HIGH_SCHOOL = "HS"
MODELING = "Modeling"
"""The domain group of standards that are marked for modeling. It has no clusters."""
FIELDS = "id, level, description, parent, children and connections"
MEND = f"give JSON lines in MathFish's schema of standards: {FIELDS}"


@dataclass(frozen=True, kw_only=True)
class Standard:
    """A row of the tree, of any level. `mathfish.standards` describes the fields."""

    id: str
    description: str
    level: str
    cluster_type: str = "none"
    aspects: tuple[str, ...] = ()
    parent: str = ""
    children: tuple[str, ...] = ()
    progress_to: tuple[str, ...] = ()
    progress_from: tuple[str, ...] = ()
    related: tuple[str, ...] = ()
    modeling: bool = False
    source: str = ""


@dataclass(frozen=True, kw_only=True)
class DomainGroup:
    """An option of the first step of tagging: domains of K-8 and categories of high school that belong together."""

    name: str
    domains: tuple[str, ...]
    description: str


GROUPS: tuple[DomainGroup, ...] = tuple(
    DomainGroup(name=name, domains=tuple(domains.split()), description=description)
    for name, domains, description in (
        ("Counting & Cardinality", "CC", "naming numbers in order, counting objects, and saying which group has more"),
        (
            "Operations & Algebra",
            "OA EE A",
            "adding, subtracting, multiplying and dividing, patterns, expressions, equations and inequalities",
        ),
        ("Number & Operations in Base Ten", "NBT", "place value, and calculating with the base-ten system"),
        ("Number & Operations - Fractions", "NF", "what fractions are, and calculating with them"),
        ("Ratios & Proportional Relationships", "RP", "ratios, rates, proportions and percent"),
        (
            "Number Systems and Quantity",
            "NS N",
            "negative, rational, real and complex numbers, and quantities with units",
        ),
        ("Functions", "F", "what functions are, how they are written and graphed, and what they model"),
        ("Measurement & Data", "MD", "time, money, length, area, volume and angles, units, and data in simple charts"),
        ("Geometry", "G", "shapes and their properties, transformations, lengths, areas and volumes, and coordinates"),
        ("Statistics & Probability", "SP S", "describing data, drawing conclusions from samples, and chance"),
        (MODELING, "", "choosing mathematics to describe a situation of the real world, and checking what it says"),
    )
)
"""The eleven groups of MathFish. The descriptions are Watershed's own."""


@dataclass(frozen=True)
class Curriculum:
    """A tree of standards and its map.

    Example:
        >>> from spark_jobs.mathfish.made import made_curriculum
        >>> tree = made_curriculum()
        >>> tree.path("3.NF.A.1")
        ['3', '3.NF', '3.NF.A', '3.NF.A.1']
        >>> tree.distance("3.NF.A.1", "4.NF.A.1"), tree.group("F-IF.A.1")
        (1, 'Functions')
    """

    rows: Mapping[str, Standard]
    groups: tuple[DomainGroup, ...] = GROUPS

    def __getitem__(self, standard: str) -> Standard:
        return self.rows[standard]

    @cached_property
    def standards(self) -> list[str]:
        """The rows of the level Standard, in the order of the file."""
        return [each.id for each in self.rows.values() if each.level == "Standard"]

    @cached_property
    def children(self) -> dict[str, list[str]]:
        """The rows directly below each row, by `parent`, in the order of the file."""
        found: dict[str, list[str]] = defaultdict(list)
        for each in self.rows.values():
            if each.parent:
                found[each.parent].append(each.id)
        return dict(found)

    def path(self, standard: str) -> list[str]:
        """The identifiers from the root of the tree to a row."""
        found = [standard]
        while parent := self.rows[found[0]].parent:
            found.insert(0, parent)
        return found

    def grade(self, standard: str) -> str:
        """The grade of a row: K, 1 to 8, or HS."""
        first = re.split(r"[.]", standard, maxsplit=1)[0]
        return first if first in GRADES else HIGH_SCHOOL

    def domain(self, standard: str) -> str:
        """The domain of K-8 (`NF` of 3.NF.A.1) or the category of high school (`F` of F-IF.C.7); empty for a grade."""
        if self.grade(standard) == HIGH_SCHOOL:
            return standard.split("-", maxsplit=1)[0]
        parts = standard.split(".")
        return parts[1] if len(parts) > 1 else ""

    def group(self, standard: str) -> str | None:
        """The name of the domain group of a row; None if no group has its domain."""
        return self._group_of.get(self.domain(standard))

    @cached_property
    def _group_of(self) -> dict[str, str]:
        return {domain: group.name for group in self.groups for domain in group.domains}

    def gold_groups(self, standards: Iterable[str]) -> set[str]:
        """The domain groups that are right for a problem that teaches these standards.

        `Modeling` is one of them if a standard is marked for modeling.
        """
        found = {group for standard in standards if (group := self.group(standard))}
        marked = any(self.rows[standard].modeling for standard in standards)
        return found | ({MODELING} if marked and any(group.name == MODELING for group in self.groups) else set())

    def below(self, standard: str) -> list[str]:
        """The rows of the level Standard that are a row or lie below it, in the order of the tree."""
        if self.rows[standard].level == "Standard":
            return [standard]
        return [each for child in self.children.get(standard, ()) for each in self.below(child)]

    def inherited(self, label: str) -> list[str]:
        """The standards that a label stands for: the parent of a sub-standard, all standards of a cluster or domain."""
        if self.rows[label].level == "Sub-standard":
            return [self.rows[label].parent]
        return self.below(label)

    def cluster_options(self, group: str) -> list[tuple[str, tuple[str, ...]]]:
        """The descriptions of the clusters of a domain group, each with the clusters that it describes.

        Clusters of several grades may have the same words; they are one option.
        """
        return self._cluster_options[group]

    @cached_property
    def _cluster_options(self) -> dict[str, list[tuple[str, tuple[str, ...]]]]:
        options: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
        clusters = [each for each in self.rows.values() if each.level == "Cluster"]
        for group in self.groups:
            found: dict[str, list[str]] = {}
            for domain in group.domains:
                for each in clusters:
                    if self.domain(each.id) == domain:
                        found.setdefault(each.description, []).append(each.id)
            options[group.name] = [(description, tuple(ids)) for description, ids in found.items()]
        return options

    @cached_property
    def edges(self) -> list[tuple[str, str, str]]:
        """The edges of the map as (source, target, relation), between standards, sorted.

        An edge of a sub-standard is lifted to its standard, and left out within one standard.
        """
        found = set()
        for each in self.rows.values():
            for other in each.progress_to:
                found.add((*self._lifted(each.id, other), "progress"))
            for other in each.progress_from:
                found.add((*self._lifted(other, each.id), "progress"))
            for other in each.related:
                one, two = sorted(self._lifted(each.id, other))
                found.add((one, two, "related"))
        return sorted(edge for edge in found if edge[0] != edge[1])

    def _lifted(self, one: str, other: str) -> tuple[str, str]:
        def lift(standard: str) -> str:
            row = self.rows[standard]
            return row.parent if row.level == "Sub-standard" else standard

        return lift(one), lift(other)

    @cached_property
    def neighbours(self) -> dict[str, set[str]]:
        """The standards that each standard has an edge with, in any direction."""
        found: dict[str, set[str]] = {standard: set() for standard in self.standards}
        for source, target, _ in self.edges:
            found.setdefault(source, set()).add(target)
            found.setdefault(target, set()).add(source)
        return found

    def distances(self, standard: str) -> dict[str, int]:
        """The number of edges to every standard that can be reached, taken undirected."""
        found, waiting = {standard: 0}, deque([standard])
        while waiting:
            here = waiting.popleft()
            for other in self.neighbours.get(here, ()):
                if other not in found:
                    found[other] = found[here] + 1
                    waiting.append(other)
        return found

    def distance(self, one: str, other: str) -> int | None:
        """The number of edges between two standards, taken undirected; None without a path."""
        return self.distances(one).get(other)

    @cached_property
    def _by_letters(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = defaultdict(set)
        for each in self.rows:
            found[_letters(each)].add(each)
            # 1.OA.1 is 1.OA.A.1: older editions leave the cluster out.
            if len(parts := re.split(r"[.-]", each)) == 4:
                found[_letters("".join([parts[0], parts[1], parts[3]]))].add(each)
        return found

    def standardised(self, label: str) -> str | None:
        """The row that a label means, however it is written; None if there is none, or several.

        Example:
            >>> from spark_jobs.mathfish.made import made_curriculum
            >>> [made_curriculum().standardised(each) for each in ("HSF-IF.A.1", "3.nf.1", "CCSS.Math.Content.3.NF.A")]
            ['F-IF.A.1', '3.NF.A.1', '3.NF.A']
        """
        if label in self.rows:
            return label
        letters = _letters(re.sub(r"(?i)^ccss\.?(math)?\.?(content)?\.?", "", label.strip()))
        for each in (letters, letters.removeprefix("hs")):
            if len(found := self._by_letters.get(each, set())) == 1:
                return next(iter(found))
        return None


def _letters(label: str) -> str:
    return re.sub(r"[^a-z0-9]", "", label.lower())


def curriculum_of(rows: Iterable[tuple[str, Any]], groups: Sequence[DomainGroup] = GROUPS) -> Curriculum:
    """The curriculum that rows in MathFish's schema of standards describe.

    Args:
        rows: each with its place, for errors.
        groups: the domain groups.

    Raises:
        WatershedError: a row is none of that schema, an id is not unique, or a parent or connection is missing.
    """
    found: dict[str, Standard] = {}
    places: dict[str, str] = {}
    for place, row in rows:
        standard = _standard(place, row)
        if standard.id in found:
            raise WatershedError(f"{place}: {standard.id} is there twice, first at {places[standard.id]}", MEND)
        found[standard.id], places[standard.id] = standard, place
    if not any(each.level == "Standard" for each in found.values()):
        raise WatershedError("the file of standards has no row of the level Standard", MEND)
    for each in found.values():
        named = (*([each.parent] if each.parent else ()), *each.children)
        linked = (*each.progress_to, *each.progress_from, *each.related)
        if missing := [other for other in (*named, *linked) if other not in found]:
            raise WatershedError(f"{places[each.id]}: {each.id} names {missing[0]!r}, which is not in the file", MEND)
        if each.parent and LEVELS.index(found[each.parent].level) >= LEVELS.index(each.level):
            raise WatershedError(f"{places[each.id]}: {each.id} is not below its parent {each.parent}", MEND)
        if each.level in ("Standard", "Sub-standard") and not each.parent:
            raise WatershedError(f"{places[each.id]}: {each.id} has no parent", MEND)
    return Curriculum(found, tuple(groups))


def _standard(place: str, row: Any) -> Standard:
    if not isinstance(row, dict):
        raise WatershedError(f"{place}: no JSON object", MEND)

    def text(name: str, default: str | None = None) -> str:
        value = row.get(name, default)
        if value is None and name == "parent":
            return ""
        if not isinstance(value, str):
            raise WatershedError(f"{place}: {name} is not a text", MEND)
        return value

    def texts(name: str, within: Any = row) -> tuple[str, ...]:
        values = within.get(name) or []
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise WatershedError(f"{place}: {name} is not a list of texts", MEND)
        return tuple(values)

    connections = row.get("connections") or {}
    if not isinstance(connections, dict):
        raise WatershedError(f"{place}: connections is not an object", MEND)
    standard = Standard(
        id=text("id"),
        description=text("description"),
        level=text("level"),
        cluster_type=text("cluster_type", "none"),
        aspects=texts("aspects"),
        parent=text("parent", ""),
        children=texts("children"),
        progress_to=texts("progress to", connections),
        progress_from=texts("progress from", connections),
        related=texts("related", connections),
        modeling=row.get("modeling") is True,
        source=text("source", ""),
    )
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]{0,30}", standard.id):
        raise WatershedError(f"{place}: the id {standard.id[:40]!r} is none of a standard", MEND)
    for value, known, name in (
        (standard.level, LEVELS, "level"),
        (standard.cluster_type, CLUSTER_TYPES, "cluster_type"),
    ):
        if value not in known:
            raise WatershedError(f"{place}: {name} {value[:40]!r} is none of {', '.join(known)}", MEND)
    return standard


def standard_rows(tree: Curriculum) -> list[dict[str, Any]]:
    """Rows of mathfish.standards."""
    return [
        {
            "standard": each.id,
            "description": each.description,
            "level": each.level,
            "grade": tree.grade(each.id),
            "domain": tree.domain(each.id) or None,
            "domain_group": tree.group(each.id),
            "cluster_type": each.cluster_type,
            "aspects": list(each.aspects),
            "parent": each.parent or None,
            "children": tree.children.get(each.id, []),
            "path": tree.path(each.id),
            "modeling": each.modeling,
            "source": each.source,
        }
        for each in tree.rows.values()
    ]


def connection_rows(tree: Curriculum) -> list[dict[str, Any]]:
    """Rows of mathfish.connections."""
    return [{"source": source, "target": target, "relation": relation} for source, target, relation in tree.edges]


def curriculum_of_tables(
    standards: Iterable[Mapping[str, Any]], connections: Iterable[Mapping[str, Any]], groups: Sequence[DomainGroup]
) -> Curriculum:
    """The curriculum that rows of mathfish.standards and mathfish.connections describe."""
    links: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for row in connections:
        kind = "progress_to" if row["relation"] == "progress" else "related"
        links[row["source"]][kind].append(row["target"])
    rows = {
        row["standard"]: Standard(
            id=row["standard"],
            description=row["description"],
            level=row["level"],
            cluster_type=row["cluster_type"],
            aspects=tuple(row["aspects"]),
            parent=row["parent"] or "",
            children=tuple(row["children"]),
            modeling=row["modeling"],
            source=row["source"],
            **{kind: tuple(others) for kind, others in links[row["standard"]].items()},
        )
        for row in standards
    }
    return Curriculum(rows, tuple(groups))
