"""Evaluation tasks, their examples and every model's answers; DCLM's registered evaluations."""

from __future__ import annotations

import pyarrow as pa

from catalog.contract import Column, Contract, between, filled, matches, one_of, references, row_count, warned
from catalog.tables.models import REGISTRY_COLUMNS, REGISTRY_LICENCE, REGISTRY_SOURCE, UUID

OWNER = "evaluation@watershed.example"
KINDS = ("multiple_choice", "schema", "language_modeling", "generation")

TASKS = Contract(
    name="evals.tasks",
    description="What is asked of a model: a row per task.",
    columns=(
        Column(name="task", type=pa.string(), description="Name of the task."),
        Column(name="kind", type=pa.string(), description="Kind of in-context task."),
        Column(
            name="version",
            type=pa.string(),
            description="Version of its definition; scores of two do not compare.",
        ),
        Column(name="chance", type=pa.float64(), description="Accuracy of a random guess, 0..1."),
        Column(name="metric", type=pa.string(), description="How an answer is scored."),
        Column(name="examples", type=pa.int64(), description="Examples of the task."),
        Column(name="description", type=pa.string(), description="What the task asks."),
    ),
    primary_key=("task",),
    upstream=("evals.examples",),
    owner=OWNER,
    expectations=(row_count(1), one_of("kind", KINDS), between("chance", 0, 1), between("examples", 1)),
)

EXAMPLES = Contract(
    name="evals.examples",
    description="Multiple-choice continuation questions made from held-out documents.",
    columns=(
        Column(name="question_id", type=pa.string(), description="32 hex digits: task, document and position."),
        Column(name="task", type=pa.string(), description="The task that it belongs to."),
        Column(
            name="doc_id",
            type=pa.string(),
            description="Held-out document.",
            derived_from=("dclm.mixture.doc_id",),
        ),
        Column(name="context", type=pa.string(), description="Text before the continuation."),
        Column(name="choices", type=pa.list_(pa.string()), description="Continuations: the true one and others."),
        Column(name="gold", type=pa.int32(), description="Index of the true continuation, from 0."),
    ),
    primary_key=("question_id",),
    upstream=("dclm.documents", "dclm.measurements", "dclm.paragraphs", "dclm.mixture", "dclm.tokenizer"),
    owner=OWNER,
    expectations=(row_count(1), between("gold", 0), references("doc_id", "dclm.mixture.doc_id")),
)

RESULT_COLUMNS = (
    Column(name="run", type=pa.string(), description="The model's run."),
    Column(name="task", type=pa.string(), description="The task.", derived_from=("evals.tasks.task",)),
    Column(
        name="question_id",
        type=pa.string(),
        description="The example.",
        derived_from=("evals.examples.question_id",),
    ),
    Column(name="predicted", type=pa.int32(), description="Choice that the task's metric ranks first."),
    Column(name="gold", type=pa.int32(), description="Index of the true choice."),
    Column(name="correct", type=pa.bool_(), description="The predicted choice is the true one."),
    Column(
        name="choice_logprobs",
        type=pa.list_(pa.float64()),
        description="Log-likelihood of each choice, nats.",
    ),
    Column(name="bits_per_byte", type=pa.float64(), description="Loss on the true choice, bits per byte."),
    Column(
        name="version",
        type=pa.string(),
        nullable=True,
        description="Version of the task's definition when it was asked.",
        derived_from=("evals.tasks.version",),
    ),
    Column(name="model", type=pa.string(), nullable=True, description="SHA-256 of the weights that answered."),
    Column(
        name="prompt_digest",
        type=pa.string(),
        nullable=True,
        description="SHA-256 of what the model was given: context, choices and the true one's index.",
        derived_from=("evals.examples.context", "evals.examples.choices"),
    ),
)
RESULT_EXPECTATIONS = (
    row_count(1),
    between("bits_per_byte", 0),
    references("task", "evals.tasks.task"),
    references("question_id", "evals.examples.question_id"),
)

RESULTS = Contract(
    name="evals.results",
    description="Each ladder model's answer to each example.",
    columns=RESULT_COLUMNS,
    primary_key=("run", "question_id"),
    partition_by=("run",),
    upstream=("models.checkpoints", "evals.examples"),
    owner=OWNER,
    expectations=(*RESULT_EXPECTATIONS, references("run", "models.checkpoints.run")),
)

TARGET_RESULTS = Contract(
    name="evals.target_results",
    description="The target's answer to each example, given after its forecast was stored.",
    columns=RESULT_COLUMNS,
    primary_key=("run", "question_id"),
    upstream=("models.targets", "evals.examples"),
    owner=OWNER,
    expectations=(*RESULT_EXPECTATIONS, references("run", "models.targets.run")),
)

AGGREGATES = ("core_v1", "core_v2", "extended_v1", "extended_v2")
ROUNDING = 1e-9
"""How far an aggregate that is reckoned again may lie from the stored one."""


def _number(name: str, description: str, *, nullable: bool = False) -> Column:
    return Column(name=name, type=pa.float64(), description=description, nullable=nullable)


def _plain_and_centred(name: str, said: str) -> tuple[Column, Column]:
    return (
        _number(name, f"Mean accuracy over {said}, 0..1."),
        _number(f"{name}_centred", f"Mean centred accuracy over {said}, by the baselines of the version."),
    )


