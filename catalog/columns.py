"""Constructors of columns, one for each common type, so that a contract declares a column in one line.

columns=(
    text("task", "Name of the task."),
    real("chance", "Accuracy of a random guess, 0..1."),
    integer("gold", "Index of the true choice, from 0.", bits=32, nullable=True),
)
"""

from __future__ import annotations

from typing import Any, Literal, TypedDict, Unpack

import pyarrow as pa

from catalog.contract import Column


class Facts(TypedDict, total=False):
    """What every constructor accepts beside the name and the description; see `Column`."""

    nullable: bool
    """Whether values may be missing; by default they may not."""
    personal_data: str
    """Kind of personal data that the column may hold."""
    derived_from: str | tuple[str, ...]
    """The upstream column `family.table.column` that the values come from, or several of them."""


def column(name: str, type: pa.DataType, description: str, **facts: Unpack[Facts]) -> Column:
    """A column of any Arrow type."""
    places = facts.get("derived_from", ())
    options: dict[str, Any] = {**facts, "derived_from": (places,) if isinstance(places, str) else places}
    return Column(name=name, type=type, description=description, **options)


def text(name: str, description: str, **facts: Unpack[Facts]) -> Column:
    """A column of Unicode strings."""
    return column(name, pa.string(), description, **facts)


def integer(name: str, description: str, *, bits: Literal[32, 64] = 64, **facts: Unpack[Facts]) -> Column:
    """A column of signed integers of 64 bits, or of 32."""
    return column(name, pa.int64() if bits == 64 else pa.int32(), description, **facts)


def real(name: str, description: str, **facts: Unpack[Facts]) -> Column:
    """A column of 64-bit floating-point numbers."""
    return column(name, pa.float64(), description, **facts)


def boolean(name: str, description: str, **facts: Unpack[Facts]) -> Column:
    """A column of truth values."""
    return column(name, pa.bool_(), description, **facts)


def timestamp(name: str, description: str, **facts: Unpack[Facts]) -> Column:
    """A column of times in UTC, to the microsecond."""
    return column(name, pa.timestamp("us", tz="UTC"), description, **facts)


def binary(name: str, description: str, **facts: Unpack[Facts]) -> Column:
    """A column of bytes."""
    return column(name, pa.binary(), description, **facts)


def texts(name: str, description: str, **facts: Unpack[Facts]) -> Column:
    """A column of lists of strings."""
    return column(name, pa.list_(pa.string()), description, **facts)


BROKEN_RULE = pa.struct([("rule", pa.string()), ("value", pa.float64()), ("threshold", pa.float64())])
"""A rule that a document breaks: its name, the measured value and the threshold."""
