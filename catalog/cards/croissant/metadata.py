"""`croissant.json` of a version of a table: description, files, columns, provenance and conditions of use.

Lineage is that of the catalog and nothing else: a data set is derived from the versions of the tables that its contract
names as upstream, and a field from the columns that the contract names for it.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from catalog.contract import Contract
from catalog.history import Commit, commits
from catalog.lake import Lake
from catalog.licences.inherited import Held
from catalog.licences.names import licence_of

FILES = "data"
CONFORMS = "http://mlcommons.org/croissant/1.1"
URN = "urn:watershed:"
"""Beginning of the identifiers of tables (`urn:watershed:dclm.documents@5`) and columns."""

CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "annotation": "cr:annotation",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "excludes": "cr:excludes",
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "name": {"@container": "@language"},
    "parentField": "cr:parentField",
    "path": "cr:path",
    "readLines": "cr:readLines",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "sdVersion": "cr:sdVersion",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
    "unArchive": "cr:unArchive",
    "value": "cr:value",
    "prov": "http://www.w3.org/ns/prov#",
    "odrl": "http://www.w3.org/ns/odrl/2/",
    "cc": "http://creativecommons.org/ns#",
    "watershed": "urn:watershed:vocabulary:",
}

PARQUET = "application/x-parquet"
"""What mlcroissant 1.1.1 reads; the type that IANA registered is application/vnd.apache.parquet."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """A file of an export."""

    path: str
    rows: int
    bytes: int
    sha256: str


def metadata(
    lake: Lake, contract: Contract, table: Any, parts: Sequence[Part], licences: Sequence[Held]
) -> dict[str, Any]:
    """The whole of `croissant.json`.

    Args:
        table: the `deltalake.DeltaTable` at the version that is exported.
        parts: the files that hold its rows.
        licences: what `catalog.licences.inherited.licences_of` returns for it.
    """
    history = commits(lake, contract.name)
    commit = next((each for each in history if each.version == table.version()), None)
    written = commit.written_at if commit else None
    schema = pa.schema(table.schema().to_arrow())
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "@id": identifier(contract.name, table.version()),
        "conformsTo": CONFORMS,
        "name": contract.name,
        "description": contract.description,
        "version": semantic_version(history, table.version()),
        "datePublished": _date(written),
        "dateModified": _date(written),
        "license": [licence_of(held.id).url or held.id for held in licences],
        "creator": {"@type": "sc:Organization", "name": contract.owner},
        "url": identifier(contract.name, table.version()),
        "isLiveDataset": False,
        "citeAs": f"{contract.name}, version {table.version()} of the lake.",
        "keywords": [contract.family, contract.table],
        "usageInfo": [offer(held) for held in licences],
        **({"rai:personalSensitiveInformation": _personal(contract)} if contract.personal_data else {}),
        **_provenance(lake, contract, table.version(), written),
        "distribution": [*(_file(part) for part in parts), _files(contract.table, parts)],
        "recordSet": [_record_set(contract, schema)],
    }


def identifier(name: str, version: int | None = None) -> str:
    """The identifier of a table, of a version of it, or of a column."""
    return f"{URN}{name}" if version is None else f"{URN}{name}@{version}"


def semantic_version(history: Sequence[Commit], version: int) -> str:
    """MAJOR.MINOR.PATCH by Croissant's rule: rows were changed or removed, only added, or neither.

    Args:
        history: what `catalog.history.commits` returns, the last version first.
    """
    major, minor, patch = 1, 0, 0
    for commit in reversed(history):
        if commit.version > version or commit.version == 0:
            continue
        if commit.removed_rows or any(not column.startswith("+") for column in commit.columns):
            major, minor, patch = major + 1, 0, 0
        elif commit.added_rows or commit.columns:
            minor, patch = minor + 1, 0
        else:
            patch += 1
    return f"{major}.{minor}.{patch}"


def offer(held: Held) -> dict[str, Any]:
    """The conditions of a licence as an offer of ODRL: what it allows, forbids and asks for."""
    duties = [("cc:Attribution", held.terms.attribution), ("cc:ShareAlike", held.terms.share_alike)]
    asked = [{"@type": "odrl:Duty", "odrl:action": {"@id": action}} for action, asks in duties if asks]
    forbidden = [("cc:CommercialUse", held.terms.commercial == "forbidden")]
    forbidden.append(("cc:DerivativeWorks", held.terms.adaptation is False))
    never = [{"@type": "odrl:Prohibition", "odrl:action": {"@id": action}} for action, is_so in forbidden if is_so]
    known = held.terms.commercial != "unknown"
    permission = {
        "@type": "odrl:Permission",
        "odrl:action": {"@id": "odrl:use"},
        **({"odrl:duty": asked} if asked else {}),
    }
    return {
        "@type": ["CreativeWork", "odrl:Offer"],
        "name": held.id,
        "description": f"{held.title}: {held.terms.words}. Stated by {', '.join(held.tables)}."
        + (f" {held.problem[:1].upper()}{held.problem[1:]}." if held.problem else ""),
        **({"url": url} if (url := licence_of(held.id).url) else {}),
        **({"odrl:permission": permission} if known else {}),
        **({"odrl:prohibition": never} if never else {}),
    }


def _date(moment: datetime.datetime | None) -> str:
    return (moment or datetime.datetime.fromtimestamp(0, datetime.UTC)).strftime("%Y-%m-%d")


def _personal(contract: Contract) -> list[str]:
    return [f"{column}: {kind}" for column, kind in contract.personal_data.items()]


def _provenance(
    lake: Lake,
    contract: Contract,
    version: int,
    written: datetime.datetime | None,
) -> dict[str, Any]:
    commits = lake.commits(contract.name)
    fingerprints = sorted(
        {each.fingerprint for written_ in commits.values() for each in written_ if each.version == version}
    )
    derived: list[dict[str, Any]] = [
        {"@id": identifier(name, _read_version(lake, name, written))} for name in contract.upstream
    ]
    if not contract.upstream and contract.source != "derived":
        derived.append({"@type": "prov:Entity", "prov:label": contract.source})
    activity: dict[str, Any] = {
        "@type": "prov:Activity",
        "prov:label": contract.command or f"watershed make {contract.name}",
        **({"prov:endedAtTime": written.isoformat()} if written else {}),
        **({"watershed:fingerprint": fingerprints} if fingerprints else {}),
    }
    return {
        **({"prov:wasDerivedFrom": derived} if derived else {}),
        "prov:wasGeneratedBy": activity,
        "prov:wasAttributedTo": {"@type": "prov:Agent", "prov:label": contract.owner},
    }


def _read_version(lake: Lake, name: str, written: datetime.datetime | None) -> int | None:
    """The last version of an upstream table that was written before the table itself; None if it has none."""
    if not lake.exists(name) or lake.damage(name):
        return None
    before = (
        each.version for each in commits(lake, name) if not (each.written_at and written and each.written_at > written)
    )
    return next(before, None)


def _file(part: Part) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": part.path,
        "name": part.path.rsplit("/", 1)[-1],
        "contentUrl": part.path,
        "contentSize": f"{part.bytes} B",
        "encodingFormat": PARQUET,
        "sha256": part.sha256,
    }


def _files(table: str, parts: Sequence[Part]) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": f"{table}-files",
        "name": f"{table}-files",
        "description": "The files of the version, and no others.",
        "encodingFormat": PARQUET,
        # Names, not patterns: a file that lies beside them is not read.
        "includes": [part.path for part in parts],
    }


def _record_set(contract: Contract, schema: pa.Schema) -> dict[str, Any]:
    key = [{"@id": f"{contract.table}/{name}"} for name in contract.primary_key if name in schema.names]
    return {
        "@type": "cr:RecordSet",
        "@id": contract.table,
        "name": contract.table,
        "description": contract.description,
        "key": key if len(key) != 1 else key[0],
        "field": [_field(contract, field) for field in schema],
    }


def _field(contract: Contract, field: pa.Field) -> dict[str, Any]:
    known = field.name in contract.schema.names
    column = contract.column(field.name) if known else None
    inner = field.type
    array: dict[str, Any] = {}
    as_json = nested(field.type)
    if pa.types.is_list(field.type) and not as_json:
        inner, array = field.type.value_type, {"isArray": True, "arrayShape": "-1"}
    derived = [{"@id": identifier(place)} for place in column.derived_from] if column else []
    return {
        "@type": "cr:Field",
        "@id": f"{contract.table}/{field.name}",
        "name": field.name,
        "description": (column.description if column else field.name) + (" As JSON." if as_json else ""),
        "dataType": "sc:Text" if as_json else data_type(inner),
        **array,
        "source": {"fileSet": {"@id": f"{contract.table}-files"}, "extract": {"column": field.name}},
        "watershed:type": str(column.type if column else field.type),
        **({"prov:wasDerivedFrom": derived} if derived else {}),
    }


def data_type(type_: pa.DataType) -> str:
    """The data type of Croissant for a plain type of Arrow."""
    if pa.types.is_boolean(type_):
        return "sc:Boolean"
    if pa.types.is_integer(type_):
        return f"cr:{'Int' if pa.types.is_signed_integer(type_) else 'UInt'}{type_.bit_width}"
    if pa.types.is_floating(type_):
        return f"cr:Float{type_.bit_width}"
    if pa.types.is_date(type_):
        return "sc:Date"
    return "sc:DateTime" if pa.types.is_timestamp(type_) else "sc:Text"


def nested(type_: pa.DataType) -> bool:
    """Whether values are written as JSON: a struct, a map, or a list of anything but plain values."""
    if pa.types.is_list(type_) or pa.types.is_large_list(type_):
        return pa.types.is_nested(type_.value_type)
    return pa.types.is_nested(type_)
