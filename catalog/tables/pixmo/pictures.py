"""The pictures of PixMo: what became of each address, how hosts lose them, and the places that rows point at."""

from __future__ import annotations

import pyarrow as pa

from catalog.columns import boolean, column, integer, real, text, texts
from catalog.contract import Contract, between, matches, one_of, warned
from catalog.tables.pixmo.columns import DIGEST, OWNER, POINT, SETS

SOURCE_TABLES = tuple(f"pixmo.{name}" for name in SETS)
POINTED = ("points", "point_explanations", "count")
OUTCOMES = (
    *("ok", "held", "http_error", "timeout", "connection", "robots", "noai", "wrong_type", "too_large", "truncated"),
    *("bomb", "placeholder", "changed", "internal_address", "bad_address", "redirects", "missing"),
)
"""What became of a picture. `ok` was downloaded, `held` came with the file; docs/pixmo.md describes the others."""

_FETCHED = (
    text("outcome", "What became of it: ok, held, or the kind of failure."),
    text("reason", "The failure in words; empty if there is none."),
    integer("status", "HTTP status of the last reply; null if there was none.", nullable=True),
    integer("attempts", "Requests for the picture, without redirects; 0 if none was sent."),
    texts("redirects", "Addresses that the server redirected to, in order."),
    text("robots_tag", "The header X-Robots-Tag of the reply; null without one.", nullable=True),
)

PICTURES = Contract(
    name="pixmo.pictures",
    description="Every picture that the datasets name, once: where its bytes are, or why there are none.",
    columns=(
        text("place", "Address of the picture; sha256:DIGEST of one that a file held."),
        text("host", "Host and port of the address; empty for one that a file held."),
        text("declared_sha256", "SHA-256 that the datasets give; null if they give none.", nullable=True),
        *_FETCHED,
        text("observed_sha256", "SHA-256 of the bytes that arrived; null if none did.", nullable=True),
        text(
            "path", "File of the stored picture, relative to the lake's files; null if it is not stored.", nullable=True
        ),
        text("format", "jpg, png or webp; null if the bytes are none of them.", nullable=True),
        integer("bytes", "Size of the body; null if none arrived.", nullable=True),
        integer("width", "Width in pixels, after its orientation is applied.", nullable=True),
        integer("height", "Height in pixels, after its orientation is applied.", nullable=True),
        text("round", "The round of downloads, `[pixmo] round`."),
        text("at", "When the outcome was known, ISO 8601 in UTC."),
    ),
    primary_key=("place",),
    upstream=SOURCE_TABLES,
    source="the hosts of the pictures",
    licence="each picture its own",
    owner=OWNER,
    expectations=(
        one_of("outcome", OUTCOMES),
        matches("observed_sha256", DIGEST),
        one_of("format", ("jpg", "png", "webp")),
        between("attempts", 0),
        between("width", 1),
        between("height", 1),
    ),
)

FETCHES = Contract(
    name="pixmo.fetches",
    description="What became of each address in each round of downloads, so that rot can be seen over time.",
    columns=(
        text("round", "The round of downloads."),
        text("place", "Address of the picture."),
        text("host", "Host and port of the address."),
        *_FETCHED,
        text("at", "When the outcome was known, ISO 8601 in UTC."),
    ),
    primary_key=("round", "place"),
    upstream=SOURCE_TABLES,
    source="the hosts of the pictures",
    licence="each picture its own",
    owner=OWNER,
    expectations=(one_of("outcome", OUTCOMES),),
)

HOSTS = Contract(
    name="pixmo.hosts",
    description="Pictures that each host gave and lost, by round: a row per round and host, and one for all hosts.",
    columns=(
        text("round", "The round of downloads."),
        text("host", "Host and port; * for all."),
        integer("pictures", "Addresses of the host."),
        integer("given", "Pictures that arrived."),
        real("given_share", "Given over pictures."),
        integer("had", "Addresses that gave a picture in an earlier round."),
        integer("lost", "Those of them that gave none, or another one, in this round."),
        real("rot", "Lost over had; 0 if the host had given none.", nullable=False),
        real("threshold", "`[pixmo] most_missing`: the share of missing pictures, and the rot, that is reported."),
        boolean("beyond", "Whether the share of missing pictures or the rot is larger than the threshold."),
    ),
    primary_key=("round", "host"),
    upstream=("pixmo.fetches",),
    owner=OWNER,
    expectations=(
        between("given_share", 0, 1),
        between("rot", 0, 1),
        warned(
            one_of("beyond", (False,), why="a host, or all of them, gives fewer pictures than the threshold allows")
        ),
    ),
)

COORDINATES = Contract(
    name="pixmo.coordinates",
    description="The places of each row that points, in percent, with the unit that they were written in and how it is "
    "known. Rows in another unit than their set, or outside their picture, are set apart.",
    columns=(
        text("dataset", "points, point_explanations or count."),
        text("file", "File of the row."),
        integer("row", "Position of the row in its file."),
        integer("width", "Width of the picture in pixels; null if it is unknown.", nullable=True),
        integer("height", "Height of the picture in pixels; null if it is unknown.", nullable=True),
        column("points", pa.list_(POINT), "Places in percent of width and height, one decimal; empty if set apart."),
        column("written", pa.list_(POINT), "Places as published."),
        text(
            "unit", "percent or pixel, as this row is written; none without points; unknown if it cannot be determined."
        ),
        text(
            "known_by",
            "stated (by the row), range (one unit is impossible), likelihood, set (the same without a size), or none.",
        ),
        real("certainty", "Probability of the unit, 0.5..1."),
        text("declared", "Unit that Molmo's code reads the set in."),
        text("set_unit", "Unit of most rows of the set."),
        boolean("apart", "Whether the row is left out of shards."),
        text("why", "Why it is set apart: unit, outside, unknown, size or number; empty if it is not."),
    ),
    primary_key=("dataset", "file", "row"),
    upstream=("pixmo.points", "pixmo.point_explanations", "pixmo.count", "pixmo.pictures"),
    owner=OWNER,
    expectations=(
        one_of("dataset", POINTED),
        one_of("unit", ("percent", "pixel", "none", "unknown")),
        one_of("known_by", ("stated", "range", "likelihood", "set", "none")),
        one_of("why", ("", "unit", "outside", "unknown", "size", "number")),
        between("certainty", 0.5, 1),
        warned(one_of("apart", (False,), why="its coordinates are in another unit, or outside the picture")),
    ),
)
