import json
import math

import numpy as np
import pytest
import torch
from made_shards import chain, make_shards, write_questions

from trainers.answer_questions import EvalConfig, evaluate, main, read_answers, result_rows, score, without_contexts
from trainers.core.loading import load_decoder
from trainers.exchange import export_model, import_model
from trainers.icl.questions import read_questions
from trainers.models.config import DenseConfig
from trainers.models.dense import DenseDecoder
from trainers.pretrain import pretrain
from trainers.pretraining.config import RunConfig
from trainers.process.errors import TrainerError
from trainers.process.files import read_jsonl

QUESTIONS = [
    ("early", [1, 2, 3], [[4, 5], [6, 7, 8], [9]], 1),
    ("late", [10] * 30, [[11, 12], [13, 14]], 0),
    ("early", [], [[15, 16, 17], [18]], 1),
    ("late", [20, 21], [[22] * 16, [23]], 0),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A trained run folder with several checkpoints."""
    folder = tmp_path_factory.mktemp("run")
    shards = make_shards(folder / "shards")
    out = folder / "out"
    pretrain(RunConfig(preset="30k-0.5xC", shards=str(shards), out=str(out), checkpoint_every=150, keep_checkpoints=0))
    return out


@pytest.fixture
def model():
    shape = DenseConfig(vocab_size=64, sequence_length=16, width=16, layers=2, heads=2, hidden=32, init_std=0.3)
    return DenseDecoder(shape).initialise(0)


def test_an_option_is_scored_by_its_tokens_after_the_context(model, tmp_path):
    questions = read_questions(write_questions(tmp_path / "questions.npz", QUESTIONS))
    logprobs = score(model, questions, batch=3)
    expected = []
    for _, context, options, _ in QUESTIONS:
        for option in options:
            # At most 16 tokens are read before the last one scored; an empty context is the end-of-text token.
            whole = torch.tensor([*(context or [0]), *option][-17:])
            with torch.no_grad():
                every = torch.log_softmax(model(whole[None, :-1])[0].double(), -1)
            expected.append(sum(every[-k, whole[-k]].item() for k in range(1, len(option) + 1)))
    assert logprobs == pytest.approx(expected, abs=1e-4)


def test_how_many_are_scored_at_a_time_changes_nothing(model, tmp_path):
    questions = read_questions(write_questions(tmp_path / "questions.npz", QUESTIONS))
    assert score(model, questions, batch=1) == pytest.approx(score(model, questions, batch=100), abs=1e-4)


def test_the_prediction_is_the_likeliest_option_a_byte_and_the_first_of_equals(tmp_path):
    made = [("t", [1], [[2], [3, 4], [5]], 1), ("t", [1], [[2], [3]], 1)]
    questions = read_questions(write_questions(tmp_path / "questions.npz", made))
    first, second = result_rows(questions, np.array([-3.0, -5.0, -4.0, -2.0, -2.0]))
    assert (first["predicted"], first["correct"], first["gold"]) == (1, True, 1)
    assert first["choice_logprobs"] == [-3.0, -5.0, -4.0] and first["choice_bytes"] == [3, 6, 3]
    assert first["bits_per_byte"] == pytest.approx(5 / math.log(2) / 6)
    assert (second["predicted"], second["correct"]) == (0, False)


def test_a_task_can_be_judged_by_what_the_context_adds(model, tmp_path):
    made = [("t", [1], [[2], [3, 4], [5]], 2)]
    path = write_questions(tmp_path / "questions.npz", made, normalisation={"t": "unconditional"})
    logprobs, alone = np.array([-3.0, -5.0, -4.0]), np.array([-3.0, -4.5, -5.0])
    (row,) = result_rows(read_questions(path), logprobs, alone)
    assert (row["predicted"], row["choice_unconditional_logprobs"]) == (2, [-3.0, -4.5, -5.0])
    (by_sum,) = result_rows(read_questions(path, "none"), logprobs)
    assert by_sum["predicted"] == 0
    alone_by_model = score(model, without_contexts(read_questions(path)), batch=8)
    no_context = read_questions(write_questions(tmp_path / "bare.npz", [("t", [0], made[0][2], 2)]))
    assert alone_by_model == pytest.approx(score(model, no_context, batch=8), abs=1e-5)


def continuations(n: int) -> list[tuple[str, list[int], list[list[int]], int]]:
    """Made-language continuations: the true one and three from other sequences."""
    texts = chain(4 * n, 14, 64, seed=5).tolist()
    questions = []
    for q in range(n):
        options = [text[8:] for text in texts[4 * q : 4 * q + 4]]
        gold = q % 4
        options[0], options[gold] = options[gold], options[0]
        questions.append(("continuation", texts[4 * q][:8], options, gold))
    return questions


def test_a_trained_model_continues_its_language(run, tmp_path):
    path = write_questions(tmp_path / "questions.npz", continuations(200))
    summary = evaluate(EvalConfig(checkpoint=str(run), questions=str(path), out=str(tmp_path / "out")))[0]
    (task,) = summary["tasks"]
    assert (task["task"], task["n"], task["chance"]) == ("continuation", 200, 0.25)
    assert task["accuracy"] > 0.36
    config = EvalConfig(
        checkpoint=str(run), questions=str(path), out=str(tmp_path / "out"), normalisation="unconditional"
    )
    judged_by_context = evaluate(config)[0]["tasks"][0]
    assert judged_by_context["accuracy"] > 0.36 and judged_by_context["normalisation"] == "unconditional"
    assert judged_by_context["bits_per_byte"] == pytest.approx(task["bits_per_byte"])
    summary = evaluate(EvalConfig(checkpoint=str(run), questions=str(path), out=str(tmp_path / "out")))[0]
    assert summary["tasks"] == [task]
    rows = read_jsonl(tmp_path / "out" / "results.jsonl")
    assert [row["question_id"] for row in rows] == [f"q{i}" for i in range(200)]
    assert task["accuracy"] == pytest.approx(sum(row["correct"] for row in rows) / 200)
    assert task["bits_per_byte"] == pytest.approx(sum(row["bits_per_byte"] for row in rows) / 200)


def test_a_mixture_and_an_imported_model_are_scored_like_any_other(run, tmp_path):
    mixture = {"kind": "moe", "experts": 4, "experts_per_token": 2, "hidden": 12}
    shards = str(run.parent / "shards")
    pretrain(RunConfig(preset="30k-0.5xC", shards=shards, out=str(tmp_path / "run"), steps=100, model=mixture))
    export_model(tmp_path / "run", tmp_path / "folder")
    import_model(tmp_path / "folder", tmp_path / "imported")
    path = write_questions(tmp_path / "questions.npz", continuations(50))
    for name in ("run", "imported"):
        evaluate(EvalConfig(checkpoint=str(tmp_path / name), questions=str(path), out=str(tmp_path / name / "out")))
    rows = [read_jsonl(tmp_path / name / "out" / "results.jsonl") for name in ("run", "imported")]
    assert rows[0] == rows[1]
    assert len({row["predicted"] for row in rows[0]}) > 1


def test_every_checkpoint_of_a_run_can_be_scored_at_once(run, tmp_path):
    path = write_questions(tmp_path / "questions.npz", continuations(50))
    config = EvalConfig(checkpoint=str(run), questions=str(path), out=str(tmp_path / "out"), all_checkpoints=True)
    summaries = evaluate(config)
    steps = [summary["step"] for summary in summaries]
    assert len(steps) >= 3 and steps == sorted(steps)
    losses = [summary["tasks"][0]["bits_per_byte"] for summary in summaries]
    assert losses[-1] < losses[0]
    assert json.loads((tmp_path / "out" / f"step_{steps[0]:08d}" / "summary.json").read_text()) == summaries[0]


def test_what_was_scored_is_not_scored_again_until_something_changes(run, tmp_path):
    path = write_questions(tmp_path / "questions.npz", continuations(20))
    config = EvalConfig(checkpoint=str(run), questions=str(path), out=str(tmp_path / "out"))
    first = evaluate(config)
    written = (tmp_path / "out" / "results.jsonl").stat().st_mtime_ns
    assert evaluate(config) == first
    assert (tmp_path / "out" / "results.jsonl").stat().st_mtime_ns == written
    write_questions(path, continuations(21))
    assert evaluate(config)[0]["tasks"][0]["n"] == 21


@pytest.mark.parametrize(
    ("questions", "cause"),
    [
        ([("t", [1], [[2], [3]], 2)], "a gold option is not one of its question's"),
        ([("t", [1], [[2]], 0)], "fewer than two options"),
        ([("t", [1], [[2], []], 0)], "no byte"),
        ([("t", [1], [[2], [99]], 0)], "has token 99, the model knows 64"),
        ([("t", [1], [[2], [3] * 17], 0)], "has 17 tokens, the model reads 16"),
    ],
)
def test_questions_that_do_not_fit_are_refused(run, tmp_path, capsys, questions, cause):
    path = write_questions(tmp_path / "questions.npz", questions)
    config = {"checkpoint": str(run), "questions": str(path), "out": str(tmp_path / "out")}
    (tmp_path / "eval.json").write_text(json.dumps(config))
    assert main(["--config", str(tmp_path / "eval.json")]) == 2
    error, mend = capsys.readouterr().err.splitlines()
    assert cause in error and mend.startswith("mend: ")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [b"", b"not an archive"])
def test_a_file_without_questions_is_refused(run, tmp_path, capsys, content):
    path = tmp_path / "questions.npz"
    path.write_bytes(content)
    path.with_suffix(".json").write_text("{}")
    (tmp_path / "eval.json").write_text(json.dumps({"checkpoint": str(run), "questions": str(path), "out": "x"}))
    assert main(["--config", str(tmp_path / "eval.json")]) == 2
    assert "is not a questions file" in capsys.readouterr().err


def test_a_folder_without_checkpoint_is_refused(tmp_path, capsys):
    path = write_questions(tmp_path / "questions.npz", continuations(4))
    config = {"checkpoint": str(tmp_path), "questions": str(path), "out": str(tmp_path / "out")}
    (tmp_path / "eval.json").write_text(json.dumps(config))
    assert main(["--config", str(tmp_path / "eval.json")]) == 2
    assert "holds no whole checkpoint" in capsys.readouterr().err


def test_a_question_without_a_context_follows_the_end_of_text_of_the_checkpoints_shards(model, tmp_path):
    questions = read_questions(write_questions(tmp_path / "questions.npz", [("alone", [], [[5, 6], [7]], 0)]))
    for eot in (0, 63):
        with_context = write_questions(tmp_path / f"with{eot}.npz", [("alone", [eot], [[5, 6], [7]], 0)])
        expected = score(model, read_questions(with_context), batch=4)
        assert score(model, questions, batch=4, start=eot) == pytest.approx(expected, abs=1e-6)
    assert score(model, questions, batch=4, start=63) != pytest.approx(score(model, questions, batch=4), abs=1e-3)


def test_the_end_of_text_is_read_from_the_checkpoint_and_is_part_of_what_was_scored(tmp_path):
    shards = make_shards(tmp_path / "shards", train=100)
    about = json.loads((shards / "dataset.json").read_text())
    (shards / "dataset.json").write_text(json.dumps(about | {"eot": 63}))
    pretrain(RunConfig(preset="30k-0.2xC", shards=str(shards), out=str(tmp_path / "run"), steps=2))
    path = write_questions(tmp_path / "questions.npz", [("alone", [], [[5, 6], [7]], 0)])
    (summary,) = evaluate(EvalConfig(checkpoint=str(tmp_path / "run"), questions=str(path), out=str(tmp_path / "out")))
    model = load_decoder(tmp_path / "run")
    rows = read_jsonl(tmp_path / "out" / "results.jsonl")
    assert rows[0]["choice_logprobs"] == pytest.approx(score(model, read_questions(path), batch=4, start=63).tolist())
    assert summary["tasks"][0]["n"] == 1


def test_damaged_answers_are_written_again_and_refused_by_a_reader(run, tmp_path):
    path = write_questions(tmp_path / "questions.npz", QUESTIONS)
    given = EvalConfig(checkpoint=str(run), questions=str(path), out=str(tmp_path / "out"))
    (summary,) = evaluate(given)
    for name, damage in (("results.jsonl", "{}"), ("summary.json", '{"tasks": 3'), ("summary.json", "[]")):
        (tmp_path / "out" / name).write_text(damage)
        with pytest.raises(TrainerError, match=name):
            read_answers(tmp_path / "out")
        assert evaluate(given) == [summary]
        assert read_answers(tmp_path / "out")[0]["tasks"] == summary["tasks"]
