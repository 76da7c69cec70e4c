"""The same requests put to lm-evaluation-harness: the same choices on every example, log-likelihoods within 1e-4."""

import json
import os
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from tests.trainers.icl.made_tasks import LENGTH, write_hugging_face, write_tasks
from trainers.evaluate import IclConfig, evaluate
from trainers.icl.files import find_file, read_task
from trainers.icl.prompts import Prompt, write_prompts
from trainers.icl.score import batches, loglikelihoods
from trainers.icl.tasks import Task, dclm_tasks
from trainers.icl.tokens import most_written, requests
from trainers.serving.language_model import open_model
from trainers.serving.tokenizers import TransformersTokenizer
from trainers.serving.transformers_model import HuggingFaceModel

pytest.importorskip("accelerate", reason="lm-evaluation-harness runs models with accelerate")

SHARED = os.environ.get("WATERSHED_SHARED")
TASKS = {task.name: task for task in dclm_tasks()}
REAL = (
    "copa siqa commonsense_qa openbook_qa arc_easy arc_challenge piqa boolq agi_eval_lsat_ar math_qa"
    " winograd winogrande lambada_openai jeopardy bigbench_qa_wikidata squad bigbench_operators"
    " triviaqa_sm_sub svamp_cot"
).split()


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def harness(folder: Path, length: int) -> Any:
    """lm-evaluation-harness's model, which accepts one token more than its length: the last is scored and not read."""
    from lm_eval.models.huggingface import HFLM

    return HFLM(pretrained=str(folder), device="cpu", dtype="float32", batch_size=4, max_length=length)


def instances(kind: str, arguments: list[tuple[Any, ...]]) -> list[Any]:
    from lm_eval.api.instance import Instance

    return [Instance(request_type=kind, doc={}, arguments=each, idx=at) for at, each in enumerate(arguments)]  # ty: ignore


def their_rows(theirs: Any, prompts: list[Prompt]) -> list[list[tuple[float, bool]]]:
    """Log-likelihood and greediness of each row of each prompt, from its text."""
    pairs = [
        [(prompt.preamble + context, f" {answer}") for context in prompt.contexts for answer in prompt.answers]
        for prompt in prompts
    ]
    flat = iter(theirs.loglikelihood(instances("loglikelihood", [pair for some in pairs for pair in some]), True))
    return [[next(flat) for _ in some] for some in pairs]


def agree(task: Task, rows: list[dict[str, Any]], prompts: list[Prompt], theirs: Any) -> None:
    """Every choice and every log-likelihood of our results is that of the harness."""
    assert len(rows) == len(prompts) > 0
    for row, scored in zip(rows, their_rows(theirs, prompts), strict=True):
        logprobs = [logprob for logprob, _ in scored]
        assert row["choice_logprobs"] == pytest.approx(logprobs, abs=1e-4)
        if len(scored) > 1:
            sizes = row["choice_tokens"]
            assert row["predicted_sum"] == max(range(len(scored)), key=lambda at: logprobs[at])
            assert row["predicted"] == max(range(len(scored)), key=lambda at: logprobs[at] / sizes[at])
        elif task.kind == "language_modeling":
            assert row["correct"] == scored[0][1]


