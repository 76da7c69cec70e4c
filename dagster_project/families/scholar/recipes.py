"""What decides the tables of the datastore, and the encoder and the datastore of a project."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catalog.lake import Lake
from catalog.settings import Settings
from dagster_project.engine.encoders import device_of, identity_of

if TYPE_CHECKING:
    from spark_jobs.retrieval.encoders import Encoder
    from spark_jobs.scholar.candidates import Score
    from spark_jobs.scholar.datastore import Datastore


@dataclass(frozen=True)
class PapersRecipe:
    """The files of papers, their digests, and the papers that were withdrawn."""

    places: tuple[str, ...]
    digests: tuple[tuple[str, str], ...]
    withdrawn: tuple[tuple[str, str], ...]


def places(settings: Settings) -> list[str]:
    """Return `[scholar] papers` as absolute paths and patterns."""
    return [str(settings.project / Path(place).expanduser()) for place in settings.scholar.papers]


def withdrawn(settings: Settings) -> list[tuple[str, str]]:
    """Return the papers that people withdrew, and how, sorted."""
    from catalog.reads import not_recorded
    from catalog.tables.scholar import WITHDRAWALS

    lake = Lake.of(settings)
    with not_recorded():
        rows = lake.read(WITHDRAWALS.name, ["paper", "kind"]).to_pylist() if lake.exists(WITHDRAWALS.name) else []
    return sorted((row["paper"], row["kind"]) for row in rows)


def papers_recipe(settings: Settings, _: Any) -> PapersRecipe:
    """Return the recipe of `scholar.papers`."""
    from spark_jobs.scholar.papers import source_digests

    found = places(settings)
    return PapersRecipe(tuple(found), tuple(sorted(source_digests(found).items())), tuple(withdrawn(settings)))


def encoder_identity(settings: Settings, _: Any) -> tuple[str, str]:
    """Return the encoder of a project, and the version of its package or the digest of its folder."""
    return identity_of(settings, settings.scholar.encoder)


def project_encoder(settings: Settings) -> Encoder:
    """Return the encoder of a project.

    Raises:
        WatershedError: its package is not installed, or its folder holds none.
    """
    from spark_jobs.retrieval.encoders import encoder_of

    cache = Lake.of(settings).files / "encoders"
    return encoder_of(settings.scholar.encoder, cache=cache, project=settings.project, device=device_of(settings))


def project_datastore(settings: Settings, encoder: Callable[[], Encoder] | None = None) -> Datastore:
    """Open the datastore of a project.

    Args:
        settings: the project.
        encoder: returns its encoder; by default it is read anew.

    Raises:
        WatershedError: nothing has been indexed.
    """
    from catalog.errors import WatershedError
    from spark_jobs.scholar.datastore import Datastore
    from spark_jobs.scholar.indexing import index_folder

    folder = index_folder(Lake.of(settings))
    if not (folder / "vectors").is_dir():
        raise WatershedError(
            "the datastore is empty: no paper has been indexed",
            "name files in [scholar] papers and run `watershed make scholar.index`, or run `watershed demo scholar`",
        )
    return Datastore(folder, lambda stamp: encoder() if encoder else project_encoder(settings))


def project_reranker(settings: Settings) -> Score | None:
    """Return the scores of the cross-encoder of `[scholar] reranker`; None if none is set."""
    if not settings.scholar.reranker:
        return None
    from spark_jobs.retrieval.cross_encoder import cross_encoder

    return cross_encoder(settings.project / Path(settings.scholar.reranker).expanduser(), device=device_of(settings))
