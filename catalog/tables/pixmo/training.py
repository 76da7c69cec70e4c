"""Picture shards as trainers read them, and where each sample came from."""

from __future__ import annotations

from catalog.columns import integer, text, texts
from catalog.contract import Contract, between, matches, one_of, references, row_count
from catalog.tables.pixmo.columns import DIGEST, MAKERS, OWNER, SETS
from catalog.tables.pixmo.pictures import SOURCE_TABLES

_MADE_FROM = (*SOURCE_TABLES, "pixmo.pictures", "pixmo.coordinates")

SHARDS = Contract(
    name="pixmo.shards",
    description="Pictures with their annotations as a trainer reads them: a row per WebDataset tar.",
    columns=(
        text("split", "train or heldout."),
        text("shard", "Name within the split: shard_00000000."),
        text("dataset", "Fingerprint of the data set that the shard belongs to."),
        text("path", "The tar file, relative to the lake's files."),
        integer("bytes", "Size of the tar file."),
        text("sha256", "Digest of the tar file."),
        integer("samples", "Samples in the shard: a picture and what one data set says of it."),
        integer("annotations", "Captions, questions, points and so on in the shard."),
    ),
    primary_key=("split", "shard"),
    upstream=_MADE_FROM,
    owner=OWNER,
    expectations=(
        row_count(1),
        one_of("split", ("train", "heldout")),
        matches("shard", r"^shard_[0-9]{8}$"),
        matches("sha256", DIGEST),
        between("samples", 1),
    ),
)

SAMPLES = Contract(
    name="pixmo.samples",
    description="What each sample of the picture shards holds and rests on: a row per sample.",
    columns=(
        text("split", "Split of the shard."),
        text("shard", "Shard, as in pixmo.shards."),
        text("sample", "Key within the split: 00000000-000000."),
        text("dataset", "The PixMo dataset."),
        text("image_sha256", "Digest of the picture."),
        text("place", "Address of the picture, as in pixmo.pictures."),
        text("maker", "Who wrote the annotations. Of several makers, the one farthest from a person."),
        integer("annotations", "Annotations of the sample."),
        texts("rows", "Rows that they come from, as FILE:ROW."),
    ),
    primary_key=("split", "sample"),
    upstream=_MADE_FROM,
    owner=OWNER,
    expectations=(
        one_of("split", ("train", "heldout")),
        one_of("dataset", SETS),
        one_of("maker", MAKERS),
        matches("image_sha256", DIGEST),
        references("place", "pixmo.pictures.place"),
    ),
)