REGISTRY = Contract(
    name="evals.registry",
    description="Evaluations that DCLM registered, with their aggregates as stored: a row per evaluation.",
    command="watershed registry import",
    columns=(
        Column(name="uuid", type=pa.string(), description="The evaluation."),
        Column(name="name", type=pa.string(), description="Path of its configuration: heavy is the 53 tasks."),
        Column(name="model", type=pa.string(), description="The model: its architecture, or its name on a hub."),
        Column(
            name="model_uuid",
            type=pa.string(),
            nullable=True,
            description="The registered model, where written.",
            derived_from=("models.registry.uuid",),
        ),
        Column(name="created_at", type=pa.timestamp("us", tz="UTC"), description="As written, taken as UTC."),
        Column(
            name="version",
            type=pa.string(),
            description="Version of the baselines behind the aggregates that name none.",
        ),
        Column(name="tasks", type=pa.int64(), description="Tasks scored, as in evals.registry_scores."),
        Column(
            name="missing_tasks",
            type=pa.list_(pa.string()),
            description="Tasks of EXTENDED without a score, as stored.",
        ),
        _number("core_v1", "CORE: mean centred accuracy of 22 tasks, baselines of version 1."),
        _number("core_v2", "CORE with the baselines of version 2; it does not compare with version 1."),
        _number("extended_v1", "EXTENDED: the same of 53 tasks; null where one is missing.", nullable=True),
        _number("extended_v2", "EXTENDED with the baselines of version 2.", nullable=True),
        *(
            _number(f"{name}_error", f"{name} reckoned from evals.registry_scores less the stored one.", nullable=True)
            for name in AGGREGATES
        ),
        _number("mean_accuracy", "Mean accuracy over the tasks that there are, 0..1."),
        _number("mean_centred", "Mean centred accuracy over the tasks that there are."),
        *_plain_and_centred("rw_small", "RefinedWeb's six small tasks"),
        *_plain_and_centred("ci95_above", "tasks above chance with 95% confidence"),
        *_plain_and_centred("ci99_above", "tasks above chance with 99% confidence"),
        *_plain_and_centred("low_variance", "CORE's 22 tasks"),
        _number("commonsense_reasoning", "Mean centred accuracy of this category."),
        _number("language_understanding", "Mean centred accuracy of this category."),
        _number("reading_comprehension", "Mean centred accuracy of this category."),
        _number("safety", "Mean centred accuracy of this category."),
        _number("symbolic_problem_solving", "Mean centred accuracy of this category."),
        _number("world_knowledge", "Mean centred accuracy of this category."),
        *REGISTRY_COLUMNS,
    ),
    primary_key=("uuid",),
    named_by=("model",),
    source=REGISTRY_SOURCE,
    licence=REGISTRY_LICENCE,
    owner=OWNER,
    expectations=(
        row_count(1),
        matches("uuid", UUID),
        one_of("version", ("v1", "v2")),
        warned(filled("model_uuid", why="models that others trained are not registered")),
        warned(references("model_uuid", "models.registry.uuid", why="the registry's own links")),
        *(
            warned(between(f"{name}_error", -ROUNDING, ROUNDING, why="the stored aggregate is the mean of its tasks"))
            for name in AGGREGATES
        ),
    ),
)

REGISTRY_SCORES = Contract(
    name="evals.registry_scores",
    description="What DCLM's registered evaluations scored: a row per evaluation and task.",
    command="watershed registry import",
    columns=(
        Column(
            name="evaluation",
            type=pa.string(),
            description="The evaluation.",
            derived_from=("evals.registry.uuid",),
        ),
        Column(name="task", type=pa.string(), description="The task, as DCLM names it."),
        _number("score", "Accuracy, not centred, 0..1."),
    ),
    primary_key=("evaluation", "task"),
    source=REGISTRY_SOURCE,
    licence=REGISTRY_LICENCE,
    owner=OWNER,
    expectations=(row_count(1), between("score", 0, 1), references("evaluation", "evals.registry.uuid")),
)

ANSWERS = Contract(
    name="evals.answers",
    description="Models' answers to DCLM's in-context tasks: a row per model, task and example.",
    command="watershed evals run --lake",
    columns=(
        Column(name="model", type=pa.string(), description="The model's name, as it was evaluated."),
        Column(name="model_digest", type=pa.string(), description="SHA-256 of its weights."),
        Column(name="task", type=pa.string(), description="The task, as DCLM calls it."),
        Column(name="version", type=pa.string(), description="Of the random baselines: v1 or v2."),
        Column(name="example", type=pa.int64(), description="The example's place in the task's file, from 0."),
        Column(name="subject", type=pa.string(), description="Its subject, of tasks that have some.", nullable=True),
        Column(
            name="predicted",
            type=pa.int32(),
            description="Choice with the least loss a token; null where nothing is chosen from.",
            nullable=True,
        ),
        Column(name="gold", type=pa.int32(), description="The right choice, from 0.", nullable=True),
        Column(name="correct", type=pa.bool_(), description="Answered right, as the task's kind says."),
        Column(
            name="choice_logprobs",
            type=pa.list_(pa.float64()),
            description="Log-likelihood of each choice, nats.",
            nullable=True,
        ),
        Column(
            name="bits_per_byte",
            type=pa.float64(),
            description="Loss on the right answer, bits per byte.",
            nullable=True,
        ),
        Column(name="generated", type=pa.string(), description="What was written on.", nullable=True),
        Column(name="prompt_digest", type=pa.string(), description="SHA-256 of what was asked, answers included."),
    ),
    primary_key=("model", "task", "example"),
    partition_by=("model",),
    source="task files of mosaicml/llm-foundry, as DCLM uses them (arXiv 2406.11794)",
    owner=OWNER,
    expectations=(row_count(1), one_of("version", ("v1", "v2")), between("bits_per_byte", 0), between("example", 0)),
)

CONTRACTS = (EXAMPLES, TASKS, RESULTS, TARGET_RESULTS, REGISTRY, REGISTRY_SCORES, ANSWERS)
