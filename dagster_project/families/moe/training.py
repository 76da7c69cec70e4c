"""A mixture of experts beside a dense model, trained on the demo's shards, and its routing analysed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from catalog.errors import WatershedError
from catalog.settings import Settings
from dagster_project.engine.table_asset import Making
from dagster_project.families.models.runs import ladder
from dagster_project.families.models.training import shard_folder, start

if TYPE_CHECKING:
    import pyarrow as pa

RUNS = {"smoke": "70k-0.1xC", "small": "130k-0.5xC", "standard": "270k-0.8xC"}
"""The dense run by ladder. The mixture takes the same batches, with the same learning rate."""

EXPERTS, EXPERTS_PER_TOKEN = 16, 4
HIDDEN_SHARES = 4
"""A tiny dense layer is 4 D wide inside; k = 4 experts of D are as wide together."""
CHECKPOINTS = 8
"""A run, so that saturation has a curve."""
DOMAINS = 12
"""Hosts with the most held-out tokens; the others are one domain."""
OTHERS = "(others)"
SEQUENCES = 1024
"""Held-out sequences whose routing is looked at, at most."""

SPANS_SQL = """
WITH token AS (
    SELECT s.shard, s.start, s.stop, coalesce(d.host, $others) AS host
    FROM dclm.spans s JOIN dclm.documents d USING (doc_id) WHERE s.split = 'heldout'
), largest AS (
    SELECT host FROM token GROUP BY host ORDER BY sum(stop - start) DESC, host LIMIT $domains
)
SELECT shard, start, stop, CASE WHEN l.host IS NULL THEN $others ELSE t.host END AS domain
FROM token t LEFT JOIN largest l USING (host) ORDER BY shard, start
"""


def literals(settings: Settings) -> dict[str, Any]:
    """What decides both models."""
    ladder(settings)
    return {"run": RUNS[settings.ladder.name], "experts": EXPERTS, "experts_per_token": EXPERTS_PER_TOKEN}


def configurations(settings: Settings) -> dict[str, dict[str, Any]]:
    """By run: what decides its weights besides the shards; the dense model first."""
    from trainers.pretraining.presets import parse

    run = RUNS[settings.ladder.name]
    scale, _ = parse(run)
    mixture = {
        "kind": "moe",
        "experts": EXPERTS,
        "experts_per_token": EXPERTS_PER_TOKEN,
        "hidden": scale.hidden // HIDDEN_SHARES,
    }
    return {run: {"preset": run, "run": run}, f"{run}-moe": {"preset": run, "run": f"{run}-moe", "model": mixture}}


def train_both(making: Making) -> tuple[pa.Table, pa.Table]:
    """Rows of moe.models and moe.metrics: each model trained in a process of its own, or gone on with."""
    import pyarrow as pa

    from catalog.tables.moe import METRICS, MODELS
    from dagster_project.families.dclm.recipes import SEQUENCE_LENGTH, VOCABULARY
    from trainers.pretraining.presets import preset

    models, metrics = [], []
    for run, config in configurations(making.settings).items():
        every = -(-preset(config["preset"], VOCABULARY, SEQUENCE_LENGTH).steps // CHECKPOINTS)
        folder = run_folder(making, run)
        often = {"checkpoint_every": every, "keep_checkpoints": 0, "evaluate_every": every}
        places = {"shards": str(shard_folder(making.lake)), "out": str(folder)}
        start(making, "trainers.pretrain", config | often | places | {"device": making.settings.trainer.device}, run)
        rows = _json_lines(folder / "metrics.jsonl")
        models.append(_model_row(making, folder, rows))
        metrics += [{name: row.get(name) for name in METRICS.schema.names} | {"run": run} for row in rows]
    return (pa.Table.from_pylist(models, schema=MODELS.schema), pa.Table.from_pylist(metrics, schema=METRICS.schema))


def run_folder(making: Making, run: str) -> Path:
    """Where a run of moe.models lies."""
    return making.lake.folder("moe.models", shard_folder(making.lake).name, run)


def _model_row(making: Making, folder: Path, metrics: list[dict[str, Any]]) -> dict[str, Any]:
    result = json.loads((folder / "result.json").read_text())
    identity = json.loads((folder / "config.json").read_text())["identity"]
    model = identity["model"]
    same = ("run", "parameters", "total_parameters", "active_parameters", "tokens", "steps", "train_loss", "seconds")
    return {
        **{name: result[name] for name in (*same, "heldout_bits_per_byte")},
        **_loads(model, metrics),
        "kind": model["kind"],
        "experts": model.get("experts", 0),
        "experts_per_token": model.get("experts_per_token", 0),
        "flops": float(result["flops"]),
        "dataset": identity["dataset"],
        "tokens_per_second": result["tokens_per_s"],
        "path": making.lake.relative(folder / Path(result["checkpoint"]).name),
        "sha256": result["checkpoint_sha256"],
        "config": json.dumps(identity, sort_keys=True),
    }


def _loads(model: Mapping[str, Any], metrics: list[dict[str, Any]]) -> dict[str, float | None]:
    """Loads of the least and most used expert over an even share, each the mean over the last quarter of the rows."""
    import numpy as np

    if model["kind"] != "moe":
        return {"smallest_load": None, "largest_load": None}
    last = metrics[-max(1, len(metrics) // 4) :]
    load_LE = np.mean([row["expert_load"] for row in last], axis=0) * model["experts"] / model["experts_per_token"]
    return {"smallest_load": float(load_LE.min()), "largest_load": float(load_LE.max())}


def curves(metrics: pa.Table) -> dg.MarkdownMetadataValue:
    """Training and held-out loss of both runs over tokens, as a picture."""
    import pyarrow.compute as pc

    from dagster_project.engine.pictures import markdown_picture

    def draw(axes: Any) -> None:
        for run in dict.fromkeys(metrics["run"].to_pylist()):
            rows = metrics.filter(pc.field("run") == run)
            axes.plot(rows["tokens"].to_numpy(), rows["loss"].to_numpy(), linewidth=1, label=run)
        axes.set_xlabel("tokens")
        axes.set_ylabel("training loss, nats per token")
        axes.legend(frameon=False)

    return markdown_picture(draw, "training loss of both models over tokens")


def analyse(making: Making) -> dict[str, pa.Table]:
    """Rows of the routing tables by name, and the pictures into the metadata of `making`."""
    import pyarrow.parquet as pq

    run = next(
        row["run"] for row in making.lake.read("moe.models", ["run", "kind"]).to_pylist() if row["kind"] == "moe"
    )
    out = making.lake.folder("moe.saturation", making.fingerprint)
    out.mkdir(parents=True, exist_ok=True)
    pq.write_table(_spans(making.settings), out / "domains.parquet")
    config = {
        "checkpoint": str(run_folder(making, run)),
        "shards": [str(shard_folder(making.lake) / "heldout")],
        "out": str(out),
        "domains": str(out / "domains.parquet"),
        "sequences": SEQUENCES,
        "device": making.settings.trainer.device,
    }
    start(making, "trainers.analyse_routing", config, f"{run} routing", ranks=False)
    making.metadata |= _pictures(out)
    return _tables(run, out, shard_folder(making.lake) / "tokenizer.json")


def _spans(settings: Settings) -> pa.Table:
    from catalog.sql.query import connect

    found = connect(settings).execute(SPANS_SQL, {"others": OTHERS, "domains": DOMAINS}).to_arrow_table()
    if not found.num_rows:
        raise WatershedError("dclm.spans names no held-out document", "materialise dclm.shards again")
    return found


def _pictures(out: Path) -> dict[str, dg.MarkdownMetadataValue]:
    from dagster_project.engine.pictures import markdown_file

    names = json.loads((out / "routing.json").read_text())["pictures"]
    return {name.removesuffix(".png"): markdown_file(out / name, name.removesuffix(".png")) for name in names}


def _tables(run: str, out: Path, tokenizer: Path) -> dict[str, pa.Table]:
    import pyarrow as pa
    from tokenizers import Tokenizer

    from catalog.tables.moe import COACTIVATION, DOMAINS, SATURATION, VOCABULARY

    words = Tokenizer.from_file(str(tokenizer))
    tables = {}
    for contract in (SATURATION, COACTIVATION, DOMAINS, VOCABULARY):
        rows = _json_lines(out / f"{contract.table}.jsonl")
        for row in rows:
            row["run"] = run
            if contract is VOCABULARY:
                row["text"] = words.decode([row["token"]], skip_special_tokens=False)
        tables[contract.name] = pa.Table.from_pylist(rows, schema=contract.schema)
    return tables


def _json_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]
