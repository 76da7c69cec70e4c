"""The public summary of a model's training content, in the parts of the European Commission's template.

The template belongs to Article 53(1)(d) of Regulation (EU) 2024/1689 (published 24 July 2025). Its parts are general
information, the list of data sources, and aspects of processing. Everything that the lake can answer is filled in, each
number with the query behind it; what only the provider knows is marked as theirs to fill in. It is a draft, not legal
advice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from catalog.cards.bom.facts import ModelFacts, corpus_of
from catalog.cards.site.reading import SiteLake
from catalog.lineage.corpora import decisions
from catalog.literals import sql_literal
from catalog.printable import one_line

OWN = "(to be filled in by the provider)"
TOP_SHARE, TOP_LEAST = 0.10, 5
"""Share of the domains, by size of content, that the template asks for."""
SMALL_SHARE, SMALL_MOST = 0.05, 1_000
"""The same for small and medium enterprises: 5%, or 1,000 domains if that is fewer."""
LISTED = 2_000
REMOVALS = "watershed.removals"
"""The list of what people ordered to forget: see `watershed forget`."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A line of the summary: what is asked, what the lake says, and the query behind it."""

    asked: str
    answer: str
    query: str = ""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The summary of one model: its parts, by title, and the domains with their share of the tokens."""

    model: str
    parts: tuple[tuple[str, tuple[Answer, ...]], ...]
    domains: tuple[tuple[str, float], ...]

    def markdown(self) -> str:
        """The summary as a document, each number with its query."""
        lines = [f"# Public summary of training content: {self.model}", "", "Draft from the lake. Not legal advice."]
        for title, answers in self.parts:
            lines += ["", f"## {title}", ""]
            for each in answers:
                lines.append(f"- **{each.asked}**: {one_line(each.answer)}")
                if each.query:
                    lines.append(f"  `{each.query}`")
        lines += ["", "## Top domains", "", "| domain | share of the tokens |", "|---|---|"]
        lines += [f"| {one_line(name).replace('|', '/')} | {share:.3%} |" for name, share in self.domains]
        return "\n".join(lines) + "\n"


def eu_summary(site: SiteLake, facts: ModelFacts, *, small: bool = False) -> Summary:
    """The summary of a model.

    Args:
        site: the lake.
        facts: what `catalog.cards.bom.facts.model_facts` returns.
        small: whether the provider is a small or medium enterprise, which lists fewer domains.
    """
    asked = _Asked(site)
    corpus = corpus_of(site, str(facts.row["dataset"]))
    of = f"dataset = {sql_literal(str(facts.row['dataset']))} AND split = 'train'"
    shards = corpus.shards if corpus else None
    general = [
        Answer(asked="Provider, and authorised representative", answer=OWN),
        Answer(asked="Model", answer=f"{facts.run}, weights SHA-256 {facts.row['sha256']}"),
        Answer(asked="Date of the model", answer=f"{facts.released:%Y-%m-%d}"),
        Answer(asked="Modalities", answer="text" if shards else "not known: no shards have the model's fingerprint"),
    ]
    domains: list[tuple[str, float]] = []
    sources: list[Answer] = []
    processing: list[Answer] = []
    if shards and corpus:
        sizes = f"FROM {shards} WHERE {of}"
        general += [
            asked.number("Size of the training text, in tokens", f"SELECT sum(tokens)::BIGINT {sizes}"),
            asked.number("The same in bytes of text", f"SELECT sum(text_bytes)::BIGINT {sizes}"),
            asked.number("Documents, repeats counted", f"SELECT sum(documents)::BIGINT {sizes}"),
        ]
        by_source = f"SELECT s.source, sum(s.tokens)::BIGINT AS tokens FROM (SELECT unnest(sources) AS s {sizes})"
        by_source += " GROUP BY 1 ORDER BY 2 DESC, 1"
        if corpus.counted_by == "domain":
            domains = _domains(site, by_source, small)
            sources.append(Answer(asked="Top domains", answer=f"{len(domains):,}, listed below", query=by_source))
            sources.append(
                asked.number("Domains", f"SELECT count(DISTINCT s.source) FROM (SELECT unnest(sources) AS s {sizes})")
            )
        else:
            shares = ", ".join(f"{each['source']} {each['tokens']:,}" for each in site.rows(by_source))
            sources.append(Answer(asked=f"Tokens by {corpus.counted_by}", answer=shares, query=by_source))
            unknown = f"not known: the shards count tokens by {corpus.counted_by}"
            sources.append(Answer(asked="Top domains", answer=unknown))
        if corpus.archives and site.made(corpus.documents):
            documents = corpus.documents
            processing.append(
                asked.number("Languages in the crawl", f"SELECT count(DISTINCT language) FROM {documents}")
            )
            sources += [
                asked.text("First crawled page", f"SELECT min(crawled_at)::DATE::VARCHAR FROM {documents}"),
                asked.text("Last crawled page", f"SELECT max(crawled_at)::DATE::VARCHAR FROM {documents}"),
            ]
    sources += [
        Answer(asked=f"Source of {each.name}", answer=f"{each.contract.source}; licence: {each.contract.licence}")
        for each in facts.trained_on
        if not each.contract.upstream
    ]
    sources += [
        Answer(asked="Synthetic data", answer=_kinds(facts, "LicenseRef-Model-Terms")),
        Answer(asked="Data of users of the provider's services", answer=OWN),
        Answer(asked="Name and behaviour of the crawler", answer=OWN),
    ]
    processing += [
        Answer(asked="Licences that the data carries", answer=", ".join(each.id for each in facts.licences)),
        asked.number("Removals ordered (opt-outs, requests)", f"SELECT count(DISTINCT removal) FROM {REMOVALS}"),
        asked.number(
            "Removals carried out", f"SELECT count(DISTINCT removal) FROM {REMOVALS} WHERE done_at IS NOT NULL"
        ),
        asked.number("Documents and other things that they name", f"SELECT count(DISTINCT digest) FROM {REMOVALS}"),
        Answer(asked="Measures to respect reservations of rights when the data was collected", answer=OWN),
        Answer(asked="Removal of illegal content", answer=OWN),
    ]
    processing += [
        Answer(asked=f"Decisions about documents: {t}", answer="recorded a row each", query=f"FROM {t}")
        for t in _decisions(site)
    ]
    parts = (
        ("1. General information", tuple(general)),
        ("2. List of data sources", tuple(sources)),
        ("3. Aspects of processing", tuple(processing)),
    )
    return Summary(model=facts.run, parts=parts, domains=tuple(domains[:LISTED]))


class _Asked:
    """Queries whose answers stand in the summary."""

    def __init__(self, site: SiteLake) -> None:
        self._site = site

    def _value(self, query: str) -> Any:
        return next(iter(self._site.rows(query)[0].values()))

    def number(self, asked: str, query: str) -> Answer:
        return Answer(asked=asked, answer=f"{self._value(query) or 0:,}", query=query)

    def text(self, asked: str, query: str) -> Answer:
        return Answer(asked=asked, answer=str(self._value(query) or "not known"), query=query)


def _domains(site: SiteLake, query: str, small: bool) -> list[tuple[str, float]]:
    rows = site.rows(query)
    total = sum(row["tokens"] for row in rows) or 1
    share = SMALL_SHARE if small else TOP_SHARE
    most = max(TOP_LEAST, -(-len(rows) * int(100 * share) // 100))
    most = min(most, SMALL_MOST) if small else most
    return [(str(row["source"]), row["tokens"] / total) for row in rows[:most]]


def _kinds(facts: ModelFacts, licence: str) -> str:
    names: Sequence[str] = [table for each in facts.licences if each.id == licence for table in each.tables]
    return ", ".join(names) or "none in the lineage of the model"


def _decisions(site: SiteLake) -> list[str]:
    return [each.table for each in decisions() if site.made(each.table)]
