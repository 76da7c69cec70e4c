"""The stages: each takes the rows of the stages before it, asks the model, and returns its own rows.

A failure of a request is a row with its kind in `failure`; later stages carry the dialogue on as ill-formed, so that no
dialogue is lost. A stage that was interrupted asks again only what has no reply yet, as the ledger has every reply.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.progress import track
from spark_jobs.dialogues import prompts
from spark_jobs.dialogues.adherence import adherence
from spark_jobs.dialogues.conversation import Spoken, converse
from spark_jobs.dialogues.forms import faults_of, last_agent_turn, transcript
from spark_jobs.dialogues.reading import (
    critique_of,
    first_paragraph,
    lines_of,
    message_of,
    plan_of,
    speaks_for_both,
    verdict_of,
)
from spark_jobs.dialogues.recipe import DialogueRecipe, Principle
from spark_jobs.language_models import client
from spark_jobs.language_models.attempt import REFUSED, Attempt
from spark_jobs.language_models.endpoint import Endpoint
from spark_jobs.language_models.limits import FIRST_DELAY
from spark_jobs.language_models.request import Request, Sampling
from spark_jobs.language_models.requests import attempts_of

PASSING = ("unreachable", "rate_limited", "server_error")
"""Kinds of failures that a later run need not meet."""

Row = dict[str, Any]
Rows = Mapping[str, Mapping[str, Any]]
"""Rows of an earlier stage by dialogue."""


@dataclass(frozen=True)
class Stage:
    """Where and how the stages of one model run.

    Attributes:
        lake: the lake with the ledger.
        endpoint: the model.
        name: the entry of `[models]`.
        recipe: the choices.
        first_delay: seconds before the second attempt of a request.
    """

    lake: Lake
    endpoint: Endpoint
    name: str
    recipe: DialogueRecipe
    first_delay: float = FIRST_DELAY

    def ask(self, stage: str, requests: Sequence[Request]) -> list[Attempt]:
        """Return the replies to the requests of a stage, in their order.

        Raises:
            WatershedError: see `client.ask`; or the server refused every request.
        """
        purpose = f"dialogues.{stage}"
        rows = client.ask(self.lake, self.endpoint, requests, purpose=purpose, first_delay=self.first_delay)
        if rows and all(row.outcome == REFUSED for row in rows):
            raise self.refused(purpose, [str(row.error) for row in rows])
        return rows

    def refused(self, purpose: str, kinds: Sequence[str]) -> WatershedError:
        """Return the error for a stage whose every request failed in a way that passes, so that no row is written."""
        counted = ", ".join(f"{count:,} {kind}" for kind, count in Counter(kinds).most_common())
        return WatershedError(
            f"{self.endpoint.url} answered none of the {len(kinds):,} requests of {purpose} ({counted})",
            "run it again when the server answers",
        )

    def settings(self, number: int, tokens: int, temperature: float | None = None) -> Sampling:
        """Return the sampling of a request for a dialogue or a domain."""
        heat = self.recipe.temperature if temperature is None else temperature
        return Sampling(max_tokens=tokens, temperature=heat, seed=self.recipe.seed * 1_000_003 + number)

    def principles(self, ids: Sequence[str]) -> list[Principle]:
        """Return principles by id."""
        known = {each.id: each for each in self.recipe.principles}
        return [known[each] for each in ids]


def topics(stage: Stage) -> list[Row]:
    """Return rows of dialogues.topics, for the domains that the dialogues need."""
    recipe = stage.recipe
    domains = list(dict.fromkeys(recipe.topic_of(number)[0] for number in range(recipe.count)))
    asked = [
        Request.chat(prompts.subtopics(name, recipe.subtopics), settings=stage.settings(place, recipe.text_tokens))
        for place, name in enumerate(domains)
    ]
    rows = []
    for domain, reply in zip(domains, stage.ask("topics", asked), strict=True):
        found = lines_of(reply.text, recipe.subtopics) if reply.answered else []
        named = bool(found)
        rows += [
            {"domain": domain, "place": place, "subtopic": text, "named": named, "request": reply.request}
            for place, text in enumerate(found or [domain])
        ]
    return [{"model": stage.name, **row} for row in rows]


def goals(stage: Stage, topic_rows: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Return rows of dialogues.goals: one for every dialogue of the recipe."""
    recipe = stage.recipe
    by_domain: dict[str, list[str]] = {}
    for row in sorted(topic_rows, key=lambda row: (row["domain"], row["place"])):
        by_domain.setdefault(row["domain"], []).append(row["subtopic"])
    rows: list[Row] = []
    asked = []
    for number in range(recipe.count):
        domain, place = recipe.topic_of(number)
        subtopic = by_domain[domain][place % len(by_domain[domain])]
        principles = recipe.drawn_principles(number)
        settings = stage.settings(number, min(120, recipe.text_tokens))
        asked.append(Request.chat(prompts.goal(domain, subtopic, principles), settings=settings))
        rows.append(
            {"model": stage.name, "dialogue": recipe.identity(stage.name, number), "number": number}
            | {"domain": domain, "subtopic": subtopic, "principles": [each.id for each in principles]}
        )
    for row, reply in zip(rows, stage.ask("goals", asked), strict=True):
        row.update(_text("goal", first_paragraph(reply.text), reply))
    return rows


