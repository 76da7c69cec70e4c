"""Task scaling laws: small runs predict a large model's accuracy (arXiv 2412.04403)."""

from __future__ import annotations

from catalog.columns import boolean, integer, real, text, texts, timestamp
from catalog.contract import Contract, between, one_of, references, row_count
from catalog.family import Family, Lineage, Link, Searchable

OWNER = "ladder"

LAKE = "lake"
"""`source` of runs that were trained here; any other is the name of an import."""
SOURCE = text("source", f"{LAKE} if the run was trained here, otherwise the name of the import.")
PUBLISHED = "runs that others published, as `watershed ladder import` read them"

POINTS = Contract(
    name="ladder.points",
    description="Measurements of ladders, the lake's own and published ones: a row per run and task.",
    columns=(
        SOURCE,
        text("run", "The run.", derived_from="models.checkpoints.run"),
        text("size", "Size of the model, which several runs share.", derived_from="models.checkpoints.size"),
        text("task", "The task.", derived_from="evals.results.task"),
        integer("parameters", "N of the run.", derived_from="models.checkpoints.parameters"),
        integer("tokens", "D of the run.", derived_from="models.checkpoints.tokens"),
        real("flops", "C of the run.", derived_from="models.checkpoints.flops"),
        real("flops_per_token", "C over D.", derived_from=("models.checkpoints.flops", "models.checkpoints.tokens")),
        real(
            "task_loss",
            "Mean bits per byte of the true choice; of a published run, over its last five checkpoints.",
            derived_from="evals.results.bits_per_byte",
        ),
        real(
            "accuracy",
            "Share of examples answered correctly, 0..1; of a published run, over its last five checkpoints.",
            derived_from="evals.results.correct",
        ),
        integer("examples", "Examples answered, if known.", nullable=True),
        real("chance", "Accuracy of a random guess, 0..1.", derived_from="evals.tasks.chance"),
    ),
    primary_key=("source", "run", "task"),
    partition_by=("source",),
    upstream=("models.checkpoints", "evals.results", "evals.tasks"),
    source=f"derived; {PUBLISHED}",
    licence="as its upstream tables; of published runs, as they were published",
    licences=("LicenseRef-Own-Licence",),
    owner=OWNER,
    expectations=(row_count(4), between("task_loss", 0), between("accuracy", 0, 1), between("chance", 0, 1)),
)

