"""Task scaling laws: small runs predict a large model's accuracy (arXiv 2412.04403)."""

from __future__ import annotations

import pyarrow as pa

from catalog.contract import Column, Contract, between, one_of, references, row_count

OWNER = "ladder@watershed.example"

LAKE = "lake"
"""`source` of what was trained here; any other is the name of an import."""
SOURCE = Column(
    name="source", type=pa.string(), description=f"Whose run: {LAKE} for the lake's own, else the import's name."
)
PUBLISHED = "runs that others published, as `watershed ladder import` read them"

POINTS = Contract(
    name="ladder.points",
    description="What ladders measured, the lake's own and published ones: a row per run and task.",
    columns=(
        SOURCE,
        Column(name="run", type=pa.string(), description="The run.", derived_from=("models.checkpoints.run",)),
        Column(
            name="size",
            type=pa.string(),
            description="Size of the model, which runs share.",
            derived_from=("models.checkpoints.size",),
        ),
        Column(name="task", type=pa.string(), description="The task.", derived_from=("evals.results.task",)),
        Column(
            name="parameters",
            type=pa.int64(),
            description="N of the run.",
            derived_from=("models.checkpoints.parameters",),
        ),
        Column(
            name="tokens",
            type=pa.int64(),
            description="D of the run.",
            derived_from=("models.checkpoints.tokens",),
        ),
        Column(
            name="flops",
            type=pa.float64(),
            description="C of the run.",
            derived_from=("models.checkpoints.flops",),
        ),
        Column(
            name="flops_per_token",
            type=pa.float64(),
            description="C over D.",
            derived_from=("models.checkpoints.flops", "models.checkpoints.tokens"),
        ),
        Column(
            name="task_loss",
            type=pa.float64(),
            description="Mean bits per byte of the true choice; of a published run, over its last five checkpoints.",
            derived_from=("evals.results.bits_per_byte",),
        ),
        Column(
            name="accuracy",
            type=pa.float64(),
            description="Share of examples answered right, 0..1; of a published run, over its last five checkpoints.",
            derived_from=("evals.results.correct",),
        ),
        Column(name="examples", type=pa.int64(), nullable=True, description="Examples answered, where known."),
        Column(
            name="chance",
            type=pa.float64(),
            description="Accuracy of a random guess, 0..1.",
            derived_from=("evals.tasks.chance",),
        ),
    ),
    primary_key=("source", "run", "task"),
    partition_by=("source",),
    upstream=("models.checkpoints", "evals.results", "evals.tasks"),
    source=f"derived; {PUBLISHED}",
    licence="as its upstream tables; of published runs, as they were published",
    owner=OWNER,
    expectations=(row_count(4), between("task_loss", 0), between("accuracy", 0, 1), between("chance", 0, 1)),
)

CHECKPOINTS = Contract(
    name="ladder.checkpoints",
    description="Published ladders as they were measured in training: a row per run, checkpoint and task.",
    command="watershed ladder import",
    columns=(
        SOURCE,
        Column(name="run", type=pa.string(), description="The run.", derived_from=("ladder.points.run",)),
        Column(name="checkpoint", type=pa.int64(), description="Number of the checkpoint in its run, from 1."),
        Column(name="tokens", type=pa.int64(), description="Tokens read so far."),
        Column(name="task", type=pa.string(), description="The task.", derived_from=("ladder.points.task",)),
        Column(name="task_loss", type=pa.float64(), description="Bits per byte of the true choice."),
        Column(name="accuracy", type=pa.float64(), description="Share of examples answered right, 0..1."),
        Column(
            name="soft_log",
            type=pa.float64(),
            nullable=True,
            description="Minus the log of the true choice's normalised probability, where published.",
        ),
        Column(
            name="validation",
            type=pa.float64(),
            nullable=True,
            description="Cross-entropy on C4's validation set, nats per token, where published; one for all tasks.",
        ),
    ),
    primary_key=("source", "run", "checkpoint", "task"),
    partition_by=("source",),
    source=PUBLISHED,
    licence="as they were published",
    owner=OWNER,
    expectations=(
        row_count(1),
        between("checkpoint", 1),
        between("task_loss", 0),
        between("accuracy", 0, 1),
        references("run", "ladder.points.run"),
    ),
)

TARGETS = Contract(
    name="ladder.targets",
    description="Sizes of the models that published ladders are to forecast, never a measurement: a row per target.",
    command="watershed ladder import",
    columns=(
        SOURCE,
        Column(name="target", type=pa.string(), description="The target."),
        Column(name="parameters", type=pa.int64(), description="N of the target."),
        Column(name="tokens", type=pa.int64(), description="D of the target."),
        Column(name="flops_per_token", type=pa.float64(), description="Training FLOPs of one token."),
    ),
    primary_key=("source", "target"),
    partition_by=("source",),
    source=PUBLISHED,
    licence="as they were published",
    owner=OWNER,
    expectations=(between("parameters", 1), between("tokens", 1)),
)

