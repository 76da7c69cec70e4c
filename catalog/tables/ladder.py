"""Task scaling laws: small runs predict a large model's accuracy (arXiv 2412.04403)."""

from __future__ import annotations

import pyarrow as pa

from catalog.contract import Column, Contract, between, references, row_count

OWNER = "ladder@watershed.example"

POINTS = Contract(
    name="ladder.points",
    description="What the ladder measured: a row per run and task.",
    columns=(
        Column(name="run", type=pa.string(), description="The run.", derived_from=("models.checkpoints.run",)),
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
            name="task_loss",
            type=pa.float64(),
            description="Mean bits per byte of the true choice.",
            derived_from=("evals.results.bits_per_byte",),
        ),
        Column(
            name="accuracy",
            type=pa.float64(),
            description="Share of examples answered right, 0..1.",
            derived_from=("evals.results.correct",),
        ),
        Column(name="examples", type=pa.int64(), description="Examples answered."),
    ),
    primary_key=("run", "task"),
    upstream=("models.checkpoints", "evals.results", "evals.tasks"),
    owner=OWNER,
    expectations=(
        row_count(4),
        between("task_loss", 0),
        between("accuracy", 0, 1),
        references("run", "models.checkpoints.run"),
        references("task", "evals.tasks.task"),
    ),
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

CONTRACTS = (POINTS, FITS, PREDICTIONS, OUTCOMES)
