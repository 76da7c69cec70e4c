"""A mixture of experts beside a dense model, and how the mixture routes."""

from __future__ import annotations

from catalog.columns import boolean, integer, real, text
from catalog.contract import Contract, between, matches, one_of, references, row_count, warned
from catalog.family import Family, Lineage, Models, Report, Searchable
from catalog.tables.models import CHECKPOINT_COLUMNS
from catalog.trained import BATCH_EXPECTATIONS, INTENDED, STEP, TOKENS_READ, batch_columns

OWNER = "training"

LAYER = integer("layer", "Layer of the model, from 0.")
EXPERT = integer("expert", "Expert of the layer, from 0.")
RUN = text("run", "The mixture, as in moe.models.", derived_from="moe.models.run")
ROUTED_FROM = ("moe.models", "dclm.shards", "dclm.spans", "dclm.documents")
CHECKPOINT = {column.name: column for column in CHECKPOINT_COLUMNS}
"""The columns that moe.models shares with models.checkpoints."""

MODELS = Contract(
    name="moe.models",
    description="A mixture of experts and a dense model with as many active parameters, trained on the same batches.",
    columns=(
        text("run", "Name of the run: size-multiplexC, followed by -moe for the mixture."),
        text("kind", "dense or moe."),
        integer("experts", "Experts per layer; 0 in a dense model."),
        integer("experts_per_token", "k: experts per token in a layer."),
        CHECKPOINT["parameters"],
        integer("total_parameters", "All parameters, both embeddings included."),
        integer("active_parameters", "Parameters that a token uses: k experts per layer."),
        *(CHECKPOINT[name] for name in ("tokens", "flops", "steps", "dataset", "train_loss", "heldout_bits_per_byte")),
        real(
            "smallest_load",
            "Tokens of the least used expert over an even share, mean over the last quarter of the logged steps.",
            nullable=True,
        ),
        real("largest_load", "The same for the most used expert of any layer; 1 is balance.", nullable=True),
        *(CHECKPOINT[name] for name in ("seconds", "tokens_per_second", "path", "sha256", "config")),
    ),
    primary_key=("run",),
    upstream=("dclm.shards",),
    owner=OWNER,
    expectations=(
        row_count(2, why="a mixture and a dense model"),
        one_of("kind", ("dense", "moe")),
        between("heldout_bits_per_byte", 0, 8, why="a model that knows nothing needs eight bits per byte"),
        # A run whose routing is not balanced is recorded too.
        warned(between("smallest_load", 0.1, 1, why="no expert starves: routing is balanced")),
        warned(between("largest_load", 1, 4, why="no expert takes all: routing is balanced")),
        matches("sha256", r"^[0-9a-f]{64}$"),
    ),
)

METRICS = Contract(
    name="moe.metrics",
    description="Metrics of training: a row per logged step of each run.",
    columns=(
        text("run", "The run, as in moe.models."),
        STEP,
        TOKENS_READ,
        real("loss", "Training loss since the last row, nats per token."),
        real("heldout_bits_per_byte", "Loss on the held-out shards, if it was measured.", nullable=True),
        real(
            "load_balancing_loss",
            "Load-balancing loss of a mixture, in MegaBlocks' scale: 1 at balance.",
            nullable=True,
        ),
        real("router_z_loss", "Router z-loss of a mixture.", nullable=True),
    ),
    primary_key=("run", "step"),
    upstream=("dclm.shards",),
    owner=OWNER,
    expectations=(row_count(2), between("step", 1), between("loss", 0), references("run", "moe.models.run")),
)

EXPERIMENTS = Contract(
    name="moe.experiments",
    description="OLMoE's experiments with mixtures at small scale: a row per variant beside the default.",
    columns=(
        text("variant", "Name of the experiment; default is the mixture of moe.models."),
        text("question", "What the variant changes."),
        text("compared_with", "The variant with as many active parameters that it is compared with."),
        integer("experts", "Routed experts per layer; 0 in a dense model."),
        integer("experts_per_token", "k: routed experts per token in a layer; on average where experts choose."),
        integer("shared_experts", "Experts per layer that every token passes besides."),
        text("choice", "Who chooses: token or expert."),
        integer("hidden", "Inner width of one expert."),
        boolean("upcycled", "Whether the experts began as copies of the dense model's layers."),
        boolean("causal", "Whether losses are those of a causal model; if not, they leak later tokens."),
        CHECKPOINT["parameters"],
        integer("total_parameters", "All parameters, both embeddings included."),
        integer("active_parameters", "Parameters that a token uses."),
        *(CHECKPOINT[name] for name in ("tokens", "flops", "steps", "dataset", "train_loss", "heldout_bits_per_byte")),
        real(
            "difference",
            "heldout_bits_per_byte less that of compared_with; null where one is not causal.",
            nullable=True,
        ),
        real("smallest_load", "As in moe.models; null in a dense model.", nullable=True),
        real("largest_load", "As in moe.models; null in a dense model.", nullable=True),
        real(
            "unread",
            "Share of tokens that no expert of a layer took, mean over the last quarter of the logged steps; null "
            "where tokens choose.",
            nullable=True,
        ),
        *(CHECKPOINT[name] for name in ("seconds", "tokens_per_second", "path", "sha256", "config")),
    ),
    primary_key=("variant",),
    upstream=("dclm.shards",),
    source="the experiments of OLMoE, arXiv 2409.02060, section 4.1",
    owner=OWNER,
    expectations=(
        row_count(2, why="a variant and what it is compared with"),
        one_of("choice", ("token", "expert")),
        between("unread", 0, 1),
        matches("sha256", r"^[0-9a-f]{64}$"),
    ),
)

