"""Trainers started from assets: each in its own process through Dagster Pipes, with files in and files out.

A trainer gets a folder of shards and a configuration, and hands back `result.json`, `metrics.jsonl` and
checkpoints. It knows nothing of the lake; this module puts what it returns into the words of the contracts.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import dagster as dg

from catalog.errors import WatershedError
from catalog.lake import WHOLE, Lake
from catalog.progress import track
from catalog.tables.models import BATCHES
from dagster_project.engine.table_asset import Making

if TYPE_CHECKING:
    import pyarrow as pa

PROGRESS = "progress "
"""Trainers print a line `progress {json}` about every second."""


@dataclass(frozen=True)
class Trained:
    """What a run left: a row of models.checkpoints or models.targets, its metrics, and counts to show."""

    checkpoint: pa.Table
    metrics: pa.Table
    counts: dict[str, Any]


def shard_folder(lake: Lake) -> Path:
    """Folder of the current data set, with `train` and `heldout` in it.

    Raises:
        WatershedError: its files are not where the lake says.
    """
    datasets = set(lake.read("dclm.shards", ["dataset"])["dataset"].to_pylist())
    folder = lake.folder("dclm.shards", *datasets)
    if len(datasets) != 1 or not folder.is_dir():
        raise WatershedError(f"{folder}: the shards are not here", "materialise dclm.shards again")
    return folder


def train(making: Making, run: str) -> Trained:
    """Train `run` on the lake's shards in a process of its own, or go on where it was interrupted."""
    import pyarrow as pa

    shards = shard_folder(making.lake)
    folder = making.lake.folder("models.checkpoints", shards.name, run)
    device = making.settings.trainer.device
    config = {"preset": run, "shards": str(shards), "out": str(folder), "device": device}
    start(making, "trainers.pretrain", config, run)
    result = json.loads((folder / "result.json").read_text())
    metrics = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return Trained(
        pa.Table.from_pylist([_checkpoint_row(making.lake, folder, result)]),
        pa.Table.from_pylist([_metric_row(run, row) for row in metrics]),
        {
            "parameters": result["parameters"],
            "tokens": result["tokens"],
            "FLOPs": result["flops"],
            "tokens/s": result["tokens_per_s"],
            "held-out bits per byte": result["heldout_bits_per_byte"],
        },
    )


def _checkpoint_row(lake: Lake, folder: Path, result: Mapping[str, Any]) -> dict[str, Any]:
    from trainers.pretraining.presets import parse

    scale, multiple = parse(result["preset"])
    identity = json.loads((folder / "config.json").read_text())["identity"]
    return {
        "run": result["run"],
        "size": scale.name,
        "chinchilla_multiple": multiple,
        "parameters": result["parameters"],
        "tokens": result["tokens"],
        "flops": float(result["flops"]),
        "steps": result["steps"],
        "dataset": identity["dataset"],
        "train_loss": result["train_loss"],
        "heldout_bits_per_byte": result["heldout_bits_per_byte"],
        "seconds": result["seconds"],
        "tokens_per_second": result["tokens_per_s"],
        "path": lake.relative(folder / Path(result["checkpoint"]).name),
        "sha256": result["checkpoint_sha256"],
        "config": json.dumps(identity, sort_keys=True),
    }


def _metric_row(run: str, row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "run": run,
        "step": row["step"],
        "tokens": row["tokens"],
        "loss": row["loss"],
        "learning_rate": row["lr"],
        "grad_norm": row["grad_norm"],
        "tokens_per_second": row["tokens_per_s"],
    }


def evaluate(making: Making, run: str, models: str) -> pa.Table:
    """The answers of `run`, a row of the table `models`, to every example; rows of evals.results."""
    import pyarrow as pa

    from spark_jobs.evals.continuations import questions_folder

    lake = making.lake
    checkpoint = next(row for row in lake.read(models, ["run", "path"]).to_pylist() if row["run"] == run)
    questions = questions_folder(lake, lake.written("evals.examples")[WHOLE].fingerprint)
    out = lake.folder("evals.results", making.fingerprint, run)
    config = {
        "checkpoint": str(lake.files / checkpoint["path"]),
        "questions": str(questions / "questions.npz"),
        "out": str(out),
        "device": making.settings.trainer.device,
    }
    start(making, "trainers.answer_questions", config, f"{run} answers")
    answers = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    names = ("question_id", "task", "predicted", "gold", "correct", "choice_logprobs", "bits_per_byte")
    weights = json.loads((out / "summary.json").read_text())["checkpoint_sha256"]
    versions, digests = asked(lake)
    return pa.Table.from_pylist(
        [
            {"run": run, **{name: answer[name] for name in names}}
            | {"version": versions[answer["task"]], "model": weights, "prompt_digest": digests[answer["question_id"]]}
            for answer in answers
        ]
    )


