"""Evaluation tasks, their examples, and every model's answer to every example."""

from __future__ import annotations

import pyarrow as pa

from catalog.contract import Column, Contract, between, one_of, references, row_count

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

CONTRACTS = (EXAMPLES, TASKS, RESULTS, TARGET_RESULTS)
