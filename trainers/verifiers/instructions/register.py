"""All kinds of instructions by their ids, and instructions from their JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainers import names
from trainers.process.errors import TrainerError
from trainers.verifiers.instructions import ifeval, iftrain  # noqa: F401 (registers the kinds)
from trainers.verifiers.instructions.kinds import KINDS, Instruction, Kind


def all_kinds() -> Mapping[str, Kind]:
    """The 54 kinds by id, those of IFEval first."""
    return KINDS


def bind(id: str, kwargs: Mapping[str, Any] | None) -> Instruction:
    """An instruction of the kind `id`. Arguments that are null count as absent, as the published files write them.

    Raises:
        TrainerError: the kind is unknown, an argument is missing, unknown or of another type.

    Example:
        >>> bind("punctuation:no_comma", {}).fault("Yes, sir.")
        'there is a comma'
    """
    kinds = all_kinds()
    if id not in kinds:
        raise TrainerError(
            f"the instruction kind {id!r} is unknown{names.close(id, kinds)}",
            "use one of the kinds that `watershed score --list ifeval` lists",
        )
    known = kinds[id].arguments
    given = {name: value for name, value in (kwargs or {}).items() if value is not None}
    takes = f"{id} takes {', '.join(known) if known else 'no arguments'}"
    if unknown := sorted(given.keys() - known.keys()):
        raise TrainerError(f"{id} has no argument {unknown[0]!r}", takes)
    if missing := [name for name in known if name not in given]:
        raise TrainerError(f"{id} lacks the argument {missing[0]!r}", takes)
    values = {}
    for name, read in known.items():
        try:
            values[name] = read(given[name])
        except ValueError as error:
            raise TrainerError(f"{id}: {name} is {str(given[name])[:40]!r}, not {error}", takes) from None
    return Instruction(kinds[id], values)
