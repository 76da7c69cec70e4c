"""The models that make dialogues, and the recipe of each."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catalog.errors import WatershedError
from catalog.names import close
from catalog.settings import Settings
from dagster_project.engine.partitions import cut_by

if TYPE_CHECKING:
    from spark_jobs.dialogues.recipe import DialogueRecipe


def models_of(settings: Settings) -> Iterable[str]:
    """Return the entries of `[models]` that make dialogues, as `[dialogues] models` names them."""
    return tuple(dict.fromkeys(settings.dialogues.models))


MODELS = cut_by("dialogue_models", "model")
"""The models of `[dialogues] models`: one partition for each."""


def dialogue_recipe(settings: Settings, partition: Any) -> DialogueRecipe:
    """Return the recipe of a model's dialogues.

    Raises:
        WatershedError: `[models]` has no such entry, or a file of principles or domains cannot be read.
    """
    from spark_jobs.dialogues.recipe import DOMAINS, PRINCIPLES, DialogueRecipe, read_domains, read_principles

    name, chosen = str(partition["model"]), settings.dialogues
    if name not in settings.models:
        raise WatershedError(
            f"[dialogues] models has {name!r}, which [models] does not have{close(name, settings.models)}",
            f"add a section [models.{name}], or take it out of [dialogues]",
        )
    entry = settings.models[name]
    return DialogueRecipe(
        model=entry.model or name,
        revision=entry.revision,
        count=chosen.counts.get(name, chosen.count),
        subtopics=chosen.subtopics,
        most_turns=chosen.turns,
        turn_tokens=chosen.turn_tokens,
        text_tokens=chosen.text_tokens,
        temperature=chosen.temperature,
        principles_each=chosen.principles_each,
        principles=read_principles(_file(settings, chosen.principles) or PRINCIPLES),
        domains=read_domains(_file(settings, chosen.domains) or DOMAINS),
    )


def _file(settings: Settings, name: str) -> Path | None:
    return settings.project / Path(name).expanduser() if name else None
