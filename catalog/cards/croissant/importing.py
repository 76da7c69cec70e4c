"""Read the record sets of a Croissant file (1.0 or 1.1) as tables of Arrow.

A record set reads the files that its fields name, or other record sets. Fields of several sources are joined where one
of them `references` the other. The names of columns are those of fields without the name of their record set.
"""

from __future__ import annotations

import datetime
import json
import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from catalog.cards.croissant.document import identifier, many, read_document
from catalog.cards.croissant.resources import Resources
from catalog.cards.croissant.rows import json_values, rows_of
from catalog.cards.site.html import file_name
from catalog.errors import WatershedError
from catalog.files import whole_folder


@dataclass(frozen=True, kw_only=True)
class Imported:
    """A record set: its name, description and rows. Columns carry descriptions as the metadata `comment`."""

    name: str
    description: str
    key: tuple[str, ...]
    rows: pa.Table


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """What a Croissant file says of the data set, and its record sets."""

    name: str
    description: str
    licences: tuple[str, ...]
    record_sets: tuple[Imported, ...]


def read_croissant(path: Path) -> DataSet:
    """Read every record set of the Croissant file at `path`.

    Raises:
        WatershedError: the file, or a file that it names, cannot be read, or a field asks for what is not there.

    Example:
        >>> from pathlib import Path
        >>> from catalog import CONTRACTS, Lake, load_settings
        >>> from catalog.cards.croissant.export import export_croissant
        >>> from catalog.cards.croissant.importing import read_croissant
        >>> _ = export_croissant(Lake.of(load_settings()), CONTRACTS["dclm.scores"], Path("exported"))
        >>> read_croissant(Path("exported/croissant.json")).record_sets[0].rows.column("bucket").to_pylist()
        [0, 2, 5]
    """
    document = read_document(path)
    reader = _Reader(path.parent, document)
    return DataSet(
        name=str(document.get("name") or path.parent.name),
        description=str(document.get("description") or ""),
        licences=tuple(str(identifier(each) or each) for each in many(document.get("license"))),
        record_sets=tuple(reader.imported(name) for name in reader.record_sets),
    )


def write_parquet(data_set: DataSet, out: Path) -> list[tuple[Path, Imported]]:
    """Write every record set as a Parquet file in the folder `out`, which must not exist or be empty.

    Raises:
        WatershedError: `out` holds something already, or cannot be written.
    """
    import pyarrow.parquet as pq

    out = out.absolute()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise WatershedError(f"{out} exists already", "choose another folder with --out")
    written = []
    with whole_folder(out) as folder:
        for record_set in data_set.record_sets:
            name = f"{file_name(record_set.name)}.parquet"
            pq.write_table(record_set.rows, folder / name, compression="zstd")
            written.append((out / name, record_set))
    return written


