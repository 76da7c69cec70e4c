"""Scorers of scientific answers: citations, rubrics, and ScholarQA-CS2."""

from __future__ import annotations

from collections.abc import Sequence

from catalog.errors import WatershedError
from dagster_project.cli.scoring.scorer import (
    LIST,
    OBJECT,
    TEXT,
    Options,
    Row,
    Scorer,
    ScoreRow,
    Summarise,
    mean,
    mean_score,
)

CS2 = ("score", "ingredient_recall", "answer_precision", "citation_precision", "citation_recall")


def _citations() -> tuple[ScoreRow, Summarise]:
    from spark_jobs.scholar.citations import recorded, score_citations

    def score(row: Row, options: Options) -> Row:
        entails = recorded(row["entailments"])
        found = score_citations(row["response"], len(row["passages"]), entails, options.rule)  # ty: ignore[invalid-argument-type]
        return {
            **{"score": found.f1, "citation_recall": found.recall, "citation_precision": found.precision},
            **{"claims": found.claims, "supported": found.supported, "citations": found.citations},
            "out_of_range": found.out_of_range,
        }

    def summary(rows: Sequence[Row], options: Options) -> Row:
        """Macro means over the answers that have a sentence; F1 is the harmonic mean of the two means."""
        scored = [row for row in rows if row["score"] is not None]
        recall = mean([row["citation_recall"] for row in scored])
        precision = mean([row["citation_precision"] for row in scored])
        f1 = 2 * recall * precision / (recall + precision) if recall and precision else (0.0 if scored else None)
        means = {"score": f1, "citation_recall": recall, "citation_precision": precision}
        return {**means, "without_sentences": len(rows) - len(scored)}

    return score, summary


def _rubric() -> tuple[ScoreRow, Summarise]:
    from trainers.verifiers.rubric import score_rubric

    def score(row: Row, options: Options) -> Row:
        return score_rubric(row["response"], row["rubric"], row["judgements"]).row()

    def summary(rows: Sequence[Row], options: Options) -> Row:
        annotations = [row["annotation"] for row in rows if row["annotation"] is not None]
        unread = sum(row["unread"] for row in rows)
        return {"score": mean([row["score"] for row in rows]), "annotation": mean(annotations), "unread": unread}

    return score, summary


def _scholarqa() -> tuple[ScoreRow, Summarise]:
    from spark_jobs.scholar.cs2 import score_answer

    def score(row: Row, options: Options) -> Row:
        return dict(score_answer(row))

    def summary(rows: Sequence[Row], options: Options) -> Row:
        return {name: mean([row[name] for row in rows]) for name in CS2}

    return score, summary


def _rouge() -> tuple[ScoreRow, Summarise]:
    from spark_jobs.scholar.rouge import rouge_l

    def score(row: Row, options: Options) -> Row:
        answers = row["answer"] if isinstance(row["answer"], list) else [row["answer"]]
        if not answers or not all(isinstance(each, str) for each in answers):
            raise WatershedError(
                "the field 'answer' is not a list of texts", "give an answer, or a list of at least one"
            )
        return {"score": rouge_l(row["response"], answers)}

    return score, mean_score


CLAIM = "Plants need light and water to grow at all."
SCORERS = (
    Scorer(
        "citations",
        "Citation recall, precision and F1 of sentences, as ScholarQABench asks, from recorded entailments.",
        {"response": TEXT, "passages": LIST, "entailments": LIST},
        {
            "id": "1",
            "response": "Plants need light and water to grow at all [0].",
            "passages": ["Light and water make plants grow."],
            "entailments": [{"claim": CLAIM, "citations": [0], "entailed": True}],
        },
        _citations,
        rules=("strict", "published"),
    ),
    Scorer(
        "rouge",
        "ROUGE-L of an answer against references, as rouge-score computes it without stemming.",
        {"response": TEXT, "answer": (str, list)},
        {"id": "1", "response": "The cat sat.", "answer": ["the cat sat"]},
        _rouge,
    ),
    Scorer(
        "rubric",
        "The weighted score of a rubric of ScholarQABench, from a judge's recorded scores.",
        {"response": TEXT, "rubric": OBJECT, "judgements": OBJECT},
        {
            "id": "1",
            "response": "Because of light.",
            "rubric": {"other_properties": [{"name": "why", "criterion": "Says why.", "weight": 1.0}]},
            "judgements": {"why": 1.0},
        },
        _rubric,
    ),
    Scorer(
        "scholarqa",
        "The four metrics of ScholarQA-CS2 and their mean, from recorded judgements.",
        {"response": TEXT, "ingredients": LIST, "sections": LIST},
        {
            "id": "1",
            "response": "Plants need light [a].",
            "ingredients": [{"score": 1.0, "weight": 2}],
            "irrelevant": [],
            "sections": [{"claims": [{"supporting": ["a"], "non_supporting": [], "is_fully_supported": True}]}],
        },
        _scholarqa,
        optional={"irrelevant": "texts of paragraphs that were judged irrelevant"},
    ),
)
