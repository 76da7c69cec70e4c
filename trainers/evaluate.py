"""Evaluate a model on DCLM's tasks: python -m trainers.evaluate --config FILE

    evaluate.yaml    model: runs/190M-1xC    data: eval_tasks    out: evals/190M-1xC

Written into `out`: tasks/<task>.jsonl as answers come, then results.parquet with a row an example, and summary.json
with each task's scores, CORE, EXTENDED and MMLU. Killed and started again, it goes on where it was.
"""

from __future__ import annotations

import fcntl
import json
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from trainers.icl.aggregate import aggregates, categories
from trainers.icl.answers import Row, answer_row, task_summary
from trainers.icl.files import ENDINGS, Example, find_file, read_own_task, read_task
from trainers.icl.journal import Journal
from trainers.icl.programs import check_samples, program_row
from trainers.icl.prompts import Prompt, digest_of, write_prompts
from trainers.icl.score import batches, greedy_texts, loglikelihoods
from trainers.icl.tasks import Task, Version, checked_version, chosen_tasks
from trainers.icl.tokens import Request, TooLong, most_written, requests
from trainers.process.command import run_from_config
from trainers.process.errors import TrainerError
from trainers.process.files import sha256_file, whole_file, write_json
from trainers.process.optional import need
from trainers.process.progress import Progress, pipes_session
from trainers.serving.language_model import Opened, open_model

CODE_VERSION = "icl-1"
RESULTS, SUMMARY, TASKS, LOCK = "results.parquet", "summary.json", "tasks", ".lock"
BATCH_TOKENS = {"cpu": 4096, "cuda": 32768}


@dataclass(frozen=True, kw_only=True)
class IclConfig:
    """What to ask of which model, and where to write the answers."""

    model: str
    """A checkpoint, a run folder (its newest checkpoint), or a folder in the Hugging Face format."""
    out: str
    data: str = ""
    """Folder with the task files of DCLM's tasks; "" where only `files` are asked."""
    files: Sequence[str] = ()
    """The user's own task files, each a task of its own."""
    shots: int = 0
    """Solved examples before each question of `files`."""
    samples: int = 1
    """Programs written to each problem of code, for pass@k."""
    temperature: float = 0.0
    """At which programs are drawn; 0: the likeliest token each time."""
    program_tokens: int = 256
    """Tokens of a program at most."""
    tasks: Sequence[str] = ()
    """Names; "core" and "extended" stand for theirs. None: all that have a file."""
    version: str = "v2"
    """Of the random baselines."""
    name: str = ""
    """The model's name in the results; its folder's when empty."""
    limit: int = 0
    """Examples of each task that are asked, from the first on; 0: all."""
    batch_tokens: int = 0
    """Tokens read at a time, padding counted; 0: as suits the device."""
    device: str = "auto"
    dtype: str = "float32"
    """Or "bfloat16"."""
    threads: int = 0
    """CPU threads; 0 leaves torch's own choice."""


@dataclass(frozen=True)
class Asked:
    """A task whose file was found, read and found right."""

    task: Task
    examples: list[Example]
    prompts: list[Prompt]
    data_digest: str