FITS = Contract(
    name="ladder.fits",
    description="The two steps of the scaling law fitted to the points: a row per task.",
    columns=(
        Column(name="task", type=pa.string(), description="The task.", derived_from=("ladder.points.task",)),
        Column(name="protocol", type=pa.string(), description="Which form was fitted, and why."),
        Column(name="runs", type=pa.int64(), description="Runs fitted."),
        Column(name="step1", type=pa.string(), description="Step 1 as JSON: (N, D) to task loss."),
        Column(name="step2", type=pa.string(), description="Step 2 as JSON: task loss to accuracy."),
        Column(name="step1_error", type=pa.float64(), description="Mean relative error of step 1 on its points."),
        Column(
            name="step2_error",
            type=pa.float64(),
            description="Mean absolute error of step 2 on its points, 0..1.",
        ),
    ),
    primary_key=("task",),
    upstream=("ladder.points",),
    owner=OWNER,
    expectations=(row_count(1), between("step1_error", 0), between("step2_error", 0, 1)),
)

PREDICTIONS = Contract(
    name="ladder.predictions",
    description="Forecasts for targets, stored before the target is trained: a row per target and task.",
    columns=(
        Column(name="target", type=pa.string(), description="The target run, size-multiplexC."),
        Column(name="task", type=pa.string(), description="The task.", derived_from=("ladder.fits.task",)),
        Column(name="parameters", type=pa.int64(), description="N of the target."),
        Column(name="tokens", type=pa.int64(), description="D of the target."),
        Column(name="flops", type=pa.float64(), description="C of the target."),
        Column(name="task_loss", type=pa.float64(), description="Forecast bits per byte of the true choice."),
        Column(name="accuracy", type=pa.float64(), description="Forecast accuracy, 0..1."),
        Column(name="low", type=pa.float64(), description="Lower end of the 90% band of accuracy."),
        Column(name="high", type=pa.float64(), description="Upper end of the 90% band of accuracy."),
        Column(name="stored_at", type=pa.timestamp("us", tz="UTC"), description="When the forecast was made."),
    ),
    primary_key=("target", "task"),
    upstream=("ladder.fits", "ladder.points"),
    owner=OWNER,
    expectations=(row_count(1), between("accuracy", 0, 1), between("low", 0, 1), between("high", 0, 1)),
)

OUTCOMES = Contract(
    name="ladder.outcomes",
    description="Prediction beside measurement: a row per target and task.",
    columns=(
        Column(
            name="target",
            type=pa.string(),
            description="The target run.",
            derived_from=("ladder.predictions.target",),
        ),
        Column(name="task", type=pa.string(), description="The task.", derived_from=("ladder.predictions.task",)),
        Column(
            name="predicted",
            type=pa.float64(),
            description="Forecast accuracy, 0..1.",
            derived_from=("ladder.predictions.accuracy",),
        ),
        Column(
            name="low",
            type=pa.float64(),
            description="Lower end of the band.",
            derived_from=("ladder.predictions.low",),
        ),
        Column(
            name="high",
            type=pa.float64(),
            description="Upper end of the band.",
            derived_from=("ladder.predictions.high",),
        ),
        Column(
            name="measured",
            type=pa.float64(),
            description="Accuracy of the trained target, 0..1.",
            derived_from=("evals.target_results.correct",),
        ),
        Column(name="error", type=pa.float64(), description="Predicted minus measured accuracy."),
        Column(name="in_band", type=pa.bool_(), description="The measurement lies in the 90% band."),
        Column(
            name="predicted_loss",
            type=pa.float64(),
            description="Forecast task loss, bits per byte.",
            derived_from=("ladder.predictions.task_loss",),
        ),
        Column(
            name="measured_loss",
            type=pa.float64(),
            description="Task loss of the trained target, bits per byte.",
            derived_from=("evals.target_results.bits_per_byte",),
        ),
        Column(
            name="chance",
            type=pa.float64(),
            description="Accuracy of a random guess.",
            derived_from=("evals.tasks.chance",),
        ),
    ),
    primary_key=("target", "task"),
    upstream=("ladder.predictions", "evals.target_results", "evals.tasks", "ladder.points"),
    owner=OWNER,
    expectations=(row_count(1), between("measured", 0, 1), between("error", -1, 1)),
)

COMPARISON = Column(name="comparison", type=pa.string(), description="Fingerprint of what was compared, and on what.")

