"""What a search counts for each pair of data set and evaluation, and the decision that follows.

Tulu 3 (arXiv 2411.15124, section 3.2): a data set is contaminated if more than 2% of the instances of an evaluation
overlap it. One that is contaminated with an unseen evaluation is left out whole. One that is contaminated with a
development evaluation is left out, or, where it is needed, loses the rows that overlap; the latter is the default here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from spark_jobs.tulu.decontamination.search import Found

LIMIT = 0.02
"""The share of overlapping instances that must be exceeded."""
Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Policy:
    """How sources are decided.

    Attributes:
        rule: the rule that decides: published or strict.
        limit: the share of instances above which a source is contaminated.
        development: what happens to a source that is contaminated with a development evaluation.
        unseen: the same for an unseen evaluation.
        below: what happens to rows that overlap although the source is not contaminated.
        suites: the suite of an evaluation: development, unseen, or other (as development).
    """

    rule: str = "published"
    limit: float = LIMIT
    development: str = "drop_rows"
    unseen: str = "drop_source"
    below: str = "keep"
    suites: Mapping[str, str] = field(default_factory=dict)


def contamination(source: str, found: Found, policy: Policy) -> list[Row]:
    """Rows of tulu.contamination for a source: one for each evaluation and rule."""
    index, overlaps = found.index, found.joined()
    rows: list[Row] = []
    for number, name in enumerate(index.names):
        own = index.evaluation == number
        here = own[overlaps.instance]
        suite = policy.suites.get(name, "other")
        counted = {"published": index.findable[own], "strict": index.counted[own]}
        whole = {"published": int(index.whole[own].sum()), "strict": int(own.sum())}
        chosen = {"published": here & overlaps.by_published, "strict": here}
        made = []
        for rule, hits in chosen.items():
            instances = len(np.unique(overlaps.instance[hits]))
            rows_hit = len(np.unique(overlaps.row[hits]))
            share = instances / whole[rule] if whole[rule] else 0.0
            made.append(
                {
                    "source": source,
                    "evaluation": name,
                    "rule": rule,
                    "suite": suite,
                    "rows": found.rows,
                    "instances": int(own.sum()),
                    "instances_counted": int(counted[rule].sum()),
                    "instances_hit": instances,
                    "share_hit": share,
                    "rows_hit": rows_hit,
                    "rows_share": rows_hit / found.rows if found.rows else 0.0,
                    "contaminated": share > policy.limit,
                }
            )
        (deciding,) = [row for row in made if row["rule"] == policy.rule]
        decision, because = _decision(deciding, policy)
        rows += [row | {"decision": decision, "because": because} for row in made]
    return rows


def _decision(row: Mapping[str, Any], policy: Policy) -> tuple[str, str]:
    counted = f"{row['instances_hit']:,} instances overlap by the {row['rule']} rule, {row['share_hit']:.2%}"
    if not row["contaminated"]:
        decision = policy.below if row["rows_hit"] else "keep"
        return decision, f"{counted}: at most {policy.limit:.0%}"
    kind = "unseen" if row["suite"] == "unseen" else "development"
    return getattr(policy, kind), f"{counted}: more than {policy.limit:.0%} of an evaluation of the kind {kind}"


def contaminated_rows(source: str, found: Found, row_ids: Sequence[str]) -> list[Row]:
    """Rows of tulu.contaminated_rows for a source whose rows have these ids."""
    index, overlaps = found.index, found.joined()
    has_short = np.zeros(len(index.evaluation), np.bool_)
    has_short[index.instance[index.short_hash != 0]] = True
    rows = []
    for place in range(len(overlaps.row)):
        instance = int(overlaps.instance[place])
        why = ""
        if not overlaps.by_published[place]:
            if not index.whole[instance]:
                why = "missing field"
            elif overlaps.unrepeated[place]:
                why = "repeated n-gram"
            else:
                why = "short field" if has_short[instance] else "averaged fields"
        rows.append(
            {
                "source": source,
                "row_id": row_ids[int(overlaps.row[place])],
                "evaluation": index.names[int(index.evaluation[instance])],
                "instance": str(int(index.number[instance])),
                "published": float(overlaps.published[place]),
                "strict": min(float(overlaps.strict[place]), 1.0),
                "by_published": bool(overlaps.by_published[place]),
                "why": why,
            }
        )
    return rows


def to_drop(
    decisions: Sequence[Mapping[str, Any]], overlapping: Sequence[Mapping[str, Any]], rule: str
) -> tuple[set[str], set[str]]:
    """Sources that are left out whole, and ids of rows that are left out.

    Args:
        decisions: rows of tulu.contamination.
        overlapping: rows of tulu.contaminated_rows.
        rule: the rule that decides.
    """
    sources = {row["source"] for row in decisions if row["decision"] == "drop_source"}
    chosen = {(row["source"], row["evaluation"]) for row in decisions if row["decision"] == "drop_rows"}
    rows = {
        row["row_id"]
        for row in overlapping
        if (row["source"], row["evaluation"]) in chosen and (rule == "strict" or row["by_published"])
    }
    return sources, rows
