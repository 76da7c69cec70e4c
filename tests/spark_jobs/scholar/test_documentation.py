"""Documents of this machine, and searches compared on questions whose document is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from spark_jobs.retrieval.encoders import WORDLLAMA, encoder_of
from spark_jobs.scholar.comparison import compared_searches, index_recall
from spark_jobs.scholar.documentation import FEWEST_CHARACTERS, chosen_documents
from spark_jobs.scholar.papers import Paper


@pytest.mark.slow
def test_documents_are_real_and_the_same_again(tmp_path: Path) -> None:
    from test_asking import made_store

    # The reference and the descriptions come first; modules follow.
    found = chosen_documents(700)
    assert found[:50] == chosen_documents(50) and len({each.id for each in found}) == len(found) == 700
    assert all(len(each.text) >= FEWEST_CHARACTERS for each in found)
    modules = [each for each in found if each.id.startswith("module:")]
    known = {str(each.summary): each.id for each in modules if each.summary}
    assert len(known) > 20
    assert all(summary not in " ".join(each.text.split())[:200] for summary, each in zip(known, modules, strict=False))

    papers = [Paper(paper=each.id, title=each.title, text=each.text[:3000], source="machine") for each in modules[:120]]
    store = made_store(tmp_path, papers)
    asked = {question: paper for question, paper in known.items() if paper in {each.paper for each in papers}}
    measures = {each.search: each for each in compared_searches(store, asked)}
    assert set(measures) == {"BM25", "vectors", "hybrid"}
    # Most summaries find their module among 120; a broken search finds one of twelve in ten.
    assert all(each.recall > 0.5 and each.ndcg <= each.recall for each in measures.values())
    assert index_recall(store.vectors, encoder_of(WORDLLAMA, cache=tmp_path), list(asked)) == 1.0
