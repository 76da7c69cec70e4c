"""A made registry of three data sets, three models and four evaluations, in the published format, with faults."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainers.icl.tasks import dclm_tasks

V1 = {
    "siqa": 0.333,
    "commonsense_qa": 0.2,
    "bigbench_novel_concepts": 0.2,
    "bigbench_language_identification": 0.091,
    "bigbench_conceptual_combinations": 0.25,
    "bigbench_elementary_math_qa": 0.2,
    "agi_eval_lsat_ar": 0.2,
    "bigbench_logical_deduction": 0.2,
    "logi_qa": 0.27,
    "agi_eval_lsat_rc": 0.2,
    "agi_eval_lsat_lr": 0.2,
    "bigbench_understanding_fables": 0.2,
}
"""The random baselines of version 1 that version 2 changed."""


def uuid(number: int) -> str:
    """Return a uuid that is easy to recognise."""
    return f"{number:08d}-0000-4000-8000-{number:012d}"


def write_registry(folder: Path) -> Path:
    """Write the files of the registry to `folder`, and return it.

    The third model refers to a missing data set, and the third evaluation to a missing model. The fourth evaluation
    names no model, lacks a task, and stores a CORE that is .01 too high.
    """
    for number, kind in ((1, "tokenized"), (2, "tokenized"), (3, "raw_sources/split")):
        write(folder, f"datasets/{kind}/data{number}.json", dataset(number, kind == "tokenized"))
    for number, data in ((11, uuid(1)), (12, uuid(2)), (13, "")):
        write(folder, f"models/model{number}.json", model(number, data))
    for number, whose in ((21, uuid(11)), (22, uuid(12)), (23, uuid(99))):
        write(folder, f"evals/eval{number}.json", evaluation(number, 0.02 * number, model_uuid=whose))
    write(folder, "evals/eval24.json", evaluation(24, 0.3, without="copa", high=0.01))
    return folder


def write(folder: Path, name: str, content: Mapping[str, Any]) -> None:
    """Write one JSON file."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=4))


def dataset(number: int, tokenized: bool) -> dict[str, Any]:
    """Return the file of a data set. The size of a raw one is text."""
    common = {"uuid": uuid(number), "name": f"data{number}", "creation_date": "2024_04_18-22_10_32"}
    if not tokenized:
        return common | {"tokenized": False, "tokenizer": None, "size": "26 TB", "sources": "paths.txt.gz"}
    sources = [{"uuid": uuid(3), "name": "data3"}]
    return common | {"tokenized": True, "tokenizer": "a/b", "size": 7, "num_tokens": 9, "sources": sources}


def model(number: int, data: str, parameters: int = 411_616_256, multiple: float = 1) -> dict[str, Any]:
    """Return the file of a model that was trained on the data set `data`."""
    numbers = {"params": parameters, "tokens": 20 * parameters, "chinchilla_multiplier": multiple, "lr": 3e-3}
    more = {"model": "open_lm", "cd": 3e-5, "wd": 0.033, "warmup": 2000, "global_bs": 512, "z_loss": 1e-4}
    return {
        "uuid": uuid(number),
        "name": f"model{number}",
        "creation_date": "2024-03-14 20:12:09",
        "dataset_name": "data",
        "dataset_uuid": data,
        "hyperparameters": numbers | more,
        "checkpoint_url": "s3://struck/out",
        "open_lm_args": ["--z-loss", "0.0001"],
    }


def evaluation(number: int, centred: float, *, without: str = "", high: float = 0.0, **more: Any) -> dict[str, Any]:
    """Return an evaluation: all tasks have the centred accuracy `centred` by version 2, and CORE is `high` above."""
    tasks = dclm_tasks()
    scores = {task.name: task.baseline["v2"] + centred * (1 - task.baseline["v2"]) for task in tasks}
    first = {name: (score - V1[name]) / (1 - V1[name]) if name in V1 else centred for name, score in scores.items()}
    core = [task.name for task in tasks if task.core and task.name != without]
    extended = f"N/A due to missing tasks: ['{without}']"
    scores.pop(without, None)
    plain = ("rw_small", "95%_CI_above", "99%_CI_above", "low_variance_datasets")
    names = ("aggregated_results", "aggregated_centered_results", *plain, *(f"{name}_centered" for name in plain))
    return {
        "uuid": uuid(number),
        "name": "eval/heavy",
        "model": f"open_lm_{number}",
        "creation_date": "2024_04_18-22_10_32",
        "eval_metrics": {"icl": {**scores, "gsm8k": 0.5}},
        "aggregated_task_categories_centered": {task.category: 0.5 for task in tasks},
        "missing tasks": f"['{without}']" if without else "[]",
        "Core_v1": sum(first[name] for name in core) / len(core) + high,
        "Core_v2": centred + high,
        "Extended_v1": extended if without else sum(first.values()) / len(first),
        "Extended_v2": extended if without else centred,
        "eval_version": "v2",
        **dict.fromkeys(names, 0.5),
        **more,
    }
