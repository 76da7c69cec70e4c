"""The page of a model: what it is, what it was trained on, the licences that it inherits, and how it scored."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from catalog.cards.site.charts import Line, bars, lines
from catalog.cards.site.html import Markup, count, file_name, join, short, table, tag
from catalog.cards.site.lineage_picture import lineage_picture
from catalog.cards.site.page import Entry, Page, Section, badge, facts
from catalog.cards.site.reading import SiteLake
from catalog.cards.site.table_page import licence_table
from catalog.energy import energy_of
from catalog.family import Models, Report
from catalog.lineage.corpora import answers_of, corpora
from catalog.literals import sql_literal
from catalog.personal import masked
from catalog.tables import CONTRACTS, families

Row = dict[str, Any]
SOURCES, POINTS, REPORTED, SHORT = 20, 400, 100, 80
"""Sources, points of a line, rows of a report and characters of a text that a page shows, at most."""
ELSEWHERE = ("dataset", "path", "sha256", "config", "stamp")
"""Columns of models that are shown in sections of their own, or say nothing to people."""
NUMBERS = (
    ("parameters", "parameters, without the input embedding"),
    ("tokens", "tokens read"),
    ("flops", "training FLOPs"),
    ("steps", "steps"),
    ("train_loss", "training loss, nats a token"),
    ("heldout_bits_per_byte", "held-out loss, bits a byte"),
    ("chinchilla_multiple", "tokens over 20 a parameter"),
    ("seconds", "seconds of training"),
    ("tokens_per_second", "tokens a second"),
)


@dataclass(frozen=True)
class Model:
    """A model that a table records: its name, and the row of it."""

    declared: Models
    name: str
    row: Row

    @property
    def address(self) -> str:
        """The page of the model, relative to the root of the site."""
        return f"models/{file_name(f'{self.declared.table}.{self.name}')}.html"


def models_of(site: SiteLake) -> dict[str, list[Model]]:
    """The models of every table of `Family.models` that is made, smallest first, by the table."""
    found = {}
    for declared in (each for family in families() for each in family.models if site.made(each.table)):
        rows = site.rows(declared.sql or f"FROM {declared.table}")
        models = [Model(declared, str(row[declared.name]), row) for row in rows]
        found[declared.table] = sorted(models, key=lambda each: (_size(each.row), each.name))
    return found


def _size(row: Row) -> float:
    return float(row.get("flops") or row.get("parameters") or 0)


def model_pages(site: SiteLake) -> Iterator[Page]:
    """A page of every model in the tables that families declare as such (`Family.models`)."""
    for models in models_of(site).values():
        yield from (_page(site, model) for model in models)


def _page(site: SiteLake, model: Model) -> Page:
    declared, row, name = model.declared, model.row, model.declared.table
    answers = answers_of(name)
    sections = [
        Section(title="Data", body=_data(site, model), note=f"Data set {row['dataset']}." if "dataset" in row else ""),
        _licences(site, declared),
    ]
    if answers and site.made(answers) and (scores := _scores(site, answers, model.name)):
        sections.append(Section(title="Evaluations", body=scores, note=f"Answers: {answers}."))
    sections += [section for report in declared.reports if (section := _report(site, report, model.name))]
    for module in site_modules():
        if make := getattr(module, "model_sections", None):
            sections += make(site, name, row)
    if row.get("seconds") is not None:
        sections.append(Section(title="Energy", body=_energy(site, row)))
    sections.append(Section(title="Intended use and limits", body=_limits(declared, row)))
    if "config" in row:
        sections.append(Section(title="Configuration", body=_configuration(row)))
    weights = ("weights, SHA-256", tag("code", short(row["sha256"], 24))) if row.get("sha256") else None
    words = _words(row)
    return Page(
        path=model.address,
        title=model.name,
        lead=words,
        above=join(
            (
                tag("p", badge("model"), " ", tag("a", name, href=f"../{site.address(name)}"), class_="badges"),
                facts([*_facts(model), *([weights] if weights else [])]),
            )
        ),
        sections=tuple(sections),
        crumbs=(("Models", "models/index.html"),),
        entries=(Entry(title=model.name, words=words, kind="model", address=model.address),),
    )


def _words(row: Row) -> str:
    size = f"A model of {count(row['parameters'])} parameters" if row.get("parameters") is not None else "A model"
    for key, unit in (("tokens", "tokens"), ("pairs", "pairs"), ("steps", "steps")):
        if row.get(key) is not None:
            return f"{size}, trained on {count(row[key])} {unit}."
    return f"{size}."


def _facts(model: Model) -> Iterator[tuple[str, str]]:
    """The numbers of a model in the order of NUMBERS, and then its other numbers and short texts."""
    row, named = model.row, dict(NUMBERS)
    for key in (*named, *(key for key in row if key not in named)):
        value = row.get(key)
        if value is None or key in (model.declared.name, *ELSEWHERE):
            continue
        words = named.get(key, key.replace("_", " "))
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            if isinstance(value, (str, bool)) and len(str(value)) <= SHORT:
                yield words, short(masked(str(value)))
        else:
            yield words, count(value)


def _licences(site: SiteLake, declared: Models) -> Section:
    tables = declared.trained_on or (declared.table,)
    held = {each.id: each for name in tables for each in site.licences(name)}
    note = "Those of every table that the model is made from."
    if declared.trained_on:
        note = f"Those of {', '.join(tables)} and of every table that it is made from."
    return Section(title="Inherited licences", body=licence_table(tuple(held.values()), site), note=note)


def _report(site: SiteLake, report: Report, model: str) -> Section | None:
    """What a table says of a model; None if the table is not made, or says nothing."""
    if not site.made(*report.tables):
        return None
    rows = site.rows(report.sql, {"model": model})
    note = f"From {', '.join(report.tables)}."
    if report.x:
        series: dict[str, list[tuple[float, float]]] = {}
        for row in rows:
            series.setdefault(str(row["series"]), []).append((float(row["x"]), float(row["y"])))
        kept = [Line(name=name, points=_thinned(points)) for name, points in series.items() if len(points) > 1]
        if not kept:
            return None
        ends = "; ".join(f"{each.name} from {each.points[0][1]:.3g} to {each.points[-1][1]:.3g}" for each in kept)
        drawn = lines(kept, x=report.x, y=report.y, label=f"{report.title} of {model}: {ends}")
        return Section(title=report.title, body=drawn, note=f"{ends[:1].upper()}{ends[1:]} {report.y}.")
    if not rows:
        return None
    head = [f"{'>' if isinstance(rows[0][key], (int, float)) else ''}{key}" for key in rows[0]]
    cells = (
        [count(value) if isinstance(value, (int, float)) else short(masked(str(value))) for value in row.values()]
        for row in rows[:REPORTED]
    )
    more = f" The first {REPORTED} of {len(rows):,}." if len(rows) > REPORTED else ""
    return Section(title=report.title, body=table(head, cells, report.title), note=f"{note}{more}")


def _thinned(points: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    """At most POINTS of the points, the last one among them."""
    step = -(-len(points) // POINTS)
    return points if step == 1 else [*points[:-1:step], points[-1]]


def site_modules() -> list[Any]:
    """The modules of families that make pages and sections of their own."""
    import importlib

    return [importlib.import_module(family.site) for family in families() if family.site]


def _data(site: SiteLake, model: Model) -> Markup:
    name, row = model.declared.table, model.row
    up = {each: contract.upstream for each, contract in CONTRACTS.items()}
    picture = lineage_picture(name, up, {}, lambda table: f"../{address}" if (address := site.address(table)) else None)
    parts: list[Markup] = [picture]
    for corpus in corpora():
        if "dataset" not in row or not site.made(corpus.shards):
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


def _energy(site: SiteLake, row: Row) -> Markup:
    found = energy_of(site.settings.energy, float(row.get("seconds") or 0))
    return join(
        (
            facts([("energy", found.energy_words), ("emissions", found.emission_words)]),
            tag("p", found.assumptions, class_="note"),
        )
    )


def _limits(declared: Models, row: Row) -> Markup:
    multiple = row.get("chinchilla_multiple")
    read = f"It has read {multiple:.3g} times 20 tokens a parameter." if multiple is not None else None
    stated = declared.intended or ("None is stated.",)
    return tag("ul", join(tag("li", line) for line in (*stated, read) if line), class_="plain")


def _configuration(row: Row) -> Markup:
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
