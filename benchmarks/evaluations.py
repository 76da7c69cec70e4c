"""In-context evaluation beside lm-evaluation-harness: the same random model, the same requests, in turns.

    python -m benchmarks.evaluations [--data eval_tasks] [--examples 24] [--rounds 3] [--batch-sizes 1,8]

Both are given the prompts as text; tokenising and sorting count. The harness is given each batch size, and its best
counts. Without --data, task files are made up: questions of a few dozen words.
"""

from __future__ import annotations

import argparse
import logging
import os
import platform
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch

from trainers.icl.files import Example, find_file, read_task
from trainers.icl.prompts import Prompt, write_prompts
from trainers.icl.score import batches, greedy_texts, loglikelihoods
from trainers.icl.tasks import Task, chosen_tasks
from trainers.icl.tokens import most_written, requests
from trainers.serving.tokenizers import TransformersTokenizer
from trainers.serving.transformers_model import HuggingFaceModel

TASKS = "copa,arc_easy,commonsense_qa,winograd,jeopardy,lambada_openai,triviaqa_sm_sub"
LENGTH, VOCABULARY, MOST_NEW = 2048, 50_277, 32
"""The vocabulary is that of DCLM's tokenizer: a small model spends much of its time on logits, as small models do."""
BATCH_TOKENS = 4096
AGREE = 1e-4


@dataclass(frozen=True)
class Asked:
    """The prompts of one task for both sides."""

    task: Task
    examples: list[Example]
    prompts: list[Prompt]


@dataclass(frozen=True)
class Answer:
    """Log-likelihoods of the rows of a prompt, or what was written after it."""

    logprobs: list[float]
    text: str = ""


def made_examples(task: Task, number: int) -> list[Example]:
    """Examples of the task's kind, of random words."""
    draw = random.Random(task.name)
    words = ["".join(draw.choices("aeioulnrst", k=draw.randint(2, 8))) for _ in range(3000)]

    def text(least: int, most: int) -> str:
        return " ".join(draw.choices(words, k=draw.randint(least, most)))

    found = []
    for _ in range(number):
        if task.kind == "schema":
            found.append(Example((text(10, 20), text(10, 20)), (text(3, 8),), 0))
        elif task.kind == "multiple_choice":
            found.append(Example((text(10, 40),), tuple(text(1, 10) for _ in range(4)), 0))
        else:
            found.append(Example((text(10, 60),), (text(1, 4),), 0))
    return found


def asked_of(names: Sequence[str], data: Path | None, number: int) -> list[Asked]:
    """The first examples of each task that has a file."""
    found = []
    for task in chosen_tasks(names):
        path = find_file(data, task) if data else None
        if data and not path:
            continue
        examples = read_task(path, task) if path else made_examples(task, 200)
        found.append(Asked(task, examples, write_prompts(task, examples, number)))
    return found


def random_model(texts: Sequence[str], vocabulary: int) -> tuple[Any, Any]:
    """A Llama with random weights, and a tokenizer learnt from the texts, which may have fewer tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    plain = Tokenizer(models.BPE())
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    learner = trainers.BpeTrainer(vocab_size=vocabulary, special_tokens=["<|end|>"], initial_alphabet=alphabet)
    learner.show_progress = False
    plain.train_from_iterator(texts, learner)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocabulary,
        max_position_embeddings=LENGTH,
        hidden_size=256,
        intermediate_size=768,
        num_hidden_layers=4,
        num_attention_heads=4,
        initializer_range=0.1,
        bos_token_id=0,
        eos_token_id=0,
    )
    return LlamaForCausalLM(config).eval(), PreTrainedTokenizerFast(tokenizer_object=plain, eos_token="<|end|>")


def answers(asked: Asked, model: HuggingFaceModel, tokenizer: TransformersTokenizer, most_new: int) -> list[Answer]:
    """Ours. A task that generates is only written on, as the harness does."""
    task = asked.task
    generates = task.kind == "generation_with_answers"
    every = list(requests(task, asked.prompts, tokenizer, model.length, most_new))
    found: dict[int, Answer] = {}
    for batch in batches(every, most_new, BATCH_TOKENS):
        some = [every[number] for number in batch]
        if generates:
            prompts = [request.generate for request in some if request.generate is not None]
            texts = greedy_texts(model, tokenizer, prompts, most_new, task.stops)
            found |= {number: Answer([], text) for number, text in zip(batch, texts, strict=True)}
        else:
            scored = loglikelihoods(model, some)
            found |= {n: Answer([row.logprob for row in rows]) for n, rows in zip(batch, scored, strict=True)}
    return [found[number] for number in range(len(every))]


def harness_answers(asked: Asked, theirs: tuple[Any, Any], most_new: int) -> list[Answer]:
    """lm-evaluation-harness's; `theirs` are what scores and what writes."""
    from lm_eval.api.instance import Instance

    def instances(kind: Any, arguments: list[Any]) -> list[Any]:
        return [Instance(request_type=kind, doc={}, arguments=each, idx=at) for at, each in enumerate(arguments)]

    scorer, writer = theirs
    task, prompts = asked.task, asked.prompts
    if task.kind == "generation_with_answers":
        options = {"until": list(task.stops), "max_gen_toks": most_new}
        texts = writer.generate_until(
            instances("generate_until", [(prompt.preamble + prompt.contexts[0], options) for prompt in prompts]), True
        )
        return [Answer([], text) for text in texts]
    pairs = [
        [(prompt.preamble + context, f" {answer}") for context in prompt.contexts for answer in prompt.answers]
        for prompt in prompts
    ]
    flat = iter(scorer.loglikelihood(instances("loglikelihood", [pair for some in pairs for pair in some]), True))
    return [Answer([next(flat)[0] for _ in some]) for some in pairs]


