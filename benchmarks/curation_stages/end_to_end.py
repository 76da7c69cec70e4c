"""From an archive to the pages that are kept: our fused stage and rules against a datatrove pipeline configured alike.

The pipeline is datatrove's reader base, its sandbox around an extractor, its language filter with the same model
(lid.176.ftz), and its Gopher filters. The extractor is resiliparse, as ours, or the one that datatrove brings. Records
are read by fastwarc, faster than the reader that datatrove brings.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.curation_stages.contest import Agreement, Contest
from benchmarks.curation_stages.language import language_model, load_library
from benchmarks.curation_stages.pages import Pages
from benchmarks.curation_stages.rules import kept, recipe_of

EXTRACTORS = ("resiliparse", "trafilatura")
TIMEOUT_S = 10
"""Of the extraction of a page; datatrove's own second drops pages on a slow machine."""


def contests(pages: Pages) -> Iterator[Contest[Any, Any]]:
    """Addresses of the pages that are kept. Ours also computes statistics, text hashes and MinHash signatures."""
    repetition, quality = recipe_of("gopher-repetition"), recipe_of("gopher-quality")
    gopher = replace(quality, name="gopher", steps=(*repetition.steps, *quality.steps))
    recipes = [recipe_of("language-only"), gopher]
    asked = set(urls(pages.archive))

    def ours() -> set[str]:
        return kept_by_us(pages.pool_row(), recipes)

    def theirs(extractor: str) -> set[str]:
        return {document.metadata["url"] for document in datatrove_pipeline(pages.archive, extractor)}

    def agree(ours: set[str], theirs: set[str]) -> Agreement:
        share = 1 - len(ours ^ theirs) / len(asked)
        note = f"kept or dropped, of {len(asked):,} addresses (ours keeps {len(ours):,}, datatrove {len(theirs):,})"
        return Agreement(share, note)

    for extractor in EXTRACTORS:
        yield Contest(
            stage="end to end from WARC",
            peer=f"datatrove with {extractor}",
            ours=ours,
            theirs=partial(theirs, extractor),
            bytes=pages.payload_bytes,
            documents=len(pages.payloads),
            agree=agree,
        )


def kept_by_us(archive: dict[str, Any], recipes: list[Any]) -> set[str]:
    """Addresses of the documents of an archive that all recipes keep."""
    from catalog.tables.dclm import DOCUMENTS
    from spark_jobs.archives.documents import documents_batches

    found: set[str] = set()
    for batch in documents_batches([archive], DOCUMENTS.schema):
        left = batch.filter(pc.field("state") == "ok")
        for recipe in recipes:
            columns = {name: left.column(name) for name in ("text", "url", "language", "language_score")}
            columns["text"] = columns["text"].cast(pa.string())
            left = left.filter(pa.array(kept(columns, recipe)))
        found.update(left.column("url").to_pylist())
    return found


def urls(archive: Path) -> Iterator[str]:
    """Addresses of all pages of an archive."""
    from spark_jobs.archives.records import read_records

    for record in read_records(str(archive)):
        if record.payload is not None and record.url:
            yield record.url


def datatrove_pipeline(archive: Path, extractor: str) -> Any:
    """The documents that come through the pipeline with one of EXTRACTORS."""
    from datatrove.pipeline.extractors import Trafilatura
    from datatrove.pipeline.extractors.base import BaseExtractor
    from datatrove.pipeline.filters import GopherQualityFilter, GopherRepetitionFilter, LanguageFilter
    from datatrove.pipeline.readers.base import BaseReader
    from fastwarc.warc import ArchiveIterator, WarcRecordType
    from loguru import logger
    from resiliparse.extract.html2text import extract_plain_text

    logger.disable("datatrove")

    class Reader(BaseReader):
        def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Any:
            with archive.open("rb") as file:
                for number, record in enumerate(ArchiveIterator(file, record_types=WarcRecordType.response)):
                    page = record.reader.read().decode("utf-8", "replace")
                    row = {"text": page, "id": record.record_id, "url": record.headers["WARC-Target-URI"]}
                    document = self.get_document_from_dict(row, archive.name, number)
                    if document:
                        yield document

    class Resiliparse(BaseExtractor):
        def __init__(self) -> None:
            super().__init__(TIMEOUT_S)

        def extract(self, text: str) -> str:
            return extract_plain_text(text, main_content=True)

    # It asks for a distribution of another name than the one here; the module is the same.
    LanguageFilter._requires_dependencies = []
    language = LanguageFilter("en")
    language.model._model = load_library(language_model())
    documents: Any = Reader().run()
    extract = Resiliparse() if extractor == "resiliparse" else Trafilatura(timeout=TIMEOUT_S)
    for step in (extract, language, GopherRepetitionFilter(), GopherQualityFilter()):
        documents = step.run(documents)
    return documents
