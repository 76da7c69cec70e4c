"""Batched, prefix-cached scoring by decoders of ours, compared with the decoder's own forward pass row by row."""

import json
import math
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from tests.trainers.icl.made_tasks import LENGTH, made_examples, write_checkpoint, write_lines, write_tasks
from trainers.evaluate import IclConfig, evaluate, main
from trainers.icl.files import read_examples
from trainers.icl.prompts import write_prompts
from trainers.icl.score import batches, greedy_texts, loglikelihoods
from trainers.icl.tasks import dclm_tasks
from trainers.icl.tokens import Request, requests
from trainers.models.config import DenseConfig, MoEConfig
from trainers.models.decoder import decoder
from trainers.process.config_file import from_mapping
from trainers.process.errors import TrainerError
from trainers.serving.language_model import OwnDecoder, open_model

ROOT = Path(__file__).parents[3]
TASKS = {task.name: task for task in dclm_tasks()}
FILES = {"winograd": "winograd_wsc", "jeopardy": "jeopardy_all"}
ASKED = ("arc_easy", "copa", "commonsense_qa", "winograd", "jeopardy")
DENSE = DenseConfig(vocab_size=600, sequence_length=LENGTH, width=32, layers=2, heads=4, hidden=48, init_std=0.3)
EXPERTS: dict[str, Any] = {**vars(DENSE), "kind": "moe", "hidden": 16, "norm_placement": "pre"}
SHAPES: dict[str, DenseConfig] = {
    "reordered norms": DENSE,
    "norms before, grouped, tied": replace(DENSE, norm_placement="pre", key_value_heads=2, tied=True),
    "a norm a head, documents kept apart": replace(DENSE, qk_norm_width="head", separator=0),
    "no QK-norm, LayerNorm": replace(DENSE, qk_norm=False, norm="layer", key_value_heads=1),
    "experts": MoEConfig(**EXPERTS, experts=8, experts_per_token=2),
}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("run") / "step_00000001")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_tasks(tmp_path_factory.mktemp("tasks"))


def asked(data, tokenizer, name, most_new=0) -> list[Request]:
    examples = read_examples(data / f"{FILES.get(name, name)}.jsonl")
    return list(requests(TASKS[name], write_prompts(TASKS[name], examples), tokenizer, LENGTH, most_new))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ASKED)
def test_scores_are_those_of_the_decoder_row_by_row(checkpoint, data, shape, name):
    model = decoder(SHAPES[shape]).initialise(1)
    mine = OwnDecoder(model, torch.device("cpu"), torch.float32)
    found = asked(data, open_model(checkpoint, "cpu").tokenizer, name)
    for batch in batches(found, 0, 1500):
        some = [found[number] for number in batch]
        for request, scored in zip(some, loglikelihoods(mine, some), strict=True):
            for row, score in zip(request.rows, scored, strict=True):
                tokens = torch.from_numpy(row.tokens.astype(np.int64))
                with torch.no_grad():
                    every = model(tokens[None, :-1])[0, -row.scored :].log_softmax(-1)
                right = every.gather(1, tokens[-row.scored :, None])
                assert score.logprob == pytest.approx(float(right.double().sum()), abs=1e-4)
                assert score.greedy == bool((every.argmax(-1) == tokens[-row.scored :]).all())
                assert score.tokens == row.scored


