"""SQL views over the pictures and coordinates of PixMo."""

from __future__ import annotations

from catalog.tables.pixmo.columns import SETS
from catalog.view import View

EACH = "SELECT '{name}' AS dataset, maker, count(*) AS rows FROM pixmo.{name} GROUP BY ALL"
MAKERS = " UNION ALL BY NAME ".join(EACH.format(name=name) for name in SETS)

LOST = """
SELECT host, outcome, count(*) AS pictures, min(reason) AS such_as FROM pixmo.pictures
WHERE outcome NOT IN ('ok', 'held') GROUP BY ALL ORDER BY pictures DESC, host, outcome
"""

LOST_SAMPLES = """
SELECT s.split, s.shard, s.sample, s.dataset, p.host, p.outcome, p.reason
FROM pixmo.samples s JOIN pixmo.pictures p USING (place)
WHERE p.outcome NOT IN ('ok', 'held') ORDER BY s.split, s.sample
"""

NEEDED = """
SELECT m.{run}, m.dataset, s.split, count(DISTINCT s.image_sha256) AS lost_pictures, count(*) AS lost_samples
FROM {models} m JOIN pixmo.shards USING (dataset) JOIN pixmo.samples s USING (split, shard)
JOIN pixmo.pictures p USING (place)
WHERE p.outcome NOT IN ('ok', 'held') GROUP BY ALL ORDER BY lost_samples DESC, m.{run}, s.split
"""

UNITS = """
SELECT dataset, declared, set_unit, unit, known_by, why, count(*) AS rows
FROM pixmo.coordinates GROUP BY ALL ORDER BY dataset, why, rows DESC
"""


def needed_by(models: str, run: str = "run") -> View:
    """The view of the models that were trained on pictures which their hosts no longer give.

    Args:
        models: a table of models with `dataset`, the fingerprint of their picture shards.
        run: the column that names a model.
    """
    tables = (models, "pixmo.shards", "pixmo.samples", "pixmo.pictures")
    text = f"Models of {models} that were trained on pictures which their hosts no longer give, and how many."
    return View(text, tables, NEEDED.format(models=models, run=run))


VIEWS = {
    "pixmo.needed_by": needed_by("pixmo.captioners", "stage"),
    "pixmo.makers": View(
        "Rows of each PixMo dataset by who wrote their text.", tuple(f"pixmo.{name}" for name in SETS), MAKERS
    ),
    "pixmo.lost": View("Pictures that could not be had, by host and kind of failure.", ("pixmo.pictures",), LOST),
    "pixmo.lost_samples": View(
        "Samples of the picture shards whose pictures their hosts no longer give.",
        ("pixmo.samples", "pixmo.pictures"),
        LOST_SAMPLES,
    ),
    "pixmo.units": View(
        "Rows that point, by the unit that they are written in and how it is known.", ("pixmo.coordinates",), UNITS
    ),
}
