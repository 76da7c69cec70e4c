"""Configuration files: a frozen dataclass read from YAML or JSON, with errors that name the field."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import MISSING, Field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from trainers.process.errors import TrainerError

C = TypeVar("C")


def read_config(path: Path | str, kind: type[C]) -> C:
    """Read a dataclass from a YAML or JSON file; TrainerError names an unknown, missing or mistyped field."""
    path = Path(path)
    if not path.is_file():
        raise TrainerError(f"config file {path} does not exist", "give --config the path of a YAML or JSON file")
    try:
        text = path.read_text(encoding="utf-8")
        values = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (json.JSONDecodeError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise TrainerError(f"{path} is neither YAML nor JSON: {_one_line(error)}", "mend its syntax") from None
    return from_mapping(values, kind, str(path))


def from_mapping(values: Any, kind: type[C], place: str) -> C:
    """Build a configuration dataclass, with errors that name the field."""
    if not isinstance(values, Mapping):
        raise TrainerError(f"{place} holds no fields", f"write {', '.join(_required(kind))} in it")
    known = _fields(kind)
    for name in values:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise TrainerError(f"{place} has an unknown field {name!r}", f"{hint}fields: {', '.join(known)}")
    for name in _required(kind):
        if name not in values:
            raise TrainerError(f"{place} lacks the field {name!r}", f"add {name}")
    for name, value in values.items():
        _check_type(place, name, value, str(known[name].type))
    return kind(**values)


def _fields(kind: type) -> dict[str, Field[Any]]:
    found: dict[str, Field[Any]] = kind.__dict__["__dataclass_fields__"]
    return found


def _required(kind: type) -> list[str]:
    return [n for n, f in _fields(kind).items() if f.default is MISSING and f.default_factory is MISSING]


def _check_type(place: str, name: str, value: Any, annotation: str) -> None:
    kinds: dict[str, tuple[type, ...]] = {
        "str": (str,),
        "int": (int,),
        "float": (int, float),
        "bool": (bool,),
        "Mapping[str, Any]": (Mapping,),
        "Sequence[Mapping[str, Any]]": (list, tuple),
    }
    allowed = kinds.get(annotation)
    if allowed is None:
        return
    if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
        raise TrainerError(f"{place}: {name} is {value!r}", f"give {name} as {annotation}")
    if annotation == "int" and value < 0:
        raise TrainerError(f"{place}: {name} is {value}", f"give {name} as 0 or more")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