def _text(column: str, text: str, reply: Attempt) -> Row:
    """Return the text of a stage, its request, and why there is none."""
    failure = reply.error if not reply.answered else None if text else "empty_reply"
    return {column: "" if failure else text, "request": reply.request, "failure": failure}


def plans(stage: Stage, goal_rows: Rows) -> list[Row]:
    """Return rows of dialogues.plans."""
    sound = {name: row for name, row in goal_rows.items() if not row["failure"]}
    asked = [
        Request.chat(
            prompts.plan(row["domain"], row["subtopic"], stage.principles(row["principles"]), row["goal"]),
            settings=stage.settings(row["number"], stage.recipe.text_tokens),
        )
        for row in sound.values()
    ]
    replies = dict(zip(sound, stage.ask("plans", asked), strict=True))
    rows = []
    for name, row in goal_rows.items():
        found = {"plan": "", "request": None, "failure": f"no goal: {row['failure']}"}
        if name in replies:
            found = _text("plan", plan_of(replies[name].text), replies[name])
        rows.append({"model": stage.name, "dialogue": name, **found})
    return rows


def conversations(stage: Stage, goal_rows: Rows, plan_rows: Rows) -> list[Row]:
    """Return rows of dialogues.conversations. The turns of a dialogue depend on each other, dialogues do not."""
    planned = {name: row["plan"] for name, row in plan_rows.items() if not row["failure"]}

    async def run(asking: client.Client) -> dict[str, Spoken]:
        asking.ledger.load_purpose(asking.purpose)
        with track(f"dialogues.conversations of {stage.name}", len(planned), "dialogues") as task:

            async def one(name: str) -> Spoken:
                found = await converse(asking, stage.recipe, goal_rows[name]["number"], planned[name])
                task.advance(note=asking.note)
                return found

            spoken = await client.gathered(one(name) for name in planned)
        return dict(zip(planned, spoken, strict=True))

    purpose = "dialogues.conversations"
    found = client.converse(stage.lake, stage.endpoint, run, purpose=purpose, first_delay=stage.first_delay)
    if found and all(spoken.failure in PASSING and not spoken.messages for spoken in found.values()):
        raise stage.refused(purpose, [str(spoken.failure) for spoken in found.values()])
    rows = []
    for name, row in plan_rows.items():
        spoken = found.get(name) or Spoken(ended="failed", failure=f"no plan: {row['failure']}")
        rows.append({"model": stage.name, "dialogue": name, "turns": len(spoken.messages), **vars(spoken)})
    return rows


