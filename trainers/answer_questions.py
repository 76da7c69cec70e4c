"""Score multiple-choice questions with a checkpoint: python -m trainers.answer_questions --config eval.json

    eval.json    {"checkpoint": "runs/70k-1xC", "questions": "questions.npz", "out": "evals/70k-1xC"}

Each option is scored by the sum of its tokens' log-probabilities after the question's context. The prediction is the
option with the highest score (the lowest number on a tie): log-probability a UTF-8 byte, or as the task's
normalisation says. "unconditional" separates continuations of one length far better: it takes away how likely an
option is by itself. results.jsonl has a line a question, summary.json one entry a task. The task loss of a scaling law
is `bits_per_byte`, that of the right option whatever the normalisation.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from trainers.core import checkpoint
from trainers.core.checkpoint import Checkpoint
from trainers.core.loading import decoder_of
from trainers.icl.choice import choose
from trainers.icl.questions import Ints, Questions, read_questions
from trainers.models.config import DenseConfig
from trainers.models.dense import DenseDecoder
from trainers.models.loss import token_nats
from trainers.process.command import run_from_config
from trainers.process.device import chosen_device
from trainers.process.errors import TrainerError
from trainers.process.files import canonical_json, read_jsonl, sha256_file, sha256_text, write_jsonl
from trainers.process.progress import Progress, pipes_session
from trainers.process.sealed import read_sealed, sealed, write_sealed

CODE_VERSION = "evaluate-1"
RESULTS, SUMMARY = "results.jsonl", "summary.json"


@dataclass(frozen=True, kw_only=True)
class EvalConfig:
    """What to score with what, and where to write it."""

    checkpoint: str
    """A checkpoint folder, or a run folder: then its newest whole checkpoint."""
    questions: str
    """questions.npz; questions.json lies beside it."""
    out: str
    """Folder for results.jsonl and summary.json."""
    all_checkpoints: bool = False
    """With a run folder: score every checkpoint, each into its own folder <out>/step_00000100."""
    normalisation: str = ""
    """"bytes", "none" or "unconditional" for every task; "" as questions.json says, by bytes where it says nothing."""
    batch: int = 32
    """Options scored at a time."""
    threads: int = 1
    """CPU threads; 0 leaves torch's own choice."""
    device: str = "auto"


def evaluate(config: EvalConfig) -> list[dict[str, Any]]:
    """Score and write; returns each summary. A checkpoint scored before on the same questions is not scored again."""
    if config.threads:
        torch.set_num_threads(config.threads)
    path = Path(config.questions)
    questions = read_questions(path, config.normalisation)
    questions_digest = sha256_text(sha256_file(path) + sha256_file(path.with_suffix(".json")))
    chosen = _checkpoints(Path(config.checkpoint), config.all_checkpoints)
    summaries = []
    with pipes_session() as pipes:
        for found in chosen:
            out = Path(config.out) / (found.folder.name if config.all_checkpoints else "")
            identity = {"code": CODE_VERSION, "checkpoint": found.model_sha256, "questions": questions_digest}
            identity["normalisation"] = canonical_json(questions.normalisation)
            start = start_of_text(found, questions)
            if start:
                identity["start"] = str(start)
            fingerprint = sha256_text(canonical_json(identity))
            summary = _earlier(out, fingerprint)
            if summary is None:
                progress = Progress("evaluate", found.folder.name, len(questions.options), pipes=pipes)
                model = decoder_of(found).to(chosen_device(config.device))
                rows = scored_rows(model, questions, config.batch, progress.step, start)
                summary = _write(found, questions, rows, fingerprint, out)
                progress.event("finished", **summary)
            summaries.append(summary)
    return summaries


def _checkpoints(folder: Path, every: bool) -> list[Checkpoint]:
    if not every:
        return [checkpoint.chosen(folder)]
    found = [checkpoint.open_checkpoint(path) for path in checkpoint.checkpoint_folders(folder)]
    if not found:
        raise TrainerError(f"{folder} holds no whole checkpoint", "give a run folder or a step_... folder")
    return found


