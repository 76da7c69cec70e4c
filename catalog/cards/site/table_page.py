"""The page of a table: what it is, whose, under which licence, what is in it, and how it came to be."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from catalog.cards.card import because, facts, statement, type_name
from catalog.cards.site.charts import bars, histogram
from catalog.cards.site.html import Markup, count, file_name, join, short, table, tag
from catalog.cards.site.lineage_picture import lineage_picture
from catalog.cards.site.page import Entry, Page, Section, badge, code
from catalog.cards.site.page import facts as fact_list
from catalog.cards.site.reading import SiteLake, moment
from catalog.cards.site.samples import MASKED, sample_rows
from catalog.contract import Column, Contract
from catalog.errors import WatershedError
from catalog.history import commits
from catalog.inventory import TableState, downstream
from catalog.licences.inherited import Held
from catalog.personal import masked, personal_columns
from catalog.printable import human_bytes
from catalog.sql.views import VIEWS
from catalog.statistics import ColumnStatistics, table_statistics
from catalog.tables import CONTRACTS
from catalog.view import View

VERSIONS = 15
CHECKS = 15
WIDE = 8
"""Columns up to which sample rows are shown as rows; of a table with more, a column is a row."""
VALUES_SHOWN = 4
VALUE = 28


def table_page(site: SiteLake, contract: Contract, more: Sequence[Section] = ()) -> Page:
    """The page of a table, made or not.

    Args:
        more: sections that families add, before the licence.
    """
    state = site.states.get(contract.name)
    sections = [Section(title="Lineage", body=_lineage(site, contract), note=_sources(contract))]
    if state:
        hidden = personal_columns(contract, CONTRACTS)
        present = set(site.lake.table(contract.name).schema().to_arrow().names)
        statistics = table_statistics(site.connection, site.lake, contract, hidden)
        note = (
            ""
            if statistics.read == statistics.rows
            else f"Statistics of {statistics.read:,} of {statistics.rows:,} rows, in files drawn at random."
        )
        sections.append(Section(title="Columns", body=_columns(site, contract, statistics.columns), note=note))
        sections.append(
            Section(title="Sample rows", body=_samples(site, contract, present, state, hidden), note=_hidden(hidden))
        )
    else:
        sections.append(Section(title="Columns", body=_columns(site, contract, {})))
    sections += more
    sections.append(
        Section(
            title="Licence",
            body=licence_table(site.licences(contract.name), site, contract.name),
            note=f"{contract.licence[:1].upper()}{contract.licence[1:]}.",
        )
    )
    sections.append(Section(title="Expectations", body=_expectations(contract)))
    if state:
        sections.append(Section(title="Checks", body=_checks(site, contract)))
        sections.append(Section(title="Versions", body=_versions(site, contract)))
    sections.append(Section(title="Query it", body=_query(contract, state)))
    return Page(
        path=f"tables/{file_name(contract.name)}.html",
        title=contract.name,
        lead=contract.description,
        above=_summary(site, contract, state),
        sections=tuple(sections),
        crumbs=(("Tables", "index.html"), (contract.family, f"index.html#{contract.family}")),
        entries=_entries(contract),
    )


def view_page(site: SiteLake, name: str, view: View) -> Page:
    """The page of a view: its query, and the tables that it needs."""
    picture = lineage_picture(name, {name: view.tables}, {}, _link(site))
    return Page(
        path=f"tables/{file_name(name)}.html",
        title=name,
        lead=view.description,
        above=tag("p", badge("view"), " ", badge(name.split(".", maxsplit=1)[0]), class_="badges"),
        sections=(
            Section(title="Made from", body=picture),
            Section(title="Query it", body=code(f'watershed sql "FROM {name}"', "shell")),
            Section(title="Definition", body=code(view.sql.strip(), "SQL")),
        ),
        crumbs=(
            ("Tables", "index.html"),
            (name.split(".", maxsplit=1)[0], f"index.html#{name.split('.', maxsplit=1)[0]}"),
        ),
        entries=(Entry(title=name, words=view.description, kind="view", address=f"tables/{file_name(name)}.html"),),
    )


def state_badge(site: SiteLake, contract: Contract) -> Markup:
    """Whether a table is made and sound, in a word; the last recorded check decides."""
    state = site.states.get(contract.name)
    if contract.name in site.damaged:
        return badge("damaged", "bad")
    if state is None:
        return badge("not made")
    last = next(iter(site.checks.get(contract.name, ())), None)
    if last and last.outcome == "failed":
        return badge("check failed", "bad")
    if state.drift or state.lacking:
        return badge("differs from its contract" if state.drift else "incomplete", "warn")
    if site.late(contract):
        return badge("late", "warn")
    return badge("checked" if last and last.outcome == "passed" else "made", "good")


def _summary(site: SiteLake, contract: Contract, state: TableState | None) -> Markup:
    badges = join((badge(each) for each in sorted(site.settings.dagster.tags)), " ")
    line = tag("p", state_badge(site, contract), " ", badge(contract.family), " ", badges, class_="badges")
    stated = dict(facts(contract, state))
    shown = [
        ("rows", count(state.rows) if state else None),
        ("size", human_bytes(state.bytes) if state else None),
        ("files", count(state.files) if state else None),
        ("version", state.version if state else None),
        ("written, UTC", moment(state.written_at) if state else None),
        ("owner", site.owner(contract)),
        ("licence", join((badge(held.id, _colour(held)) for held in site.licences(contract.name)[:4]), " ")),
        ("source", contract.source if contract.source != "derived" else None),
        *(
            (name, stated.get(name))
            for name in ("primary key", "partitioned by", "fresh for", "partitions", "checksums")
        ),
        ("state", site.damaged.get(contract.name) or (state.summary if state else None)),
        ("made by", tag("code", contract.command or f"watershed make {contract.name}") if not state else None),
    ]
    return join((line, fact_list(shown)))


def _colour(held: Held) -> str:
    return {"allowed": "good", "forbidden": "bad", "conditional": "warn"}.get(held.terms.commercial, "")


def _sources(contract: Contract) -> str:
    if not contract.upstream:
        return f"It is read from {contract.source}." if contract.source != "derived" else ""
    return ""


def _link(site: SiteLake) -> Any:
    return lambda name: f"../{address}" if (address := site.address(name)) else None


def _lineage(site: SiteLake, contract: Contract) -> Markup:
    up = {name: each.upstream for name, each in CONTRACTS.items()}
    down = {name: downstream(name) for name in CONTRACTS}
    return lineage_picture(contract.name, up, down, _link(site))


def _columns(site: SiteLake, contract: Contract, statistics: Mapping[str, ColumnStatistics]) -> Markup:
    def row(column: Column) -> tuple[Any, ...]:
        name = tag("code", column.name, class_="key" if column.name in contract.primary_key else None)
        meaning = [column.description]
        if column.derived_from:
            origins = (
                (
                    tag("a", each, href=f"{address}#{_anchor(each)}")
                    if (address := _link(site)(each.rpartition(".")[0]))
                    else each
                )
                for each in column.derived_from
            )
            meaning += [" ", tag("span", "From ", join(origins, ", "), ".", class_="quiet")]
        if column.personal_data:
            meaning += [" ", badge(f"personal data: {column.personal_data}", "warn")]
        cells = (
            tag("span", name, id=f"c-{column.name}"),
            tag("code", short(type_name(column), 60), class_="quiet"),
            join(meaning),
        )
        return (*cells, *_measures(statistics.get(column.name))) if statistics else cells

    head = ("column", "type", "meaning", *((">nulls", ">distinct", "values") if statistics else ()))
    return table(head, (row(column) for column in contract.columns), f"Columns of {contract.name}", class_="columns")


def _anchor(place: str) -> str:
    return f"c-{place.rpartition('.')[2]}"


def _measures(found: ColumnStatistics | None) -> tuple[Any, Any, Any]:
    if found is None:
        return "", "", badge("missing in the lake", "warn")
    nulls = f"{found.nulls / found.rows:.1%}" if found.nulls else "0"
    distinct = f"{'' if found.exact else '≈'}{count(found.distinct)}" if found.distinct is not None else ""
    if found.values:
        top = found.values[:VALUES_SHOWN]
        named = [
            (short(masked(value), VALUE) or "(empty)", float(number), f"{number / found.rows:.0%}")
            for value, number in top
        ]
        more = (
            tag("span", f"and {len(found.values) - len(top)} more", class_="quiet")
            if len(found.values) > len(top)
            else None
        )
        return (
            nulls,
            distinct,
            join((bars(named, f"Most frequent values of {found.column}", most=float(found.rows)), more)),
        )
    if found.low is None:
        return nulls, distinct, ""
    low, high = _bound(found, found.low), _bound(found, found.high)
    unit = {"text": " characters", "entries": " entries", "bytes": " bytes"}.get(found.kind, "")
    middle = f", mean {count(found.mean)}" if found.mean is not None else ""
    words = tag("span", f"{low} to {high}{unit}{middle}" if low != high else f"{low}{unit}", class_="quiet")
    drawn = (
        histogram(found.bins, f"Histogram of {found.column}, from {low} to {high}{unit}") if any(found.bins) else None
    )
    return nulls, distinct, join((drawn, words))


def _bound(found: ColumnStatistics, value: Any) -> str:
    if found.kind != "time":
        return count(value)
    moment_ = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(microseconds=int(value))
    return f"{moment_:%Y-%m-%d %H:%M}"


def _hidden(hidden: Mapping[str, str]) -> str:
    if not hidden:
        return ""
    return (
        f"Not shown, for they may hold personal data: {', '.join(hidden)}. "
        "Addresses, telephone numbers and keys in other texts are masked."
    )


def _samples(
    site: SiteLake, contract: Contract, present: set[str], state: TableState, hidden: Mapping[str, str]
) -> Markup:
    rows = sample_rows(site.connection, contract, present, state.rows, hidden)
    if not rows:
        return tag("p", "The table has no rows.")
    names = [name for name in contract.schema.names if name in present]
    caption = f"Sample rows of {contract.name}"
    if len(names) <= WIDE:
        return table(names, ([_value(row[name]) for name in names] for row in rows), caption, class_="sample")
    head = ("column", *(f"row {number}" for number in range(1, len(rows) + 1)))
    return table(
        head, ([tag("code", name), *(_value(row[name]) for row in rows)] for name in names), caption, class_="sample"
    )


def _value(value: str | None) -> Markup | str:
    if value is None:
        return tag("span", "null", class_="quiet")
    return tag("span", MASKED, class_="quiet") if value == MASKED else value


def licence_table(held: tuple[Held, ...], site: SiteLake, own: str | None = None) -> Markup:
    """The licences that a table or a model carries, with their terms and the tables that state them."""

    def row(each: Held) -> tuple[Any, ...]:
        where = join(
            (
                tag("a", name, href=f"../{site.address(name)}") if name != own else "this table"
                for name in each.tables[:6]
            ),
            ", ",
        )
        more = f" and {len(each.tables) - 6} more" if len(each.tables) > 6 else ""
        rows = f", {each.rows:,} rows" if each.rows is not None else ""
        return (
            tag("code", each.id),
            short(each.title, 80),
            join((each.terms.words, tag("span", f" {each.problem}", class_="quiet"))),
            join((where, more, rows)),
        )

    return table(("licence", "name", "terms", "stated by"), map(row, held), "Licences")


def _expectations(contract: Contract) -> Markup:
    key = ", ".join(contract.primary_key)
    items = [f"({key}) names a row: no two rows share it", "no column is null unless its type ends in ?"]
    declared = [
        join((statement(each), tag("span", f" {because(each)}", class_="quiet"))) for each in contract.expectations
    ]
    return tag("ul", join(tag("li", each) for each in (*items, *declared)), class_="plain")


def _checks(site: SiteLake, contract: Contract) -> Markup:
    broken = {} if contract.name in site.damaged else site.lake.broken(contract.name)
    now = (
        tag(
            "p",
            badge("broken", "bad"),
            " ",
            ", ".join(f"{key or 'the table'}: {what}" for key, what in list(broken.items())[:8]),
        )
        if broken
        else None
    )
    runs = list(site.checks.get(contract.name, ()))[:CHECKS]
    if not runs:
        return join(
            (now, tag("p", "No check is recorded. ", tag("code", f"watershed check {contract.name}"), " runs it."))
        )
    colours = {"passed": "good", "warned": "warn", "failed": "bad"}
    rows = (
        (moment(run.at), run.check, badge(run.outcome, colours[run.outcome]), short(masked(run.words), 160))
        for run in runs
    )
    return join((now, table(("when, UTC", "check", "outcome", "what was found"), rows, f"Checks of {contract.name}")))


def _versions(site: SiteLake, contract: Contract) -> Markup:
    try:
        found = commits(site.lake, contract.name)
    except WatershedError as error:
        return tag("p", error.cause)
    rows = (
        (each.version, moment(each.written_at), each.operation.lower(), count(each.rows), each.summary)
        for each in found[:VERSIONS]
    )
    more = tag("p", f"and {len(found) - VERSIONS:,} earlier versions", class_="note") if len(found) > VERSIONS else None
    return join(
        (
            table(
                (">version", "written, UTC", "operation", ">rows", "what changed"), rows, f"Versions of {contract.name}"
            ),
            more,
        )
    )


def _query(contract: Contract, state: TableState | None) -> Markup:
    names = ", ".join(contract.schema.names[:4])
    version = state.version if state else 0
    sql = (
        f'watershed sql "SELECT {names} FROM {contract.name} LIMIT 10"\n'
        f'watershed sql "FROM {contract.name} AT (VERSION => {version})"'
    )
    python = (
        f'import catalog\n\ncatalog.connect().sql("FROM {contract.name} LIMIT 10").show()\n'
        f'table = catalog.Lake.of(catalog.load_settings()).read("{contract.name}")'
    )
    export = f"watershed croissant export {contract.name} --out {contract.table}"
    return join(
        (
            tag("h3", "SQL"),
            code(sql, "shell"),
            tag("h3", "Python"),
            code(python, "Python"),
            tag("h3", "Croissant"),
            code(export, "export"),
        )
    )


def _entries(contract: Contract) -> tuple[Entry, ...]:
    address = f"tables/{file_name(contract.name)}.html"
    columns = (
        Entry(
            title=f"{contract.name}.{column.name}",
            words=column.description,
            kind="column",
            address=f"{address}#c-{column.name}",
        )
        for column in contract.columns
    )
    words = f"{contract.description} {contract.source} {contract.licence} {contract.owner}"
    return (Entry(title=contract.name, words=words, kind="table", address=address), *columns)


def views_by_family() -> dict[str, list[str]]:
    """The names of the views of every family."""
    found: dict[str, list[str]] = {}
    for name in VIEWS:
        found.setdefault(name.split(".")[0], []).append(name)
    return found
