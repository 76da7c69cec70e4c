"""What raters judge, their verdicts in `mathfish.verdicts`, and how far they agree."""

from __future__ import annotations

import datetime
import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.tables.mathfish import VERDICTS
from dagster_project.engine import entries
from dagster_project.engine.entries import LONGEST_NAME, Entries, Row

TEACHERS = "published teachers"
"""The rater that stands for the verdicts of mathfish.alignment."""
CHOICES = ("full", "partial", "none", "not_math")
LONGEST_COMMENT = 2000


@dataclass(frozen=True)
class Item:
    """A problem and a standard to be judged."""

    problem: str
    standard: str
    text: str
    description: str
    grade: str

    @property
    def key(self) -> tuple[str, str]:
        """The problem and the standard."""
        return self.problem, self.standard


@dataclass
class Verdicts:
    """The verdicts of a lake."""

    lake: Lake
    items: Sequence[Item]
    entries: Entries = field(init=False)

    def __post_init__(self) -> None:
        self.entries = Entries(self.lake, VERDICTS, ("problem", "standard", "rater"))

    def rows(self) -> list[Row]:
        """The rows of mathfish.verdicts; none if the table does not exist."""
        return self.entries.rows()

    def enter(self, rater: str, key: tuple[str, str], verdict: str, comment: str) -> None:
        """Enter a verdict, in place of an earlier one of the same rater.

        Raises:
            WatershedError: the rater has no name, there is no such item, or no such verdict.
        """
        mend = "reload the page"
        if not is_name(rater):
            raise WatershedError("the rater has no name", f"give a name of at most {LONGEST_NAME} characters")
        if verdict not in CHOICES or len(comment) > LONGEST_COMMENT:
            raise WatershedError("this is not a verdict", mend)
        if key not in {item.key for item in self.items}:
            raise WatershedError("this problem is not judged for this standard", mend)
        at = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        values = (rater.strip(), *key, verdict, comment.strip().encode("utf-8", "replace").decode(), at)
        self.entries.enter(dict(zip(VERDICTS.schema.names, values, strict=True)))

    def of_rater(self, rater: str) -> dict[tuple[str, str], Row]:
        """The verdicts of a rater, by problem and standard."""
        own = [row for row in self.rows() if row["rater"] == rater.strip()]
        return {(row["problem"], row["standard"]): row for row in own}


def is_name(rater: object) -> bool:
    """Whether a text can be the name of a rater."""
    return entries.is_name(rater) and str(rater).strip() != TEACHERS


def items_of(lake: Lake, collection: str = "") -> list[Item]:
    """The problems to be judged, each with a standard that it is labelled with, in one order for all raters.

    Args:
        lake: the lake.
        collection: the name of a file of problems; empty for all.

    Raises:
        WatershedError: there are none.
    """
    import json

    from catalog.names import close
    from spark_jobs.mathfish.prompts import shown_text

    rows = lake.read("mathfish.problems").to_pylist()
    standards = {row["standard"]: row for row in lake.read("mathfish.standards").to_pylist()}
    known = sorted({row["collection"] for row in rows})
    if collection and collection not in known:
        raise WatershedError(f"no file of problems is called {collection!r}{close(collection, known)}", f"use {known}")
    found = [
        Item(
            problem=row["problem"],
            standard=standard,
            text=shown_text(row["text"], json.loads(row["elements"])),
            description=standards[standard]["description"],
            grade=standards[standard]["grade"],
        )
        for row in rows
        if not collection or row["collection"] == collection
        for standard in row["standards"]
    ]
    if not found:
        raise WatershedError("no problem has a label that can be judged", "choose another --collection")
    return sorted(found, key=lambda item: hashlib.sha256(f"{item.problem} {item.standard}".encode()).digest())


def agreement(rows: Sequence[Mapping[str, Any]], alignment: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """How far raters agree: Cohen's kappa of every two of them, and Fleiss' kappa of all.

    Args:
        rows: of mathfish.verdicts.
        alignment: rows of mathfish.alignment, whose verdicts count as those of the rater TEACHERS in the pairs alone.

    Returns:
        `raters`, `judged` (things with a verdict), `fleiss`, and `pairs` with `one`, `other`, `things`, `agreement`
        and `kappa`.
    """
    from spark_jobs.mathfish.agreement import cohen_kappa, fleiss_kappa, observed_agreement

    by_rater: dict[str, dict[tuple[str, str], str]] = defaultdict(dict)
    by_thing: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in rows:
        by_rater[row["rater"]][row["problem"], row["standard"]] = row["verdict"]
        by_thing[row["problem"], row["standard"]].append(row["verdict"])
    raters = sorted(by_rater)
    if published := {(row["problem"], row["standard"]): row["verdict"] for row in alignment if row["problem"]}:
        by_rater[TEACHERS] = published
    pairs = []
    for one, other in combinations([*raters, *([TEACHERS] if published else [])], 2):
        common = sorted(by_rater[one].keys() & by_rater[other].keys())
        both = [(by_rater[one][thing], by_rater[other][thing]) for thing in common]
        if both:
            found = {"things": len(both), "agreement": observed_agreement(both), "kappa": cohen_kappa(both)}
            pairs.append({"one": one, "other": other, **found})
    return {"raters": raters, "judged": len(by_thing), "fleiss": fleiss_kappa(list(by_thing.values())), "pairs": pairs}