def flags(stage: Stage, goal_rows: Rows, plan_rows: Rows, spoken_rows: Rows) -> list[Row]:
    """Return rows of dialogues.flags: truncation and form by rules, violations by the model."""
    both = _spoke_for_both(stage, spoken_rows)
    rows: dict[str, Row] = {}
    for name, row in spoken_rows.items():
        faults = faults_of(row["messages"], failed=row["ended"] == "failed", spoke_for_both=name in both)
        texts = [message["content"] for message in row["messages"]]
        rows[name] = {
            "model": stage.name,
            "dialogue": name,
            "violation": None,
            "truncated": bool(row["cut"]) or row["ended"] == "turn_limit",
            "ill_formed": faults,
            "adherence": adherence(plan_rows[name]["plan"], texts),
            "request": None,
        }
    judged = [name for name, row in rows.items() if "no_agent_turn" not in row["ill_formed"]]
    asked = [
        Request.chat(
            prompts.flag(_principles(stage, goal_rows, name), transcript(spoken_rows[name]["messages"])),
            settings=stage.settings(goal_rows[name]["number"], 16, temperature=0.0),
        )
        for name in judged
    ]
    for name, reply in zip(judged, stage.ask("flags", asked), strict=True):
        rows[name] |= {"violation": verdict_of(reply.text) if reply.answered else None, "request": reply.request}
    return list(rows.values())


def _spoke_for_both(stage: Stage, spoken_rows: Rows) -> set[str]:
    """Return the dialogues of which a reply went on with a message of the other side, by the replies in the ledger."""
    owner = {request: name for name, row in spoken_rows.items() for request in row["requests"]}
    replies = attempts_of(stage.lake, list(owner), stage.endpoint.model)
    return {owner[row.request] for row in replies if row.answered and speaks_for_both(row.text)}


def _principles(stage: Stage, goal_rows: Rows, name: str) -> list[Principle]:
    return stage.principles(goal_rows[name]["principles"])


def critiques(stage: Stage, goal_rows: Rows, spoken_rows: Rows, flag_rows: Rows) -> list[Row]:
    """Return rows of dialogues.critiques, for well-formed dialogues that are flagged as violations."""
    flagged = [name for name, row in flag_rows.items() if row["violation"] and not row["ill_formed"]]
    asked = [
        Request.chat(
            prompts.critique(_principles(stage, goal_rows, name), transcript(spoken_rows[name]["messages"])),
            settings=stage.settings(goal_rows[name]["number"], stage.recipe.text_tokens),
        )
        for name in flagged
    ]
    rows = []
    for name, reply in zip(flagged, stage.ask("critiques", asked), strict=True):
        text, violations = critique_of(reply.text, goal_rows[name]["principles"])
        found = {"violations": violations if reply.answered else []}
        rows.append({"model": stage.name, "dialogue": name, **found, **_text("critique", text, reply)})
    return rows


def revisions(stage: Stage, goal_rows: Rows, spoken_rows: Rows, critique_rows: Rows) -> list[Row]:
    """Return rows of dialogues.revisions: the last turn of the agent again, for every critique."""
    sound = [name for name, row in critique_rows.items() if not row["failure"]]
    asked = [
        Request.chat(
            prompts.revision(
                _principles(stage, goal_rows, name),
                transcript(spoken_rows[name]["messages"]),
                critique_rows[name]["critique"],
            ),
            settings=stage.settings(goal_rows[name]["number"], stage.recipe.turn_tokens),
        )
        for name in sound
    ]
    rows = []
    for name, reply in zip(sound, stage.ask("revisions", asked), strict=True):
        messages = spoken_rows[name]["messages"]
        place = last_agent_turn(messages)
        assert place is not None
        found = _text("revision", message_of(reply.text)[0], reply)
        rows.append({"model": stage.name, "dialogue": name, "original": messages[place]["content"], **found})
    return rows


def preferences(name: str, spoken_rows: Rows, flag_rows: Rows, critique_rows: Rows, revision_rows: Rows) -> list[Row]:
    """Return rows of dialogues.preferences: revised turns over original ones, well-formed on both sides.

    Left out are revisions that failed, that equal the original, and with which the dialogue would be ill-formed.
    """
    rows = []
    for dialogue, row in revision_rows.items():
        messages = spoken_rows[dialogue]["messages"]
        place = last_agent_turn(messages)
        if row["failure"] or flag_rows[dialogue]["ill_formed"] or place is None:
            continue
        before = [{"role": each["role"], "content": each["content"]} for each in messages[:place]]
        revised = [*before, {"role": "assistant", "content": row["revision"]}]
        if faults_of(revised) or row["revision"].split() == row["original"].split():
            continue
        rows.append(
            {"model": name, "id": dialogue, "source": "dialogues", "prompt": before, "chosen": row["revision"]}
            | {"rejected": row["original"], "violations": critique_rows[dialogue]["violations"]}
        )
    return rows
