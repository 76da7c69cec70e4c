"""What decides the tables: files of standards and problems, the choices of the prompts, and the models."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.names import close
from catalog.settings import Settings
from dagster_project.engine.partitions import cut_by

if TYPE_CHECKING:
    from spark_jobs.mathfish.asking import Asker, AskRecipe
    from spark_jobs.mathfish.curriculum import Curriculum
    from spark_jobs.mathfish.tasks import TaskRecipe

MADE = "made here, version 1"
"""The digest of what comes with Watershed."""


@dataclass(frozen=True)
class Files:
    """Files that decide a table; `digests` identify them, wherever they lie. Without places the made ones are used."""

    places: tuple[str, ...]
    digests: tuple[str, ...]


def models_of(settings: Settings) -> Iterable[str]:
    """Return the entries of `[models]` that are asked, as `[mathfish] models` names them."""
    return tuple(dict.fromkeys(settings.mathfish.models))


MODELS = cut_by("mathfish_models", "model")
"""The models of `[mathfish] models`: one partition for each."""


def _path(settings: Settings, name: str) -> Path:
    return settings.project / Path(name).expanduser()


def _digest(path: Path) -> str:
    if not path.is_file():
        return "missing"
    stat = path.stat()
    return _digest_of(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=256)
def _digest_of(path: Path, size: int, changed: int) -> str:
    del size, changed
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def curriculum_files(settings: Settings, _: Any) -> Files:
    """Return the file of standards and that of domain groups; no file for the made curriculum or our own groups."""
    names = [settings.mathfish.standards, settings.mathfish.domain_groups]
    paths = [str(_path(settings, name)) if name else "" for name in names]
    return Files(tuple(paths), tuple(_digest(Path(path)) if path else MADE for path in paths))


def problem_files(settings: Settings, _: Any) -> Files:
    """Return the files of problems.

    Raises:
        WatershedError: an entry of `[mathfish] problems` matches nothing.
    """
    from spark_jobs.input_files import input_files
    from spark_jobs.mathfish.reading import KINDS

    places = [str(_path(settings, name)) for name in settings.mathfish.problems]
    found = input_files(places, KINDS) if places else []
    names = tuple(f"{file.path.name} {_digest(file.path)}" for file in found)
    return Files(tuple(str(file.path) for file in found), names or (MADE,))


def teacher_file(settings: Settings, _: Any) -> Files:
    """Return the file of teachers' verdicts."""
    name = settings.mathfish.teachers
    if not name:
        return Files((), (MADE,) if not settings.mathfish.problems else ("none",))
    path = _path(settings, name)
    return Files((str(path),), (_digest(path),))


def literals(files: Files) -> Any:
    """Return what identifies files."""
    return files.digests


def made_files(lake: Lake) -> Mapping[str, Path]:
    """Return the files of the made curriculum and problems, which are written into the lake's files."""
    from spark_jobs.mathfish.made import write_made

    return write_made(lake.folder("mathfish.problems", "made"))


def curriculum_in(lake: Lake, settings: Settings) -> Curriculum:
    """Return the curriculum of the tables.

    Raises:
        WatershedError: mathfish.standards does not exist.
    """
    from spark_jobs.mathfish.curriculum import curriculum_of_tables

    standards = sorted(lake.read("mathfish.standards").to_pylist(), key=lambda row: _order(row["path"]))
    return curriculum_of_tables(standards, lake.read("mathfish.connections").to_pylist(), groups_of(settings))


def _order(path: Sequence[str]) -> tuple[int, list[str]]:
    from catalog.tables.mathfish.curriculum import GRADES

    return (GRADES.index(path[0]) if path[0] in GRADES else len(GRADES)), list(path)


def groups_of(settings: Settings) -> tuple[Any, ...]:
    """Return the domain groups of a project."""
    from spark_jobs.mathfish.curriculum import GROUPS
    from spark_jobs.mathfish.reading import read_groups

    name = settings.mathfish.domain_groups
    return read_groups(_path(settings, name)) if name else GROUPS