def asked(lake: Lake) -> tuple[dict[str, str], dict[str, str]]:
    """The version of each task of the lake's own, and the digest of each question as models are given it."""
    from trainers.icl.prompts import Prompt

    tasks = lake.read("evals.tasks", ["task", "version"]).to_pylist()
    digests = {}
    for row in lake.read("evals.examples", ["question_id", "context", "choices", "gold"]).to_pylist():
        prompt = Prompt(0, "", preamble="", contexts=(row["context"],), answers=tuple(row["choices"]), gold=row["gold"])
        digests[row["question_id"]] = prompt.digest
    return {row["task"]: row["version"] for row in tasks}, digests


def start(making: Making, module: str, config: Mapping[str, Any], label: str, *, ranks: bool = True) -> None:
    """Run `python -m module --config FILE` through Pipes, drawing its progress.

    Args:
        ranks: whether the module shares its work over the ranks of `[trainer] launcher`.

    Raises:
        WatershedError: it failed; cause and mend are its own.
    """
    with dg.open_pipes_session(
        context=making.context,
        context_injector=dg.PipesEnvContextInjector(),
        message_reader=dg.PipesTempFileMessageReader(),
    ) as session:
        launcher = making.settings.trainer.launcher if ranks else []
        run_trainer(module, config, label, launcher, session.get_bootstrap_env_vars())


def run_trainer(
    module: str,
    config: Mapping[str, Any],
    label: str,
    launcher: Sequence[str] = (),
    environment: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Run `python -m module --config FILE` in a process of its own, drawing its progress.

    Args:
        launcher: words before the module, as `[trainer] launcher`.
        environment: what the process finds in its environment besides ours.

    Raises:
        WatershedError: it failed; cause and mend are its own.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.json"
        path.write_text(json.dumps(config))
        errors = Path(folder) / "errors.txt"
        with errors.open("w") as stderr:
            process = subprocess.Popen(
                [*(launcher or (sys.executable, "-m")), module, "--config", str(path)],
                env={**_environment(), **environment},
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                cwd=Path(__file__).parents[3],
            )
            _follow(process, label)
        if process.returncode:
            raise WatershedError(*_cause(errors.read_text(), label))


def _environment() -> dict[str, str]:
    import os

    # A trainer of one thread must not start OpenMP's others, which would fight with the run beside it.
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


def _follow(process: subprocess.Popen[str], label: str) -> None:
    """Draw progress until the process ends; it does not outlive this call."""
    assert process.stdout
    try:
        with track(label, 0) as task:
            for line in process.stdout:
                if line.startswith(PROGRESS):
                    said = json.loads(line.removeprefix(PROGRESS))
                    if "step" in said:
                        task.reach(said["step"], total=said.get("steps"), note=_note(said))
        process.wait()
    except BaseException:
        process.kill()
        raise


def _note(said: Mapping[str, Any]) -> str:
    return f"loss {said['loss']:.3f}" if said.get("loss") is not None else ""


def _cause(errors: str, label: str) -> tuple[str, str]:
    lines = [line for line in errors.splitlines() if line.strip()]
    said = {key: line.removeprefix(f"{key}: ") for line in lines for key in ("error", "mend") if line.startswith(key)}
    last = lines[-1] if lines else "it ended without a word; was it killed for memory?"
    return f"{label}: {said.get('error', last)}", said.get("mend", "run it again; it resumes from its checkpoint")


def batches(lake: Lake, checkpoints: pa.Table) -> pa.Table:
    """Rows of models.batches or moe.batches: what each step of the runs of `checkpoints` (`run`, `config`) read."""
    import pyarrow as pa

    from trainers.data.batches import batch_rows, loader_of, steps_of
    from trainers.data.shards import check_manifest

    train = check_manifest(shard_folder(lake) / "train", digests=False)
    rows = []
    for run in checkpoints.select(["run", "config"]).to_pylist():
        identity = json.loads(run["config"])
        for row in batch_rows(loader_of(identity, [train]), identity["batch"], steps_of(identity)):
            found = {"run": run["run"], "dataset": identity["dataset"], "split": "train"}
            rows.append(found | {name: row[name] for name in ("step", "shard", "sequences")})
    return pa.Table.from_pylist(rows, schema=BATCHES.schema)


def training_curve(metrics: pa.Table) -> dg.MarkdownMetadataValue:
    """Loss over tokens as a picture in Markdown."""
    from dagster_project.engine.pictures import markdown_picture

    def draw(axes: Any) -> None:
        axes.plot(metrics["tokens"].to_numpy(), metrics["loss"].to_numpy(), linewidth=1)
        axes.set_xlabel("tokens")
        axes.set_ylabel("training loss, nats per token")

    return markdown_picture(draw, "training loss over tokens")