COMPARISON_RUNS = Contract(
    name="ladder.comparison_runs",
    description="What `watershed compare` measured of two mixtures: a row per mixture, run, seed and task.",
    command="watershed compare",
    columns=(
        COMPARISON,
        Column(name="mixture", type=pa.string(), description="The mixture trained on, as it was asked for."),
        Column(
            name="dataset",
            type=pa.string(),
            description="Fingerprint of its shards, which are its documents; the mixtures of a pair are as large.",
            derived_from=("dclm.scores.score", "dclm.paragraphs.text"),
        ),
        Column(name="run", type=pa.string(), description="Size and multiple: size-multiplexC."),
        Column(name="seed", type=pa.int64(), description="Of the initial weights and the order of sequences."),
        Column(name="task", type=pa.string(), description="The task.", derived_from=("evals.examples.task",)),
        Column(name="is_target", type=pa.bool_(), description="The run checks the decision, and took no part in it."),
        Column(name="parameters", type=pa.int64(), description="N of the run."),
        Column(name="tokens", type=pa.int64(), description="D of the run."),
        Column(name="flops", type=pa.float64(), description="C of the run."),
        Column(name="bits_per_byte", type=pa.float64(), description="Mean bits per byte of the true choice."),
        Column(name="accuracy", type=pa.float64(), description="Share of examples answered right, 0..1."),
        Column(name="examples", type=pa.int64(), description="Examples answered."),
        Column(
            name="heldout_bits_per_byte",
            type=pa.float64(),
            description="Loss on the lake's held-out shards, bits per byte of text.",
        ),
        Column(name="seconds", type=pa.float64(), description="Time of training."),
        Column(name="sha256", type=pa.string(), description="Digest of the final weights."),
    ),
    primary_key=("comparison", "mixture", "run", "seed", "task"),
    partition_by=("comparison",),
    upstream=(
        *("dclm.documents", "dclm.measurements", "dclm.paragraphs", "dclm.scores", "dclm.verdicts"),
        *("dclm.tokenizer", "dclm.shards", "evals.examples"),
    ),
    owner=OWNER,
    expectations=(row_count(1), between("accuracy", 0, 1), between("bits_per_byte", 0), between("tokens", 1)),
)

COMPARISONS = Contract(
    name="ladder.comparisons",
    description="Decisions between two mixtures, stored before the target is trained: a row per task and measure.",
    command="watershed compare",
    columns=(
        COMPARISON,
        Column(name="first", type=pa.string(), description="One mixture."),
        Column(name="second", type=pa.string(), description="The other."),
        Column(name="task", type=pa.string(), description="The task; `mean` is the mean over the tasks."),
        Column(name="measure", type=pa.string(), description="bits_per_byte or accuracy."),
        Column(name="target", type=pa.string(), description="Run that the decision is for: size-multiplexC."),
        Column(name="runs", type=pa.list_(pa.string()), description="Runs that each mixture was trained in."),
        Column(name="seeds", type=pa.int64(), description="Seeds of every run."),
        Column(
            name="predicted",
            type=pa.float64(),
            description="Difference at the target, in the measure's units; positive: the first is better.",
            derived_from=("ladder.comparison_runs.bits_per_byte", "ladder.comparison_runs.accuracy"),
        ),
        Column(name="low", type=pa.float64(), description="Lower end of the 90% band of the true difference."),
        Column(name="high", type=pa.float64(), description="Upper end of the 90% band."),
        Column(name="probability", type=pa.float64(), description="That the first is truly better at the target."),
        Column(name="decision", type=pa.string(), description="The mixture that is predicted to be better."),
        Column(name="stored_at", type=pa.timestamp("us", tz="UTC"), description="When the decision was made."),
        Column(
            name="measured",
            type=pa.float64(),
            description="Difference of the trained targets, mean over seeds; null before they are trained.",
            nullable=True,
        ),
        Column(
            name="measured_error",
            type=pa.float64(),
            description="Standard error of `measured` over the seeds; null for a single seed.",
            nullable=True,
        ),
        Column(name="decided_right", type=pa.bool_(), description="The measurement has its sign.", nullable=True),
        Column(
            name="checked_at",
            type=pa.timestamp("us", tz="UTC"),
            description="When the targets were measured.",
            nullable=True,
        ),
    ),
    primary_key=("comparison", "task", "measure"),
    partition_by=("comparison",),
    upstream=("ladder.comparison_runs",),
    owner=OWNER,
    expectations=(
        row_count(1),
        one_of("measure", ("bits_per_byte", "accuracy")),
        between("probability", 0, 1),
        references("comparison", "ladder.comparison_runs.comparison"),
    ),
)

CONTRACTS = (POINTS, CHECKPOINTS, TARGETS, FITS, PREDICTIONS, OUTCOMES, COMPARISON_RUNS, COMPARISONS)