class _Reader:
    """The record sets of a document. Each is read once, and never as a part of itself."""

    def __init__(self, folder: Path, document: Mapping[str, Any]) -> None:
        self._resources = Resources(folder, many(document.get("distribution")))
        sets = many(document.get("recordSet"))
        self.record_sets = {str(each.get("@id") or each.get("name")): each for each in sets}
        self._fields = {
            _name(field): (name, field) for name, each in self.record_sets.items() for field in many(each.get("field"))
        }
        self._made: dict[str, list[dict[str, Any]]] = {}
        self._open: list[str] = []

    def imported(self, name: str) -> Imported:
        record_set = self.record_sets[name]
        rows = self.rows(name)
        fields = many(record_set.get("field"))
        columns = [_column(field, [row.get(_name(field)) for row in rows], self._type(field)) for field in fields]
        schema = pa.schema(
            [
                pa.field(
                    _short(_name(field), name), column.type, metadata={"comment": str(field.get("description") or "")}
                )
                for field, column in zip(fields, columns, strict=True)
            ]
        )
        keys = [_short(str(identifier(each)), name) for each in many(record_set.get("key"))]
        return Imported(
            name=name,
            description=str(record_set.get("description") or ""),
            key=tuple(keys),
            rows=pa.table(columns, schema=schema),
        )

    def rows(self, name: str) -> list[dict[str, Any]]:
        """The rows of a record set, by the `@id` of the fields."""
        if name in self._made:
            return self._made[name]
        if name in self._open:
            raise WatershedError(f"the record set {name} is made from itself", "correct its sources")
        self._open.append(name)
        record_set = self.record_sets[name]
        made = self._inline(record_set) if record_set.get("data") is not None else self._read(record_set)
        self._open.pop()
        self._made[name] = made
        return made

    def _inline(self, record_set: Mapping[str, Any]) -> list[dict[str, Any]]:
        fields = many(record_set.get("field"))
        data = record_set["data"]
        listed = json.loads(data) if isinstance(data, str) else many(data)
        shorts = {_short(_name(field), _name(record_set)): _name(field) for field in fields}
        return [{shorts.get(key, key): value for key, value in row.items()} for row in listed]

    def _read(self, record_set: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Rows of the first source, with those of the others joined by the fields that reference them."""
        leaves = [leaf for field in many(record_set.get("field")) for leaf in _leaves(field)]
        by_source: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for leaf in leaves:
            by_source[self._source_of(leaf)].append(leaf)
        frames = {source: self._frame(source, fields) for source, fields in by_source.items() if source}
        if not frames:
            return []
        main, *others = frames
        rows = [{"": row, main: row} for row in frames[main]]
        for source in others:
            rows = self._joined(record_set, leaves, rows, source, frames)
        found = []
        for row in rows:
            values = {_name(leaf): self._value(leaf, row.get(self._source_of(leaf))) for leaf in leaves}
            found.append({_name(field): _nested(field, values) for field in many(record_set.get("field"))})
        return found

    def _joined(
        self,
        record_set: Mapping[str, Any],
        leaves: list[Mapping[str, Any]],
        rows: list[dict[str, Any]],
        source: str,
        frames: Mapping[str, list[dict[Any, Any]]],
    ) -> list[dict[str, Any]]:
        for leaf in leaves:
            target = next(iter(many(leaf.get("references"))), None)
            if target is None or self._source_of(leaf) == source:
                continue
            wanted = identifier(target) or identifier(target.get("field")) or ""
            # What is referenced is a field, or a column of a file.
            named = {**leaf, "source": target} if isinstance(target, dict) else {}
            owner, field = self._fields.get(wanted, ("", named))
            if owner != source and self._source_of(field) != source:
                continue
            found: dict[Any, list[dict[Any, Any]]] = defaultdict(list)
            for other in frames[source]:
                key = other.get(wanted) if owner == source else self._value(field, other)
                found[key].append(other)
            place = self._source_of(leaf)
            return [
                {**row, source: other}
                for row in rows
                for other in found.get(self._value(leaf, row[place]), [None])  # a row without a partner keeps nulls
            ]
        raise WatershedError(
            f"{_name(record_set)} reads {source}, but no field references it",
            "add `references` to the field that joins",
        )

    def _source_of(self, leaf: Mapping[str, Any]) -> str:
        """The resource or the record set that a field is read from; empty for a field without a source."""
        source = leaf.get("source") or {}
        for kind in ("fileObject", "fileSet", "recordSet"):
            if found := identifier(source.get(kind)):
                return found
        place = identifier(source.get("field")) or identifier(source)
        if place in self._fields:
            return self._fields[place][0]
        if place in self.record_sets or place is None:
            return place or ""
        # Version 1.0 also writes `"source": {"@id": RESOURCE, "extract": ...}`.
        return place

    def _frame(self, source: str, fields: list[Mapping[str, Any]]) -> list[dict[Any, Any]]:
        if source in self.record_sets:
            return self.rows(source)
        extracts = [(field.get("source") or {}).get("extract") or {} for field in fields]
        by_line = any(each.get("fileProperty") in ("lines", "lineNumbers") for each in extracts)
        paths = [str(each["jsonPath"]) for each in extracts if each.get("jsonPath")]
        return rows_of(self._resources.members(source), self._resources.format(source), by_line, paths)

    def _value(self, leaf: Mapping[str, Any], row: Mapping[Any, Any] | None) -> Any:
        if row is None:
            return None
        if "value" in leaf and not leaf.get("source"):
            return leaf["value"]
        source = leaf.get("source") or {}
        extract = source.get("extract") or {}
        if extract.get("column") is not None:
            name = str(extract["column"])
            if name not in row:
                raise WatershedError(f"{_name(leaf)}: the source has no column {name!r}", "correct `extract`")
            value = row[name]
        elif extract.get("jsonPath"):
            value = row[str(extract["jsonPath"])]
        elif extract.get("fileProperty"):
            value = row.get(("property", str(extract["fileProperty"])))
        else:
            value = row.get(identifier(source.get("field")) or identifier(source) or "")
        for transform in many(source.get("transform")):
            value = _transformed(value, transform)
        _, convert = self._type(leaf)
        listed = _is_list(leaf) or isinstance(value, (list, tuple))
        if value is None:
            return None
        if listed and isinstance(value, (list, tuple)):
            return [None if each is None else _converted(leaf, convert, each) for each in value]
        return _converted(leaf, convert, value)

    def _type(self, field: Mapping[str, Any]) -> tuple[pa.DataType, Callable[[Any], Any]]:
        """The type of a field: its own, or that of the field that it is read from."""
        for declared in many(field.get("dataType")):
            name = re.sub(r"^.*[/:#]", "", str(identifier(declared) or declared))
            if name in TYPES:
                return TYPES[name]
        source = field.get("source") or {}
        place = identifier(source.get("field")) or identifier(source)
        return self._type(self._fields[place][1]) if place in self._fields else TYPES["Text"]


def _leaves(field: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    inner = many(field.get("subField"))
    return [leaf for each in inner for leaf in _leaves(each)] if inner else [field]


def _nested(field: Mapping[str, Any], values: Mapping[str, Any]) -> Any:
    """The value of a field: its own, or a record of its sub-fields, or a list of them if it is repeated."""
    inner = many(field.get("subField"))
    if not inner:
        return values[_name(field)]
    parts = {_short(_name(each), _name(field)): _nested(each, values) for each in inner}
    if not _is_list(field):
        return parts
    length = max((len(each) for each in parts.values() if isinstance(each, list)), default=0)
    return [{key: (each or [None] * length)[at] for key, each in parts.items()} for at in range(length)]


def _is_list(field: Mapping[str, Any]) -> bool:
    return str(field.get("isArray") or field.get("repeated") or "").lower() == "true"


def _transformed(value: Any, transform: Mapping[str, Any]) -> Any:
    if isinstance(value, list) and "jsonPath" not in transform:
        return [_transformed(each, transform) for each in value]
    if value is not None:
        for kind, change in _TRANSFORMS.items():
            if transform.get(kind) is not None:
                return change(value, str(transform[kind]))
    return value


def _first_group(value: Any, pattern: str) -> Any:
    found = re.match(pattern, str(value))
    return next((group for group in found.groups() if group is not None), value) if found else value


_TRANSFORMS: dict[str, Callable[[Any, str], Any]] = {
    "regex": _first_group,
    "jsonPath": lambda value, path: next(iter(json_values(value, path)), None),
    "separator": lambda value, separator: str(value).split(separator),
    "format": lambda value, style: _moment(value).strftime(style),
}


def _converted(field: Mapping[str, Any], convert: Callable[[Any], Any], value: Any) -> Any:
    try:
        return convert(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise WatershedError(
            f"{_name(field)}: {str(value)[:60]!r} is not {field.get('dataType')}", "correct dataType, or the file"
        ) from error


def _column(field: Mapping[str, Any], values: list[Any], type_: tuple[pa.DataType, Any]) -> pa.Array:
    if many(field.get("subField")):
        return pa.array(values)
    if any(isinstance(value, bytes) for value in values):
        return pa.array(values, pa.binary())
    listed = _is_list(field) or any(isinstance(value, list) for value in values)
    return pa.array(values, pa.list_(type_[0]) if listed else type_[0])


def _name(node: Mapping[str, Any]) -> str:
    return str(node.get("@id") or node.get("name"))


def _short(name: str, parent: str) -> str:
    return name.removeprefix(f"{parent}/")


def _text(value: Any) -> str | bytes:
    return (
        value
        if isinstance(value, (str, bytes))
        else json.dumps(value)
        if isinstance(value, (dict, list))
        else str(value)
    )


def _truth(value: Any) -> bool:
    if isinstance(value, str):
        if value.strip().lower() not in ("true", "false", "1", "0"):
            raise ValueError(value)
        return value.strip().lower() in ("true", "1")
    return bool(value)


def _whole(value: Any) -> int:
    if isinstance(value, float) and not value.is_integer():
        raise ValueError(value)
    return int(value)


def _moment(value: Any) -> datetime.datetime:
    if isinstance(value, datetime.datetime):
        return value if value.tzinfo else value.replace(tzinfo=datetime.UTC)
    if isinstance(value, datetime.date):
        return datetime.datetime(value.year, value.month, value.day, tzinfo=datetime.UTC)
    found = datetime.datetime.fromisoformat(str(value).strip())
    return found if found.tzinfo else found.replace(tzinfo=datetime.UTC)


_TIME = pa.timestamp("us", tz="UTC")
TYPES: dict[str, tuple[pa.DataType, Callable[[Any], Any]]] = {
    **dict.fromkeys(("Text", "URL", "Label", "Split"), (pa.string(), _text)),
    "Boolean": (pa.bool_(), _truth),
    "Integer": (pa.int64(), _whole),
    "Float": (pa.float64(), float),
    "Number": (pa.float64(), float),
    "Date": (_TIME, _moment),
    "DateTime": (_TIME, _moment),
    **{
        f"Int{bits}": (type_, _whole)
        for bits, type_ in ((8, pa.int8()), (16, pa.int16()), (32, pa.int32()), (64, pa.int64()))
    },
    **{
        f"UInt{bits}": (type_, _whole)
        for bits, type_ in ((8, pa.uint8()), (16, pa.uint16()), (32, pa.uint32()), (64, pa.uint64()))
    },
    **{f"Float{bits}": (type_, float) for bits, type_ in ((16, pa.float32()), (32, pa.float32()), (64, pa.float64()))},
}
"""The data types of Croissant: the type of Arrow, and a function that reads a value."""