def evaluate(config: IclConfig, report: Callable[[int, int], None] | None = None) -> dict[str, Any]:
    """Ask, write, and return the summary.

    Args:
        report: called with the examples done and asked; else progress goes to stdout.

    Raises:
        TrainerError: a malformed file, a model that cannot be opened, or another evaluation in `out`.
    """
    need("pyarrow", work=f"writing {RESULTS}")
    version = checked_version(config.version)
    asked, missing = _read_tasks(config)
    if config.threads:
        torch.set_num_threads(config.threads)
    opened = open_model(Path(config.model), config.device, config.dtype)
    out = Path(config.out)
    with _claimed(out), pipes_session() as pipes:
        journals = [_journal(config, entry, opened) for entry in asked]
        total, done = sum(len(entry.prompts) for entry in asked), sum(len(journal.rows) for journal in journals)
        progress = Progress("evals", _name(config), total, done, pipes, silent=report is not None)
        for entry, journal in zip(asked, journals, strict=True):
            try:
                for answered in _ask(config, entry, journal, opened):
                    done += answered
                    progress.step(done, task=entry.task.name)
                    if report:
                        report(done, total)
            except TooLong as error:
                missing[entry.task.name] = error.cause
            journal.close()
        asked = [entry for entry in asked if entry.task.name not in missing]
        whole = [journal for journal in journals if journal.rows]
        answers = [[journal.rows[number] for number in sorted(journal.rows)] for journal in whole]
        _write_results(out / RESULTS, _name(config), version, asked, answers)
        summary = _summary(config, version, opened, asked, answers) | {"missing": missing}
        write_json(out / SUMMARY, summary)
        progress.event("finished", **{name: summary[name]["value"] for name in ("core", "extended", "mmlu")})
    return summary


def _name(config: IclConfig) -> str:
    return config.name or Path(config.model).absolute().name


def _read_tasks(config: IclConfig) -> tuple[list[Asked], dict[str, str]]:
    """Every task that has a file, and why the others cannot be asked; then the user's own."""
    asked, missing = _read_own(config), {}
    if not config.data:
        if not asked:
            raise TrainerError("there is no task to evaluate", "give --data, a folder of task files, or --file")
        return asked, missing
    folder = Path(config.data)
    if not folder.is_dir():
        raise TrainerError(f"{folder} is not a folder", "give the folder of the task files")
    for task in chosen_tasks(config.tasks):
        path = find_file(folder, task)
        if path is None:
            missing[task.name] = f"no file {task.file}{ENDINGS[0]}"
            continue
        examples = read_task(path, task)
        prompts = write_prompts(task, examples, config.limit)
        asked.append(Asked(task, examples, prompts, sha256_file(path)))
    if not asked:
        raise TrainerError(f"{folder} has no file of {', '.join(missing)}", "give the folder of the task files")
    return asked, missing


def _read_own(config: IclConfig) -> list[Asked]:
    check_samples(config.samples, config.temperature)
    asked: list[Asked] = []
    for file in config.files:
        task, examples = read_own_task(Path(file), config.shots)
        if task.name in {entry.task.name for entry in asked}:
            raise TrainerError(f"two task files are called {task.name}", "rename one of them")
        asked.append(Asked(task, examples, write_prompts(task, examples, config.limit), sha256_file(Path(file))))
    return asked