def agree_in_writing(task: Task, rows: list[dict[str, Any]], prompts: list[Prompt], theirs: Any, most_new: int) -> None:
    asked = [(p.preamble + p.contexts[0], {"until": list(task.stops), "max_gen_toks": most_new}) for p in prompts]
    written = theirs.generate_until(instances("generate_until", asked), True)
    assert [row["generated"] for row in rows] == written


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Our evaluation of a random model on the files made here: model, files, rows by task."""
    folder = tmp_path_factory.mktemp("made")
    model, data = write_hugging_face(folder / "model"), write_tasks(folder / "tasks")
    evaluate(IclConfig(model=str(model), data=str(data), out=str(folder / "out"), device="cpu", threads=1))
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in pq.read_table(folder / "out" / "results.parquet").to_pylist():
        rows.setdefault(row["task"], []).append(row)
    return model, data, rows


def test_all_four_kinds_are_answered_as_the_harness_answers_them(made):
    model, data, rows = made
    theirs, writer = harness(model, LENGTH - 1), harness(model, LENGTH)
    tokenizer = TransformersTokenizer(theirs.tokenizer)
    assert {TASKS[name].kind for name in rows} == {task.kind for task in dclm_tasks()}
    for name, mine in rows.items():
        task, path = TASKS[name], find_file(data, TASKS[name])
        assert path
        examples = read_task(path, task)
        prompts = write_prompts(task, examples)
        agree(task, mine, prompts, theirs)
        if task.kind == "generation_with_answers":
            most_new = min(most_written(task, examples, tokenizer), LENGTH // 2)
            agree_in_writing(task, mine, prompts, writer, most_new)


@pytest.mark.parametrize("kind", ["gpt2", "mistral"])
def test_learned_positions_and_sliding_windows_are_scored_as_by_the_harness(made, kind):
    from lm_eval.models.huggingface import HFLM
    from transformers import GPT2Config, GPT2LMHeadModel, MistralConfig, MistralForCausalLM

    folder, data, _ = made
    torch.manual_seed(5)
    same: dict[str, Any] = {"vocab_size": 600, "initializer_range": 0.3, "bos_token_id": 0, "eos_token_id": 0}
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    model: Any = (
        GPT2LMHeadModel(GPT2Config(n_positions=LENGTH, n_embd=32, n_layer=2, n_head=4, **same))
        if kind == "gpt2"
        else MistralForCausalLM(
            MistralConfig(max_position_embeddings=LENGTH, num_key_value_heads=2, sliding_window=40, **same, **shape)
        )
    )
    tokenizer = open_model(folder, "cpu").tokenizer
    assert isinstance(tokenizer, TransformersTokenizer)
    mine = HuggingFaceModel(model, torch.device("cpu"))
    theirs = HFLM(pretrained=model, tokenizer=tokenizer._tokenizer, batch_size=4, max_length=LENGTH - 1)
    for name in ("arc_easy", "winograd"):
        task, path = TASKS[name], find_file(data, TASKS[name])
        assert path
        prompts = write_prompts(task, read_task(path, task))
        found = list(requests(task, prompts, tokenizer, mine.length, 0))
        expected = their_rows(theirs, prompts)
        for batch in batches(found, 0, 1500):
            for number, scored in zip(batch, loglikelihoods(mine, [found[n] for n in batch]), strict=True):
                assert [one.logprob for one in scored] == pytest.approx(
                    [each for each, _ in expected[number]], abs=1e-4
                )


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """A random model with a tokenizer of the published files' text."""
    folder = Path(str(SHARED), "data/eval_tasks")
    found = [path for name in REAL if (path := find_file(folder, TASKS[name]))]
    texts = [json.dumps(json.loads(line)) for path in found for line in path.open(encoding="utf-8").readlines()[:40]]
    return write_hugging_face(tmp_path_factory.mktemp("real"), texts, length=512)


@pytest.mark.skipif(not SHARED, reason="WATERSHED_SHARED names no folder with the published files")
@pytest.mark.parametrize("asked", [2, pytest.param(6, marks=pytest.mark.campaign)])
def test_published_files_are_answered_as_the_harness_answers_them(real, tmp_path, asked):
    folder = Path(str(SHARED), "data/eval_tasks")
    names = [name for name in REAL if find_file(folder, TASKS[name])]
    assert len(names) >= 18
    assert {TASKS[name].kind for name in names} == {task.kind for task in dclm_tasks()}
    same: dict[str, Any] = {"model": str(real), "data": str(folder), "out": str(tmp_path), "device": "cpu"}
    evaluate(IclConfig(**same, tasks=names, limit=asked, threads=1))
    results = pq.read_table(tmp_path / "results.parquet").to_pylist()
    theirs, writer = harness(real, 511), harness(real, 512)
    tokenizer = TransformersTokenizer(theirs.tokenizer)
    for name in names:
        task, path = TASKS[name], find_file(folder, TASKS[name])
        assert path
        mine, examples = [row for row in results if row["task"] == name], read_task(path, task)
        prompts = write_prompts(task, examples, asked)
        agree(task, mine, prompts, theirs)
        if task.kind == "generation_with_answers":
            agree_in_writing(task, mine, prompts, writer, most_written(task, examples, tokenizer))
