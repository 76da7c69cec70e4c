"""A reply against a list of instructions, as IFEval scores it (arXiv 2311.07911, section 2.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from trainers.process.errors import TrainerError
from trainers.verifiers.instructions.kinds import Instruction
from trainers.verifiers.instructions.register import bind
from trainers.verifiers.verdict import Verdict, unreadable

Rule = Literal["strict", "loose", "fraction"]


def read_instructions(row: Sequence[Mapping[str, Any]]) -> tuple[Instruction, ...]:
    """Instructions from `[{"id": KIND, "kwargs": {...}}]`.

    Raises:
        TrainerError: there is none, or one is unknown or lacks an argument.

    Example:
        >>> read_instructions([{"id": "punctuation:no_comma"}])[0].kind.about
        'Use no comma.'
    """
    if not row:
        raise TrainerError("the list of instructions is empty", "give at least one instruction")
    for each in row:
        if not isinstance(each, Mapping) or not isinstance(each.get("id"), str):
            raise TrainerError("an instruction has no id", 'write {"id": "punctuation:no_comma", "kwargs": {}}')
        if not isinstance(each.get("kwargs") or {}, Mapping):
            raise TrainerError(f"the kwargs of {each['id']} are not an object", 'write {"id": ..., "kwargs": {}}')
    return tuple(bind(each["id"], each.get("kwargs")) for each in row)


def score_instructions(response: str, instructions: Sequence[Instruction], rule: Rule = "strict") -> Verdict:
    """Judge a reply: are all instructions followed?

    Args:
        response: the reply of the model.
        instructions: from `read_instructions`.
        rule: `strict` judges the reply as it is; `loose` accepts any of the eight variants of the published loose
            accuracy; `fraction` is the share of the instructions that are followed strictly, open-instruct's reward.

    Example:
        >>> score_instructions("No. No.", read_instructions([{"id": "punctuation:no_comma"}])).score
        1.0
    """
    why = unreadable(response)
    variants = [] if why else loose_variants(response)
    each: list[dict[str, Any]] = []
    for instruction in instructions:
        fault = why or instruction.fault(response)
        loose = not fault or any(not instruction.fault(variant) for variant in variants[1:])
        each.append({"id": instruction.kind.id, "strict": not fault, "loose": loose, "reason": fault or "followed"})
    strict, loose = all(one["strict"] for one in each), all(one["loose"] for one in each)
    fraction = sum(one["strict"] for one in each) / len(each)
    score = {"strict": float(strict), "loose": float(loose), "fraction": fraction}[rule]
    broken = [f"{one['id']}: {one['reason']}" for one in each if not one["strict"]]
    return Verdict(
        score,
        "; ".join(broken) if broken else "every instruction is followed",
        {"strict": strict, "loose": loose, "fraction": fraction, "instructions": each},
    )


def loose_variants(reply: str) -> list[str]:
    """The reply, and what remains of it without its first line, its last line or both, each with and without asterisks.

    Example:
        >>> loose_variants("Sure!\\nyes *sir*")[:3]
        ['Sure!\\nyes *sir*', 'Sure!\\nyes sir', 'yes *sir*']
    """
    lines = reply.split("\n")
    found = []
    for text in (reply, *("\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1]))):
        found += [text, text.replace("*", "")]
    return found