BATCHES = Contract(
    name="moe.batches",
    description="The sequences that each step of the runs read: a row per step and shard.",
    columns=batch_columns("dclm.shards"),
    primary_key=("run", "step", "shard"),
    upstream=("dclm.shards",),
    owner=OWNER,
    expectations=(*BATCH_EXPECTATIONS, references("run", "moe.models.run")),
)

SATURATION = Contract(
    name="moe.saturation",
    description="How early routing settles: the share of a token's experts that a checkpoint and the last one have in "
    "common.",
    columns=(
        RUN,
        text("checkpoint", "Folder of the earlier checkpoint."),
        integer("step", "Optimiser step of that checkpoint."),
        LAYER,
        integer("top_k", "Experts compared: all k, or only the most probable (1)."),
        real("saturation", "Share of the experts that both checkpoints chose, mean over tokens."),
    ),
    primary_key=("run", "step", "layer", "top_k"),
    upstream=ROUTED_FROM,
    source="OLMoE, arXiv 2409.02060, section 5.1",
    owner=OWNER,
    expectations=(row_count(1), between("saturation", 0, 1), references("run", "moe.models.run")),
)

COACTIVATION = Contract(
    name="moe.coactivation",
    description="Experts that are chosen together: a row per ordered pair of experts of a layer.",
    columns=(
        RUN,
        LAYER,
        EXPERT,
        integer("other", "Another expert of the layer."),
        real("all_pairs", "Share of the tokens of `expert` that also chose `other`."),
        real(
            "rank_adjacent",
            "The same for tokens that chose them at adjacent ranks, as in the published heat maps.",
        ),
    ),
    primary_key=("run", "layer", "expert", "other"),
    upstream=ROUTED_FROM,
    source="OLMoE, arXiv 2409.02060, section 5.2",
    owner=OWNER,
    expectations=(
        row_count(1),
        between("all_pairs", 0, 1),
        between("rank_adjacent", 0, 1),
        references("run", "moe.models.run"),
    ),
)

DOMAINS = Contract(
    name="moe.domains",
    description="Tokens of each source of the crawl at each expert: a row per domain, layer and expert.",
    columns=(
        RUN,
        text(
            "domain",
            "Host of the token's document; (others) for all but the largest hosts.",
            derived_from="dclm.documents.host",
        ),
        LAYER,
        EXPERT,
        integer("tokens", "Tokens of the domain that chose the expert."),
        real("share", "Share of all tokens of the domain; k / experts if the domain does not matter."),
    ),
    primary_key=("run", "domain", "layer", "expert"),
    upstream=ROUTED_FROM,
    source="OLMoE, arXiv 2409.02060, section 5.3",
    owner=OWNER,
    expectations=(
        row_count(1),
        between("tokens", 0),
        between("share", 0, 1),
        references("run", "moe.models.run"),
    ),
)

VOCABULARY = Contract(
    name="moe.vocabulary",
    description="The tokens most specific to each expert: those that choose it first most often.",
    columns=(
        RUN,
        text("variant", "Which token: the one read (input), the next one (target) or the predicted one (predicted)."),
        LAYER,
        EXPERT,
        integer("token", "Id in the vocabulary."),
        text("text", "Text of the token."),
        integer("occurrences", "Number of times that the token occurs."),
        real("share", "Share of these occurrences that chose this expert first."),
    ),
    primary_key=("run", "variant", "layer", "expert", "token"),
    upstream=ROUTED_FROM,
    source="OLMoE, arXiv 2409.02060, section 5.4",
    owner=OWNER,
    expectations=(
        row_count(1),
        one_of("variant", ("input", "target", "predicted")),
        between("share", 0, 1),
        between("occurrences", 1),
        references("run", "moe.models.run"),
    ),
)

CONTRACTS = (MODELS, METRICS, BATCHES, EXPERIMENTS, SATURATION, COACTIVATION, DOMAINS, VOCABULARY)
SEARCHABLE = Searchable(
    kind="model",
    tables=(MODELS.name,),
    sql=f"""
    SELECT run AS name, ['text'] AS modalities, 'data set ' || dataset || ' weights ' || sha256 AS detail,
           format('{{}}, {{:,}} active of {{:,}} parameters, {{:,}} tokens',
                  kind, active_parameters, total_parameters, tokens) AS description
    FROM {MODELS.name}
    """,
)

REPORTS = (
    Report(
        title="Training",
        tables=(METRICS.name,),
        sql=f"""
        SELECT 'training loss' AS series, tokens AS x, loss AS y FROM {METRICS.name} WHERE run = $model ORDER BY step
        """,
        x="tokens read",
        y="nats a token",
    ),
    Report(
        title="Saturation of routing",
        tables=(SATURATION.name,),
        sql=f"""
        SELECT 'layer ' || layer AS series, step AS x, saturation AS y FROM {SATURATION.name}
        WHERE run = $model AND top_k > 1 ORDER BY layer, step
        """,
        x="steps",
        y="share of experts that the last checkpoint chooses too",
    ),
)

FAMILY = Family(
    name="moe",
    contracts=CONTRACTS,
    lineage=Lineage(batches=("moe.batches",)),
    searchable=(SEARCHABLE,),
    models=(
        Models(table=MODELS.name, reports=REPORTS, intended=INTENDED),
        Models(table=EXPERIMENTS.name, name="variant", intended=INTENDED),
    ),
)
