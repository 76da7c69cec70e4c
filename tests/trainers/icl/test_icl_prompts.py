import random
from dataclasses import replace

import pytest

from tests.trainers.icl.made_tasks import SUBJECTS, made_examples, write_lines, write_tokenizer
from trainers.icl.answers import final_answer, normalised
from trainers.icl.files import Example, read_examples
from trainers.icl.prompts import digest_of, draw, write_prompts
from trainers.icl.tasks import dclm_tasks
from trainers.icl.tokens import most_written, needs_space, requests
from trainers.process.errors import TrainerError
from trainers.serving.tokenizers import FileTokenizer

TASKS = {task.name: task for task in dclm_tasks()}


def read(tmp_path, file: str) -> list[Example]:
    return read_examples(write_lines(tmp_path / f"{file}.jsonl", made_examples()[file]))


def reference_draws(size: int, shots: int, seed: int) -> list[list[int]]:
    """llm-foundry's algorithm, step by step: one generator a file, and another where the question is drawn."""
    generator, every = random.Random(seed), []
    for asked in range(size):
        chosen = set(generator.sample(list(range(size)), min(shots, size - 1)))
        if asked in chosen:
            chosen.discard(asked)
            if len(chosen) < size - 1:
                while True:
                    other = generator.choice(list(range(size)))
                    if other not in chosen and other != asked:
                        break
                chosen.add(other)
        every.append(list(chosen))
    return every


@pytest.mark.parametrize(("size", "shots"), [(2, 10), (5, 3), (11, 10), (400, 10), (1, 3)])
def test_solved_examples_are_drawn_as_llm_foundry_draws_them_and_never_the_one_asked(size, shots):
    generator = random.Random(1234)
    drawn = [draw(size, shots, asked, generator) for asked in range(size)]
    for asked, numbers in enumerate(drawn):
        assert asked not in numbers
        assert len(set(numbers)) == len(numbers) == min(shots, size - 1)
    assert drawn == reference_draws(size, shots, 1234)


def test_a_multiple_choice_prompt_as_it_is_read(tmp_path):
    task = replace(TASKS["arc_easy"], shots=2)
    rows = [{"query": f"Question: {n}?", "choices": ["no ", "yes"], "gold": 1} for n in ("one", "two", "three")]
    prompts = write_prompts(task, read_examples(write_lines(tmp_path / "made.jsonl", rows)))
    assert prompts[0].preamble == "Question: two?\nAnswer: yes\nQuestion: three?\nAnswer: yes"
    assert prompts[0].contexts == ("\nQuestion: one?\nAnswer:",)
    assert prompts[0].answers == ("no ", "yes")
    assert write_prompts(replace(task, shots=0), [Example(("Why?",), ("a", "b"), 0)])[0].contexts == ("Why?\nAnswer:",)


def test_a_schema_prompt_has_a_context_an_option_and_solves_with_the_right_one(tmp_path):
    rows = [
        {"context_options": [f"{n} the cup", f"{n} the jug"], "continuation": "was full.", "gold": 1}
        for n in ("A", "B")
    ]
    examples = read_examples(write_lines(tmp_path / "made.jsonl", rows))
    (first, _) = write_prompts(replace(TASKS["winograd"], shots=1), examples)
    assert first.preamble == "B the jug was full."
    assert first.contexts == ("\nA the cup", "\nA the jug")
    assert first.answers == ("was full.",)
    assert write_prompts(TASKS["winograd"], examples)[0].contexts == ("A the cup", "A the jug")


def test_a_generation_prompt_shows_the_chain_of_thought(tmp_path):
    task = replace(TASKS["gsm8k_cot"], shots=1)
    rows = [
        {
            "context": f"{n} and 1?",
            "chain_of_thought": f"{n}+1={n + 1}",
            "answer": f"{n + 1}",
            "aliases": [f"{n + 1}.0"],
        }
        for n in (1, 2)
    ]
    (first, _) = write_prompts(task, read_examples(write_lines(tmp_path / "made.jsonl", rows)))
    assert first.preamble == "Q: 2 and 1?\nA: Let's think step by step. 2+1=3 #### 3"
    assert first.contexts == ("\nQ: 1 and 1?\nA: Let's think step by step.",)
    assert first.answers == ("1+1=2 #### 2",)
    assert first.accepted == ("2", "2.0")


