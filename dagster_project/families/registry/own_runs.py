"""Own runs as entries of DCLM's registry: a file for the data, its source, the model and the evaluation."""

from __future__ import annotations

import datetime
import json
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catalog.errors import WatershedError
from catalog.files import write_whole
from spark_jobs.registry.ranking import OWN, TRACKS, scale_of

RUN_TABLES = ("models.checkpoints", "models.targets", "moe.models")
NAMESPACE = uuid.UUID("6f2d0a52-6c1a-5f0e-9d50-5a1c39c1f0d3")
"""Of the UUIDs of own entries, which are made from what they name: the same run gives the same files."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=+-]{0,199}")
TIME = "%Y_%m_%d-%H_%M_%S"
NEEDED = ("preset", "parameters", "total_parameters", "tokens")
"""What the result of a pre-training run has, and that of another objective does not."""


@dataclass(frozen=True, kw_only=True)
class Names:
    """What the files do not say about themselves."""

    dataset: str
    """Name of the data set that the run read."""
    model: str = ""
    """Name of the model; the data set and the run where it is empty."""
    sources: Sequence[str] = ()
    """Names of the raw data sets that the data set was made of."""
    track: str = ""
    """One of `TRACKS`; where it is empty, filtering for one source and mixing for several."""


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What was written."""

    files: tuple[str, ...]
    """Relative to the registry."""
    model: str
    scale: str | None
    """None where the size is none of DCLM's, so that the model cannot be ranked."""
    track: str
    core: float


def find_run(run: str) -> Path:
    """The folder of a run: `run` itself, or that of the lake's run of the name.

    Raises:
        WatershedError: it is neither.
    """
    if Path(run).is_dir():
        return Path(run)
    from catalog.lake import Lake
    from catalog.settings import load_settings

    known: dict[str, Path] = {}
    lake = Lake.of(load_settings())
    for table in RUN_TABLES:
        if lake.version(table) is not None:
            rows = lake.read(table, ["run", "path"]).to_pylist()
            known |= {row["run"]: (lake.files / row["path"]).parent for row in rows}
    if run not in known:
        mend = f"name a run's folder, or one of {', '.join(sorted(known))}" if known else "name the folder of a run"
        raise WatershedError(f"{run} is not a folder and not a run of the lake", mend)
    return known[run]


def export_run(run: Path, evaluation: Path, out: Path, names: Names) -> Exported:
    """Write the four files of a run; those of an earlier export of the same run are replaced.

    Args:
        run: folder of a finished pre-training run.
        evaluation: folder that `watershed evals run` wrote for its newest checkpoint.
        out: a folder in the format of DCLM's registry; made if it does not exist.
        names: of the entries.

    Raises:
        WatershedError: a name does not fit, the run is not finished or has no scale, or the evaluation is missing, of
            other weights, of a part of the examples, or without a task of CORE.
        TrainerError: a file of the run is damaged.
    """
    from trainers.process.run_folder import read_config_json, read_result

    _check_names(names)
    result, identity = read_result(run), read_config_json(run)["identity"]
    if lacking := [name for name in NEEDED if not result.get(name)]:
        raise WatershedError(
            f"{run} has no scale: its result lacks {', '.join(lacking)}",
            "export the pre-training run; runs of other objectives have no scale of DCLM",
        )
    found = _scores(run, evaluation, result)
    sources = list(names.sources) or [names.dataset]
    track = names.track or TRACKS[len(set(sources)) > 1]
    time = datetime.datetime.fromtimestamp((run / "result.json").stat().st_mtime, datetime.UTC).strftime(TIME)
    model_name = names.model or f"{names.dataset}-{result.get('run') or run.name}"
    _check_name("model", model_name)
    raw = [_raw(name, time) for name in dict.fromkeys(sources)]
    data = _dataset(names.dataset, raw, identity, time)
    model = _model(model_name, data, result, identity, {"creation_date": time, "track": track})
    scored = _evaluation(model, found, time)
    files = {f"datasets/raw_sources/{each['name']}.json": each for each in raw}
    files |= {
        f"datasets/tokenized/{names.dataset}.json": data,
        f"models/{model_name}.json": model,
        f"evals/evaluation_{model_name}_heavy.json": scored,
    }
    for name, content in files.items():
        _refuse_other(out / name, content)
    for name, content in files.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        write_whole(out / name, (json.dumps(content, indent=4) + "\n").encode())
    parameters = model["hyperparameters"]["params"]
    return Exported(
        files=tuple(files),
        model=model_name,
        scale=scale_of(parameters, result["tokens"]),
        track=track,
        core=scored["Core_v2"],
    )


def _check_names(names: Names) -> None:
    _check_name("data set", names.dataset)
    for name in names.sources:
        _check_name("source", name)
    if names.track not in ("", *TRACKS):
        raise WatershedError(f"track is {names.track!r}", f"choose {' or '.join(TRACKS)}")


def _check_name(what: str, name: str) -> None:
    if not NAME.fullmatch(name):
        raise WatershedError(
            f"{name!r} cannot be the name of a {what}, which is part of a file's name",
            "use letters, digits and ._=+-, at most 200 of them",
        )


