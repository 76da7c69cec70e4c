"""DCLM's 53 tasks, as dclm.yaml declares them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from trainers.names import close, find
from trainers.process.errors import TrainerError

Kind = Literal["multiple_choice", "schema", "language_modeling", "generation_with_answers", "code_generation"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Version = Literal["v1", "v2"]
VERSIONS: tuple[Version, ...] = get_args(Version)
"""Of the random baselines: v2 is DCLM's of September 2025. Scores centred by two of them do not compare."""

DCLM = Path(__file__).with_name("dclm.yaml")


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is asked, how it is put to a model, and what a guess would score."""

    name: str
    file: str
    """Under the data folder, without its ending: .jsonl, .jsonl.gz, .jsonl.zst or .parquet."""
    kind: Kind
    shots: int
    """Solved examples before the question."""
    baseline: dict[Version, float]
    """Accuracy of a random guess by version, 0..1."""
    category: str
    core: bool = False
    """One of the 22 whose mean is CORE."""
    prelimiter: str = ""
    """Before every question."""
    continuation_delimiter: str = " "
    """Between question and answer; trailing white space goes to the answer asked for."""
    example_delimiter: str = "\n"
    """Before every question but the prompt's first."""
    chain_of_thought_delimiter: str = ""
    """Between a solved example's chain of thought and its answer; in what a model writes, the answer follows it."""
    stops: tuple[str, ...] = ()
    """What a model writes is cut at the first of these."""
    by_subject: bool = False
    """Examples have a `category`: a prompt's are of one, and the score is the mean over all."""
    duplicates: int = 0
    """Examples of the published file that equal an earlier one; `examples` are in it."""
    examples: int = 0
    """Of the published file, where it has duplicates."""
    seed: int = 1234
    """Of the choice of solved examples."""
    context_tokens: int = 2048
    """Prompt and answer; the oldest tokens of longer prompts are cut off."""


OWN = "own"
"""The category of a user's own task."""
CODE_STOPS = ("\nclass ", "\ndef ", "\n#", "\nif ", "\nprint(", "\n```")
"""What a model writes after a function's body is cut off (arXiv 2107.03374, section 2.2)."""


def own_task(name: str, kind: Kind, baseline: float, shots: int) -> Task:
    """The task of a user's own file, with llm-foundry's delimiters.

    Args:
        name: of the task, none of DCLM's.
        kind: of its examples.
        baseline: accuracy of a random guess, 0..1.
        shots: solved examples before each question; code has none.

    Raises:
        TrainerError: a task of DCLM has the name.
    """
    if find(name, [task.name for task in dclm_tasks()]):
        raise TrainerError(f"a task of DCLM is called {name!r}", "rename the file, or give its folder with --data")
    code = kind == "code_generation"
    return Task(
        name=name,
        file=name,
        kind=kind,
        shots=0 if code else shots,
        baseline=dict.fromkeys(VERSIONS, baseline),
        category=OWN,
        stops=CODE_STOPS if code else ("\n",) if kind == "generation_with_answers" else (),
    )


@functools.cache
def dclm_tasks() -> tuple[Task, ...]:
    """All 53, in DCLM's order."""
    declared = yaml.safe_load(DCLM.read_text(encoding="utf-8"))
    everywhere = {name: value for name, value in declared.items() if name != "tasks"}
    return tuple(_task(everywhere | entry) for entry in declared["tasks"])


def _task(entry: dict[str, Any]) -> Task:
    baseline = entry["baseline"]
    percent = baseline if isinstance(baseline, dict) else dict.fromkeys(VERSIONS, baseline)
    entry["baseline"] = {version: percent[version] / 100 for version in VERSIONS}
    entry["stops"] = tuple(entry.get("stops", ()))
    return Task(**entry)


def chosen_tasks(names: Sequence[str]) -> list[Task]:
    """Tasks by name, in DCLM's order; "core" stands for its 22, "extended" for all, and so does an empty list.

    Raises:
        TrainerError: a name that no task has.
    """
    tasks = dclm_tasks()
    known = [*(task.name for task in tasks), "core", "extended"]
    wanted = set()
    for name in names:
        found = find(name, known)
        if found is None:
            cause = f"no task is called {name!r}{close(name, known)}"
            raise TrainerError(cause, "`watershed evals tasks` lists them; or core, extended")
        wanted.add(found)
    if not wanted or "extended" in wanted:
        return list(tasks)
    return [task for task in tasks if task.name in wanted or (task.core and "core" in wanted)]


def checked_version(version: str) -> Version:
    """`version`, if there is one of that name."""
    if version not in VERSIONS:
        raise TrainerError(f"no version is called {version!r}", f"give one of {', '.join(VERSIONS)}")
    return version