@dataclass(frozen=True)
class PromptRecipe:
    """The prompts and the problems that they are made of."""

    tasks: TaskRecipe
    problems_each: int
    groups: tuple[str, ...]
    wording_problems: int = 0
    """Problems of the development split of each file on which wordings are compared; 0 if they are not."""


def prompt_recipe(settings: Settings, _: Any) -> PromptRecipe:
    """Return the recipe of the prompts.

    Raises:
        WatershedError: `[mathfish] shots` or another entry is out of range.
    """
    from catalog.tables.mathfish.answers import SHOTS
    from spark_jobs.mathfish.tasks import TaskRecipe

    chosen = settings.mathfish
    if chosen.shots not in SHOTS:
        raise WatershedError(f"[mathfish] shots is {chosen.shots}", "write 0, 1 or 3")
    for name in ("negatives", "problem_characters", "problems_each", "wording_problems"):
        if getattr(chosen, name) < 0:
            raise WatershedError(f"[mathfish] {name} is {getattr(chosen, name)}", "write a number of at least 0")
    tasks = TaskRecipe(
        shots=chosen.shots,
        negatives=chosen.negatives,
        problem_characters=chosen.problem_characters,
        seed=chosen.seed,
    )
    digests = curriculum_files(settings, None).digests[1:]
    return PromptRecipe(tasks, chosen.problems_each, digests, chosen.wording_problems)


def without_wordings(recipe: PromptRecipe | ModelRecipe) -> dict[str, Any]:
    """Return what identifies a recipe whose tables do not depend on wordings, unless these are compared.

    Tables that were made before there were several wordings thus stay up to date.
    """
    found = asdict(recipe)
    prompts = found.get("prompts", found)
    for name in ("verification", "tagging"):
        del prompts["tasks"][name]
    if not prompts["wording_problems"]:
        del prompts["wording_problems"]
    return found


def asked_in(lake: Lake, recipe: PromptRecipe) -> list[Mapping[str, Any]]:
    """Return the rows of mathfish.problems that models are asked about."""
    from spark_jobs.mathfish.choosing import asked_problems

    rows = lake.read("mathfish.problems").to_pylist()
    return asked_problems(rows, recipe.problems_each, compared=bool(recipe.wording_problems))


@dataclass(frozen=True)
class ModelRecipe:
    """How a model is asked, or the file of its recorded replies."""

    ask: AskRecipe
    prompts: PromptRecipe
    recorded: str
    """Digest of the file of recorded replies; empty if the model is asked."""


def model_recipe(settings: Settings, partition: Any) -> ModelRecipe:
    """Return the recipe of a model's answers.

    Raises:
        WatershedError: `[models]` has no such entry, and no replies of it are recorded.
    """
    from spark_jobs.mathfish.asking import AskRecipe

    name, chosen = str(partition["model"]), settings.mathfish
    path = recorded_replies(settings, name)
    if path is None and name not in settings.models:
        raise WatershedError(
            f"[mathfish] models has {name!r}, which [models] does not have{close(name, settings.models)}",
            f"add a section [models.{name}], or its recorded replies as {name}.jsonl to [mathfish] replies",
        )
    entry = settings.models.get(name)
    ask = AskRecipe(
        model=(entry.model if entry else "") or name,
        revision=entry.revision if entry else "",
        reply_tokens=chosen.reply_tokens,
        solve_tokens=chosen.solve_tokens,
        temperature=chosen.temperature,
        seed=chosen.seed,
    )
    return ModelRecipe(ask, prompt_recipe(settings, None), _digest(path) if path else "")


def recorded_replies(settings: Settings, name: str) -> Path | None:
    """Return the file of a model's recorded replies; None if there is none."""
    folder = settings.mathfish.replies
    path = _path(settings, folder) / f"{name}.jsonl" if folder else None
    return path if path and path.is_file() else None


def asker_of(settings: Settings, lake: Lake, endpoint: Any, recipe: ModelRecipe) -> Asker:
    """Return what asks a model."""
    from spark_jobs.mathfish.asking import Asked

    return Asked(lake, endpoint, recipe.ask, settings.mathfish.cap or None)