def agreement(mine: Sequence[Answer], theirs: Sequence[Answer]) -> tuple[int, float]:
    """Examples on which both choose or write the same, and the largest difference of log-likelihoods."""
    same, largest = 0, 0.0
    for one, other in zip(mine, theirs, strict=True):
        apart = [abs(a - b) for a, b in zip(one.logprobs, other.logprobs, strict=True)]
        largest = max([largest, *apart])
        best = [max(range(len(each.logprobs)), key=each.logprobs.__getitem__, default=None) for each in (one, other)]
        same += one.text == other.text and best[0] == best[1]
    return same, largest


def seconds(work: Callable[[], list[Answer]]) -> tuple[float, list[Answer]]:
    began = time.perf_counter()
    found = work()
    return time.perf_counter() - began, found


def compare(
    asked: Asked,
    model: HuggingFaceModel,
    theirs: dict[int, tuple[Any, Any]],
    tokenizer: TransformersTokenizer,
    rounds: int,
) -> tuple[float, float]:
    """Print a task's line; returns the seconds of ours and of the harness's best batch size."""
    generates = asked.task.kind == "generation_with_answers"
    most_new = min(MOST_NEW, most_written(asked.task, asked.examples, tokenizer)) if generates else 0
    mine: list[float] = []
    others: dict[int, list[float]] = {size: [] for size in theirs}
    found: list[Answer] = []
    expected: list[Answer] = []
    for _ in range(rounds):
        took, found = seconds(lambda: answers(asked, model, tokenizer, most_new))
        mine.append(took)
        for size, harness in theirs.items():
            took, expected = seconds(lambda harness=harness: harness_answers(asked, harness, most_new))
            others[size].append(took)
    best = min(others, key=lambda size: median(others[size]))
    same, largest = agreement(found, expected)
    number, a, b = len(asked.prompts), median(mine), median(others[best])
    print(
        f"{asked.task.name:<34} {asked.task.kind:<24} {number / a:8.1f} {number / b:8.1f} {b / a:6.1f}x"
        f"   batch {best:<3} {same}/{number} the same, log-likelihoods within {largest:.1e}",
        flush=True,
    )
    if same < number or largest > AGREE:
        raise SystemExit(f"{asked.task.name}: they do not agree")
    return a, b


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evaluations", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of task files; without it, tasks are generated")
    parser.add_argument("--tasks", default=TASKS, help="names with commas between, core, or extended")
    parser.add_argument("--examples", type=int, default=24, help="of each task")
    parser.add_argument("--vocabulary", type=int, default=VOCABULARY)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-sizes", default="1,8", help="of the harness")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    torch.set_num_threads(arguments.threads)
    everything = asked_of(arguments.tasks.split(","), arguments.data, arguments.examples)
    texts = [text for asked in everything for e in asked.examples[:300] for text in (*e.contexts, *e.answers)]
    model, tokenizer = random_model(texts, arguments.vocabulary)
    from lm_eval.models.huggingface import HFLM

    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        sizes = [int(size) for size in arguments.batch_sizes.split(",")]
        loaded = HFLM(pretrained=folder, device=arguments.device, dtype="float32", batch_size=1, max_length=LENGTH)

        def reading(size: int, length: int) -> Any:
            return HFLM(pretrained=loaded.model, tokenizer=tokenizer, batch_size=size, max_length=length)

        # When it scores, the harness reads one token more than its setting.
        theirs = {size: (reading(size, LENGTH - 1), reading(size, LENGTH)) for size in sizes}
    device = torch.device(arguments.device)
    mine = HuggingFaceModel(loaded.model, device)
    size = sum(parameter.numel() for parameter in model.parameters())
    print(
        f"{platform.machine()}, {arguments.device}, {arguments.threads} threads, float32, {size:,} parameters", end="; "
    )
    print(f"vocabulary of {arguments.vocabulary:,}, {arguments.examples} examples a task, median of {arguments.rounds}")
    print(f"{'task':<34} {'kind':<24} {'ours/s':>8} {'harness':>8} {'faster':>7}")
    times = [
        compare(asked, mine, theirs, TransformersTokenizer(loaded.tokenizer), arguments.rounds) for asked in everything
    ]
    ours, others = (sum(column) for column in zip(*times, strict=True))
    print(f"all: {others / ours:.1f}x as many examples a second")


if __name__ == "__main__":
    main()
