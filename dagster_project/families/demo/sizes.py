"""The sizes of the demo: how much is crawled, which ladder is trained, and how many questions are asked.

`watershed demo --size NAME` chooses one, and `[ladder] name` in `watershed.toml` keeps the choice.
"""

from __future__ import annotations

from dataclasses import dataclass

from catalog.errors import WatershedError
from catalog.names import close, find
from catalog.settings import Settings
from spark_jobs.demo.crawl import CrawlSize
from trainers.pretraining.presets import Ladder


@dataclass(frozen=True, kw_only=True)
class DemoSize:
    """The settings that depend on the size of a demo."""

    crawl: CrawlSize
    """The crawl of this machine's documentation."""
    ladder: Ladder
    """The runs to fit on, and the targets to forecast. The first target has more parameters than the largest run of the
    ladder, and takes at least three times its FLOPs. The Chinchilla multiples of the runs are below one, which keeps a
    ladder short: at equal compute, tiny models gain more from parameters than from tokens."""
    questions_per_task: int
    """The number of questions of each task. More questions resolve smaller differences and take longer."""
    moe_run: str
    """The preset of the dense model that `watershed make moe.saturation` compares with a mixture of experts."""


SIZES: dict[str, DemoSize] = {
    "smoke": DemoSize(
        crawl=CrawlSize(pages=900, warc_files=4, max_html_bytes=24_000_000),
        ladder=Ladder(sizes=("30k", "70k"), multiples=(0.1, 0.2), targets=("130k-0.2xC",)),
        questions_per_task=120,
        moe_run="70k-0.1xC",
    ),
    "small": DemoSize(
        crawl=CrawlSize(pages=3_600, warc_files=8, max_html_bytes=96_000_000),
        ladder=Ladder(sizes=("70k", "130k"), multiples=(0.2, 0.6), targets=("270k-0.5xC",)),
        questions_per_task=400,
        moe_run="130k-0.5xC",
    ),
    "standard": DemoSize(
        crawl=CrawlSize(pages=20_000, warc_files=32, max_html_bytes=480_000_000),
        # The second target has the largest size of the ladder, and is trained twice as long as any run of that size.
        ladder=Ladder(sizes=("70k", "130k", "270k"), multiples=(0.2, 0.4, 0.8), targets=("500k-0.75xC", "270k-1.6xC")),
        questions_per_task=1000,
        moe_run="270k-0.8xC",
    ),
}
"""The sizes by name, smallest first."""


def size_of(settings: Settings) -> DemoSize:
    """Return the size that `[ladder] name` names, in upper or lower case.

    Raises:
        WatershedError: No size has that name.
    """
    name = find(settings.ladder.name, SIZES)
    if name is None:
        raise WatershedError(
            f"[ladder] name is {settings.ladder.name!r}, which is not a ladder{close(settings.ladder.name, SIZES)}",
            f"use one of {', '.join(SIZES)}",
        )
    return SIZES[name]
