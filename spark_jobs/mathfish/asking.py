"""Prompts asked: through the language-model client, or answered from a file of recorded replies.

`answers` asks prompts that are known beforehand; `traverse` follows the choices of a model from level to level. Every
reply is in the ledger before it counts, so that an interrupted run asks again only what has no reply yet.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.progress import track
from spark_jobs.language_models import client
from spark_jobs.language_models.attempt import REFUSED, Attempt
from spark_jobs.language_models.endpoint import Endpoint
from spark_jobs.language_models.limits import FIRST_DELAY
from spark_jobs.language_models.request import Request, Sampling
from spark_jobs.mathfish.alignment import judging_prompt, read_verdict
from spark_jobs.mathfish.curriculum import MODELING, Curriculum
from spark_jobs.mathfish.graph import Distances, placed
from spark_jobs.mathfish.reading import json_rows
from spark_jobs.mathfish.replies import read_tags
from spark_jobs.mathfish.scores import chance_tagging, score_tagging, score_verification
from spark_jobs.mathfish.tasks import Option, TaskRecipe, branch_options, grade_of, tagging_task

Row = dict[str, Any]
Solve = Callable[[str, str], tuple[str | None, float]]
"""Reads the number of a reply and scores it against an answer: (the number, or None; the score)."""
MOST_PROMPTS = 400
"""Prompts of a traversal of one problem. A model that takes every option of every level would need about 150."""


@dataclass(frozen=True)
class ReplyText:
    """A reply: its text, why there is none, and the request that it answers."""

    text: str
    failure: str = ""
    request: str | None = None


@dataclass(frozen=True)
class AskRecipe:
    """How replies are sampled.

    Attributes:
        model: as the server knows it.
        revision: of the model.
        reply_tokens: most tokens of a reply to a verification, tagging or judging prompt.
        solve_tokens: most tokens of a worked answer.
        temperature: 0 takes the likeliest token.
        seed: of the server.
    """

    model: str = ""
    revision: str = ""
    reply_tokens: int = 32
    solve_tokens: int = 256
    temperature: float = 0.0
    seed: int = 0

    def sampling(self, tokens: int) -> Sampling:
        """The settings of a reply of at most so many tokens."""
        return Sampling(max_tokens=tokens, temperature=self.temperature, seed=self.seed)


Messages = tuple[tuple[str, str], ...]
Reply = Callable[[str, Messages], Awaitable[ReplyText]]
"""From the id and the messages of a prompt to its reply."""
Walk = Callable[[Reply], Awaitable[Any]]
"""Prompts that depend on earlier replies."""


def _reply_text(attempt: Attempt) -> ReplyText:
    if attempt.answered:
        return ReplyText(attempt.text, "", attempt.request)
    return ReplyText("", f"there is no reply: {attempt.error}", attempt.request)


@dataclass(frozen=True)
class Asked:
    """Asks a model, and records its replies in the ledger.

    Attributes:
        lake: the lake with the ledger.
        endpoint: the model.
        recipe: how replies are sampled.
        cap: the most that all replies of a call may cost in US dollars, with what earlier runs paid for them.
        first_delay: seconds before the second attempt of a request.
    """

    lake: Lake
    endpoint: Endpoint
    recipe: AskRecipe
    cap: float | None = None
    first_delay: float = FIRST_DELAY

    def each(self, purpose: str, prompts: Sequence[tuple[str, Messages]], tokens: int) -> list[ReplyText]:
        """The replies to prompts, each with an id, in their order.

        Raises:
            WatershedError: see `client.ask`; or the server refused every request in a way that passes.
        """
        requests = [Request(messages=messages, settings=self.recipe.sampling(tokens)) for _, messages in prompts]
        purpose = f"mathfish.{purpose}"
        rows = client.ask(
            self.lake, self.endpoint, requests, purpose=purpose, cap=self.cap, first_delay=self.first_delay
        )
        self._refuse(purpose, rows)
        return [_reply_text(row) for row in rows]

    def _refuse(self, purpose: str, rows: Sequence[Attempt]) -> None:
        if rows and all(row.outcome == REFUSED for row in rows):
            kinds = ", ".join(f"{count:,} {kind}" for kind, count in Counter(row.error for row in rows).most_common())
            raise WatershedError(
                f"{self.endpoint.url} answered none of the {len(rows):,} requests of {purpose} ({kinds})",
                "run it again when the server answers",
            )

    def walk(self, purpose: str, walks: Sequence[Walk], tokens: int) -> list[Any]:
        """The results of coroutines that ask as they go on, in their order."""
        settings, rows = self.recipe.sampling(tokens), list[Attempt]()

        async def run(asker: client.Client) -> list[Any]:
            with track(f"{purpose} of {self.endpoint.name}", len(walks), "problems") as task:

                async def reply(_: str, messages: Messages) -> ReplyText:
                    row = await asker.reply(Request(messages=messages, settings=settings))
                    rows.append(row)
                    return _reply_text(row)

                async def one(walk: Walk) -> Any:
                    found = await walk(reply)
                    task.advance(note=asker.note)
                    return found

                return await client.gathered(one(walk) for walk in walks)

        found = client.converse(
            self.lake,
            self.endpoint,
            run,
            purpose=f"mathfish.{purpose}",
            cap=self.cap,
            first_delay=self.first_delay,
        )
        self._refuse(f"mathfish.{purpose}", rows)
        return found


@dataclass(frozen=True)
class Recorded:
    """Answers from recorded replies, by the id of the prompt: `ID_LEVEL_BRANCH` for the prompts of a traversal."""

    replies: Mapping[str, str]

    def _reply(self, task: str) -> ReplyText:
        return ReplyText(self.replies[task]) if task in self.replies else ReplyText("", "no reply is recorded")

    def each(self, purpose: str, prompts: Sequence[tuple[str, Messages]], tokens: int) -> list[ReplyText]:
        """The recorded replies to prompts, in their order."""
        del purpose, tokens
        return [self._reply(task) for task, _ in prompts]

    def walk(self, purpose: str, walks: Sequence[Walk], tokens: int) -> list[Any]:
        """The results of coroutines that ask as they go on, in their order."""
        del purpose, tokens

        async def reply(task: str, _: Messages) -> ReplyText:
            return self._reply(task)

        async def run() -> list[Any]:
            return [await walk(reply) for walk in walks]

        return asyncio.run(run())


Asker = Asked | Recorded


class Replies(Protocol):
    """Where replies to prompts come from that are known beforehand."""

    def each(self, purpose: str, prompts: Sequence[tuple[str, Messages]], tokens: int) -> list[ReplyText]:
        """The replies to prompts, each with an id, in their order."""
        ...


def read_recorded(path: Any) -> dict[str, str]:
    """Recorded replies by the id of their prompt: JSON lines with `id` and `response`, or `model-response`.

    Raises:
        WatershedError: the file cannot be read, or a line is not such a row.
    """
    mend = "write one JSON object a line with id and response"
    found: dict[str, str] = {}
    for place, row in json_rows(path, mend):
        reply = row.get("response", row.get("model-response")) if isinstance(row, dict) else None
        if reply is None or not isinstance(reply, str) or not isinstance(row.get("id"), str | int):
            raise WatershedError(f"{place}: no object with an id and a response", mend)
        if str(row["id"]) in found:
            raise WatershedError(f"{place}: the id {str(row['id'])[:60]!r} is there twice", mend)
        found[str(row["id"])] = reply
    return found


def answers(
    asker: Replies,
    name: str,
    tasks: Sequence[Mapping[str, Any]],
    recipe: AskRecipe,
    solve: Solve,
    *,
    purpose: str = "answers",
) -> list[Row]:
    """Rows of mathfish.answers for rows of mathfish.tasks, in their order.

    Args:
        asker: where replies come from.
        name: the entry of `[models]`.
        tasks: the prompts; `wording` names the words of each that has one.
        recipe: how replies are sampled.
        solve: scores the replies of solving prompts.
        purpose: what the ledger calls the requests of verification and tagging.

    Raises:
        WatershedError: see `Asked.each`.
    """
    given: dict[str, ReplyText] = {}
    for kinds, tokens in ((("verification", "tagging"), recipe.reply_tokens), (("solving",), recipe.solve_tokens)):
        own = [task for task in tasks if task["kind"] in kinds]
        prompts = [(task["task"], _messages(task)) for task in own]
        called = purpose if "tagging" in kinds else "solving"
        replies = asker.each(called, prompts, tokens) if own else []
        given |= {task["task"]: reply for task, reply in zip(own, replies, strict=True)}
    return [{"model": name, "task": task["task"], **_answer(task, given[task["task"]], solve)} for task in tasks]


def _messages(task: Mapping[str, Any]) -> Messages:
    return tuple((turn["role"], turn["content"]) for turn in task["messages"])


def _answer(task: Mapping[str, Any], given: ReplyText, solve: Solve) -> Row:
    row: Row = {"reply": given.text, "request": given.request, "predicted": [], "weak": None, "option_accuracy": None}
    row |= {"chance": None, "chance_weak": None, "chance_option_accuracy": None, "wording": task.get("wording")}
    if task["kind"] == "solving":
        number, score = solve(given.text, task["answer"])
        malformed = given.failure or ("" if number is not None else "it states no number")
        return row | {"score": score, "malformed": malformed, "predicted": [] if number is None else [number]}
    if task["kind"] == "verification":
        scored = score_verification(given.text, task["answer"])
        predicted = [] if scored["predicted"] is None else [scored["predicted"]]
        row |= {"chance": 0.5}
    else:
        options = len(task["options"])
        scored = score_tagging(given.text, task["correct"], options)
        predicted = scored["predicted"] or []
        chance = chance_tagging(task["correct"], options)
        row |= {"weak": float(scored["weak"]), "option_accuracy": scored["option_accuracy"], "chance": chance["score"]}
        row |= {"chance_weak": chance["weak"], "chance_option_accuracy": chance["option_accuracy"]}
    malformed = given.failure or ("" if scored["predicted"] is not None else scored["reason"])
    return row | {"score": scored["score"], "malformed": malformed, "predicted": predicted}


def traversals(
    asker: Asker,
    name: str,
    tree: Curriculum,
    problems: Sequence[Mapping[str, Any]],
    *,
    tasks: TaskRecipe,
    recipe: AskRecipe,
) -> list[Row]:
    """Rows of mathfish.traversals: each problem tagged by following the model's own choices.

    Args:
        asker: where replies come from.
        name: the entry of `[models]`.
        tree: the curriculum.
        problems: rows of mathfish.problems, with or without labels.
        tasks: the choices of the prompts.
        recipe: how replies are sampled.

    Raises:
        WatershedError: see `Asked.walk`.
    """
    walks = [_walk(tree, problem, tasks) for problem in problems]
    distances, rows = Distances(tree), []
    for problem, steps in zip(problems, asker.walk("traversals", walks, recipe.reply_tokens), strict=True):
        ends = {each for step in steps if step["level"] == "standard" for each in step["chosen"]}
        predicted, labels = sorted(ends), list(problem["standards"])
        rows.append(
            {
                "model": name,
                "problem": problem["problem"],
                "grade": grade_of(tree, labels),
                "wording": tasks.tagging,
                "labels": labels,
                "predicted": predicted,
                "complete": not any(step["malformed"] for step in steps),
                **placed(tree, distances, predicted, labels),
                "steps": steps,
            }
        )
    return rows


def _walk(tree: Curriculum, problem: Mapping[str, Any], recipe: TaskRecipe) -> Walk:
    async def walk(reply: Reply) -> list[Row]:
        steps: list[Row] = []

        async def step(level: str, branch: str) -> list[Option]:
            if len(steps) >= MOST_PROMPTS or not branch_options(tree, level, branch):
                return []
            task = tagging_task(tree, problem, recipe, level, branch)
            name = f"{problem['problem']}_{level}" + (f"_{branch}" if branch else "")
            given = await reply(name, task.messages)
            tags = read_tags(given.text, len(task.options))
            chosen = [task.options[place] for place in tags.chosen]
            steps.append(
                {
                    "level": level,
                    "branch": branch,
                    "options": len(task.options),
                    "correct": [each for place in task.correct for each in task.options[place].ids],
                    "chosen": [each for option in chosen for each in option.ids],
                    "malformed": given.failure or tags.malformed,
                    "request": given.request,
                }
            )
            return chosen

        for group in await step("domain", ""):
            if group.ids[0] == MODELING:
                continue
            for cluster in await step("cluster", group.ids[0]):
                for each in cluster.ids:
                    await step("standard", each)
        return steps

    return walk


def judgements(
    asker: Replies,
    name: str,
    tree: Curriculum,
    alignment: Iterable[Mapping[str, Any]],
    *,
    problems: Mapping[str, Mapping[str, Any]],
    recipe: AskRecipe,
    most: int = 0,
) -> list[Row]:
    """Rows of mathfish.judgements: a model's verdict of every problem that a teacher judged.

    Args:
        asker: where replies come from.
        name: the entry of `[models]`.
        tree: the curriculum.
        alignment: rows of mathfish.alignment.
        problems: rows of mathfish.problems, by problem.
        recipe: how replies are sampled.
        most: the most characters of a problem's text; 0 for all.
    """
    own = [row for row in alignment if row["problem"] in problems and row["standard"] in tree.rows]
    prompts = []
    for row in own:
        problem = problems[row["problem"]]
        text = judging_prompt(problem["text"], problem["elements"], tree[row["standard"]].description, most)
        prompts.append((f"{row['problem']}_judge_{row['standard']}", (("user", text),)))
    rows = []
    for row, given in zip(own, asker.each("judgements", prompts, recipe.reply_tokens) if own else [], strict=True):
        verdict, malformed = read_verdict(given.text)
        rows.append(
            {
                "model": name,
                "problem": row["problem"],
                "standard": row["standard"],
                "teacher": row["verdict"],
                "verdict": verdict,
                "malformed": given.failure or malformed,
                "request": given.request,
            }
        )
    return rows
