"""The statistics of a model's dialogues, beside those that the paper and the cards of its collections give."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from spark_jobs.dialogues.diversity import distinct, near_duplicates

Rows = Sequence[Mapping[str, Any]]

PAPER: dict[str, tuple[float | None, float | None, float | None]] = {
    "dialogues": (107_683, 107_683, 107_683),
    "turns_with_plan": (8.47, 13.24, 8.02),
    "revised": (37_952, 23_262, 0),
    "violation_rate": (37_953 / 107_036, 23_262 / 107_683, None),
}
"""DBRX-Instruct, Nous-Hermes-2-Llama-2-70B, Mistral Large: arXiv 2407.18421 and the cards and history of
allenai/sdsd-dialogues and -revisions. The rate for DBRX is that of its first upload, which names 107,036 dialogues and
37,953 violations; that for Llama takes its revisions for its violations."""

MEANINGS = {
    "dialogues": "number of dialogues",
    "spoken": "dialogues with at least one message of the agent",
    "turns": "mean number of messages of a spoken dialogue",
    "turns_with_plan": "the same, with the plan counted as the system message, as the paper counts",
    "done_rate": "share of spoken dialogues that the user ended",
    "violation_rate": "share of spoken dialogues that are flagged as violations",
    "undecided_rate": "share of spoken dialogues without a yes or no about violations",
    "truncation_rate": "share of spoken dialogues with a message cut off, or at the limit of turns",
    "ill_formed_rate": "share of all dialogues with a fault of form",
    "critiques": "number of critiques",
    "revised": "number of revisions",
    "preferences": "number of preference pairs",
    "prompt_tokens": "mean number of tokens of the prompts of a spoken dialogue",
    "reply_tokens": "mean number of tokens of the messages of a spoken dialogue",
    "adherence": "mean share of the steps of a plan that a message covers",
    "near_duplicate_rate": "share of spoken dialogues that nearly repeat an earlier one",
    "distinct_1": "distinct words over words of the agent's messages",
    "distinct_2": "distinct pairs of words over pairs of the agent's messages",
    "distinct_3": "distinct triples of words over triples of the agent's messages",
}


def statistics(name: str, stages: Mapping[str, Rows]) -> list[dict[str, Any]]:
    """Return rows of dialogues.statistics.

    Args:
        name: the entry of `[models]`.
        stages: the rows of every stage, by the name of its table: goals, plans, conversations, flags, critiques,
            revisions, preferences. Each kind of failure of a stage is a measure.
    """
    conversations, flags = stages["conversations"], stages["flags"]
    spoken = [row for row in conversations if any(each["role"] == "assistant" for each in row["messages"])]
    names = {row["dialogue"] for row in spoken}
    flagged = [row for row in flags if row["dialogue"] in names]
    agent = [each["content"] for row in spoken for each in row["messages"] if each["role"] == "assistant"]
    whole = ["\n".join(each["content"] for each in row["messages"]) for row in spoken]
    turns = _mean([row["turns"] for row in spoken])
    values = {
        "dialogues": len(conversations),
        "spoken": len(spoken),
        "turns": turns,
        "turns_with_plan": None if turns is None else turns + 1,
        "done_rate": _mean([row["ended"] == "done" for row in spoken]),
        "violation_rate": _mean([bool(row["violation"]) for row in flagged]),
        "undecided_rate": _mean([row["violation"] is None for row in flagged]),
        "truncation_rate": _mean([row["truncated"] for row in flagged]),
        "ill_formed_rate": _mean([bool(row["ill_formed"]) for row in flags]),
        "critiques": sum(not row["failure"] for row in stages["critiques"]),
        "revised": sum(not row["failure"] for row in stages["revisions"]),
        "preferences": len(stages["preferences"]),
        "prompt_tokens": _mean([row["prompt_tokens"] for row in spoken]),
        "reply_tokens": _mean([row["reply_tokens"] for row in spoken]),
        "adherence": _mean([row["adherence"] for row in flagged]),
        "near_duplicate_rate": near_duplicates(whole) / len(whole) if whole else None,
        **{f"distinct_{n}": distinct(agent, n) for n in (1, 2, 3)},
    }
    rows = [_row(name, measure, MEANINGS[measure], value) for measure, value in values.items()]
    faults = Counter(fault for row in flags for fault in row["ill_formed"])
    rows += [
        _row(name, f"ill_formed: {fault}", "number of dialogues with this fault of form", count)
        for fault, count in sorted(faults.items())
    ]
    failed = ((stage, row.get("failure")) for stage, each in stages.items() for row in each)
    kinds = Counter(f"{stage}: {failure}" for stage, failure in failed if failure)
    rows += [
        _row(name, f"failure: {kind}", "number of dialogues whose stage failed in this way", count)
        for kind, count in sorted(kinds.items())
    ]
    return rows


def in_words(measure: str, value: float | None) -> str:
    """Return the value of a measure as people write it: shares in per cent, counts whole, means with two digits."""
    if value is None:
        return ""
    if measure.endswith("_rate") or measure.startswith(("distinct", "adherence")):
        return f"{value:.1%}"
    return f"{value:,.0f}" if value == int(value) else f"{value:,.2f}"


def _row(name: str, measure: str, meaning: str, value: float | None) -> dict[str, Any]:
    paper = dict(zip(("dbrx", "llama", "mistral"), PAPER.get(measure, (None,) * 3), strict=True))
    return {"model": name, "measure": measure, "meaning": meaning, "value": value, **paper}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