@contextmanager
def _claimed(out: Path) -> Generator[None]:
    """Hold `out` for this process."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TrainerError(f"another process evaluates into {out}", "wait for it, or give another --out") from None
        yield


def _journal(config: IclConfig, entry: Asked, opened: Opened) -> Journal:
    task = asdict(entry.task)
    # The baseline decides no answer: the same ones are centred by either version.
    del task["baseline"]
    identity = {
        "code": CODE_VERSION,
        "task": json.loads(json.dumps(task)),
        "model": opened.digest,
        "data": entry.data_digest,
        "prompts": digest_of(entry.prompts),
        "dtype": config.dtype,
        "batch_tokens": _batch_tokens(config, opened),
    }
    if entry.task.kind == "code_generation":
        identity["programs"] = [config.samples, config.temperature, config.program_tokens]
    return Journal(Path(config.out) / TASKS / f"{entry.task.name}.jsonl", identity)


def _batch_tokens(config: IclConfig, opened: Opened) -> int:
    return config.batch_tokens or BATCH_TOKENS.get(opened.model.device.type, BATCH_TOKENS["cpu"])


def _ask(config: IclConfig, entry: Asked, journal: Journal, opened: Opened) -> Iterator[int]:
    """Answer the examples of a task that have no answer yet; yields how many, batch after batch.

    Batches are those of an evaluation that was never interrupted, so that its answers are the same to the last bit.
    """
    if len(journal.rows) == len(entry.prompts):
        return
    task, model, tokenizer = entry.task, opened.model, opened.tokenizer
    if task.kind == "code_generation":
        most_new = min(config.program_tokens, model.length // 2)
        for prompt in entry.prompts:
            if prompt.example not in journal.rows:
                example = entry.examples[prompt.example]
                row = program_row(task, prompt, example, opened, config.samples, config.temperature, most_new)
                journal.append([row])
                yield 1
        return
    generates = task.kind == "generation_with_answers"
    most_new = 0
    if generates:
        limit = min(task.context_tokens, model.length)
        # In a short context, half is left for the prompt.
        most_new = min(most_written(task, entry.examples, tokenizer), limit // 2)
    asked = list(requests(task, entry.prompts, tokenizer, model.length, most_new))
    for batch in batches(asked, most_new, _batch_tokens(config, opened)):
        some = [asked[number] for number in batch]
        if all(request.prompt.example in journal.rows for request in some):
            continue
        rows = _answers(task, some, opened, most_new)
        before = len(journal.rows)
        journal.append(rows)
        yield len(journal.rows) - before


def _answers(task: Task, some: list[Request], opened: Opened, most_new: int) -> list[Row]:
    scored = loglikelihoods(opened.model, some)
    prompts = [request.generate for request in some if request.generate is not None]
    if not prompts:
        return [answer_row(task, request, its) for request, its in zip(some, scored, strict=True)]
    texts = greedy_texts(opened.model, opened.tokenizer, prompts, most_new, task.stops)
    return [answer_row(task, *answer) for answer in zip(some, scored, texts, strict=True)]


def _write_results(
    path: Path, model: str, version: Version, asked: Sequence[Asked], answers: Sequence[Sequence[Row]]
) -> None:
    """results.parquet, whole or not at all: a row an example, in the order of tasks and examples."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        {
            "model": pa.string(),
            "task": pa.string(),
            "version": pa.string(),
            "example": pa.int64(),
            "subject": pa.string(),
            "predicted": pa.int32(),
            "predicted_sum": pa.int32(),
            "predicted_bytes": pa.int32(),
            "gold": pa.int32(),
            "correct": pa.bool_(),
            "choice_logprobs": pa.list_(pa.float64()),
            "choice_tokens": pa.list_(pa.int32()),
            "choice_bytes": pa.list_(pa.int32()),
            "bits_per_byte": pa.float64(),
            "generated": pa.string(),
            "exact_match": pa.bool_(),
            "samples": pa.int32(),
            "passed": pa.int32(),
            "prompt_digest": pa.string(),
        }
    )
    with whole_file(path) as file, pq.ParquetWriter(file, schema) as writer:
        for entry, rows in zip(asked, answers, strict=True):
            same = {"model": model, "task": entry.task.name, "version": version}
            writer.write_table(pa.Table.from_pylist([same | row for row in rows], schema))


def _summary(
    config: IclConfig, version: Version, opened: Opened, asked: Sequence[Asked], answers: Sequence[Sequence[Row]]
) -> dict[str, Any]:
    tasks = [
        task_summary(entry.task, rows, version, len(entry.examples)) | {"prompts": digest_of(entry.prompts)}
        for entry, rows in zip(asked, answers, strict=True)
    ]
    scores: dict[str, float] = {str(entry["task"]): float(entry["accuracy"]) for entry in tasks}
    return {
        "model": _name(config),
        "model_digest": opened.digest,
        "version": version,
        "limit": config.limit,
        **{name: {"value": found.value, "reason": found.reason} for name, found in aggregates(scores, version).items()},
        "categories": {
            name: {"value": found.value, "reason": found.reason} for name, found in categories(scores, version).items()
        },
        "tasks": tasks,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    return run_from_config(IclConfig, evaluate, arguments)


if __name__ == "__main__":
    sys.exit(main())
