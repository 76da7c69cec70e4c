"""The choices of a demo: its archives, the name of its crawl, and its size; or the models of its dialogues."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from catalog.settings import LOCAL_FILE, Settings, load_settings

CRAWL_FOLDER = "crawl"


def choose(settings: Settings, size: str, crawl: tuple[str, ...], snapshot: str | None) -> Settings:
    """Write the choices to a file beside watershed.toml, and return the settings with them.

    Other commands, such as `ui`, `sql` and `check`, then use the same settings.
    """
    inputs = {"inputs": chosen_inputs(size, crawl), "snapshot": snapshot or size}
    return write_choices(settings, {"crawl": inputs, "ladder": {"name": size}})


def write_choices(settings: Settings, sections: Mapping[str, Mapping[str, Any]]) -> Settings:
    """Replace these sections of the file beside watershed.toml, and return the settings with them.

    A section holds texts, numbers, truth values, lists and tables of them. Other sections of the file stay.
    """
    path = settings.project / LOCAL_FILE
    before = tomllib.loads(path.read_text()) if path.exists() else {}
    lines = ["# Written by `watershed demo`; it overrides watershed.toml. Delete it to remove the choices."]
    for name, entries in {**before, **sections}.items():
        lines += _section(name, entries)
    path.write_text("\n".join(lines) + "\n")
    return load_settings()


def _section(name: str, entries: Mapping[str, Any]) -> list[str]:
    plain = {key: value for key, value in entries.items() if not isinstance(value, Mapping)}
    lines = [f"[{name}]", *(f"{json.dumps(key)} = {json.dumps(value)}" for key, value in plain.items()), ""]
    for key, value in entries.items():
        if isinstance(value, Mapping):
            lines += _section(f"{name}.{json.dumps(key)}", value)
    return lines


def chosen_inputs(size: str, crawl: tuple[str, ...]) -> list[str]:
    """Return the user's archives as absolute paths or URLs, or else the folder of this machine's crawl of that size."""
    return [_place(place) for place in crawl] or [f"{CRAWL_FOLDER}/{size}"]


def _place(place: str) -> str:
    return place if "://" in place else str(Path(place).expanduser().absolute())
