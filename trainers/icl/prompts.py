"""Few-shot prompts as llm-foundry writes them, so that scores compare with DCLM's.

A prompt is the solved examples (the preamble), the question (the context), and what may follow it (the answers). White
space at a context's end is left out, and the answer begins with a space instead: tokens of words begin with theirs.
Solved examples are drawn from the other examples of the same file and subject.

Source: llm-foundry, llmfoundry/eval/datasets/in_context_learning_evaluation.py and utils.py (get_fewshot_sample_idxs).
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass

from trainers.icl.files import Example
from trainers.icl.tasks import Task
from trainers.process.files import canonical_json, sha256_text


@dataclass(frozen=True)
class Prompt:
    """What is put to a model for one example; texts follow one another as they stand."""

    example: int
    """Number in the file, from 0."""
    subject: str
    preamble: str
    contexts: tuple[str, ...]
    """One; of a schema, one an option."""
    answers: tuple[str, ...]
    """To be scored after the context: choices, or one. Without the space before."""
    gold: int
    """The right answer, or the right context of a schema."""
    accepted: tuple[str, ...] = ()
    """Of a generation: answer and aliases."""

    @property
    def digest(self) -> str:
        """Hex SHA-256 of preamble, contexts and answers: equal for all models that were asked the same."""
        return sha256_text(canonical_json([self.preamble, self.contexts, self.answers, self.gold, self.accepted]))


def write_prompts(task: Task, examples: Sequence[Example], limit: int = 0) -> list[Prompt]:
    """One an example, in the file's order; of the first `limit` examples alone, where that is not 0.

    The draws are Python's random.Random(task.seed), begun anew with each subject and asked example after example: so
    the first prompts are the same whether all are asked or only some.
    """
    asked = len(examples) if not limit else min(limit, len(examples))
    prompts: list[Prompt | None] = [None] * asked
    for members in _by_subject(task, examples):
        generator = random.Random(task.seed)
        for place, number in enumerate(members):
            if number >= asked:
                break
            drawn = draw(len(members), task.shots, place, generator)
            preamble = ""
            for shot in drawn:
                preamble += _solved(task, examples[members[shot]], first=not preamble)
            prompts[number] = _prompt(task, examples[number], number, preamble)
    return [prompt for prompt in prompts if prompt is not None]


def _by_subject(task: Task, examples: Sequence[Example]) -> list[list[int]]:
    if not task.by_subject:
        return [list(range(len(examples)))]
    members: dict[str, list[int]] = {}
    for number, example in enumerate(examples):
        members.setdefault(example.subject, []).append(number)
    return list(members.values())


def draw(size: int, shots: int, asked: int, generator: random.Random) -> list[int]:
    """Numbers of at most `shots` other examples out of `size`, never `asked`.

    The order is that of a set of small integers in CPython, which the published scores were made with.
    """
    if not shots:
        return []
    drawn = set(generator.sample(range(size), min(size - 1, shots)))
    if asked in drawn:
        drawn.remove(asked)
        while len(drawn) < min(size - 1, shots):
            other = generator.choice(range(size))
            if other != asked and other not in drawn:
                drawn.add(other)
    return list(drawn)


def solution(task: Task, example: Example) -> str:
    """What should follow the context: the right answer, its chain of thought before it where there is one."""
    if task.kind == "generation_with_answers":
        thought = example.chain_of_thought
        before = "" if thought is None else thought + task.chain_of_thought_delimiter
        return before + example.answers[0]
    return example.answers[example.gold if task.kind == "multiple_choice" else 0]


def _solved(task: Task, example: Example, *, first: bool) -> str:
    context = example.contexts[example.gold if task.kind == "schema" else 0]
    return _question(task, context, first=first) + task.continuation_delimiter + solution(task, example)


def _question(task: Task, context: str, *, first: bool) -> str:
    delimiter = "" if first else task.example_delimiter
    # A schema's delimiter comes after its prelimiter in llm-foundry; none of DCLM's has one.
    return task.prelimiter + delimiter + context if task.kind == "schema" else delimiter + task.prelimiter + context


def _prompt(task: Task, example: Example, number: int, preamble: str) -> Prompt:
    contexts = tuple(
        (_question(task, context, first=not preamble) + task.continuation_delimiter).rstrip()
        for context in example.contexts
    )
    generates = task.kind == "generation_with_answers"
    answers = (solution(task, example),) if generates else example.answers
    return Prompt(
        example=number,
        subject=example.subject,
        preamble=preamble,
        contexts=contexts,
        answers=answers,
        gold=example.gold,
        accepted=example.answers if generates else (),
    )


def digest_of(prompts: Sequence[Prompt]) -> str:
    """Hex SHA-256 of the prompts' digests, in order."""
    digest = hashlib.sha256()
    for prompt in prompts:
        digest.update(bytes.fromhex(prompt.digest))
    return digest.hexdigest()
