"""Scorers of `trainers.verifiers`: those that a training step calls too."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

from catalog.errors import WatershedError
from dagster_project.cli.scoring.scorer import (
    LIST,
    NUMBER,
    TEXT,
    Options,
    Row,
    Scorer,
    ScoreRow,
    Summarise,
    mean,
    mean_score,
)


def _gsm8k() -> tuple[ScoreRow, Summarise]:
    from trainers.verifiers.gsm8k import score_gsm8k

    def score(row: Row, options: Options) -> Row:
        return score_gsm8k(row["response"], str(row["answer"]), options.rule).row()  # ty: ignore[invalid-argument-type]

    return score, mean_score


def _math() -> tuple[ScoreRow, Summarise]:
    from trainers.verifiers.math.score import SECONDS, score_math

    def score(row: Row, options: Options) -> Row:
        seconds = options.seconds or SECONDS
        verdict = score_math(row["response"], str(row["answer"]), options.rule, seconds)  # ty: ignore[invalid-argument-type]
        return verdict.row()

    return score, mean_score


def _exact() -> tuple[ScoreRow, Summarise]:
    from trainers.verifiers.exact import score_exact

    def score(row: Row, options: Options) -> Row:
        answers = row["answer"] if isinstance(row["answer"], list) else [row["answer"]]
        return score_exact(row["response"], [str(each) for each in answers], options.rule).row()  # ty: ignore[invalid-argument-type]

    def summary(rows: Sequence[Row], options: Options) -> Row:
        return {**mean_score(rows, options), "f1": mean([row["f1"] for row in rows])}

    return score, summary


def _choice() -> tuple[ScoreRow, Summarise]:
    from trainers.verifiers.choice import score_choice

    def score(row: Row, options: Options) -> Row:
        answer, choices = row["answer"].strip().strip("().").upper(), row.get("choices", [])
        if not re.fullmatch("[A-Z]", answer):
            raise WatershedError(
                f"the answer {row['answer'][:40]!r} is not a letter", "give the letter of the right option"
            )
        if not isinstance(choices, list) or not all(isinstance(each, str) for each in choices):
            raise WatershedError("the field 'choices' is not a list of texts", "give the texts of the options, or none")
        return score_choice(row["response"], answer, choices).row()

    def summary(rows: Sequence[Row], options: Options) -> Row:
        return {**mean_score(rows, options), "unanswered": sum(row["chosen"] is None for row in rows)}

    return score, summary


def _instructions() -> tuple[ScoreRow, Summarise]:
    from trainers.verifiers.instructions.follow import read_instructions, score_instructions

    def score(row: Row, options: Options) -> Row:
        given = read_instructions(row["instructions"])
        return score_instructions(row["response"], given, options.rule).row()  # ty: ignore[invalid-argument-type]

    def summary(rows: Sequence[Row], options: Options) -> Row:
        each = [one for row in rows for one in row["instructions"]]
        found: Row = mean_score(rows, options)
        for accuracy in ("strict", "loose"):
            found[f"prompt_{accuracy}"] = mean([float(row[accuracy]) for row in rows])
            found[f"instruction_{accuracy}"] = mean([float(one[accuracy]) for one in each])
        return found

    return score, summary


def _code() -> tuple[ScoreRow, Summarise]:
    from trainers.verifiers.code.passes import mean_pass_at_k
    from trainers.verifiers.code.sandbox import Limits
    from trainers.verifiers.code.score import score_code

    def score(row: Row, options: Options) -> Row:
        texts = {name: row.get(name, "") for name in ("tests", "entry_point", "prompt")}
        cases = row.get("cases", [])
        for name, value in texts.items():
            if not isinstance(value, str):
                raise WatershedError(f"the field {name!r} is not text", "give Python as text")
        if not isinstance(cases, list) or not all(_is_case(case) for case in cases):
            raise WatershedError("the field 'cases' is malformed", 'give [{"stdin": "1", "stdout": "2"}]')
        if bool(cases) == bool(texts["tests"].strip()):
            raise WatershedError(
                "a row has either tests or cases", "give Python in tests, or inputs and outputs in cases"
            )
        limits = Limits(seconds=options.seconds) if options.seconds else Limits()
        verdict = score_code(row["response"], cases=cases, limits=limits, **texts)
        return {"task": row.get("task", row["id"]), **verdict.row()}

    def summary(rows: Sequence[Row], options: Options) -> Row:
        problems: dict[object, list[bool]] = defaultdict(list)
        for row in rows:
            problems[row["task"]].append(row["score"] >= 1.0)
        counts = [(len(passed), sum(passed)) for passed in problems.values()]
        found: Row = {**mean_score(rows, options), "problems": len(counts)}
        for k in options.ks or (1,):
            found[f"pass@{k}"] = mean_pass_at_k(counts, k)
        return found

    return score, summary


def _is_case(case: object) -> bool:
    return isinstance(case, dict) and all(isinstance(case.get(name), str) for name in ("stdin", "stdout"))


SCORERS = (
    Scorer(
        "gsm8k",
        "Whether the final number of a reply is the answer, as GSM8K asks.",
        {"response": TEXT, "answer": NUMBER},
        {"id": "1", "response": "She makes 9 * 2 = $18 a day.", "answer": "18"},
        _gsm8k,
        rules=("strict", "published"),
    ),
    Scorer(
        "math",
        "Whether the final expression of a reply equals the answer, by math-verify in a worker process.",
        {"response": TEXT, "answer": NUMBER},
        {"id": "1", "response": "so it is \\boxed{\\frac{1}{2}}", "answer": "0.5"},
        _math,
        rules=("strict", "published"),
        concurrent=True,
    ),
    Scorer(
        "ifeval",
        "Whether a reply follows verifiable instructions: the 25 kinds of IFEval and the 29 of IFTrain.",
        {"response": TEXT, "instructions": LIST},
        {
            "id": "1",
            "response": "No commas here.",
            "instructions": [{"id": "punctuation:no_comma", "kwargs": {}}],
        },
        _instructions,
        rules=("strict", "loose", "fraction"),
    ),
    Scorer(
        "exact",
        "Whether a reply is one of the accepted answers, as it is or by SQuAD's normalisation.",
        {"response": TEXT, "answer": (str, int, float, list)},
        {"id": "1", "response": "Paris", "answer": ["Paris", "City of Paris"]},
        _exact,
        rules=("strict", "squad"),
    ),
    Scorer(
        "choice",
        "Whether a reply chooses the right letter of a multiple-choice question.",
        {"response": TEXT, "answer": TEXT},
        {"id": "1", "response": "The answer is (B).", "answer": "B", "choices": ["Rome", "Paris"]},
        _choice,
        optional={"choices": "the texts of the options"},
    ),
    Scorer(
        "code",
        "Whether a program passes its tests in a locked-down process, and pass@k.",
        {"response": TEXT},
        {"id": "1", "response": "def f(x): return x + 1", "tests": "assert f(1) == 2"},
        _code,
        optional={
            "tests": "Python that runs after the program",
            "cases": "a list of {stdin, stdout}, instead of tests",
            "entry_point": "the function that is asked for",
            "prompt": "code before a program that does not define entry_point",
            "task": "the problem, which several samples share",
        },
        concurrent=True,
    ),
)
