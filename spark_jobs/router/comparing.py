"""All methods beside each other: routes, their nDCG@10 by domain, and paired tests whose conclusion is computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from catalog.tables.router import BASE, METHODS, MULTI_TASK
from spark_jobs.router.routing import Classifiers, Head, Labelled, Nearest, Pilot, Pilots, pilots, winner

Key = tuple[str, str]
"""A query: its domain and its id."""
FLIPS, RESAMPLES, LEVEL = 10_000, 2_000, 0.05
COMPARED = (
    ("router", "single base"),
    ("router", "multi-task"),
    ("router with base", "single base"),
    ("router with base", "multi-task"),
    ("router", "dataset router"),
    ("router", "expert classifier"),
    ("router", "classification head"),
)
"""The paired tests: the router against what it is to beat, and against other routers."""


@dataclass(frozen=True)
class Measured:
    """What the experts of one seed, the multi-task adapters and the frozen encoder found.

    Attributes:
        seed: the seed.
        experts: the domains with an expert.
        train: nDCG@10 of each training query of those domains, by the name of the expert or BASE.
        test: nDCG@10 of each test query, by the name of the expert, BASE or MULTI_TASK.
        answered: whether each test query has a text.
        vectors: vectors of the queries by the frozen encoder; a query without a text has none.
    """

    seed: int
    experts: tuple[str, ...]
    train: Mapping[Key, Mapping[str, float]]
    test: Mapping[Key, Mapping[str, float]]
    answered: Mapping[Key, bool]
    vectors: Mapping[Key, np.ndarray]


def labelled(found: Measured, candidates: Sequence[str]) -> Labelled:
    """Return the training queries with the expert, of `candidates`, that answers each best."""
    keys = [key for key in found.train if key in found.vectors]
    scores = ({name: found.train[key][name] for name in candidates} for key in keys)
    return Labelled(
        np.stack([found.vectors[key] for key in keys]),
        [domain for domain, _ in keys],
        [winner(each, domain) for each, (domain, _) in zip(scores, keys, strict=True)],
    )


def routes(found: Measured) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the rows of `router.routes` and `router.pilots` of a seed."""
    own, with_base = labelled(found, found.experts), labelled(found, (*found.experts, BASE))
    made = {False: pilots(own), True: pilots(with_base)}
    routers = {
        "router": Pilots(made[False]),
        "router with base": Pilots(made[True]),
        "dataset router": Nearest(own, found.seed),
        "expert classifier": Classifiers(own, found.seed),
        "classification head": Head(own, found.seed),
    }
    keys = list(found.test)
    asked = [key for key in keys if key in found.vectors]
    vectors = np.stack([found.vectors[key] for key in asked])
    chosen = {name: dict(zip(asked, router.route(vectors), strict=True)) for name, router in routers.items()}
    chosen["single base"] = dict.fromkeys(keys, BASE)
    chosen["multi-task"] = dict.fromkeys(keys, MULTI_TASK)
    best = _best_by_domain(found)
    chosen["dataset oracle"] = {key: best[key[0]] for key in keys}
    chosen["instance oracle"] = {
        key: winner({name: found.test[key][name] for name in found.experts}, key[0]) for key in keys
    }
    rows = [_route(found, method, key, chosen[method].get(key, found.experts[0])) for method in METHODS for key in keys]
    return rows, [_pilot(found.seed, base, pilot) for base, each in made.items() for pilot in each]


def _best_by_domain(found: Measured) -> dict[str, str]:
    """The expert with the highest mean nDCG@10 on the test queries of each domain: no router may know it."""
    domains = {domain for domain, _ in found.test}
    means = {
        domain: {
            name: float(np.mean([scores[name] for (of, _), scores in found.test.items() if of == domain]))
            for name in found.experts
        }
        for domain in domains
    }
    return {domain: winner(each, domain) for domain, each in means.items()}


def _route(found: Measured, method: str, key: Key, expert: str) -> dict[str, Any]:
    entries = {"method": method, "seed": found.seed, "domain": key[0], "query": key[1], "expert": expert}
    return {**entries, "ndcg": found.test[key][expert], "answered": found.answered[key]}


def _pilot(seed: int, with_base: bool, pilot: Pilot) -> dict[str, Any]:
    entries = {"seed": seed, "with_base": with_base, "domain": pilot.domain, "expert": pilot.expert}
    return {**entries, "queries": pilot.queries, "vector": pilot.vector.astype("<f4").tobytes()}


