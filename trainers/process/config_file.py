"""Configuration files: a frozen dataclass read from YAML or JSON, with errors that name the field."""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import yaml

from trainers.process.errors import TrainerError

C = TypeVar("C")


def read_config(path: Path | str, kind: type[C]) -> C:
    """Read a dataclass from a YAML or JSON file; TrainerError names an unknown, missing or mistyped field."""
    return from_mapping(read_mapping(path), kind, str(path))


def read_mapping(path: Path | str) -> Any:
    """What a YAML or JSON file holds, whatever it is; TrainerError where it cannot be read."""
    path = Path(path)
    if not path.is_file():
        raise TrainerError(f"config file {path} does not exist", "give --config the path of a YAML or JSON file")
    try:
        text = path.read_text(encoding="utf-8")
        return json.loads(text) if path.suffix == ".json" else yaml.load(text, _Loader)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise TrainerError(f"{path} is neither YAML nor JSON: {_one_line(error)}", "mend its syntax") from None


def from_mapping(values: Any, kind: type[C], place: str) -> C:
    """Build a configuration dataclass, with errors that name the field."""
    if not isinstance(values, Mapping):
        raise TrainerError(f"{place} holds no fields", f"write {', '.join(_required(kind))} in it")
    _check_known(values, list(_fields(kind)), f"{place} has an unknown field")
    for name in _required(kind):
        if name not in values:
            raise TrainerError(f"{place} lacks the field {name!r}", f"add {name}")
    _check_types(values, kind, f"{place}: ")
    return kind(**values)


def from_checkpoint(values: Mapping[str, Any], kind: type[C]) -> C:
    """Build the configuration that a checkpoint of another version may hold.

    Raises:
        TrainerError: it has a field that this version does not know, or lacks one.
    """
    try:
        return kind(**values)
    except TypeError:
        known = set(_fields(kind))
        names = [name for name in values if name not in known] or [n for n in _required(kind) if n not in values]
        if not names:
            raise
        raise TrainerError(
            f"the checkpoint was written by another version of Watershed: {', '.join(map(repr, names))} in its "
            f"{kind.__name__}",
            "use the version that wrote it, or train the model again",
        ) from None


def check_fields(values: Any, kind: type, place: str, hidden: Sequence[str] = ()) -> None:
    """Check values that replace some fields of a dataclass, such as those of `optimiser` in a training run's file.

    Args:
        place: the name of the field that holds them.
        hidden: fields that may not be set.

    Raises:
        TrainerError: a field is unknown, or its value is of another type.
    """
    _check_known(values, [name for name in _fields(kind) if name not in hidden], f"{place} has no field", " to set")
    _check_types(values, kind, f"{place}.")


def _check_known(values: Mapping[Any, Any], known: Sequence[str], cause: str, after: str = "") -> None:
    for name in values:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise TrainerError(f"{cause} {name!r}{after}", f"{hint}fields: {', '.join(known)}")


def _check_types(values: Mapping[str, Any], kind: type, place: str) -> None:
    hints, fields = get_type_hints(kind), _fields(kind)
    for name, value in values.items():
        _check_type(f"{place}{name}", value, hints[name], fields[name].default)


class _Loader(yaml.SafeLoader):
    """YAML 1.1, in which a number with an exponent and no point, such as 3e-4, is a number and not text."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def _fields(kind: type) -> dict[str, Field[Any]]:
    found: dict[str, Field[Any]] = kind.__dict__["__dataclass_fields__"]
    return found


def _required(kind: type) -> list[str]:
    return [n for n, f in _fields(kind).items() if f.default is MISSING and f.default_factory is MISSING]


SHOWN = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def _check_type(place: str, value: Any, kind: Any, default: Any) -> None:
    """Hold a value against the type of its field. Types that no file can hold, such as Path, are left to others."""
    if get_origin(kind) is Literal:
        if value not in get_args(kind) or isinstance(value, bool):
            choices = " or ".join(f'"{choice}"' for choice in get_args(kind))
            raise TrainerError(f"{place} is {value!r}", f"choose {choices}")
        return
    if kind in SHOWN:
        allowed = (int, float) if kind is float else kind
        if not isinstance(value, allowed) or (isinstance(value, bool) and kind is not bool):
            raise TrainerError(f"{place} is {value!r}", f"give {SHOWN[kind]}")
        if kind is float and not math.isfinite(value):
            raise TrainerError(f"{place} is {value!r}", "give a finite number")
        if kind in (int, float) and value < 0 and not (isinstance(default, int | float) and default < 0):
            raise TrainerError(f"{place} is {value}", f"give {place.rsplit(maxsplit=1)[-1]} as 0 or more")
        return
    origin = get_origin(kind)
    if origin is Mapping and not isinstance(value, Mapping):
        raise TrainerError(f"{place} is {value!r}", "give fields, each with a value")
    if origin is Sequence:
        _check_items(place, value, get_args(kind)[0], default)


def _check_items(place: str, value: Any, kind: Any, default: Any) -> None:
    if not isinstance(value, list | tuple):
        raise TrainerError(f"{place} is {value!r}", "give a list")
    # Items may be below 0 where those of the default are.
    least = min(default) if kind in (int, float) and isinstance(default, tuple) and default else None
    for number, item in enumerate(value):
        _check_type(f"{place}[{number}]", item, kind, least)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
