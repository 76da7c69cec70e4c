"""Partitions and recipes of the family: domains in BEIR's layout, and runs, which are experts with a seed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.settings import Settings
from catalog.tables.router import MULTI_TASK
from dagster_project.engine.encoders import device_of, identity_of
from dagster_project.engine.partitions import Partition, cut_by

if TYPE_CHECKING:
    from spark_jobs.retrieval.experts import ExpertEncoder

DOMAINS = cut_by("router_domains", "domain")
"""The domains of `[router] domains` and `unseen`."""
RUNS = cut_by("router_runs", "run")
"""Each expert, and the multi-task adapters, with each seed."""


@dataclass(frozen=True)
class DomainRecipe:
    """A domain: its folder, the digest of its files, and the encoder. Where the folder lies decides no row."""

    name: str
    folder: Path
    expert: bool
    digest: str
    encoder: tuple[str, str]


def folders_of(settings: Settings) -> dict[str, tuple[Path, bool]]:
    """Return the folder of each domain by name, and whether it has an expert.

    Raises:
        WatershedError: two folders have one name, or a name cannot be that of a domain.
    """
    found: dict[str, tuple[Path, bool]] = {}
    for place, expert in [(p, True) for p in settings.router.domains] + [(p, False) for p in settings.router.unseen]:
        folder = settings.project / Path(place).expanduser()
        if folder.name in found or not folder.name or folder.name == MULTI_TASK or "/" in folder.name:
            raise WatershedError(
                f"[router] names the domain {folder.name!r} twice"
                if folder.name in found
                else f"[router] names {place!r}, which is not a name of a domain",
                "give each domain a folder whose name is its own",
            )
        found[folder.name] = folder, expert
    return found


def domain_keys(settings: Settings) -> Iterable[str]:
    """Return the keys of DOMAINS."""
    return folders_of(settings)


def experts_of(settings: Settings) -> tuple[str, ...]:
    """Return the domains that have an expert."""
    return tuple(name for name, (_, expert) in folders_of(settings).items() if expert)


def run_name(expert: str, seed: int) -> str:
    """Return the key of RUNS of an expert and a seed."""
    return f"{expert}-{seed}"


def runs_of(settings: Settings) -> dict[str, tuple[str, int]]:
    """Return the expert and the seed of each run."""
    experts = experts_of(settings)
    named = (*experts, MULTI_TASK) if experts else ()
    return {run_name(expert, seed): (expert, seed) for seed in dict.fromkeys(settings.router.seeds) for expert in named}


def run_keys(settings: Settings) -> Iterable[str]:
    """Return the keys of RUNS."""
    return runs_of(settings)


def domain_recipe(settings: Settings, partition: Partition | None) -> DomainRecipe:
    """Return the recipe of the documents and queries of a domain."""
    assert partition
    name = str(partition["domain"])
    folder, expert = folders_of(settings)[name]
    encoder = identity_of(settings, settings.router.encoder)
    return DomainRecipe(name, folder, expert, _digest_of(folder), encoder)


def domain_recipes(settings: Settings, _: Any) -> list[DomainRecipe]:
    """Return the recipes of all domains."""
    return [domain_recipe(settings, {"domain": name}) for name in folders_of(settings)]


def _digest_of(folder: Path) -> str:
    from spark_jobs.router.beir import files_of

    try:
        return _cached(folder, tuple((path.stat().st_size, path.stat().st_mtime_ns) for path in files_of(folder)))
    except WatershedError:
        # The step says what is wrong when it reads the folder, so that what else is due can be listed.
        return "missing"


@lru_cache(maxsize=256)
def _cached(folder: Path, changed: Any) -> str:
    from spark_jobs.router.beir import digest_of

    del changed
    return digest_of(folder)


def training_recipe(settings: Settings, partition: Partition | None) -> dict[str, Any]:
    """Return what decides the weights of a run besides the pairs and the encoder."""
    assert partition
    expert, seed = runs_of(settings)[str(partition["run"])]
    chosen = settings.router
    return {
        "expert": expert,
        "seed": seed,
        "domains": [expert] if expert != MULTI_TASK else list(experts_of(settings)),
        "rank": chosen.rank,
        "epochs": chosen.epochs,
        "batch": chosen.batch,
        "learning_rate": chosen.learning_rate,
        "temperature": chosen.temperature,
        "mined": chosen.mined,
    }


def pairs_needed(settings: Settings, partition: Partition, name: str) -> Iterable[Partition] | None:
    """Return the domains that a run is trained on: a new domain makes no other expert due."""
    del name
    expert, _ = runs_of(settings)[str(partition["run"])]
    return [{"domain": each} for each in ([expert] if expert != MULTI_TASK else experts_of(settings))]


def rankings_needed(settings: Settings, partition: Partition, name: str) -> Iterable[Partition] | None:
    """Return the run whose adapters rank; the domains are all needed."""
    del settings
    return [partition] if name == "router.experts" else None


@lru_cache(maxsize=1)
def _encoder(name: str, cache: Path, project: Path, device: str, identity: tuple[str, str]) -> ExpertEncoder:
    from spark_jobs.retrieval.experts import expert_encoder

    del identity
    return expert_encoder(name, cache=cache, project=project, device=device)


def project_experts(settings: Settings) -> ExpertEncoder:
    """Return the frozen encoder of a project, which takes experts.

    Raises:
        WatershedError: its package is not installed, or its folder holds none.
    """
    name = settings.router.encoder
    cache = Lake.of(settings).files / "encoders"
    return _encoder(name, cache, settings.project, device_of(settings), identity_of(settings, name))
