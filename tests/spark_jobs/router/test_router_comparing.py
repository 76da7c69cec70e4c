"""The comparison: oracles bound routers, averages are both named, and conclusions follow from paired tests."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from catalog.tables.router import BASE, METHODS, MULTI_TASK
from dagster_project.cli.screen.router import macro, sentence
from spark_jobs.router.comparing import Measured, compared, comparisons, results, routes


@pytest.fixture(scope="module")
def found() -> Measured:
    """Two experts that are good at home, and a domain without an expert."""
    generator = np.random.default_rng(0)
    train, test, vectors, answered = {}, {}, {}, {}
    for place, domain in enumerate(("a", "b", "none")):
        for number in range(40):
            for split, of in (("train", train), ("test", test)):
                key = domain, f"{split}{number}"
                if split == "train" and domain == "none":
                    continue
                own = {name: 0.2 + 0.5 * (name == domain) + 0.1 * generator.random() for name in ("a", "b")}
                of[key] = {**own, BASE: 0.3, MULTI_TASK: 0.4}
                vectors[key] = np.eye(8)[place] + 0.1 * generator.normal(size=8)
                answered[key] = True
    lost = ("a", "test0")
    answered[lost] = False
    del vectors[lost]
    test[lost] = dict.fromkeys(test[lost], 0.0)
    return Measured(0, ("a", "b"), train, test, answered, vectors)


def test_every_method_has_a_row_for_each_query_and_oracles_bound_the_routers(found: Measured) -> None:
    rows, made = routes(found)
    assert len(rows) == len(METHODS) * len(found.test)
    table = {row["method"]: row for row in results(rows, found.experts) if row["domain"] == "a"}
    for name in METHODS:
        assert table[name]["ndcg"] <= table["instance oracle"]["ndcg"] or name in ("multi-task", "single base")
    assert table["dataset oracle"]["own_expert"] == 1.0
    assert table["router"]["own_expert"] >= 39 / 40
    assert {(pilot["domain"], pilot["expert"]) for pilot in made if not pilot["with_base"]} == {("a", "a"), ("b", "b")}


def test_a_query_without_a_text_counts_0_in_one_average_and_not_in_the_other(found: Measured) -> None:
    rows, _ = routes(found)
    (row,) = [r for r in results(rows, found.experts) if (r["method"], r["domain"]) == ("multi-task", "a")]
    assert (row["queries"], row["answered"]) == (40, 39)
    assert row["ndcg"] == pytest.approx(0.4 * 39 / 40) and row["ndcg_answered"] == pytest.approx(0.4)


def test_comparisons_tell_domains_with_an_expert_from_those_without(found: Measured) -> None:
    rows, _ = routes(found)
    tests = {(row["method"], row["baseline"], row["expert"]): row for row in comparisons(rows, found.experts)}
    gain, other = tests["router", "single base", True], tests["router", "multi-task", False]
    assert gain["conclusion"] == "gain" and gain["queries"] == 80 and gain["low"] > 0
    assert other["queries"] == 40 and other["conclusion"] == "loss"
    assert sentence(other).endswith("40 queries: a significant loss")


@pytest.mark.parametrize("seed", range(5))
def test_the_share_of_signs_is_that_of_all_signs(seed: int) -> None:
    generator = np.random.default_rng(seed)
    each = {(str("ab"[n % 2]), str(n)): [float(generator.normal(0.3)), float(generator.normal(0.3))] for n in range(11)}
    row = compared(each)
    means = {key: np.mean(of) for key, of in each.items()}
    domains = {name: [value for key, value in means.items() if key[0] == name] for name in "ab"}
    assert row["difference"] == pytest.approx(np.mean([np.mean(of) for of in domains.values()]))
    weighted = np.array([value / len(domains[key[0]]) / 2 for key, value in means.items()])
    every = np.array(list(itertools.product((-1, 1), repeat=11))) @ weighted
    exact = (np.abs(every) >= abs(weighted.sum()) - 1e-12).mean()
    assert row["p"] == pytest.approx(exact, abs=0.02)


def test_noise_is_no_gain_and_a_loss_is_said() -> None:
    generator = np.random.default_rng(3)
    noise = {("a", str(n)): generator.normal(0, 0.1, 3).tolist() for n in range(200)}
    assert compared(noise)["conclusion"] == "no significant difference"
    assert compared({key: [-0.1, -0.2, -0.1] for key in noise})["conclusion"] == "loss"
    equal = compared({key: [0.0, 0.0, 0.0] for key in noise})
    assert (equal["conclusion"], equal["p"], equal["seeds_above"]) == ("no significant difference", 1.0, 0)


def test_means_are_over_domains_and_not_over_queries() -> None:
    rows = [
        {"domain": "a", "expert": True, "ndcg": 0.2, "seed": 0},
        {"domain": "a", "expert": True, "ndcg": 0.4, "seed": 1},
        {"domain": "b", "expert": True, "ndcg": 0.9, "seed": 0},
        {"domain": "c", "expert": False, "ndcg": 0.0, "seed": 0},
    ]
    assert macro(rows, expert=True) == pytest.approx(0.6)
