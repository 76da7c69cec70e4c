"""Pairs whose query and document share no word: a query names an animal, and its document the sound that it makes."""

from __future__ import annotations

import json
from pathlib import Path

SOUNDS = {
    **{"dog": "bark", "cat": "purr", "cow": "low", "duck": "quack", "lion": "roar", "mouse": "squeak"},
    **{"horse": "neigh", "pig": "grunt", "crow": "caw", "bee": "buzz", "snake": "hiss", "owl": "hoot"},
}
PLACES = ("barn", "field", "forest", "river", "garden", "hill", "valley", "village")


def made_rows(places: tuple[str, ...] = PLACES) -> list[dict[str, str]]:
    """A row for each animal and place."""
    return [
        {"query": f"which noise has the {animal} of our {place}?", "positive": f"near that {place} they often {sound}"}
        for place in places
        for animal, sound in SOUNDS.items()
    ]


def write_pairs(path: Path, rows: list[dict[str, str]]) -> Path:
    """Write rows as JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
