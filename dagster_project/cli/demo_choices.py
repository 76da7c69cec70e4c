"""The choices of a demo: its archives, the name of its crawl, and its size."""

from __future__ import annotations

import json
from pathlib import Path

from catalog.settings import LOCAL_FILE, Settings, load_settings

CRAWL_FOLDER = "crawl"


def choose(settings: Settings, size: str, crawl: tuple[str, ...], snapshot: str | None) -> Settings:
    """Write the choices to a file beside watershed.toml, and return the settings with them.

    Other commands, such as `ui`, `sql` and `check`, then use the same settings.
    """
    quoted = ", ".join(json.dumps(place) for place in chosen_inputs(size, crawl))
    (settings.project / LOCAL_FILE).write_text(
        "# Written by `watershed demo`; it overrides watershed.toml. Delete it to remove the choices.\n"
        f'[crawl]\ninputs = [{quoted}]\nsnapshot = {json.dumps(snapshot or size)}\n\n[ladder]\nname = "{size}"\n'
    )
    return load_settings()


def chosen_inputs(size: str, crawl: tuple[str, ...]) -> list[str]:
    """Return the user's archives as absolute paths or URLs, or else the folder of this machine's crawl of that size."""
    return [_place(place) for place in crawl] or [f"{CRAWL_FOLDER}/{size}"]


def _place(place: str) -> str:
    return place if "://" in place else str(Path(place).expanduser().absolute())