CHECKPOINTS = Contract(
    name="ladder.checkpoints",
    description="Measurements of published ladders during training: a row per run, checkpoint and task.",
    command="watershed ladder import",
    columns=(
        SOURCE,
        text("run", "The run.", derived_from="ladder.points.run"),
        integer("checkpoint", "Number of the checkpoint in its run, from 1."),
        integer("tokens", "Tokens read so far."),
        text("task", "The task.", derived_from="ladder.points.task"),
        real("task_loss", "Bits per byte of the true choice."),
        real("accuracy", "Share of examples answered correctly, 0..1."),
        real("soft_log", "Minus the log of the true choice's normalised probability, if published.", nullable=True),
        real(
            "validation",
            "Cross-entropy on C4's validation set, nats per token, if published; the same for all tasks.",
            nullable=True,
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
    description="Sizes of the models that published ladders forecast, without measurements: a row per target.",
    command="watershed ladder import",
    columns=(
        SOURCE,
        text("target", "Name of the target."),
        integer("parameters", "N of the target."),
        integer("tokens", "D of the target."),
        real("flops_per_token", "Training FLOPs of one token."),
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
        text("task", "The task.", derived_from="ladder.points.task"),
        text("protocol", "Form of the law that was fitted, and why."),
        integer("runs", "Number of runs fitted."),
        text("step1", "Step 1 as JSON: (N, D) to task loss."),
        text("step2", "Step 2 as JSON: task loss to accuracy."),
        real("step1_error", "Mean relative error of step 1 on its points."),
        real("step2_error", "Mean absolute error of step 2 on its points, 0..1."),
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
        text("target", "The target run, size-multiplexC."),
        text("task", "The task.", derived_from="ladder.fits.task"),
        integer("parameters", "N of the target."),
        integer("tokens", "D of the target."),
        real("flops", "C of the target."),
        real("task_loss", "Forecast bits per byte of the true choice."),
        real("accuracy", "Forecast accuracy, 0..1."),
        real("low", "Lower end of the 90% band of accuracy."),
        real("high", "Upper end of the 90% band of accuracy."),
        timestamp("stored_at", "When the forecast was made."),
    ),
    primary_key=("target", "task"),
    upstream=("ladder.fits", "ladder.points"),
    owner=OWNER,
    expectations=(row_count(1), between("accuracy", 0, 1), between("low", 0, 1), between("high", 0, 1)),
)

OUTCOMES = Contract(
    name="ladder.outcomes",
    description="Predictions beside measurements: a row per target and task.",
    columns=(
        text("target", "The target run.", derived_from="ladder.predictions.target"),
        text("task", "The task.", derived_from="ladder.predictions.task"),
        real("predicted", "Forecast accuracy, 0..1.", derived_from="ladder.predictions.accuracy"),
        real("low", "Lower end of the band.", derived_from="ladder.predictions.low"),
        real("high", "Upper end of the band.", derived_from="ladder.predictions.high"),
        real("measured", "Accuracy of the trained target, 0..1.", derived_from="evals.target_results.correct"),
        real("error", "Predicted minus measured accuracy."),
        boolean("in_band", "Whether the measurement lies in the 90% band."),
        real("predicted_loss", "Forecast task loss, bits per byte.", derived_from="ladder.predictions.task_loss"),
        real(
            "measured_loss",
            "Task loss of the trained target, bits per byte.",
            derived_from="evals.target_results.bits_per_byte",
        ),
        real("chance", "Accuracy of a random guess.", derived_from="evals.tasks.chance"),
    ),
    primary_key=("target", "task"),
    upstream=("ladder.predictions", "evals.target_results", "evals.tasks", "ladder.points"),
    owner=OWNER,
    expectations=(row_count(1), between("measured", 0, 1), between("error", -1, 1)),
)

COMPARISON = text("comparison", "Fingerprint of the comparison and its inputs.")

COMPARISON_RUNS = Contract(
    name="ladder.comparison_runs",
    description="Measurements of two mixtures by `watershed compare`: a row per mixture, run, seed and task.",
    command="watershed compare",
    columns=(
        COMPARISON,
        text("mixture", "The mixture trained on, as given on the command line."),
        text(
            "dataset",
            "Fingerprint of the shards of its documents; both mixtures have the same size.",
            derived_from=("dclm.scores.score", "dclm.paragraphs.text"),
        ),
        text("run", "Name of the run: size-multiplexC."),
        integer("seed", "Seed of the initial weights and of the order of sequences."),
        text("task", "The task.", derived_from="evals.examples.task"),
        boolean("is_target", "Whether the run only checks the decision."),
        integer("parameters", "N of the run."),
        integer("tokens", "D of the run."),
        real("flops", "C of the run."),
        real("bits_per_byte", "Mean bits per byte of the true choice."),
        real("accuracy", "Share of examples answered correctly, 0..1."),
        integer("examples", "Examples answered."),
        real("heldout_bits_per_byte", "Loss on the lake's held-out shards, bits per byte of text."),
        real("seconds", "Duration of training, in seconds."),
        text("sha256", "Digest of the final weights."),
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
        text("first", "One mixture."),
        text("second", "The other."),
        text("task", "The task; `mean` is the mean over the tasks."),
        text("measure", "bits_per_byte or accuracy."),
        text("target", "Run that the decision is for: size-multiplexC."),
        texts("runs", "Runs that each mixture was trained in."),
        integer("seeds", "Seeds of every run."),
        real(
            "predicted",
            "Difference at the target, in the units of the measure; positive if the first is better.",
            derived_from=("ladder.comparison_runs.bits_per_byte", "ladder.comparison_runs.accuracy"),
        ),
        real("low", "Lower end of the 90% band of the true difference."),
        real("high", "Upper end of the 90% band."),
        real("probability", "Probability that the first is better at the target."),
        text("decision", "The mixture that is predicted to be better, or `cannot tell`."),
        timestamp("stored_at", "When the decision was made."),
        real(
            "measured",
            "Difference of the trained targets, mean over seeds; null before they are trained.",
            nullable=True,
        ),
        real("measured_error", "Standard error of `measured` over the seeds; null for a single seed.", nullable=True),
        boolean(
            "decided_right",
            "Whether the measured difference has the predicted sign; null without a decision.",
            nullable=True,
        ),
        timestamp("checked_at", "When the targets were measured.", nullable=True),
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
SEARCHABLE = Searchable(
    kind="prediction",
    tables=(PREDICTIONS.name,),
    sql=f"""
    SELECT target || ', ' || task AS name, ['text'] AS modalities,
           format('accuracy {{:.3f}}, between {{:.3f}} and {{:.3f}}', accuracy, low, high) AS description
    FROM {PREDICTIONS.name}
    """,
)

FAMILY = Family(
    name="ladder",
    contracts=CONTRACTS,
    searchable=(SEARCHABLE,),
    lineage=Lineage(
        links=(
            Link("ladder.points", ("run", "task"), "evals.results", ("run", "task")),
            Link("ladder.outcomes", ("target",), "models.targets", ("run",)),
            Link("ladder.outcomes", ("target", "task"), "evals.target_results", ("run", "task")),
        )
    ),
    site="catalog.tables.ladder.site",
)
