"""Evaluation tasks, their examples and every model's answers; DCLM's registered evaluations."""

from __future__ import annotations

import pyarrow as pa

from catalog.columns import boolean, column, integer, real, text, texts, timestamp
from catalog.contract import Column, Contract, between, filled, matches, one_of, references, row_count, warned
from catalog.family import Family, Lineage, Searchable
from catalog.tables.models import REGISTRY_COLUMNS, REGISTRY_LICENCE, REGISTRY_SOURCE, UUID

OWNER = "evaluation"
KINDS = ("multiple_choice", "schema", "language_modeling", "generation")

TASKS = Contract(
    name="evals.tasks",
    description="Tasks that models answer: a row per task.",
    columns=(
        text("task", "Name of the task."),
        text("kind", "Kind of in-context task."),
        text("version", "Version of the task; scores of different versions are not comparable."),
        real("chance", "Accuracy of a random guess, 0..1."),
        text("metric", "Metric that scores an answer."),
        integer("examples", "Number of examples."),
        text("description", "What the task asks."),
    ),
    primary_key=("task",),
    upstream=("evals.examples",),
    owner=OWNER,
    expectations=(row_count(1), one_of("kind", KINDS), between("chance", 0, 1), between("examples", 1)),
)

EXAMPLES = Contract(
    name="evals.examples",
    modalities=("text",),
    description="Multiple-choice continuation questions made from held-out documents.",
    columns=(
        text("question_id", "32 hex digits made from task, document and position."),
        text("task", "The task that it belongs to."),
        text("doc_id", "Held-out document.", derived_from="dclm.mixture.doc_id"),
        text("context", "Text before the continuation."),
        texts("choices", "Continuations: the true one and others."),
        integer("gold", "Index of the true continuation, from 0.", bits=32),
    ),
    primary_key=("question_id",),
    upstream=("dclm.documents", "dclm.measurements", "dclm.paragraphs", "dclm.mixture", "dclm.tokenizer"),
    owner=OWNER,
    expectations=(row_count(1), between("gold", 0), references("doc_id", "dclm.mixture.doc_id")),
)

