"""`watershed demo router`: documentation of packages as domains, an expert for each, and the comparison of routers."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catalog.errors import WatershedError
from catalog.settings import Settings

if TYPE_CHECKING:
    from spark_jobs.router.documentation import Amount

FOLDER = "router"
SMALL_ENCODER = "small-encoder"


@dataclass(frozen=True, kw_only=True)
class RouterSize:
    """How much is read and trained."""

    documents: int
    train: int
    test: int
    seeds: int
    epochs: float
    batch: int = 32
    learning_rate: float = 1e-3

    @property
    def amount(self) -> Amount:
        """How much is taken of each domain."""
        from spark_jobs.router.documentation import Amount

        return Amount(documents=self.documents, train=self.train, test=self.test)


SIZES = {
    "smoke": RouterSize(documents=80, train=32, test=24, seeds=1, epochs=2.0, batch=16),
    "small": RouterSize(documents=300, train=128, test=100, seeds=3, epochs=5.0),
    "standard": RouterSize(documents=2_000, train=1_000, test=400, seeds=3, epochs=10.0),
}


def run_router(size: str) -> None:
    """Make domains of this machine's documentation, train an expert on each, and compare routers.

    Args:
        size: a key of SIZES.

    Raises:
        WatershedError: a package is missing, or a stage failed.
    """
    from catalog.lake import Lake
    from catalog.settings import load_settings
    from dagster_project.cli.screen.bars import Bars, wide_console
    from dagster_project.cli.screen.router import print_router
    from dagster_project.jobs import TABLES
    from dagster_project.run import make_by_command

    for module in ("sentence_transformers", "peft"):
        if importlib.util.find_spec(module) is None:
            raise WatershedError(f"{module} is not installed", "run `uv sync --extra encoders`")
    console, began, planned = wide_console(), time.monotonic(), SIZES[size]
    settings = load_settings()
    with Bars(console).listening():
        trained, unseen = write_domains(settings.project / FOLDER / size, planned)
        encoder = _encoder(settings, size, [*trained, *unseen])
    settings = _choose(settings, planned, trained, unseen, encoder)
    console.print(f"[dim]lake {settings.lake_root}\nDagster home {settings.dagster_home}[/]", soft_wrap=True)
    with Bars(console).listening():
        make_by_command(settings, (*TABLES["router_domains"], *TABLES["router"]))
    print_router(console, Lake.of(settings))
    console.print(
        f"{time.monotonic() - began:,.0f} s with the encoder {encoder}. "
        'Which expert answers: `watershed router route "QUESTION"`. Add or remove a folder of [router] domains, and '
        "`watershed make router.comparisons` trains that expert alone, and makes the multi-task baseline again.",
        soft_wrap=True,
        markup=False,
    )


def write_domains(folder: Path, size: RouterSize) -> tuple[list[str], list[str]]:
    """Write the domains in BEIR's layout, and return the folders of those with an expert and of those without."""
    from catalog.progress import track
    from spark_jobs.router.beir import write_domain
    from spark_jobs.router.documentation import TRAINED, UNSEEN, domains

    found: dict[bool, list[str]] = {True: [], False: []}
    with track("domains", len(TRAINED) + len(UNSEEN), "domains") as task:
        for domain, expert in domains(size.amount):
            write_domain(folder / domain.name, domain)
            found[expert].append(str(folder / domain.name))
            task.advance(1)
    return found[True], found[False]


def _encoder(settings: Settings, size: str, folders: list[str]) -> str:
    """Return all-MiniLM-L6-v2 if it is installed, or else the folder of a small encoder that is trained here."""
    from spark_jobs.retrieval.encoders import MINILM

    if importlib.util.find_spec("all_minilm_l6_v2") is not None:
        return MINILM
    return train_small_encoder(settings.project / FOLDER / SMALL_ENCODER, size, folders)


def train_small_encoder(folder: Path, size: str, domains: list[str]) -> str:
    """Train a small encoder on the documents of domains, without queries; return its folder.

    It learns to find the second half of each document by the first one.
    """
    from catalog.files import write_whole
    from dagster_project.engine.trainer_process import run_trainer
    from spark_jobs.router.beir import read_domain

    texts = [document.embedded.split() for name in domains for document in read_domain(Path(name)).documents]
    halves = [(" ".join(words[: len(words) // 2]), " ".join(words[len(words) // 2 :])) for words in texts]
    rows = [{"query": first, "positive": second} for first, second in halves if first and second]
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    place = folder / f"{size}-{hashlib.sha256(data).hexdigest()[:16]}"
    pairs = place.with_suffix(".jsonl")
    write_whole(pairs, data)
    config: dict[str, Any] = {"encoder": "new", "data": [str(pairs)], "out": str(place), "epochs": 4, "batch": 32}
    run_trainer("trainers.embed", config, "small encoder")
    return str(place / "model")


def _choose(settings: Settings, size: RouterSize, trained: list[str], unseen: list[str], encoder: str) -> Settings:
    from dagster_project.cli.demo_choices import write_choices

    chosen = {
        "domains": trained,
        "unseen": unseen,
        "encoder": encoder,
        "seeds": list(range(size.seeds)),
        "epochs": size.epochs,
        "batch": size.batch,
        "learning_rate": size.learning_rate,
    }
    return write_choices(settings, {"router": chosen})
