"""The page of a model: what it is, what it was trained on, the licences that it inherits, and how it scored."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from catalog.cards.site.charts import bars
from catalog.cards.site.html import Markup, count, file_name, join, short, table, tag
from catalog.cards.site.lineage_picture import lineage_picture
from catalog.cards.site.page import Entry, Page, Section, badge, facts
from catalog.cards.site.reading import SiteLake
from catalog.cards.site.table_page import licence_table
from catalog.energy import energy_of
from catalog.family import Family
from catalog.literals import sql_literal
from catalog.tables import CONTRACTS, FAMILIES

SOURCES = 20
NUMBERS = (
    ("parameters", "parameters, without the input embedding"),
    ("tokens", "tokens read"),
    ("flops", "training FLOPs"),
    ("steps", "steps"),
    ("train_loss", "training loss, nats a token"),
    ("heldout_bits_per_byte", "held-out loss, bits a byte"),
    ("seconds", "seconds of training"),
    ("tokens_per_second", "tokens a second"),
)


def model_pages(site: SiteLake) -> Iterator[Page]:
    """A page of every model in the tables that families declare as models of training (`Lineage.models`)."""
    for name, family in model_tables(site):
        answers = family.lineage.answers if family else {}
        for row in site.rows(f"FROM {name} ORDER BY run"):
            yield _page(site, name, row, _answers(name) or answers.get(name))


def model_tables(site: SiteLake) -> list[tuple[str, Family]]:
    """The tables of models that are made, with their families."""
    return [(name, family) for family in FAMILIES for name in family.lineage.models if site.made(name)]


def _answers(models: str) -> str | None:
    return next((family.lineage.answers[models] for family in FAMILIES if models in family.lineage.answers), None)


def model_address(table: str, run: str) -> str:
    """The page of a model, relative to the root of the site."""
    return f"models/{file_name(f'{table}.{run}')}.html"


def _page(site: SiteLake, name: str, row: dict[str, Any], answers: str | None) -> Page:
    run = str(row["run"])
    sections = [
        Section(title="Data", body=_data(site, name, row), note=f"Data set {row['dataset']}."),
        Section(
            title="Inherited licences",
            body=licence_table(site.licences(name), site),
            note="Those of every table that the model is made from.",
        ),
    ]
    if answers and site.made(answers) and (scores := _scores(site, answers, run)):
        sections.append(Section(title="Evaluations", body=scores, note=f"Answers: {answers}."))
    for module in site_modules():
        if make := getattr(module, "model_sections", None):
            sections += make(site, name, row)
    sections.append(Section(title="Energy", body=_energy(site, row)))
    sections.append(Section(title="Intended use and limits", body=_limits(row)))
    sections.append(Section(title="Configuration", body=_configuration(row)))
    numbers = [(words, count(row[key])) for key, words in NUMBERS if row.get(key) is not None]
    words = f"A model of {count(row.get('parameters'))} parameters, trained on {count(row.get('tokens'))} tokens."
    address = model_address(name, run)
    return Page(
        path=address,
        title=run,
        lead=words,
        above=join(
            (
                tag("p", badge("model"), " ", tag("a", name, href=f"../{site.address(name)}"), class_="badges"),
                facts([*numbers, ("weights, SHA-256", tag("code", short(row["sha256"], 24)))]),
            )
        ),
        sections=tuple(sections),
        crumbs=(("Models", "models/index.html"),),
        entries=(Entry(title=run, words=words, kind="model", address=address),),
    )


def site_modules() -> list[Any]:
    """The modules of families that make pages and sections of their own."""
    import importlib

    return [importlib.import_module(family.site) for family in FAMILIES if family.site]


def _data(site: SiteLake, name: str, row: dict[str, Any]) -> Markup:
    up = {each: contract.upstream for each, contract in CONTRACTS.items()}
    picture = lineage_picture(name, up, {}, lambda table: f"../{address}" if (address := site.address(table)) else None)
    parts: list[Markup] = [picture]
    for family in FAMILIES:
        corpus = family.lineage.corpus
        if corpus is None or not site.made(corpus.shards):
            continue
        of = f"FROM {corpus.shards} WHERE dataset = {sql_literal(str(row['dataset']))}"
        shards = site.rows(
            "SELECT split, count(*) AS shards, sum(tokens)::BIGINT AS tokens, sum(documents)::BIGINT AS documents, "
            f"sum(text_bytes)::BIGINT AS bytes {of} GROUP BY split ORDER BY split DESC"
        )
        if shards:
            cells = (
                (
                    each["split"],
                    count(each["shards"]),
                    count(each["tokens"]),
                    count(each["documents"]),
                    count(each["bytes"]),
                )
                for each in shards
            )
            parts.append(table(("split", ">shards", ">tokens", ">documents", ">bytes of text"), cells, "Shards"))
        sources = site.rows(
            "SELECT s.source, sum(s.tokens)::BIGINT AS tokens "
            f"FROM (SELECT unnest(sources) AS s {of} AND split = 'train') GROUP BY 1 ORDER BY 2 DESC, 1"
        )
        total = sum(each["tokens"] for each in sources) or 1
        shown = [
            (short(each["source"], 60), float(each["tokens"]), f"{each['tokens'] / total:.1%}")
            for each in sources[:SOURCES]
        ]
        if shown:
            more = f" The largest {SOURCES} of {len(sources):,}." if len(sources) > SOURCES else ""
            parts += [tag("p", f"Tokens by source.{more}", class_="note"), bars(shown, "Tokens by source")]
    return join(parts)


def _scores(site: SiteLake, answers: str, run: str) -> Markup | None:
    rows = site.rows(
        "SELECT task, count(*) AS examples, avg(correct::INTEGER) AS accuracy, avg(bits_per_byte) AS loss "
        f"FROM {answers} WHERE run = {sql_literal(run)} GROUP BY task ORDER BY task"
    )
    if not rows:
        return None
    drawn = bars(
        [(each["task"], each["accuracy"], f"{each['accuracy']:.1%}") for each in rows], "Accuracy by task", most=1.0
    )
    cells = ((each["task"], f"{each['accuracy']:.3f}", f"{each['loss']:.3f}", count(each["examples"])) for each in rows)
    return join((drawn, table(("task", ">accuracy", ">bits a byte", ">examples"), cells, "Evaluations")))


def _energy(site: SiteLake, row: dict[str, Any]) -> Markup:
    found = energy_of(site.settings.energy, float(row.get("seconds") or 0))
    return join(
        (
            facts([("energy", found.energy_words), ("emissions", found.emission_words)]),
            tag("p", found.assumptions, class_="note"),
        )
    )


def _limits(row: dict[str, Any]) -> Markup:
    multiple = row.get("chinchilla_multiple")
    lines = (
        "It is intended for measuring how data and size change a model, and for forecasting larger models.",
        "It is not intended to answer people.",
        f"It has read {multiple:.3g} times 20 tokens a parameter." if multiple is not None else None,
        "Its text may repeat what stands in its training data, personal data included; no safety training was done.",
        "Scores are of the tasks above alone, and of the examples that the table of answers names.",
    )
    return tag("ul", join(tag("li", line) for line in lines if line), class_="plain")


def _configuration(row: dict[str, Any]) -> Markup:
    try:
        found = json.loads(row.get("config") or "{}")
    except ValueError:
        found = {}
    flat = sorted(_flat(found))
    if not flat:
        return tag("p", "None is recorded.")
    return table(
        ("setting", "value"), ((tag("code", key), short(value, 120)) for key, value in flat[:120]), "Configuration"
    )


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{prefix}{key}.")
    else:
        yield prefix.rstrip("."), json.dumps(value)