def _scores(run: Path, folder: Path, result: Mapping[str, Any]) -> dict[str, float]:
    """Accuracies by task."""
    from trainers.process.errors import TrainerError
    from trainers.process.files import read_json_object, sha256_file, sha256_text

    again = f"run `watershed evals run {run} --data DIR --out {folder}`"
    if not (folder / "summary.json").is_file():
        raise WatershedError(f"{run} has no evaluation: {folder} has no summary.json", again)
    try:
        summary = read_json_object(folder / "summary.json")
        scores = {str(entry["task"]): float(entry["accuracy"]) for entry in summary["tasks"]}
        digest, limit = str(summary["model_digest"]), int(summary["limit"])
    except (TrainerError, KeyError, TypeError, ValueError) as error:
        raise WatershedError(f"{folder / 'summary.json'} is not a summary of an evaluation ({error})", again) from None
    checkpoint = run / Path(result["checkpoint"]).name
    tokenizer = next((at for at in (checkpoint / "tokenizer.json", run / "tokenizer.json") if at.is_file()), None)
    if tokenizer is None or digest != sha256_text(result["checkpoint_sha256"] + sha256_file(tokenizer)):
        raise WatershedError(f"{folder} evaluates other weights than the last checkpoint of {run}", again)
    if limit:
        raise WatershedError(
            f"{folder} evaluates only the first {limit} examples of each task", f"{again}, without --limit"
        )
    return scores


def _identifier(*parts: str) -> str:
    return str(uuid.uuid5(NAMESPACE, "\n".join(parts)))


def _raw(name: str, time: str) -> dict[str, Any]:
    return {
        "uuid": _identifier("raw", name),
        "name": name,
        "creation_date": time,
        "dataset_url": None,
        "manifest_url": None,
        "sources": [],
        "tokenized": False,
        "tokenizer": None,
        "num_tokens": None,
        "size": None,
        "dcnlp_commit_hash": None,
        "dcnlp_diff": None,
        "data_key": None,
    }


def _dataset(name: str, raw: Sequence[Mapping[str, Any]], identity: Mapping[str, Any], time: str) -> dict[str, Any]:
    return {
        "uuid": _identifier("tokenized", name, str(identity["dataset"]), str(identity["train"])),
        "name": name,
        "creation_date": time,
        "dataset_url": None,
        "manifest_url": None,
        "sources": [{"uuid": each["uuid"], "name": each["name"]} for each in raw],
        "tokenized": True,
        "tokenizer": f"{identity['model']['vocab_size']} entries",
        "num_tokens": None,
        "size": None,
        "dcnlp_commit_hash": None,
        "dcnlp_diff": None,
        "data_key": "tar",
        "sampling_yaml": None,
        "fingerprint": identity["dataset"],
    }


def _model(
    name: str, data: Mapping[str, Any], result: Mapping[str, Any], identity: Mapping[str, Any], made: Mapping[str, str]
) -> dict[str, Any]:
    model, optimiser = identity["model"], identity["optimiser"]
    parameters, embedding = result["total_parameters"], model["vocab_size"] * model["width"]
    multiple = result["tokens"] / (20 * parameters)
    rate = optimiser["learning_rate"]
    return {
        "uuid": _identifier("model", result["fingerprint"], result["checkpoint_sha256"]),
        "name": name,
        "dataset_name": data["name"],
        "dataset_uuid": data["uuid"],
        "hyperparameters": {
            "model": str(result["preset"]),
            "tokens": result["tokens"],
            "warmup": optimiser["warmup_steps"],
            "lr": rate,
            "wd": optimiser["weight_decay"],
            "cd": rate * optimiser.get("final_fraction", 0.0),
            "global_bs": identity["batch"],
            "acc": 1,
            "qk_norm": model["qk_norm"],
            "z_loss": optimiser["z_loss"],
            "grad_checkpointing": False,
            "params": parameters,
            "params_no_embed": parameters - embedding,
            "params_active": result.get("active_parameters", parameters),
            "fsdp_flags": [],
            "chinchilla_multiplier": multiple,
            "seed": identity["seed"],
            "norm": model["norm"],
            "vocab_size": model["vocab_size"],
        },
        "checkpoint_url": f"{result.get('run')}/{Path(result['checkpoint']).name}",
        "open_lm_version": None,
        "open_lm_args": [],
        "results": [],
        "params_url": None,
        "failed": False,
        "error": "",
        "framework": OWN,
        **made,
        "sha256": result["checkpoint_sha256"],
    }


def _evaluation(model: Mapping[str, Any], found: Mapping[str, float], time: str) -> dict[str, Any]:
    from trainers.icl.dclm_results import dclm_results
    from trainers.icl.tasks import dclm_tasks

    tasks = [task.name for task in dclm_tasks()]
    scores = {name: found[name] for name in tasks if name in found}
    core = [task.name for task in dclm_tasks() if task.core]
    if missing := [name for name in core if name not in scores]:
        raise WatershedError(
            f"the evaluation of {model['name']} has no CORE, by which models are ranked: it lacks {', '.join(missing)}",
            "evaluate these tasks too, into the same --out",
        )
    results = dclm_results(scores)
    return {
        "uuid": _identifier("evaluation", model["uuid"], json.dumps(scores, sort_keys=True)),
        "name": "eval/heavy" if results["missing tasks"] == "[]" else f"eval/{len(scores)}_tasks",
        "model": model["hyperparameters"]["model"],
        "model_uuid": model["uuid"],
        "creation_date": time,
        "framework": OWN,
        **results,
    }


def _refuse_other(path: Path, content: Mapping[str, Any]) -> None:
    """Refuse to replace the file of another entry, such as a published one."""
    if not path.exists():
        return
    try:
        there = json.loads(path.read_bytes())
        same = there.get("uuid") == content["uuid"] or (
            # A later evaluation of the same model replaces the earlier one.
            there.get("framework") == OWN and there.get("model_uuid") == content.get("model_uuid", "")
        )
    except (OSError, ValueError, AttributeError, RecursionError):
        same = False
    if not same:
        raise WatershedError(f"{path} is the entry of something else", "give another --name or --dataset")