def _write(
    found: Checkpoint, questions: Questions, rows: list[dict[str, Any]], fingerprint: str, out: Path
) -> dict[str, Any]:
    write_jsonl(out / RESULTS, rows)
    summary = {
        "fingerprint": fingerprint,
        "run_fingerprint": found.state["fingerprint"],
        "checkpoint_sha256": found.model_sha256,
        "step": found.step,
        "tokens": found.state["tokens"],
        "tasks": task_summaries(questions, rows),
        "results_sha256": sha256_file(out / RESULTS),
    }
    write_sealed(out / SUMMARY, summary)
    return sealed(summary)


def _earlier(out: Path, fingerprint: str) -> dict[str, Any] | None:
    """The summary of an earlier scoring, if both files are whole; a damaged one is written again."""
    try:
        summary, _ = read_answers(out)
    except TrainerError:
        return None
    return sealed(summary) if summary["fingerprint"] == fingerprint else None


def read_answers(out: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Summary and rows of a scoring in `out`.

    Raises:
        TrainerError: a file is missing or damaged.
    """
    mend = "score the questions again: what is whole is not scored twice"
    summary = read_sealed(out / SUMMARY, {"fingerprint": str, "checkpoint_sha256": str, "tasks": list}, mend)
    # A summary of an earlier version does not name the digest of the results.
    digest = sha256_file(out / RESULTS) if (out / RESULTS).is_file() else ""
    if not digest or digest != summary.get("results_sha256", digest):
        raise TrainerError(f"{out / RESULTS} is missing or damaged", mend)
    return summary, read_jsonl(out / RESULTS)


def start_of_text(found: Checkpoint, questions: Questions) -> int:
    """The end-of-text token of the checkpoint's shards, in which every text begins.

    Raises:
        TrainerError: the checkpoint does not say it, and an option is scored without a context.
    """
    eot = found.state.get("eot")
    alone = "unconditional" in questions.normalisation.values() or not all(map(len, questions.contexts))
    if eot is None and alone:
        raise TrainerError(
            f"{found.folder} does not say which token ends a text, and a question has no context",
            "import the model again with eos_token_id in its config.json, or give each question a context",
        )
    return int(eot or 0)


def scored_rows(
    model: DenseDecoder,
    questions: Questions,
    batch: int,
    tick: Callable[[int], None] = lambda _: None,
    start: int = 0,
) -> list[dict[str, Any]]:
    """The lines of results.jsonl."""
    unconditional = None
    if "unconditional" in questions.normalisation.values():
        unconditional = score(model, without_contexts(questions), batch, start=start)
    return list(result_rows(questions, score(model, questions, batch, tick, start), unconditional))


def without_contexts(questions: Questions) -> Questions:
    """The same options, each after nothing but the start of a text."""
    return replace(questions, contexts=[np.zeros(0, dtype=np.int64)] * len(questions.ids))


def score(
    model: DenseDecoder,
    questions: Questions,
    batch: int,
    tick: Callable[[int], None] = lambda _: None,
    start: int = 0,
) -> NDArray[np.float64]:
    """(O,) log-probability in nats of each option's tokens given its question's context.

    Contexts too long for the model lose their oldest tokens. `tick` is called with the options done. `start` is the
    end-of-text token, which stands before every document in training: the context where a question has none.
    """
    rows = _rows(model.config, questions, start)
    logprobs = np.zeros(len(rows))
    # Longest first: a batch is padded to its longest row, and the largest batch fails at once if memory is short.
    order = np.argsort([-len(row) for row, _ in rows], kind="stable")
    for first in range(0, len(order), batch):
        chosen = order[first : first + batch]
        logprobs[chosen] = _score_batch(model, [rows[i] for i in chosen])
        tick(first + len(chosen))
    return logprobs


def _rows(config: DenseConfig, questions: Questions, start: int) -> list[tuple[Ints, int]]:
    """Tokens of context and option for each option, cut to the model's length, and the option's own length."""
    rows = []
    for option, question in zip(questions.options, questions.question_of_option(), strict=True):
        if len(option) > config.sequence_length:
            raise TrainerError(
                f"an option of question {questions.ids[question]} has {len(option)} tokens, the model reads"
                f" {config.sequence_length}",
                "write questions with shorter options, or use a model with longer sequences",
            )
        context = questions.contexts[question]
        whole = np.concatenate((context if len(context) else [start], option)).astype(np.int64)
        if whole.max() >= config.vocab_size:
            raise TrainerError(
                f"question {questions.ids[question]} has token {whole.max()}, the model knows {config.vocab_size}",
                "write the questions with the tokenizer of the model's shards",
            )
        rows.append((whole[-(config.sequence_length + 1) :], len(option)))
    return rows


def _score_batch(model: DenseDecoder, rows: list[tuple[Ints, int]]) -> NDArray[np.float64]:
    """Log-probabilities of the options at the ends of `rows`; only their positions reach the output matrix."""
    longest = max(len(row) for row, _ in rows)
    tokens_BS = np.zeros((len(rows), longest), dtype=np.int64)
    for i, (row, _) in enumerate(rows):
        tokens_BS[i, : len(row)] = row
    row_N = np.repeat(np.arange(len(rows)), [length for _, length in rows])
    target_N = np.concatenate([np.arange(len(row) - length, len(row)) for row, length in rows])
    device = next(model.parameters()).device
    with torch.inference_mode():
        tokens = torch.from_numpy(tokens_BS).to(device)
        x_BTD = model.hidden(tokens[:, :-1])
        row, target = torch.from_numpy(row_N).to(device), torch.from_numpy(target_N).to(device)
        nats_N = token_nats(x_BTD[row, target - 1], model.output_weight, tokens[row, target])
    sums = np.zeros(len(rows))
    np.subtract.at(sums, row_N, nats_N.double().cpu().numpy())
    return sums


def result_rows(
    questions: Questions, logprobs: NDArray[np.float64], unconditional: NDArray[np.float64] | None = None
) -> Iterator[dict[str, Any]]:
    """A line of results.jsonl a question, from the options' log-probabilities with and without context."""
    for q, question_id in enumerate(questions.ids):
        here = slice(int(questions.options_start[q]), int(questions.options_start[q + 1]))
        choice_logprobs, choice_bytes = logprobs[here], questions.option_bytes[here]
        gold, task = int(questions.gold[q]), questions.tasks[questions.task[q]]
        normalisation = questions.normalisation[task]
        choice = choose(
            choice_logprobs,
            gold,
            lengths_C=choice_bytes if normalisation == "bytes" else None,
            alone_C=unconditional[here] if normalisation == "unconditional" and unconditional is not None else None,
        )
        row = {
            "question_id": question_id,
            "task": task,
            "predicted": choice.predicted,
            "correct": choice.correct,
            "gold": gold,
            "choice_logprobs": choice_logprobs.tolist(),
            "choice_bytes": choice_bytes.tolist(),
            "bits_per_byte": float(-choice_logprobs[gold] / math.log(2) / choice_bytes[gold]),
        }
        if unconditional is not None:
            row["choice_unconditional_logprobs"] = unconditional[here].tolist()
        yield row


def task_summaries(questions: Questions, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One entry a task that has questions: means over its questions; chance is that of a uniform guess."""
    summaries = []
    for task in questions.tasks:
        mine = [row for row in rows if row["task"] == task]
        if mine:
            summaries.append(
                {
                    "task": task,
                    "normalisation": questions.normalisation[task],
                    "n": len(mine),
                    "accuracy": float(np.mean([row["correct"] for row in mine])),
                    "bits_per_byte": float(np.mean([row["bits_per_byte"] for row in mine])),
                    "chance": float(np.mean([1 / len(row["choice_bytes"]) for row in mine])),
                }
            )
    return summaries


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    return run_from_config(EvalConfig, evaluate, arguments)


if __name__ == "__main__":
    sys.exit(main())