def test_examples_of_a_prompt_are_of_its_subject(tmp_path):
    examples = read(tmp_path, "jeopardy_all")
    prompts = write_prompts(TASKS["jeopardy"], examples)
    for prompt in prompts:
        others = [example for example in examples if example.subject != prompt.subject]
        assert prompt.subject in SUBJECTS
        assert prompt.preamble.count("\nAnswer: ") == 5
        assert not any(example.contexts[0] in prompt.preamble for example in others)


def test_prompts_are_the_same_again_and_for_some_of_the_examples(tmp_path):
    for name, file in (("arc_easy", "arc_easy"), ("jeopardy", "jeopardy_all")):
        examples = read(tmp_path, file)
        whole = write_prompts(TASKS[name], examples)
        assert write_prompts(TASKS[name], examples) == whole
        assert write_prompts(TASKS[name], examples, limit=5) == whole[:5]
        assert [prompt.example for prompt in whole] == list(range(len(examples)))


def test_the_digest_is_of_what_is_asked(tmp_path):
    task, examples = TASKS["arc_easy"], read(tmp_path, "arc_easy")
    whole = digest_of(write_prompts(task, examples))
    assert whole == digest_of(write_prompts(task, list(examples)))
    for other in (replace(task, seed=1), replace(task, shots=9), replace(task, continuation_delimiter=" ")):
        assert digest_of(write_prompts(other, examples)) != whole
    longer = [replace(examples[0], answers=(*examples[0].answers, "none")), *examples[1:]]
    assert digest_of(write_prompts(task, longer)) != whole


def test_the_question_is_never_among_the_solved(tmp_path):
    examples = read(tmp_path, "arc_easy")
    for prompt in write_prompts(TASKS["arc_easy"], examples):
        assert examples[prompt.example].contexts[0] not in prompt.preamble
        assert prompt.preamble.count("\nAnswer: ") == 10


def test_rows_spell_the_prompt_and_begin_answers_with_a_space(tmp_path):
    tokenizer = FileTokenizer(write_tokenizer(tmp_path), eot=0)
    assert needs_space(tokenizer)
    task = TASKS["arc_easy"]
    prompts = write_prompts(task, read(tmp_path, "arc_easy"))
    for request in requests(task, prompts, tokenizer, 2048, 0):
        prompt = request.prompt
        for row, answer, size in zip(request.rows, prompt.answers, request.answer_bytes, strict=True):
            whole = [int(token) for token in row.tokens]
            assert tokenizer.decode(whole) == f"{prompt.preamble}{prompt.contexts[0]} {answer}"
            assert tokenizer.decode(whole[-row.scored :]) == f" {answer}"
            assert size == len(answer.encode())
        shared = {tuple(row.tokens[: request.shared]) for row in request.rows}
        assert len(shared) == 1
        alike = len({tuple(row.tokens[:-1]) for row in request.rows}) == 1
        assert request.shared == (0 if alike else len(request.rows[0].tokens) - request.rows[0].scored - 1)


def test_a_long_prompt_loses_its_oldest_tokens_and_an_answer_never(tmp_path):
    tokenizer = FileTokenizer(write_tokenizer(tmp_path), eot=0)
    task = TASKS["arc_easy"]
    prompts = write_prompts(task, read(tmp_path, "arc_easy"))
    whole = list(requests(task, prompts, tokenizer, 2048, 0))
    for cut, uncut in zip(requests(task, prompts, tokenizer, 64, 0), whole, strict=True):
        for row, full in zip(cut.rows, uncut.rows, strict=True):
            assert len(row.tokens) == 64
            assert row.scored == full.scored
            assert (row.tokens == full.tokens[-64:]).all()
    with pytest.raises(TrainerError, match=r"example \d+ has an answer of \d+ tokens, the model reads 3"):
        list(requests(task, prompts, tokenizer, 3, 0))


def test_a_model_may_write_as_much_as_the_longest_solution(tmp_path):
    tokenizer = FileTokenizer(write_tokenizer(tmp_path), eot=0)
    examples = read(tmp_path, "svamp")
    longest = max(len(tokenizer.encode([f"( {i} + 1 ) #### {i + 1}"], special=True)[0]) for i in range(8))
    assert most_written(TASKS["svamp_cot"], examples, tokenizer) == longest + 10


def test_answers_are_compared_without_case_punctuation_and_articles():
    assert normalised("The  Quick_brown-fox, a.k.a. “an” ‘Apple’!") == "quick brown fox k “ ” apple"
    assert normalised("Banana thesis") == "banana thesis"
    assert final_answer(TASKS["gsm8k_cot"], " 1+1=2 #### 2") == "2"
    assert final_answer(TASKS["triviaqa_sm_sub"], " a #### b") == " a #### b"
