"""Routing: pilots, the other routers, and nDCG@10 of exact search."""

from __future__ import annotations

import numpy as np
import pytest

from spark_jobs.router.routing import Classifiers, Head, Labelled, Nearest, Pilot, Pilots, pilots, winner
from spark_jobs.router.searching import Corpus, Query, found_documents, ranking_rows


@pytest.fixture(scope="module")
def labelled() -> Labelled:
    """Queries of three domains around a direction each; a third of the second domain is answered best by the first."""
    generator = np.random.default_rng(1)
    centres = np.eye(16)[:3]
    vectors = np.concatenate([centre + 0.15 * generator.normal(size=(60, 16)) for centre in centres])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    winners = ["a"] * 60 + ["a"] * 20 + ["b"] * 40 + ["c"] * 60
    return Labelled(vectors.astype(np.float32), ["a"] * 60 + ["b"] * 60 + ["c"] * 60, winners)


def test_a_pilot_is_the_centroid_of_a_domain_and_the_expert_that_answers_it_best(labelled: Labelled) -> None:
    found = {(pilot.domain, pilot.expert): pilot for pilot in pilots(labelled)}
    assert {key: pilot.queries for key, pilot in found.items()} == {
        **{("a", "a"): 60, ("b", "a"): 20, ("b", "b"): 40, ("c", "c"): 60}
    }
    assert np.allclose(found["b", "a"].vector, labelled.vectors[60:80].mean(axis=0), atol=1e-6)


def test_routes_are_by_the_mean_over_an_experts_pilots_and_not_by_its_nearest_one() -> None:
    generator = np.random.default_rng(0)
    made = [Pilot(str(n), "abc"[n % 3], 1, generator.normal(size=8).astype(np.float32)) for n in range(9)]
    queries = generator.normal(size=(200, 8)).astype(np.float32)
    by_mean, by_nearest = [], []
    for query in queries:
        similar = {e: [float(query @ p.vector) for p in made if p.expert == e] for e in "abc"}
        by_mean.append(max("abc", key=lambda e: np.mean(similar[e])))
        by_nearest.append(max("abc", key=lambda e: max(similar[e])))
    assert Pilots(made).route(queries) == by_mean
    assert by_mean != by_nearest


def test_equal_experts_are_told_apart_by_the_querys_own_domain() -> None:
    assert winner({"a": 1.0, "b": 1.0, "c": 0.5}, "b") == "b"
    assert winner({"a": 1.0, "b": 1.0, "c": 0.5}, "c") == "a"
    assert winner({"a": 1.0, "b": 1.0}, "elsewhere") == "a"


@pytest.mark.parametrize("kind", [Nearest, Classifiers, Head])
def test_the_other_routers_find_what_was_learned(labelled: Labelled, kind: type) -> None:
    queries = np.eye(16, dtype=np.float32)[[0, 2]]
    assert kind(labelled, 0).route(queries) == ["a", "c"]
    assert kind(labelled, 5).route(labelled.vectors) == kind(labelled, 5).route(labelled.vectors)


def test_a_single_expert_is_always_chosen() -> None:
    one = Labelled(np.eye(4, dtype=np.float32), ["a"] * 4, ["a"] * 4)
    for router in (Pilots(pilots(one)), Nearest(one, 0), Classifiers(one, 0), Head(one, 0)):
        assert router.route(np.eye(4, dtype=np.float32)) == ["a"] * 4


@pytest.mark.parametrize("seed", range(10))
def test_rankings_equal_ir_measures_with_ties_at_the_border(seed: int) -> None:
    import ir_measures

    generator = np.random.default_rng(seed)
    vectors = generator.integers(0, 3, size=(40, 3)).astype(np.float32)
    ids = [f"d{number}" for number in generator.permutation(40)]
    corpora = {"made": Corpus(tuple(ids), vectors)}
    grades = {f"q{n}": {str(d): int(generator.integers(0, 3)) for d in generator.choice(ids, 8)} for n in range(6)}
    queries = [Query("made", name, "test", "text" if name != "q5" else None, of) for name, of in grades.items()]
    asked = generator.integers(0, 3, size=(5, 3)).astype(np.float32)
    rows = ranking_rows("run", queries, asked, corpora)
    run = {f"q{n}": {name: float(score) for name, score in zip(ids, vectors @ asked[n], strict=True)} for n in range(5)}
    expected = {m.query_id: m.value for m in ir_measures.iter_calc([ir_measures.nDCG @ 10], grades, run)}
    for row in rows:
        assert row["ndcg"] == pytest.approx(expected.get(row["query"], 0.0), abs=1e-9), row["query"]
    assert [row["answered"] for row in rows] == [True] * 5 + [False]


def test_a_query_does_not_find_itself() -> None:
    corpus = Corpus(("a", "b", "c"), np.eye(3, dtype=np.float32))
    assert [name for name, _ in found_documents(corpus, np.array([1.0, 0.5, 0.2], dtype=np.float32), "a")] == ["b", "c"]
