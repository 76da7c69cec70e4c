"""The format of allenai/mathfish-tasks: a JSON line per prompt, with the prompt's template, parts and right answer.

A tagging row has `messages`: the user's with `prompt_template`, `options`, `problem_activity` and, with worked
examples, `few_shots`; and the assistant's with `response_template`, `response_format` and `correct_option_index`. A
verification row has `standard_description` in place of the options, and `aligns` (yes or no) in place of the places.
Turns of an earlier level, whose assistant has `content`, may come first.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catalog.errors import WatershedError
from catalog.tables.mathfish.answers import STRATEGIES
from spark_jobs.mathfish.prompts import filled, lettered
from spark_jobs.mathfish.reading import json_rows
from spark_jobs.mathfish.replies import LETTERS
from spark_jobs.mathfish.tasks import Task

MEND = "give rows of allenai/mathfish-tasks: id and messages, with options or standard_description"
MOST_TURNS = 20
DATASETS = {"verification": "verification-standard", "tagging": "treetagger"}


@dataclass(frozen=True, kw_only=True)
class Published:
    """A prompt of a file.

    Attributes:
        id: of the prompt.
        kind: verification or tagging.
        group: what accuracy is reported by: the strategy of a verification, the level of a tagging; may be empty.
        messages: the prompt as (role, content), ready to be asked.
        options: words of the options, of tagging.
        correct: places of the right options, of tagging.
        answer: yes or no, of verification.
    """

    id: str
    kind: str
    group: str
    messages: tuple[tuple[str, str], ...]
    options: tuple[str, ...] = ()
    correct: tuple[int, ...] = ()
    answer: str = ""


def task_line(task: Task) -> dict[str, Any]:
    """A verification or tagging prompt as a row of the format."""
    user: dict[str, Any] = {"role": "user"}
    if task.few_shots:
        user["few_shots"] = task.few_shots
    template = task.template if task.few_shots else task.template.replace("{few_shots}", "")
    user["prompt_template"] = template
    dataset = DATASETS[task.kind] + (f"-{task.level}" if task.level else "")
    if task.kind == "verification":
        user["standard_description"] = task.description
        reply: dict[str, Any] = {"response_template": "{aligns}", "aligns": task.answer}
    else:
        user["options"] = [option.text for option in task.options]
        reply = {
            "response_template": "{option}",
            "response_format": "comma_list",
            "correct_option_index": list(task.correct),
        }
    user["problem_activity"] = task.text
    return {"id": task.task, "dataset": dataset, "messages": [user, {"role": "assistant", **reply}]}


def write_tasks(tasks: Iterable[Task], path: Path) -> int:
    """Write verification and tagging prompts to a file of the format; returns their number.

    Raises:
        WatershedError: the file cannot be written.
    """
    from catalog.files import whole_file

    count = 0
    with whole_file(path) as partial, partial.open("w", encoding="utf-8") as file:
        for task in tasks:
            if task.kind in DATASETS:
                file.write(json.dumps(task_line(task), ensure_ascii=False) + "\n")
                count += 1
    return count


def read_tasks(path: Path) -> list[Published]:
    """Read a file of the format.

    Raises:
        WatershedError: the file cannot be read, or a row is none of the format; the cause names file and line.
    """
    found: dict[str, Published] = {}
    for place, row in json_rows(path, MEND):
        task = published(row, place)
        if task.id in found:
            raise WatershedError(f"{place}: the id {task.id[:60]!r} is there twice", MEND)
        found[task.id] = task
    return list(found.values())


def published(row: Any, place: str) -> Published:
    """The prompt that a row of the format describes.

    Raises:
        WatershedError: the row is none of the format.
    """

    def refuse(why: str) -> WatershedError:
        return WatershedError(f"{place}: {why}", MEND)

    messages = row.get("messages") if isinstance(row, dict) else None
    if not isinstance(row, dict) or not isinstance(row.get("id"), str | int):
        raise refuse("no object with an id")
    if not isinstance(messages, list) or not 2 <= len(messages) <= MOST_TURNS:
        raise refuse("messages is not a list of two turns or more")
    if not all(isinstance(turn, dict) for turn in messages):
        raise refuse("a turn is not an object")
    turns, last = [(turn.get("role"), turn) for turn in messages[:-1]], messages[-1]
    if [role for role, _ in turns] != ["user", "assistant"] * (len(turns) // 2) + ["user"]:
        raise refuse("turns of user and assistant do not alternate")
    asked: list[tuple[str, str]] = []
    for role, turn in turns:
        if role == "assistant":
            if not isinstance(turn.get("content"), str):
                raise refuse("an earlier turn of the assistant has no content")
            asked.append(("assistant", turn["content"]))
            continue
        asked.append(("user", _prompt(turn, refuse)))
    user = turns[-1][1]
    name = str(row["id"])
    if "aligns" in last:
        answer = str(last["aligns"]).strip().lower()
        if answer not in ("yes", "no"):
            raise refuse(f"aligns is {answer[:40]!r}, neither yes nor no")
        return Published(id=name, kind="verification", group=strategy_of(name), messages=tuple(asked), answer=answer)
    options, correct = user.get("options"), last.get("correct_option_index")
    if not isinstance(options, list) or not isinstance(correct, list):
        raise refuse("neither aligns nor options with correct_option_index")
    if not all(isinstance(each, int) and not isinstance(each, bool) and 0 <= each < len(options) for each in correct):
        raise refuse("correct_option_index names no option")
    level = str(row.get("dataset") or "").removeprefix("treetagger-")
    return Published(
        id=name,
        kind="tagging",
        group=level if level in ("domain", "cluster", "standard") else "",
        messages=tuple(asked),
        options=tuple(options),
        correct=tuple(sorted(set(correct))),
    )


def _prompt(turn: Mapping[str, Any], refuse: Any) -> str:
    template, options = turn.get("prompt_template"), turn.get("options", [])
    if not isinstance(template, str):
        raise refuse("a turn of the user has no prompt_template")
    if not isinstance(options, list) or len(options) > len(LETTERS) or not all(isinstance(one, str) for one in options):
        raise refuse(f"options is not a list of at most {len(LETTERS)} texts")
    values: dict[str, str] = {"options": lettered(options), "few_shots": ""}
    for name in ("problem_activity", "standard_description", "few_shots"):
        if name in turn:
            if not isinstance(value := turn[name], str):
                raise refuse(f"{name} is not a string")
            values[name] = value
    # The card of the data set writes the plural.
    if isinstance(plural := turn.get("standards_description"), str):
        values.setdefault("standard_description", plural)
    return filled(template, values)


def strategy_of(task: str) -> str:
    """The strategy that the id of a verification names; empty if it names none.

    Example:
        >>> strategy_of("im_task_000019_pos_0"), strategy_of("fl_1_same-domain-different-grade_2")
        ('positive', 'same-domain-different-grade')
    """
    found = re.search(r"_([a-z-]+)_\d+$", task)
    name = found[1] if found else ""
    return "positive" if name == "pos" else name if name in STRATEGIES else "negative" if name == "neg" else ""