def results(rows: Sequence[Mapping[str, Any]], experts: Sequence[str]) -> list[dict[str, Any]]:
    """Return the rows of `router.results` from those of `router.routes`."""
    groups: dict[tuple[str, int, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["method"], row["seed"], row["domain"]), []).append(row)
    found = []
    for (method, seed, domain), those in groups.items():
        answered = [row["ndcg"] for row in those if row["answered"]]
        routed = method not in ("single base", "multi-task") and domain in experts
        found.append(
            {
                "method": method,
                "seed": seed,
                "domain": domain,
                "expert": domain in experts,
                "queries": len(those),
                "answered": len(answered),
                "ndcg": float(np.mean([row["ndcg"] for row in those])),
                "ndcg_answered": float(np.mean(answered)) if answered else None,
                "own_expert": float(np.mean([row["expert"] == domain for row in those])) if routed else None,
            }
        )
    return found


def comparisons(rows: Sequence[Mapping[str, Any]], experts: Sequence[str]) -> list[dict[str, Any]]:
    """Return the rows of `router.comparisons` from those of `router.routes`."""
    scores: dict[str, dict[Key, dict[int, float]]] = {}
    for row in rows:
        of_method = scores.setdefault(row["method"], {})
        of_method.setdefault((row["domain"], row["query"]), {})[row["seed"]] = row["ndcg"]
    found = []
    for expert in (True, False):
        for method, baseline in COMPARED:
            keys = sorted(key for key in scores.get(method, ()) if (key[0] in experts) == expert)
            if keys:
                each = {key: _by_seed(scores, method, baseline, key) for key in keys}
                found.append({"method": method, "baseline": baseline, "expert": expert, **compared(each)})
    return found


def _by_seed(
    scores: Mapping[str, Mapping[Key, Mapping[int, float]]], method: str, baseline: str, key: Key
) -> list[float]:
    ours, theirs = scores[method][key], scores[baseline][key]
    return [ours[seed] - theirs[seed] for seed in sorted(ours)]


def compared(differences: Mapping[Key, Sequence[float]]) -> dict[str, Any]:
    """Return the test of a method against another: the columns of `router.comparisons` after `expert`.

    A query's differences are averaged over the seeds, so that seeds are not counted as queries. The statistic is the
    mean over domains of the mean over a domain's queries. The test draws the signs of the queries' differences at
    random (a paired randomisation test, two-sided); the interval resamples the queries of each domain.

    Args:
        differences: for each query, by domain and id, the difference in each seed.

    Example:
        >>> compared({("a", str(n)): [0.1, 0.2] for n in range(50)})["conclusion"]
        'gain'
    """
    keys = list(differences)
    by_seed = np.array([differences[key] for key in keys], dtype=np.float64)
    weights = np.array([1.0 / sum(other[0] == domain for other in keys) for domain, _ in keys])
    weights /= weights.sum()
    mean = by_seed.mean(axis=1)
    difference = float(weights @ mean)
    generator = np.random.default_rng(0)
    signs = generator.integers(0, 2, size=(FLIPS, len(keys)), dtype=np.int8) * 2 - 1
    drawn = signs @ (weights * mean)
    # A rounding error is no smaller difference; the sample itself counts as one of the draws.
    as_large = int((np.abs(drawn) >= abs(difference) - 1e-12).sum())
    p = (as_large + 1) / (FLIPS + 1)
    low, high = _interval(keys, mean, generator)
    conclusion = "no significant difference"
    if p < LEVEL and difference:
        conclusion = "gain" if difference > 0 else "loss"
    return {
        "seeds": by_seed.shape[1],
        "queries": len(keys),
        "difference": difference,
        "low": low,
        "high": high,
        "p": p,
        "seeds_above": int((weights @ by_seed > 0).sum()),
        "conclusion": conclusion,
    }


def _interval(keys: Sequence[Key], mean: np.ndarray, generator: np.random.Generator) -> tuple[float, float]:
    of_domain: dict[str, list[int]] = {}
    for place, (domain, _) in enumerate(keys):
        of_domain.setdefault(domain, []).append(place)
    means = [
        mean[np.array(places)[generator.integers(0, len(places), size=(RESAMPLES, len(places)))]].mean(axis=1)
        for places in of_domain.values()
    ]
    low, high = np.quantile(np.mean(means, axis=0), [0.025, 0.975])
    return float(low), float(high)
