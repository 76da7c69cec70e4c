"""Prompts that a model writes for personas, each with instructions whose constraints can be verified.

Tulu 3 (arXiv 2411.15124, section 3.1.2) draws personas to make prompts diverse, and a constraint of IFEval to make them
verifiable. Personas, constraints and wording are our own. The number of a prompt decides its persona, skill and
constraints, so a larger count adds prompts and changes none.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.names import close
from spark_jobs.language_models.endpoint import Endpoint
from spark_jobs.language_models.replies import MalformedReply, bounded_json
from spark_jobs.language_models.request import Request, Sampling
from spark_jobs.language_models.structured import ask_structured
from spark_jobs.recipes.bounded_yaml import YamlError, compose, construct
from spark_jobs.tulu.prompts import Row, prompt_row

DATA = Path(__file__).parent / "data"
PERSONAS, CONSTRAINTS, SKILLS = DATA / "personas.jsonl", DATA / "constraints.jsonl", DATA / "skills"
VERIFIERS = ("ifeval", "gsm8k", "math", "exact", "code", "")
ALONE = "alone"
"""The group of constraints that go with no other."""
TEXT = "{prompt}"
"""An argument of a constraint that stands for the prompt itself."""


@dataclass(frozen=True, kw_only=True)
class Constraint:
    """A kind of instruction with the values that are drawn for its arguments."""

    id: str
    group: str
    """At most one constraint of a group is in a prompt."""
    text: str
    kwargs: Mapping[str, Sequence[Any]]

    def drawn(self, draw: random.Random) -> tuple[str, dict[str, Any]]:
        """The sentence and the arguments of one draw."""
        values = {name: draw.choice(list(choices)) for name, choices in self.kwargs.items()}
        if "nth_paragraph" in values:
            values["nth_paragraph"] = min(values["nth_paragraph"], values["num_paragraphs"])
        text = self.text
        for name, value in values.items():
            text = text.replace(f"{{{name}}}", ", ".join(value) if isinstance(value, list) else str(value))
        return text, values


@dataclass(frozen=True, kw_only=True)
class Skill:
    """What prompts are written for.

    Attributes:
        ask: what the writer is asked, with {persona}.
        verifier: the scorer of `watershed score` that verifies replies; empty for none.
        evaluation: the task of tulu.tasks that measures the skill; empty for none.
        constraints: the least and the most constraints that are added to a prompt.
        extra: constraints of the skill's own, added to those that come with Watershed.
    """

    name: str
    about: str
    ask: str
    verifier: str = ""
    evaluation: str = ""
    constraints: tuple[int, int] = (0, 0)
    extra: tuple[Constraint, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PersonaRecipe:
    """Everything that decides the prompts that a model writes."""

    model: str
    revision: str
    count: int
    skills: tuple[Skill, ...]
    personas: tuple[str, ...] = field(repr=False)
    constraints: tuple[Constraint, ...] = field(repr=False)
    seed: int = 0
    tokens: int = 512


class Written(BaseModel):
    """What the writer returns."""

    prompt: str
    answer: str = ""


def load_skill(name: str, folder: Path | None = None) -> Skill:
    """Read a skill of the project's own, or one that comes with Watershed.

    Raises:
        WatershedError: there is none of the name, or its file is wrong.
    """
    for each in (folder, SKILLS):
        if each and (each / f"{name}.yaml").is_file():
            return read_skill(each / f"{name}.yaml")
    known = sorted(path.stem for each in (folder, SKILLS) if each and each.is_dir() for path in each.glob("*.yaml"))
    raise WatershedError(
        f"no skill is called {name!r}{close(name, known)}", f"write skills/{name}.yaml, or use {', '.join(known)}"
    )


def read_skill(path: Path) -> Skill:
    """Read a skill from a YAML file.

    Raises:
        WatershedError: the file is not YAML, or an entry is unknown, missing or wrong.
    """
    mend = "write name, about, ask with {persona}, and optionally verifier, evaluation, constraints and extra"
    try:
        node = compose(path.read_text(encoding="utf-8"))
        raw = construct(node) if node is not None else None
    except (OSError, UnicodeDecodeError) as error:
        raise WatershedError(f"{path} cannot be read: {error}", mend) from None
    except YamlError as error:
        raise WatershedError(f"{path}:{error.line}: {error.cause}", mend) from None
    known = set(Skill.__dataclass_fields__)
    if not isinstance(raw, dict) or (raw.keys() - known):
        unknown = sorted(map(str, raw.keys() - known))[0] if isinstance(raw, dict) else "the file"
        raise WatershedError(f"{path}: {unknown} is not an entry of a skill", mend)
    texts = {name: raw.get(name, "") for name in ("name", "about", "ask", "verifier", "evaluation")}
    limits = raw.get("constraints", [0, 0])
    sound = (
        all(isinstance(value, str) for value in texts.values())
        and all(texts[name].strip() for name in ("name", "about", "ask"))
        and "{persona}" in texts["ask"]
        and texts["verifier"] in VERIFIERS
        and isinstance(limits, list)
        and len(limits) == 2
        and all(isinstance(each, int) and 0 <= each <= 5 for each in limits)
        and limits[0] <= limits[1]
    )
    if not sound:
        raise WatershedError(f"{path}: an entry is missing or wrong (verifiers: {', '.join(VERIFIERS[:-1])})", mend)
    extra = tuple(_constraint(each, str(path)) for each in raw.get("extra", []))
    return Skill(**texts, constraints=(limits[0], limits[1]), extra=extra)


def read_constraints(path: Path = CONSTRAINTS) -> tuple[Constraint, ...]:
    """Read constraints from JSON lines.

    Raises:
        WatershedError: the file cannot be read, or a line is not a constraint.
    """
    return tuple(_constraint(row, f"{path}:{number}") for number, row in _lines(path))


def read_personas(path: Path = PERSONAS) -> tuple[str, ...]:
    """Read personas from JSON lines with `persona`; a repeated one counts once.

    Raises:
        WatershedError: the file cannot be read, or a line has no persona.
    """
    found = []
    for number, row in _lines(path):
        if not isinstance(row, dict) or not isinstance(row.get("persona"), str) or not row["persona"].strip():
            raise WatershedError(f"{path}:{number} has no persona", 'write {"persona": "a nurse on night shifts"}')
        found.append(row["persona"].strip())
    return tuple(dict.fromkeys(found))


def _lines(path: Path) -> list[tuple[int, Any]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        found = [(number, bounded_json(line)) for number, line in enumerate(lines, start=1) if line.strip()]
    except (OSError, UnicodeDecodeError, MalformedReply) as error:
        raise WatershedError(f"{path} cannot be read: {error}", "give JSON lines") from None
    if not found:
        raise WatershedError(f"{path} is empty", "give JSON lines")
    return found


def _constraint(row: Any, place: str) -> Constraint:
    sound = (
        isinstance(row, dict)
        and all(isinstance(row.get(name), str) and row[name] for name in ("id", "group", "text"))
        and isinstance(row.get("kwargs"), dict)
        and all(isinstance(each, list) and each for each in row["kwargs"].values())
    )
    if not sound:
        raise WatershedError(
            f"{place} is not a constraint", "write id, group, text, and kwargs with a list of values for each argument"
        )
    return Constraint(**{name: row[name] for name in ("id", "group", "text", "kwargs")})


def plan(recipe: PersonaRecipe, number: int) -> tuple[Skill, str, list[tuple[str, str, dict[str, Any]]]]:
    """Skill, persona and constraints (id, sentence, arguments) of prompt `number`."""
    draw = random.Random(f"{recipe.seed} {number}")
    skill = recipe.skills[number % len(recipe.skills)]
    persona = draw.choice(recipe.personas)
    chosen: list[tuple[str, str, dict[str, Any]]] = []
    wanted = draw.randint(*skill.constraints)
    order = draw.sample([*recipe.constraints, *skill.extra], len(recipe.constraints) + len(skill.extra))
    groups: set[str] = set()
    for each in order:
        if len(chosen) == wanted:
            break
        if each.group in groups or (each.group == ALONE and wanted > 1):
            continue
        groups.add(each.group)
        chosen.append((each.id, *each.drawn(draw)))
    return skill, persona, chosen


def write_prompts(lake: Lake, endpoint: Endpoint, recipe: PersonaRecipe, collection: str) -> list[Row]:
    """Rows of tulu.prompts that the model of the endpoint writes. A request that failed is a row with its failure.

    Raises:
        WatershedError: see `client.ask`.
    """
    plans = [plan(recipe, number) for number in range(recipe.count)]
    asked = [
        Request.chat(
            skill.ask.replace("{persona}", persona),
            settings=Sampling(max_tokens=recipe.tokens, temperature=1.0, seed=recipe.seed * 1_000_003 + number),
            sample=number,
        )
        for number, (skill, persona, _) in enumerate(plans)
    ]
    replies = ask_structured(lake, endpoint, asked, Written, purpose="tulu.prompts")
    rows = []
    for number, ((skill, persona, chosen), reply) in enumerate(zip(plans, replies, strict=True)):
        text = reply.value.prompt.strip() if reply.value else ""
        answer = reply.value.answer.strip() if reply.value else ""
        failure = None
        if not text:
            failure = reply.attempt.error or "no_prompt"
        elif skill.verifier and skill.verifier != "ifeval" and not answer:
            failure = "no_answer"
        instructions = [
            {"id": id, "kwargs": json.dumps(_filled(kwargs, text), sort_keys=True, ensure_ascii=False)}
            for id, _, kwargs in chosen
        ]
        sentences = " ".join(sentence for _, sentence, _ in chosen)
        rows.append(
            prompt_row(
                collection,
                pool="persona",
                source=skill.name,
                text=f"{text}\n\n{sentences}" if sentences and text else text,
                number=number,
            )
            | {
                "persona": persona,
                "instructions": instructions,
                "verifier": skill.verifier or None,
                "answer": answer or None,
                "request": reply.attempt.request,
                "failure": failure,
            }
        )
    return rows


def _filled(kwargs: Mapping[str, Any], text: str) -> dict[str, Any]:
    return {name: text if value == TEXT else value for name, value in kwargs.items()}
