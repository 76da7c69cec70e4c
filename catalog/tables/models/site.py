"""What the family `models` adds to the page of a model: the curve of its training."""

from __future__ import annotations

from typing import Any

from catalog.cards.site.charts import Line, lines
from catalog.cards.site.page import Section
from catalog.cards.site.reading import SiteLake

POINTS = 400
"""Points of a curve; of a longer run, every so-manieth step."""


def model_sections(site: SiteLake, table: str, row: dict[str, Any]) -> list[Section]:
    """The loss of a run by the tokens that it has read."""
    if not site.made("models.metrics"):
        return []
    steps = site.rows("SELECT tokens, loss FROM models.metrics WHERE run = $run ORDER BY step", {"run": row["run"]})
    steps = steps[:: max(1, len(steps) // POINTS)]
    if len(steps) < 2:
        return []
    curve = Line(name="training loss", points=[(each["tokens"], each["loss"]) for each in steps])
    words = f"Training loss of {row['run']}, from {steps[0]['loss']:.3g} to {steps[-1]['loss']:.3g} nats a token"
    drawn = lines([curve], x="tokens read", y="nats a token", label=words)
    return [Section(title="Training", body=drawn, note=f"{words}.")]
