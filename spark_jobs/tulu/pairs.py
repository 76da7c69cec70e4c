"""Preference pairs from completions and judgements, with the rule that chose them.

- `random_other`: Tulu 3's (arXiv 2411.15124, section 5): the best mean score over a random other. Ours is never a tie.
- `worst`: the best over the worst, as Olmo 3 found better (arXiv 2512.13961).
- `delta`: the reply of a strong model over that of a weak one, without a judge (delta learning, arXiv 2507.06187).
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal, get_args

from catalog.errors import WatershedError
from spark_jobs.hash_order import hash_key
from spark_jobs.tulu.filters import longer

PairRule = Literal["random_other", "worst", "delta"]
Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class PairRecipe:
    """How pairs are made.

    Attributes:
        rule: how chosen and rejected are found.
        aspects: aspects that must be judged, N/A included, for a reply to have a score.
        strong: the entry of `[models]` whose replies delta learning chooses.
        weak: the one whose replies it rejects.
        most_longer: words by which a chosen reply may be longer than the rejected one; None for no limit.
    """

    rule: PairRule = "random_other"
    aspects: tuple[str, ...] = ()
    strong: str = ""
    weak: str = ""
    most_longer: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.rule not in get_args(PairRule):
            raise WatershedError(
                f"[tulu] pairs is {str(self.rule)[:40]!r}", f"use one of {', '.join(get_args(PairRule))}"
            )
        if self.rule == "delta" and (not self.strong or not self.weak or self.strong == self.weak):
            raise WatershedError(
                "[tulu] pairs is delta, and delta names no two models", 'write delta = ["strong", "weak"]'
            )


def mean_scores(judgements: Sequence[Mapping[str, Any]], aspects: Sequence[str]) -> dict[tuple[str, str], float]:
    """The mean over aspects that apply, by prompt and model.

    A reply of which an aspect was not judged has no score, and neither has one to which no aspect applies.
    """
    grouped: dict[tuple[str, str], dict[str, Mapping[str, Any]]] = defaultdict(dict)
    for row in judgements:
        grouped[row["prompt_id"], row["model"]][row["aspect"]] = row
    found = {}
    for key, own in grouped.items():
        if set(own) >= set(aspects) and not any(row["failure"] for row in own.values()):
            scores = [row["score"] for row in own.values() if row["score"] is not None]
            if scores:
                found[key] = fmean(scores)
    return found


def pairs(
    recipe: PairRecipe,
    prompts: Sequence[Mapping[str, Any]],
    completions: Sequence[Mapping[str, Any]],
    judgements: Sequence[Mapping[str, Any]],
) -> tuple[list[Row], dict[str, int]]:
    """Rows of tulu.preferences, and how many prompts have no pair for which reason."""
    replies: dict[str, dict[str, Mapping[str, Any]]] = defaultdict(dict)
    for row in completions:
        if not row["failure"] and not row["truncated"]:
            replies[row["prompt_id"]][row["model"]] = row
    scores = mean_scores(judgements, recipe.aspects)
    made: list[Row] = []
    without: dict[str, int] = defaultdict(int)
    for prompt in prompts:
        own = replies.get(prompt["prompt_id"], {})
        found, why = _pair(recipe, prompt["prompt_id"], own, scores)
        if found is None:
            without[why] += 1
            continue
        chosen, rejected = own[found[0]], own[found[1]]
        more = longer(chosen["completion"], rejected["completion"])
        if chosen["completion"].split() == rejected["completion"].split():
            without["equal replies"] += 1
        elif recipe.most_longer is not None and more > recipe.most_longer:
            without["chosen is too much longer"] += 1
        else:
            made.append(_row(recipe, prompt, chosen, rejected, scores) | {"longer": more})
    return made, dict(without)


def _pair(
    recipe: PairRecipe,
    prompt_id: str,
    own: Mapping[str, Mapping[str, Any]],
    scores: Mapping[tuple[str, str], float],
) -> tuple[tuple[str, str] | None, str]:
    """The models of chosen and rejected, or why there are none."""
    if recipe.rule == "delta":
        if recipe.strong in own and recipe.weak in own:
            return (recipe.strong, recipe.weak), ""
        return None, "a model did not reply"
    scored = {model: scores[prompt_id, model] for model in own if (prompt_id, model) in scores}
    if len(scored) < 2:
        return None, "fewer than two replies have scores"

    def draw(model: str) -> str:
        return hash_key(recipe.seed, "pair", prompt_id, model)

    best = max(scored.values())
    chosen = min((model for model, score in scored.items() if score == best), key=draw)
    others = {model: score for model, score in scored.items() if score < best}
    if not others:
        return None, "all replies have the same score"
    if recipe.rule == "worst":
        least = min(others.values())
        others = {model: score for model, score in others.items() if score == least}
    return (chosen, min(others, key=draw)), ""


def _row(
    recipe: PairRecipe,
    prompt: Mapping[str, Any],
    chosen: Mapping[str, Any],
    rejected: Mapping[str, Any],
    scores: Mapping[tuple[str, str], float],
) -> Row:
    judged = recipe.rule != "delta"
    identity = json.dumps([prompt["prompt_id"], recipe.rule, chosen["model"], rejected["model"]])
    return {
        "collection": prompt["collection"],
        "id": hashlib.sha256(identity.encode()).hexdigest()[:16],
        "source": prompt["source"],
        "prompt_id": prompt["prompt_id"],
        "prompt": prompt["messages"],
        "chosen": chosen["completion"],
        "rejected": rejected["completion"],
        "chosen_model": chosen["model"],
        "rejected_model": rejected["model"],
        "chosen_score": scores[prompt["prompt_id"], chosen["model"]] if judged else None,
        "rejected_score": scores[prompt["prompt_id"], rejected["model"]] if judged else None,
        "rule": recipe.rule,
        "on_policy": chosen["on_policy"] or rejected["on_policy"],
    }
