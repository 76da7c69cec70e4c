"""A crawl of twenty archives that are added in any order of names holds the rows of one that was made at once."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
import pytest
from demo_project import Project, watershed

from catalog.lake import Lake
from catalog.tables import contract
from tests.spark_jobs.made_crawl import archive, page

pytestmark = pytest.mark.campaign

TABLES = ("dclm.documents", "dclm.measurements", "dclm.verdicts", "dclm.duplicates")
"""Tables that do not depend on the shard of a document. dclm.paragraphs does: each shard has a filter of its own."""
PLACE = ("global_shard", "local_shard")
"""Columns that say where an archive was placed, which is in the order in which archives were added."""
ADDED_AT_ONCE = 5

NOUNS = (
    "river garden engine letter market winter captain island teacher window village mountain doctor library bridge "
    "farmer painter harbour forest kitchen station journal soldier valley morning weather factory lantern orchard"
).split()
VERBS = (
    "follows remembers describes crosses repairs observes carries visits measures protects answers gathers leaves "
    "studies welcomes explains paints borrows watches opens"
).split()
KINDS = (
    "quiet old narrow bright distant careful wooden early heavy patient green curious northern simple broken gentle "
    "famous empty golden modest"
).split()


def essay(seed: int) -> str:
    """English of thirty sentences, which the recipe keeps: only documents that it keeps are compared."""
    draw = random.Random(seed).choice
    sentences = [
        f"{draw(['The', 'Every', 'Their', 'That'])} {draw(KINDS)} {draw(NOUNS)} {draw(VERBS)} the {draw(NOUNS)} "
        f"{draw(['with', 'near', 'behind', 'without'])} our {draw(KINDS)} {draw(NOUNS)}, "
        f"{draw(['and', 'but', 'because', 'while'])} a {draw(NOUNS)} {draw(VERBS)} it."
        for _ in range(30)
    ]
    return "\n".join(" ".join(sentences[start : start + 4]) for start in range(0, len(sentences), 4))


def write_archives(folder: Path) -> list[str]:
    """Write twenty archives of four pages, one of which has a near copy in the archive seven places on."""
    names = []
    for number in range(20):
        near = f"{essay(100 + min(number, (number + 7) % 20))} Edition {number}."
        texts = [near, *(essay(200 + 3 * number + each) for each in range(3))]
        pages = {f"https://added.example/{number}/{each}": page(text) for each, text in enumerate(texts)}
        names.append(f"{number:03d}.warc.gz")
        (folder / names[-1]).write_bytes(b"".join(archive(names[-1], pages)))
    return names


def new_project(folder: Path) -> Project:
    (folder / "crawl").mkdir(parents=True)
    (folder / "watershed.toml").write_text("[crawl]\nfiles_per_shard = 2\n")
    return Project(folder)


def rows_of(project: Project, table: str) -> pa.Table:
    """All rows of a table, without the columns of place, in the order of its key."""
    rows = Lake.of(project.settings).read(table)
    rows = rows.drop_columns([name for name in PLACE if name in rows.column_names])
    key = [name for name in contract(table).primary_key if name not in PLACE]
    return rows.sort_by([(name, "ascending") for name in key]).combine_chunks()


def test_tables_equal_those_made_at_once_and_only_new_shards_are_read(tmp_path: Path) -> None:
    at_once, added = new_project(tmp_path / "once"), new_project(tmp_path / "added")
    names = write_archives(at_once.folder / "crawl")
    watershed(at_once.folder, "make", *TABLES)

    order = random.Random(5).sample(names, len(names))
    read: dict[str, object] = {}
    for begin in range(0, len(order), ADDED_AT_ONCE):
        for name in order[begin : begin + ADDED_AT_ONCE]:
            (added.folder / "crawl" / name).hardlink_to(at_once.folder / "crawl" / name)
        watershed(added.folder, "make", *TABLES)
        now = Lake.of(added.settings).written("dclm.documents")
        changed = {key for key in now if now[key] != read.get(key)}
        # A shard holds two archives, so that five of them fill two or three shards, and join one that was half full.
        assert len(changed) <= 3
        read = dict(now)
    for table in TABLES:
        one, other = rows_of(at_once, table), rows_of(added, table)
        assert one.num_rows > 0, table
        assert one == other, table
