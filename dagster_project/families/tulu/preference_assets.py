"""The assets of preferences: prompts, completions of several models, judgements, and pairs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catalog.contract import Contract
from catalog.errors import WatershedError
from catalog.names import close
from catalog.settings import Settings
from catalog.tables.tulu import COMPLETIONS, JUDGEMENTS, PREFERENCES, PROMPTS
from dagster_project.engine.making import Making
from dagster_project.engine.partitions import Partition
from dagster_project.engine.table_asset import table_asset
from dagster_project.families.tulu.mixture_assets import name_of, rows_in, write
from dagster_project.families.tulu.recipes import COLLECTIONS, collection_keys, digest_of, folder

if TYPE_CHECKING:
    from spark_jobs.tulu.aspects import JudgeRecipe
    from spark_jobs.tulu.completions import CompletionRecipe
    from spark_jobs.tulu.pairs import PairRecipe
    from spark_jobs.tulu.personas import PersonaRecipe


def _model(settings: Settings, name: str, entry: str) -> tuple[str, str, str]:
    """An entry of `[models]`, its model and its revision."""
    if name not in settings.models:
        raise WatershedError(
            f"[tulu] {entry} has {name!r}, which [models] does not have{close(name, settings.models)}",
            f"add a section [models.{name}], or correct the entry",
        )
    found = settings.models[name]
    return name, found.model or name, found.revision


@dataclass(frozen=True)
class PromptRecipe:
    """Files of prompts, and what a model writes."""

    files: tuple[Path, ...]
    writer: str
    personas: PersonaRecipe | None


def prompt_recipe(settings: Settings, _: Partition | None) -> PromptRecipe:
    """The recipe of the prompts.

    Raises:
        WatershedError: a file, a skill or the writer does not exist.
    """
    chosen = settings.tulu
    files = tuple(folder(settings, place) for place in chosen.prompts)
    for path in files:
        if not path.is_file():
            raise WatershedError(f"[tulu] prompts: {path} is not a file", "correct the entry")
    if not chosen.persona_prompts:
        return PromptRecipe(files, "", None)
    from spark_jobs.tulu.personas import PERSONAS, PersonaRecipe, load_skill, read_constraints, read_personas

    name, model, revision = _model(settings, chosen.writer, "writer")
    recipe = PersonaRecipe(
        model=model,
        revision=revision,
        count=chosen.persona_prompts,
        skills=tuple(load_skill(each, settings.project / "skills") for each in chosen.skills),
        personas=read_personas(folder(settings, chosen.personas) if chosen.personas else PERSONAS),
        constraints=read_constraints(),
    )
    return PromptRecipe(files, name, recipe)


def _prompt_identity(recipe: PromptRecipe) -> Any:
    return [sorted(digest_of(path) for path in recipe.files), recipe.personas]


def _list(making: Making, contract: Contract) -> list[dict[str, Any]]:
    rows = rows_in(making, contract, "collection", [name_of(making)]).to_pylist()
    return sorted(rows, key=lambda row: (row["prompt_id"], row.get("model", ""), row.get("aspect", "")))


@table_asset(
    PROMPTS,
    code_version="1",
    recipe=prompt_recipe,
    identity=_prompt_identity,
    cut=COLLECTIONS,
    keys=collection_keys,
)
def tulu_prompts(making: Making) -> dict[str, Any]:
    """Reads the prompts of `[tulu] prompts`, and asks the model `writer` for prompts of personas.

    Instructions whose constraints can be verified are added to those of skills that have constraints.
    """
    from dagster_project.engine.model_server import answering
    from spark_jobs.tulu.personas import write_prompts
    from spark_jobs.tulu.prompts import read_prompts

    recipe: PromptRecipe = making.recipe
    rows = read_prompts(name_of(making), recipe.files)
    if recipe.personas:
        with answering(making.settings, recipe.writer) as endpoint:
            rows += write_prompts(making.lake, endpoint, recipe.personas, name_of(making))
    failed = sum(bool(row["failure"]) for row in rows)
    verified = sum(bool(row["verifier"]) for row in rows)
    return {"prompts": write(making, PROMPTS, rows), "verifiable": verified, "failed": failed}


def completion_recipe(settings: Settings, _: Partition | None) -> CompletionRecipe:
    """Which models reply."""
    from spark_jobs.tulu.completions import CompletionRecipe

    chosen = settings.tulu
    names = list(dict.fromkeys([*chosen.generators, *([chosen.on_policy] if chosen.on_policy else [])]))
    models = tuple(_model(settings, name, "generators") for name in names)
    if chosen.replies < 1:
        raise WatershedError(f"[tulu] replies is {chosen.replies}", "write at least 1")
    return CompletionRecipe(models=models, replies=chosen.replies, on_policy=chosen.on_policy)


@table_asset(COMPLETIONS, code_version="1", recipe=completion_recipe, cut=COLLECTIONS, keys=collection_keys)
def tulu_completions(making: Making) -> dict[str, Any]:
    """Asks the models that are drawn for each prompt. The model to be trained replies to every one."""
    from dagster_project.engine.model_server import answering
    from spark_jobs.tulu.completions import completions as asked

    found = asked(making.lake, lambda name: answering(making.settings, name), making.recipe, _list(making, PROMPTS))
    failed = sum(bool(row["failure"]) for row in found)
    on_policy = sum(row["on_policy"] for row in found)
    return {"completions": write(making, COMPLETIONS, found), "on-policy": on_policy, "failed": failed}


def judge_recipe(settings: Settings, _: Partition | None) -> JudgeRecipe | None:
    """Who judges; None for delta learning, which needs no judge."""
    if settings.tulu.pairs == "delta" or not settings.tulu.judge:
        return None
    from spark_jobs.tulu.aspects import JudgeRecipe

    name, model, revision = _model(settings, settings.tulu.judge, "judge")
    return JudgeRecipe(judge=name, model=model, revision=revision)


@table_asset(JUDGEMENTS, code_version="1", recipe=judge_recipe, cut=COLLECTIONS, keys=collection_keys)
def tulu_judgements(making: Making) -> dict[str, Any]:
    """Asks the judge about each aspect of all replies to a prompt, in one call. N/A is not a number."""
    from dagster_project.engine.model_server import answering
    from spark_jobs.tulu.aspects import judgements as judged

    recipe = making.recipe
    if recipe is None:
        return {"judgements": write(making, JUDGEMENTS, [])}
    replies = _list(making, COMPLETIONS)
    with answering(making.settings, recipe.judge) as endpoint:
        found = judged(making.lake, endpoint, recipe, _list(making, PROMPTS), replies)
    return {
        "judgements": write(making, JUDGEMENTS, found),
        "not applicable": sum(row["not_applicable"] for row in found),
        "failed": sum(bool(row["failure"]) for row in found),
    }


def pair_recipe(settings: Settings, _: Partition | None) -> PairRecipe:
    """How pairs are made."""
    from spark_jobs.tulu.aspects import QUESTIONS
    from spark_jobs.tulu.pairs import PairRecipe

    chosen = settings.tulu
    strong, weak = (*chosen.delta, "", "")[:2]
    return PairRecipe(
        rule=chosen.pairs,  # ty: ignore[invalid-argument-type]
        aspects=() if chosen.pairs == "delta" else tuple(QUESTIONS),
        strong=strong,
        weak=weak,
        most_longer=None if chosen.most_longer < 0 else chosen.most_longer,
    )


@table_asset(PREFERENCES, code_version="1", recipe=pair_recipe, cut=COLLECTIONS, keys=collection_keys)
def tulu_preferences(making: Making) -> dict[str, Any]:
    """Pairs replies by the rule of `[tulu] pairs`. Prompts without a pair are counted by reason."""
    from spark_jobs.tulu.pairs import pairs

    found, without = pairs(making.recipe, *(_list(making, each) for each in (PROMPTS, COMPLETIONS, JUDGEMENTS)))
    counts: dict[str, Any] = {"pairs": write(making, PREFERENCES, found)}
    counts["on-policy"] = sum(row["on_policy"] for row in found)
    return counts | {f"without a pair: {why}": count for why, count in sorted(without.items())}
