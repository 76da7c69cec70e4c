"""The development and unseen suites, results of models, looks at sealed results, and paired comparisons."""

from __future__ import annotations

from catalog.columns import boolean, integer, real, text, texts, timestamp
from catalog.contract import Contract, between, one_of, references, row_count
from catalog.tables.tulu.mixtures import OWNER
from catalog.view import View

SUITES = ("development", "unseen", "safety")

TASKS = Contract(
    name="tulu.tasks",
    description="The evaluations of Tulu 3 as published: suite, shots, chain of thought and metric.",
    columns=(
        text("task", "Name of the task."),
        text("suite", "development, unseen, or safety: a part of the development suite."),
        text("title", "Name of the evaluation in the paper."),
        integer("shots", "Examples in the prompt.", bits=32),
        boolean("chain_of_thought", "Whether the model is asked to reason before it answers."),
        boolean("multi_turn", "Whether examples are turns of the chat, rather than text of one turn."),
        text("metric", "Metric, as the paper names it."),
        text("scorer", "Scorer of `watershed score`, or how else replies are scored."),
        text("rule", "Rule of the scorer; empty for its default."),
        texts("samples", "Numbers of samples k of pass@k; empty for one sample."),
        boolean("chat", "Whether the chat template is used."),
        boolean("sealed", "Whether results must not be used to select models."),
        text("dataset", "Data set with the instances."),
        text("reference", "Paper of the evaluation."),
        texts("fields", "Fields of an instance that decontamination searches for."),
    ),
    primary_key=("task",),
    source="arXiv 2411.15124, Table 24 and section 7",
    licence="CC0-1.0",
    owner=OWNER,
    expectations=(row_count(1), one_of("suite", SUITES), between("shots", 0)),
)

RESULT_COLUMNS = (
    text("model", "Name of the model."),
    text("task", "The task.", derived_from="tulu.tasks.task"),
    text("instance", "Id of the instance."),
    integer("sample", "Number of the sample, from 0.", bits=32),
    text("response", "The reply."),
    text("row", "What the scorer reads beside the reply, as JSON."),
    real("score", "Score of the reply, 0..1."),
    text("scorer", "Scorer that gave it."),
    text("rule", "Its rule; empty for its default."),
    text("scorer_version", "Version of the scorer; scores of different versions are not comparable."),
)


def _results(name: str, description: str) -> Contract:
    """A table of scored replies. Sealed ones have a table of their own, so that no query of the others reads them."""
    return Contract(
        name=name,
        description=description,
        columns=RESULT_COLUMNS,
        primary_key=("model", "task", "instance", "sample"),
        partition_by=("model",),
        upstream=("tulu.tasks",),
        owner=OWNER,
        expectations=(between("score", 0, 1), references("task", "tulu.tasks.task")),
    )


RESULTS = _results(
    "tulu.results", "Replies of models to instances of the development suite, with scores: a row per sample."
)
SEALED_RESULTS = _results(
    "tulu.sealed_results",
    "Replies of models to instances of the unseen suite, with scores. Every look at them is in tulu.looks.",
)

LOOKS = Contract(
    name="tulu.looks",
    description="Every look at the results of a sealed task: who looked, when and why.",
    command="watershed tulu compare --unseal",
    columns=(
        text("look", "16 hex digits that name the look."),
        timestamp("at", "Time of the look."),
        text("model", "Model whose results were read."),
        text("task", "The sealed task."),
        text("why", "Reason that was given."),
        text("command", "Command that read them."),
    ),
    primary_key=("look",),
    owner=OWNER,
    expectations=(references("task", "tulu.tasks.task"),),
)

SELECTIONS = Contract(
    name="tulu.selections",
    description="Choices among models by development results: a row for each candidate and task that was read.",
    columns=(
        text("selection", "Name of the selection."),
        text("model", "Candidate."),
        text("task", "Task that was read.", derived_from="tulu.results.task"),
        text("suite", "Suite of the task; unseen breaks the contract."),
        real("score", "Mean score of the candidate on the task, 0..1."),
        real("average", "Mean over the tasks of the selection, 0..1."),
        boolean("chosen", "Whether the candidate was chosen."),
    ),
    primary_key=("selection", "model", "task"),
    upstream=("tulu.results", "tulu.tasks"),
    owner=OWNER,
    expectations=(
        one_of("suite", ("development", "safety"), why="unseen results must not select a model"),
        between("score", 0, 1),
    ),
)

COMPARISONS = Contract(
    name="tulu.comparisons",
    description="Paired differences of two models on each task, with interval and the smallest difference to be seen.",
    columns=(
        text("model", "Model that is compared."),
        text("baseline", "Model that it is compared with."),
        text("task", "The task.", derived_from="tulu.results.task"),
        text("metric", "pass@k of an instance's samples, or their mean."),
        integer("pairs", "Instances that both models answered."),
        real("mean", "Mean score of the model on them, 0..1."),
        real("baseline_mean", "Mean score of the baseline, 0..1."),
        real("difference", "Mean of the paired differences, model minus baseline."),
        real("low", "Lower end of the 95% interval of the difference.", nullable=True),
        real("high", "Upper end.", nullable=True),
        real("seen", "Smallest difference that would be seen with 80% power at this number of pairs.", nullable=True),
        real("unpaired_seen", "The same if the models had answered different instances.", nullable=True),
        boolean("clear", "Whether the interval excludes 0."),
    ),
    primary_key=("model", "baseline", "task"),
    upstream=("tulu.results", "tulu.tasks"),
    owner=OWNER,
    expectations=(between("pairs", 1), between("difference", -1, 1)),
)

RESCORES = Contract(
    name="tulu.rescores",
    description="Scores of stored replies by the present version of their scorer, beside the scores before.",
    command="watershed rescore",
    columns=(
        text("origin", "Table of the reply: tulu.results, tulu.sealed_results or tulu.rollouts."),
        text("run", "Model or run of the reply."),
        text("row_id", "The reply: task, instance and sample of a result, or the id of a rollout."),
        text("task", "Task of a result, or verifier of a rollout."),
        text("scorer", "Scorer."),
        text("rule", "Its rule."),
        text("version_before", "Version that gave the stored score."),
        text("version", "Version that scored it again."),
        real("before", "Stored score."),
        real("score", "Score now."),
    ),
    primary_key=("origin", "run", "row_id"),
    owner=OWNER,
    expectations=(between("score", 0, 1), one_of("origin", ("tulu.results", "tulu.sealed_results", "tulu.rollouts"))),
)

NEGATIVE = """
SELECT model, baseline, task, difference, low, high, seen,
       CASE WHEN high < 0 THEN 'worse' WHEN low > 0 THEN 'better' ELSE 'not distinguishable' END AS finding
FROM tulu.comparisons ORDER BY baseline, model, task
"""
MOVED = """
SELECT origin, run, task, scorer, rule, version_before, version, count(*) AS replies,
       count(*) FILTER (WHERE before <> score) AS changed, avg(before) AS before, avg(score) AS after,
       avg(score) - avg(before) AS moved
FROM tulu.rescores GROUP BY ALL HAVING count(*) FILTER (WHERE before <> score) > 0
ORDER BY abs(avg(score) - avg(before)) DESC, origin, run, task
"""
VIEWS = {
    "tulu.findings": View(
        "What each comparison found: better, worse or not distinguishable.", ("tulu.comparisons",), NEGATIVE
    ),
    "tulu.moved": View("Numbers that moved when stored replies were scored again.", ("tulu.rescores",), MOVED),
}