def test_batches_hold_each_request_once_and_no_more_than_the_budget(checkpoint, data):
    found = [request for name in ASKED for request in asked(data, open_model(checkpoint, "cpu").tokenizer, name)]
    lone = replace(found[0], rows=tuple(replace(row, tokens=row.tokens[-row.scored - 1 :]) for row in found[0].rows))
    assert lone.shared == 0
    found.append(lone)
    made = batches(found, 0, 1500)
    assert sorted(number for batch in made for number in batch) == list(range(len(found)))
    for batch in made:
        some = [found[number] for number in batch]
        assert len({bool(request.shared) for request in some}) == 1
        shared = max(request.shared for request in some)
        rest = max(len(set(request.tails)) * max(len(tail) // 4 for tail in request.tails) for request in some)
        assert len(batch) == 1 or len(batch) * (shared + rest) <= 1500
    assert len(made) < len(found) / 3


def test_answers_that_differ_in_their_last_token_alone_are_read_once(checkpoint, data):
    opened = open_model(checkpoint, "cpu")
    found = asked(data, opened.tokenizer, "commonsense_qa")
    for request in found:
        assert [row.scored for row in request.rows] == [2] * 4
        assert request.shared == 0
        assert len(set(request.tails)) == 1
    for request, scored in zip(found, loglikelihoods(opened.model, found), strict=True):
        assert len({score.logprob for score in scored}) == len(request.rows)


def test_bfloat16_is_near(checkpoint, data):
    whole, half = open_model(checkpoint, "cpu"), open_model(checkpoint, "cpu", "bfloat16")
    found = asked(data, whole.tokenizer, "arc_easy")
    pairs = zip(loglikelihoods(whole.model, found), loglikelihoods(half.model, found), strict=True)
    apart = [(a.logprob, b.logprob) for mine, other in pairs for a, b in zip(mine, other, strict=True)]
    assert [b for _, b in apart] == pytest.approx([a for a, _ in apart], rel=0.05)
    assert any(a != b for a, b in apart)
    with pytest.raises(TrainerError, match="dtype is 'int8'"):
        open_model(checkpoint, "cpu", "int8")


def test_a_question_of_one_token_is_scored_too(checkpoint, data):
    opened = open_model(checkpoint, "cpu")
    whole = asked(data, opened.tokenizer, "copa")[0]
    short = replace(whole, rows=tuple(replace(row, tokens=row.tokens[-row.scored - 1 :]) for row in whole.rows))
    (scored,) = loglikelihoods(opened.model, [short])
    assert all(math.isfinite(score.logprob) and score.logprob < 0 for score in scored)


def test_what_a_model_writes_is_its_likeliest_token_each_time(checkpoint, data):
    opened = open_model(checkpoint, "cpu")
    assert isinstance(opened.model, OwnDecoder)
    model = opened.model.model
    prompts = [
        found.generate for found in asked(data, opened.tokenizer, "triviaqa_sm_sub", 12) if found.generate is not None
    ]
    stops = ["a", "r i"]
    written = greedy_texts(opened.model, opened.tokenizer, prompts, 12, stops)
    assert len(set(written)) > 1
    for prompt, text in zip(prompts, written, strict=True):
        tokens, new = torch.from_numpy(prompt.astype(np.int64)), []
        while len(new) < 12:
            with torch.no_grad():
                new.append(int(model(tokens[None])[0, -1].argmax()))
            tokens = torch.cat((tokens, torch.tensor(new[-1:])))
            if new[-1] == 0:
                break
        alone = opened.tokenizer.decode([token for token in new if token])
        assert text == alone[: min(at for at in [*(alone.find(stop) for stop in stops), len(alone)] if at >= 0)]


def test_a_token_that_the_model_does_not_know_is_refused(checkpoint, data):
    found = asked(data, open_model(checkpoint, "cpu").tokenizer, "copa")
    small = OwnDecoder(decoder(replace(DENSE, vocab_size=300)).initialise(0), torch.device("cpu"), torch.float32)
    with pytest.raises(TrainerError, match=r"the tokenizer gives token \d+, the model knows 300"):
        loglikelihoods(small, found)


def config(checkpoint, data, out, **changes) -> IclConfig:
    same = {"model": str(checkpoint), "data": str(data), "out": str(out), "device": "cpu", "threads": 1}
    return from_mapping(same | changes, IclConfig, "a test")


@pytest.fixture(scope="module")
def done(checkpoint, data, tmp_path_factory):
    """An evaluation that nothing interrupted, and its summary."""
    out = tmp_path_factory.mktemp("evals") / "whole"
    return out, evaluate(config(checkpoint, data, out))


def test_a_row_an_example_and_an_entry_a_task(done):
    out, summary = done
    rows = pq.read_table(out / "results.parquet").to_pylist()
    sizes = {name: len(examples) for name, examples in made_examples().items()}
    assert len(rows) == sum(sizes.values())
    entries = {entry["task"]: entry for entry in summary["tasks"]}
    assert set(entries) == {row["task"] for row in rows}
    for name, entry in entries.items():
        mine = [row for row in rows if row["task"] == name]
        assert [row["example"] for row in mine] == list(range(entry["asked"]))
        assert len({row["prompt_digest"] for row in mine}) == len(mine)
        assert entry["bits_per_byte"] > 0
        if not TASKS[name].by_subject:
            assert entry["accuracy"] == pytest.approx(np.mean([row["correct"] for row in mine]))
        assert entry["centred"] == pytest.approx((entry["accuracy"] - entry["baseline"]) / (1 - entry["baseline"]))
    assert {row["version"] for row in rows} == {"v2"}
    assert all(row["generated"] is None for row in rows if row["task"] not in ("triviaqa_sm_sub", "svamp_cot"))


def test_a_choice_is_taken_by_loss_a_token_by_sum_and_by_byte(done):
    rows = [row for row in pq.read_table(done[0] / "results.parquet").to_pylist() if row["predicted"] is not None]
    for row in rows:
        logprobs = np.array(row["choice_logprobs"])
        assert row["predicted"] == np.argmax(logprobs / row["choice_tokens"])
        assert row["predicted_sum"] == np.argmax(logprobs)
        assert row["predicted_bytes"] == np.argmax(logprobs / row["choice_bytes"])
        assert row["correct"] == (row["predicted"] == row["gold"])
        gold = row["gold"]
        assert row["bits_per_byte"] == pytest.approx(-logprobs[gold] / math.log(2) / row["choice_bytes"][gold])
    differing = {(row["predicted"], row["predicted_sum"], row["predicted_bytes"]) for row in rows}
    assert any(len(set(three)) > 1 for three in differing)


def test_subjects_count_alike(checkpoint, tmp_path):
    rows = [row for row in made_examples()["jeopardy_all"] if row["category"] == "birds"]
    rows += [row for row in made_examples()["jeopardy_all"] if row["category"] == "boats"][:2]
    write_lines(tmp_path / "jeopardy_all.jsonl", rows)
    summary = evaluate(config(checkpoint, tmp_path, tmp_path / "out"))
    found = pq.read_table(tmp_path / "out" / "results.parquet").to_pylist()
    means = [np.mean([row["bits_per_byte"] for row in found if row["subject"] == s]) for s in ("birds", "boats")]
    assert summary["tasks"][0]["bits_per_byte"] == pytest.approx(np.mean(means))


def test_aggregates_lack_the_tasks_that_have_no_file(done):
    _, summary = done
    assert summary["core"]["value"] is None
    assert "hellaswag_zeroshot" in summary["core"]["reason"]
    assert "copa" not in summary["core"]["reason"]
    assert summary["missing"]["squad"] == "no file reading_comprehension/squad.jsonl"
    assert len(summary["missing"]) == 53 - len(summary["tasks"])


def test_a_task_whose_answers_the_model_cannot_read_is_left_out_and_reported(checkpoint, data, tmp_path):
    folder = write_tasks(tmp_path / "tasks")
    long = {"context": "rain", "continuation": "river heron " * LENGTH}
    write_lines(folder / "bigbench_operators.jsonl", [*made_examples()["bigbench_operators"], long])
    summary = evaluate(config(checkpoint, folder, tmp_path / "out", tasks=["bigbench_operators", "copa"]))
    assert [entry["task"] for entry in summary["tasks"]] == ["copa"]
    assert summary["missing"]["bigbench_operators"].startswith("example 15 has an answer of ")
    assert "bigbench_operators" in summary["core"]["reason"]
    assert {row["task"] for row in pq.read_table(tmp_path / "out" / "results.parquet").to_pylist()} == {"copa"}


def test_the_other_version_centres_the_same_answers(checkpoint, data, done, tmp_path):
    out = tmp_path / "copied"
    (out / "tasks").mkdir(parents=True)
    for path in (done[0] / "tasks").iterdir():
        (out / "tasks" / path.name).write_bytes(path.read_bytes())
    found = evaluate(config(checkpoint, data, out, version="v1"))
    for old, new in zip(done[1]["tasks"], found["tasks"], strict=True):
        assert old["accuracy"] == new["accuracy"]
        assert (old["centred"] != new["centred"]) == (old["task"] == "commonsense_qa" and old["accuracy"] < 1)


def test_an_evaluation_that_is_cut_off_gives_the_same_bytes(checkpoint, data, done, tmp_path):
    out = tmp_path / "resumed"
    (out / "tasks").mkdir(parents=True)
    for number, path in enumerate(sorted((done[0] / "tasks").iterdir())):
        lines = path.read_bytes().splitlines(keepends=True)
        kept = lines[: 1 + number % len(lines)]
        (out / "tasks" / path.name).write_bytes(b"".join(kept) + b'{"example": 3, "gol')
    evaluate(config(checkpoint, data, out))
    for name in ("results.parquet", "summary.json"):
        assert (out / name).read_bytes() == (done[0] / name).read_bytes()


def test_a_killed_evaluation_goes_on_where_it_was(checkpoint, data, done, tmp_path):
    out, place = tmp_path / "killed", tmp_path / "evaluate.json"
    place.write_text(json.dumps(vars(config(checkpoint, data, out, batch_tokens=300))))
    command = [sys.executable, "-m", "trainers.evaluate", "--config", str(place)]
    whole = tmp_path / "whole"
    evaluate(config(checkpoint, data, whole, batch_tokens=300))
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"}) as run:
        assert run.stdout
        next(line for line in run.stdout if b'"step"' in line)
        run.send_signal(signal.SIGKILL)
    before = {path.name: path.read_bytes() for path in (out / "tasks").iterdir()}
    assert not (out / "summary.json").exists()
    assert main(["--config", str(place)]) == 0
    for name, text in before.items():
        assert (out / "tasks" / name).read_bytes().startswith(text[: text.rfind(b"\n") + 1])
    assert (out / "results.parquet").read_bytes() == (whole / "results.parquet").read_bytes()


def test_a_folder_of_another_evaluation_is_refused(checkpoint, data, done, tmp_path):
    with pytest.raises(TrainerError, match="holds another evaluation, with another prompts\n"):
        evaluate(config(checkpoint, data, done[0], limit=3))
    other = write_checkpoint(tmp_path / "step_00000001")
    (other.parent / "tokenizer.json").unlink()
    (other / "tokenizer.json").unlink()
    with pytest.raises(TrainerError, match=r"has no tokenizer\.json"):
        open_model(other)


def test_a_malformed_file_stops_an_evaluation_before_it_begins(checkpoint, data, tmp_path):
    folder = write_tasks(tmp_path / "tasks")
    rows = made_examples()["copa"]
    write_lines(folder / "copa.jsonl", [*rows[:4], rows[4] | {"gold": 2}])
    with pytest.raises(TrainerError, match=r"copa\.jsonl: 1 malformed example: line 5: gold is 2"):
        evaluate(config(checkpoint, folder, tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    with pytest.raises(TrainerError, match="has no file of squad"):
        evaluate(config(checkpoint, data, tmp_path / "out", tasks=["squad"]))


def test_a_changed_answer_of_an_interrupted_evaluation_is_refused(checkpoint, data, done, tmp_path):
    path = tmp_path / "out" / "tasks" / "copa.jsonl"
    path.parent.mkdir(parents=True)
    whole = (done[0] / "tasks" / "copa.jsonl").read_text()
    for damaged in (whole.replace('"gold":0', '"gold":1', 1), whole.replace("{", "[", 1), whole + '{"example":"1"}\n'):
        assert damaged != whole
        path.write_text(damaged)
        with pytest.raises(TrainerError, match=r"copa\.jsonl is damaged") as refused:
            evaluate(config(checkpoint, data, tmp_path / "out"))
        assert "remove it" in refused.value.mend
