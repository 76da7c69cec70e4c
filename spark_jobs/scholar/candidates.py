"""What a search found, brought down to what a model reads: deduplicated, re-ranked, and at most three of a paper.

The order is OpenScholar's (arXiv 2411.14199, section 2.1): duplicates go first, a cross-encoder scores the rest, the
citations of a paper boost its passages, and then the passages of each paper are capped. A paper is known by its id, so
that papers without a title are not taken for one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from spark_jobs.retrieval.fusion import reciprocal_ranks

MOST_OF_A_PAPER = 3
RERANKED, RERANKED_OF_A_PAPER = 100, 10


@dataclass(frozen=True, kw_only=True)
class Passage:
    """A passage that may be cited, with what is known of its paper."""

    passage: str
    paper: str
    version: str
    begin: int
    end: int
    digest: str
    text: str
    title: str | None = None
    year: int | None = None
    citations: int = 0
    url: str | None = None
    retracted: bool = False


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A passage that a search found; the fields are columns of `scholar.candidates`."""

    passage: Passage
    dense_rank: int | None = None
    word_rank: int | None = None
    fused: float = 0.0
    reranked: float | None = None
    boost: float = 0.0
    dropped: str | None = None

    @property
    def score(self) -> float:
        """By what candidates are ordered."""
        return (self.fused if self.reranked is None else self.reranked) + self.boost


Score = Callable[[str, Sequence[str]], Sequence[float]]
"""Scores of passages for a question, such as those of a cross-encoder."""


def fused_candidates(dense: Sequence[str], words: Sequence[str], passages: Mapping[str, Passage]) -> list[Candidate]:
    """Return the passages that either ranking has, by their fused ranks."""
    ranks = [{name: rank for rank, name in enumerate(found, start=1)} for found in (dense, words)]
    return [
        Candidate(passage=passages[name], dense_rank=ranks[0].get(name), word_rank=ranks[1].get(name), fused=fused)
        for name, fused in reciprocal_ranks([dense, words])
        if name in passages
    ]


def chosen(
    found: Sequence[Candidate],
    question: str,
    *,
    count: int,
    rerank: Score | None = None,
    boosted: bool = True,
    seen: Sequence[Passage] = (),
) -> list[Candidate]:
    """Return all candidates, those that the model is to read first and without `dropped`, the others with their reason.

    Args:
        found: candidates, best first.
        question: what was searched for.
        count: passages to keep.
        rerank: scores of a cross-encoder; without it the fused scores decide.
        boosted: whether citations / (most citations of a candidate) is added to the score. It is added to scores of a
            cross-encoder only, as fused ranks are too small beside it.
        seen: passages that the model has read before.
    """
    dropped: list[Candidate] = []
    left: list[Candidate] = []
    texts = {_key(each.text) for each in seen}
    for each in found:
        if each.passage.retracted:
            dropped.append(replace(each, dropped="retracted"))
        elif (key := _key(each.passage.text)) in texts:
            dropped.append(replace(each, dropped="duplicate"))
        else:
            texts.add(key)
            left.append(each)
    if rerank and left:
        left, others = _worth_reading(left)
        dropped += others
        scores = rerank(question, [_shown(each.passage) for each in left])
        left = [replace(each, reranked=float(score)) for each, score in zip(left, scores, strict=True)]
        most = max(each.passage.citations for each in left)
        if boosted and most:
            left = [replace(each, boost=each.passage.citations / most) for each in left]
    left.sort(key=lambda each: (-each.score, each.passage.passage))
    of_paper: Counter[str] = Counter(each.paper for each in seen)
    kept: list[Candidate] = []
    for each in left:
        if len(kept) == count:
            dropped.append(replace(each, dropped="rank"))
        elif of_paper[each.passage.paper] >= MOST_OF_A_PAPER:
            dropped.append(replace(each, dropped="paper_cap"))
        else:
            of_paper[each.passage.paper] += 1
            kept.append(each)
    return [*kept, *sorted(dropped, key=lambda each: (-each.score, each.passage.passage))]


def _worth_reading(found: Sequence[Candidate]) -> tuple[list[Candidate], list[Candidate]]:
    """Return what a cross-encoder scores, and the rest: it takes a thousand times as long as a search."""
    of_paper: Counter[str] = Counter()
    read: list[Candidate] = []
    rest: list[Candidate] = []
    for each in found:
        of_paper[each.passage.paper] += 1
        many = of_paper[each.passage.paper] > RERANKED_OF_A_PAPER
        if many or len(read) == RERANKED:
            rest.append(replace(each, dropped="paper_cap" if many else "rank"))
        else:
            read.append(each)
    return read, rest


def _key(text: str) -> str:
    return re.sub(r"\W+", " ", text.lower()).strip()


def _shown(passage: Passage) -> str:
    return f"{passage.title}. {passage.text}" if passage.title else passage.text