RESULT_COLUMNS = (
    text("run", "The model's run."),
    text("task", "The task.", derived_from="evals.tasks.task"),
    text("question_id", "The example.", derived_from="evals.examples.question_id"),
    integer("predicted", "Choice that the task's metric ranks first.", bits=32),
    integer("gold", "Index of the true choice.", bits=32),
    boolean("correct", "Whether the predicted choice is the true one."),
    column("choice_logprobs", pa.list_(pa.float64()), "Log-likelihood of each choice, nats."),
    real("bits_per_byte", "Loss on the true choice, bits per byte."),
    text(
        "version",
        "Version of the task that was answered.",
        nullable=True,
        derived_from="evals.tasks.version",
    ),
    text("model", "SHA-256 of the weights that answered.", nullable=True),
    text(
        "prompt_digest",
        "SHA-256 of context, choices and index of the true choice.",
        nullable=True,
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
    description="The answer of each ladder model to each example.",
    columns=RESULT_COLUMNS,
    primary_key=("run", "question_id"),
    partition_by=("run",),
    upstream=("models.checkpoints", "evals.examples"),
    owner=OWNER,
    expectations=(*RESULT_EXPECTATIONS, references("run", "models.checkpoints.run")),
)

TARGET_RESULTS = Contract(
    name="evals.target_results",
    description="The answer of the target to each example, given after its forecast was stored.",
    columns=RESULT_COLUMNS,
    primary_key=("run", "question_id"),
    upstream=("models.targets", "evals.examples"),
    owner=OWNER,
    expectations=(*RESULT_EXPECTATIONS, references("run", "models.targets.run")),
)

AGGREGATES = ("core_v1", "core_v2", "extended_v1", "extended_v2")
ROUNDING = 1e-9
"""Largest difference between a stored aggregate and the same one computed from the scores."""


def _plain_and_centred(name: str, tasks: str) -> tuple[Column, Column]:
    return (
        real(name, f"Mean accuracy over {tasks}, 0..1."),
        real(f"{name}_centred", f"Mean centred accuracy over {tasks}, by the baselines of the version."),
    )


REGISTRY = Contract(
    name="evals.registry",
    description="Evaluations that DCLM registered, with their aggregates as stored: a row per evaluation.",
    command="watershed registry import",
    columns=(
        text("uuid", "UUID of the evaluation."),
        text("name", "Path of its configuration; heavy is the set of 53 tasks."),
        text("model", "Architecture of the model, or its name on a hub."),
        text(
            "model_uuid", "UUID of the registered model, if given.", nullable=True, derived_from="models.registry.uuid"
        ),
        timestamp("created_at", "Time of creation as written in the file, taken as UTC."),
        text("version", "Version of the baselines of the aggregates whose names have no version."),
        integer("tasks", "Tasks scored, as in evals.registry_scores."),
        texts("missing_tasks", "Tasks of EXTENDED without a score, as stored."),
        real("core_v1", "CORE: mean centred accuracy of 22 tasks, baselines of version 1."),
        real("core_v2", "CORE with the baselines of version 2; not comparable with version 1."),
        real("extended_v1", "EXTENDED: the same of 53 tasks; null if one is missing.", nullable=True),
        real("extended_v2", "EXTENDED with the baselines of version 2.", nullable=True),
        *(
            real(f"{name}_error", f"{name} computed from evals.registry_scores, minus the stored value.", nullable=True)
            for name in AGGREGATES
        ),
        real("mean_accuracy", "Mean accuracy over the tasks with a score, 0..1."),
        real("mean_centred", "Mean centred accuracy over the tasks with a score."),
        *_plain_and_centred("rw_small", "RefinedWeb's six small tasks"),
        *_plain_and_centred("ci95_above", "tasks above chance with 95% confidence"),
        *_plain_and_centred("ci99_above", "tasks above chance with 99% confidence"),
        *_plain_and_centred("low_variance", "CORE's 22 tasks"),
        real("commonsense_reasoning", "Mean centred accuracy of this category."),
        real("language_understanding", "Mean centred accuracy of this category."),
        real("reading_comprehension", "Mean centred accuracy of this category."),
        real("safety", "Mean centred accuracy of this category."),
        real("symbolic_problem_solving", "Mean centred accuracy of this category."),
        real("world_knowledge", "Mean centred accuracy of this category."),
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
    description="Scores of DCLM's registered evaluations: a row per evaluation and task.",
    command="watershed registry import",
    columns=(
        text("evaluation", "The evaluation.", derived_from="evals.registry.uuid"),
        text("task", "Name of the task in DCLM."),
        real("score", "Accuracy, not centred, 0..1."),
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
        text("model", "Name of the model."),
        text("model_digest", "SHA-256 of the weights."),
        text("task", "Name of the task in DCLM."),
        text("version", "Version of the random baselines: v1 or v2."),
        integer("example", "Position of the example in the file of the task, from 0."),
        text("subject", "Subject of the example, if the task has subjects.", nullable=True),
        integer(
            "predicted",
            "Choice with the smallest loss per token; null if the task has no choices.",
            bits=32,
            nullable=True,
        ),
        integer("gold", "Index of the true choice, from 0.", bits=32, nullable=True),
        boolean("correct", "Whether the answer is correct, by the kind of the task."),
        column("choice_logprobs", pa.list_(pa.float64()), "Log-likelihood of each choice, nats.", nullable=True),
        real("bits_per_byte", "Loss on the right answer, bits per byte.", nullable=True),
        text("generated", "Generated text.", nullable=True),
        text("prompt_digest", "SHA-256 of the prompt and its answers."),
    ),
    primary_key=("model", "task", "example"),
    partition_by=("model",),
    source="task files of mosaicml/llm-foundry, as DCLM uses them (arXiv 2406.11794)",
    owner=OWNER,
    expectations=(row_count(1), one_of("version", ("v1", "v2")), between("bits_per_byte", 0), between("example", 0)),
)

CONTRACTS = (EXAMPLES, TASKS, RESULTS, TARGET_RESULTS, REGISTRY, REGISTRY_SCORES, ANSWERS)
SEARCHABLE = (
    Searchable(
        kind="evaluation",
        tables=(TASKS.name,),
        sql=f"""
        SELECT task AS name, description, replace(kind, '_', ' ') || ', ' || metric AS detail, ['text'] AS modalities
        FROM {TASKS.name}
        """,
    ),
    Searchable(
        kind="evaluation",
        tables=(REGISTRY.name,),
        sql=f"""
        SELECT model || ', ' || name AS name, ['text'] AS modalities, concat_ws(' ', uuid, model_uuid) AS detail,
               format('{{}} tasks of DCLM, CORE {{:.3f}}', tasks, core_v2) AS description
        FROM {REGISTRY.name}
        """,
    ),
    Searchable(
        kind="evaluation",
        tables=(REGISTRY_SCORES.name,),
        sql=f"""
        SELECT task AS name, ['text'] AS modalities,
               format('A task of DCLM, scored in {{:,}} registered evaluations', count(*)) AS description
        FROM {REGISTRY_SCORES.name} GROUP BY task
        """,
    ),
)

FAMILY = Family(
    name="evals",
    contracts=CONTRACTS,
    searchable=SEARCHABLE,
    lineage=Lineage(answers={"models.checkpoints": "evals.results", "models.targets": "evals.target_results"}),
)
