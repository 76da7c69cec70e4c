"""The evaluation of the lake's models on the lake's questions, as rows of evals.results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from catalog.lake import WHOLE, Lake
from dagster_project.engine.making import Making
from dagster_project.engine.trainer_process import start

if TYPE_CHECKING:
    import pyarrow as pa


def evaluate(making: Making, run: str, models: str) -> pa.Table:
    """Evaluate the model `run` of the table `models` on every example, and return rows of evals.results."""
    import pyarrow as pa

    from spark_jobs.evals.continuations import questions_folder
    from trainers.answer_questions import read_answers

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
    making.wrote(out)
    summary, answers = read_answers(out)
    names = ("question_id", "task", "predicted", "gold", "correct", "choice_logprobs", "bits_per_byte")
    weights = summary["checkpoint_sha256"]
    versions, digests = versions_and_digests(lake)
    return pa.Table.from_pylist(
        [
            {"run": run, **{name: answer[name] for name in names}}
            | {"version": versions[answer["task"]], "model": weights, "prompt_digest": digests[answer["question_id"]]}
            for answer in answers
        ]
    )


def versions_and_digests(lake: Lake) -> tuple[dict[str, str], dict[str, str]]:
    """Return the version of each task of evals.tasks, and the digest of each question's prompt by its id."""
    from trainers.icl.prompts import Prompt

    tasks = lake.read("evals.tasks", ["task", "version"]).to_pylist()
    digests = {}
    for row in lake.read("evals.examples", ["question_id", "context", "choices", "gold"]).to_pylist():
        prompt = Prompt(0, "", preamble="", contexts=(row["context"],), answers=tuple(row["choices"]), gold=row["gold"])
        digests[row["question_id"]] = prompt.digest
    return {row["task"]: row["version"] for row in tasks}, digests
