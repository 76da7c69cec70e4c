"""Twelve Croissant data sets after the forms of the examples in the specifications 1.0 and 1.1, made in a folder."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from catalog.cards.croissant.metadata import CONTEXT

V10, V11 = "http://mlcommons.org/croissant/1.0", "http://mlcommons.org/croissant/1.1"
OLDER = {
    key: value for key, value in CONTEXT.items() if key not in ("arrayShape", "containedIn", "isArray", "annotation")
}


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def file_object(name: str, content: bytes, media_type: str, **more: Any) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "contentUrl": name,
        "encodingFormat": media_type,
        "sha256": digest(content),
        **more,
    }


def field(place: str, data_type: str, source: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
    return (
        {"@type": "cr:Field", "@id": place, "name": place.rsplit("/", maxsplit=1)[-1], "dataType": data_type}
        | ({"source": source} if source else {})
        | more
    )


def column(resource: str, name: str, kind: str = "fileObject", **more: Any) -> dict[str, Any]:
    return {kind: {"@id": resource}, "extract": {"column": name}, **more}


def record_set(name: str, *fields: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"@type": "cr:RecordSet", "@id": name, "name": name, "field": list(fields), **more}


class Made:
    """A data set that is being made in a folder."""

    def __init__(self, folder: Path, conforms: str) -> None:
        self.folder, self.conforms = folder, conforms
        self.distribution: list[dict[str, Any]] = []
        self.record_sets: list[dict[str, Any]] = []
        folder.mkdir(parents=True)

    def file(self, name: str, content: str | bytes, media_type: str, **more: Any) -> None:
        raw = content.encode() if isinstance(content, str) else content
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_bytes(raw)
        self.distribution.append(file_object(name, raw, media_type, **more))

    def write(self) -> Path:
        path = self.folder / "croissant.json"
        found = {
            "@context": CONTEXT if self.conforms == V11 else OLDER,
            "@type": "sc:Dataset",
            "name": self.folder.name,
            "description": "Made for a test.",
            "conformsTo": self.conforms,
            "license": "https://spdx.org/licenses/CC-BY-4.0.html",
            "url": "https://lake.example/data",
            "version": "1.0.0",
            "datePublished": "2026-01-02",
            "creator": {"@type": "sc:Person", "name": "Ada"},
            "citeAs": "Ada, 2026.",
            "distribution": self.distribution,
            "recordSet": self.record_sets,
        }
        path.write_text(json.dumps(found))
        return path


TITANIC = (
    'name,age,fare,survived,day\nAda,36,7.25,True,1912-04-10\nBo,,8.5,False,1912-04-11\n"Cy, Jr",4,0,True,1912-04-10\n'
)
MOVIES = "movie_id,title\n1,Water\n2,Rain\n3,River\n"
RATINGS = "user_id,movie_id,rating\n7,1,4.5\n8,2,3.0\n9,1,2.5\n"


def csv_of(made: Made, media_type: str = "text/csv", separator: str = ",") -> None:
    made.file("passengers", TITANIC.replace(",", separator) if separator == "\t" else TITANIC, media_type)
    made.record_sets.append(
        record_set(
            "passengers-rows",
            field("passengers-rows/name", "sc:Text", column("passengers", "name")),
            field("passengers-rows/age", "sc:Integer", column("passengers", "age")),
            field("passengers-rows/fare", "sc:Float", column("passengers", "fare")),
            field("passengers-rows/survived", "sc:Boolean", column("passengers", "survived")),
            field("passengers-rows/day", "sc:Date", column("passengers", "day")),
            key={"@id": "passengers-rows/name"},
        )
    )


def tsv(made: Made) -> None:
    text = "city\tpeople\nHamburg\t1900000\nPrague\t1300000\n"
    made.file("cities.tsv", text, "text/tab-separated-values")
    made.record_sets.append(
        record_set(
            "cities",
            field("cities/name", "sc:Text", column("cities.tsv", "city")),
            field("cities/people", "cr:Int64", column("cities.tsv", "people")),
        )
    )


def json_lines(made: Made) -> None:
    lines = [{"id": 1, "text": "Water é", "tags": ["a", "b"]}, {"id": 2, "text": None, "tags": ["c"]}]
    made.file("rows.jsonl", "".join(f"{json.dumps(line)}\n" for line in lines), "application/jsonlines")
    made.record_sets.append(
        record_set(
            "rows",
            field("rows/id", "sc:Integer", column("rows.jsonl", "id")),
            field("rows/text", "sc:Text", column("rows.jsonl", "text")),
            field("rows/tags", "sc:Text", column("rows.jsonl", "tags"), isArray=True, arrayShape="-1"),
        )
    )


def parquet_set(made: Made) -> None:
    for part, values in enumerate(([1, 2], [3])):
        buffer = io.BytesIO()
        pq.write_table(pa.table({"n": values, "x": [value / 4 for value in values]}), buffer)
        made.file(f"parts/part-{part}.parquet", buffer.getvalue(), "application/x-parquet")
    made.distribution.append(
        {"@type": "cr:FileSet", "@id": "parts", "name": "parts", "encodingFormat": "application/x-parquet"}
        | {"includes": "parts/*.parquet"}
    )
    made.record_sets.append(
        record_set(
            "numbers",
            field("numbers/n", "cr:Int64", column("parts", "n", "fileSet")),
            field("numbers/x", "cr:Float64", column("parts", "x", "fileSet")),
        )
    )


def zip_members(made: Made) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        for name, text in (("texts/a.txt", "Water"), ("texts/b.txt", "Rain"), ("other/c.md", "no")):
            packed.writestr(name, text)
    made.file("texts.zip", buffer.getvalue(), "application/zip")
    made.distribution.append(
        {"@type": "cr:FileSet", "@id": "texts", "name": "texts", "encodingFormat": "text/plain"}
        | {"containedIn": {"@id": "texts.zip"}, "includes": "texts/*.txt"}
    )
    source = {"fileSet": {"@id": "texts"}}
    made.record_sets.append(
        record_set(
            "texts-rows",
            field(
                "texts-rows/name",
                "sc:Text",
                {**source, "extract": {"fileProperty": "filename"}, "transform": {"regex": r"(.*)\.txt$"}},
            ),
            field("texts-rows/text", "sc:Text", {**source, "extract": {"fileProperty": "content"}}),
        )
    )


def tar_member(made: Made) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as packed:
        info = tarfile.TarInfo("inner/movies.csv")
        info.size = len(MOVIES)
        packed.addfile(info, io.BytesIO(MOVIES.encode()))
    made.file("all.tar", buffer.getvalue(), "application/x-tar")
    made.distribution.append(
        {"@type": "cr:FileObject", "@id": "movies.csv", "name": "movies.csv", "contentUrl": "inner/movies.csv"}
        | {"encodingFormat": "text/csv", "containedIn": {"@id": "all.tar"}, "sha256": digest(MOVIES.encode())}
    )
    made.record_sets.append(
        record_set(
            "movies",
            field("movies/movie_id", "sc:Integer", column("movies.csv", "movie_id")),
            field("movies/title", "sc:Text", column("movies.csv", "title")),
        )
    )


def several(made: Made) -> None:
    made.file("movies.csv", MOVIES, "text/csv")
    made.file("ratings.csv", RATINGS, "text/csv")
    made.record_sets += [
        record_set(
            "movies",
            field("movies/movie_id", "sc:Integer", column("movies.csv", "movie_id")),
            field("movies/title", "sc:Text", column("movies.csv", "title")),
        ),
        record_set(
            "ratings",
            field("ratings/user_id", "sc:Integer", column("ratings.csv", "user_id")),
            field("ratings/rating", "sc:Float", column("ratings.csv", "rating")),
        ),
    ]


def join(made: Made) -> None:
    several(made)
    made.record_sets.append(
        record_set(
            "rated",
            field(
                "rated/movie_id",
                "sc:Integer",
                column("ratings.csv", "movie_id"),
                references={"fileObject": {"@id": "movies.csv"}, "extract": {"column": "movie_id"}},
            ),
            field("rated/rating", "sc:Float", column("ratings.csv", "rating")),
            field("rated/title", "sc:Text", column("movies.csv", "title")),
        )
    )


def splits(made: Made) -> None:
    for split, texts in (("train", ["a", "b"]), ("test", ["c"])):
        made.file(f"{split}.jsonl", "".join(f'{{"text": "{text}"}}\n' for text in texts), "application/jsonlines")
    made.distribution.append(
        {"@type": "cr:FileSet", "@id": "lines", "name": "lines", "encodingFormat": "application/jsonlines"}
        | {"includes": "*.jsonl"}
    )
    made.record_sets += [
        record_set(
            "splits",
            field("splits/name", "sc:Text", None),
            field("splits/url", "sc:URL", None),
            dataType="cr:Split",
            key={"@id": "splits/name"},
            data=[
                {"splits/name": "train", "splits/url": "cr:TrainingSplit"},
                {"splits/name": "test", "splits/url": "cr:TestSplit"},
            ],
        ),
        record_set(
            "texts",
            field(
                "texts/split",
                "sc:Text",
                {"fileSet": {"@id": "lines"}, "extract": {"fileProperty": "filename"}}
                | {"transform": {"regex": r"^(train|test)\.jsonl$"}},
            ),
            field("texts/text", "sc:Text", column("lines", "text", "fileSet")),
        ),
    ]


def json_paths(made: Made) -> None:
    content = {"info": {"year": 2026}, "items": [{"id": 5, "box": [1, 2]}, {"id": 6, "box": [3, 4]}]}
    made.file("items.json", json.dumps(content), "application/json")
    source = {"fileObject": {"@id": "items.json"}}
    made.record_sets.append(
        record_set(
            "items",
            field("items/id", "sc:Integer", {**source, "extract": {"jsonPath": "$.items[*].id"}}),
            field(
                "items/box",
                "sc:Integer",
                {**source, "extract": {"jsonPath": "$.items[*].box"}},
                isArray=True,
                arrayShape="2",
            ),
        )
    )


def inline(made: Made) -> None:
    made.record_sets.append(
        record_set(
            "genders",
            field("genders/name", "sc:Text", None),
            field("genders/code", "sc:Integer", None),
            dataType="sc:Enumeration",
            key={"@id": "genders/name"},
            data=[{"genders/name": "female", "genders/code": 1}, {"genders/name": "male", "genders/code": 2}],
        )
    )


def separated(made: Made) -> None:
    made.file("genres.csv", "title,genres\nWater,drama|river\nRain,comedy\n", "text/csv")
    made.record_sets.append(
        record_set(
            "genres",
            field("genres/title", "sc:Text", column("genres.csv", "title")),
            field(
                "genres/genres",
                "sc:Text",
                column("genres.csv", "genres", transform={"separator": "|"}),
                repeated=True,
            ),
        )
    )


MAKERS: dict[str, tuple[str, Callable[[Made], None]]] = {
    "csv-1.0": (V10, csv_of),
    "csv-1.1": (V11, csv_of),
    "tsv": (V10, tsv),
    "jsonl": (V11, json_lines),
    "parquet": (V11, parquet_set),
    "zip": (V10, zip_members),
    "tar": (V10, tar_member),
    "several": (V10, several),
    "join": (V10, join),
    "splits": (V10, splits),
    "json": (V11, json_paths),
    "inline": (V10, inline),
    "separated": (V10, separated),
}
"""The makers by name, with the version of the specification. Each writes the forms of an example in it."""


def made(name: str, folder: Path) -> Path:
    """Make the data set `name` in a new folder inside `folder`; returns its Croissant file."""
    conforms, make = MAKERS[name]
    found = Made(folder / name, conforms)
    make(found)
    return found.write()
