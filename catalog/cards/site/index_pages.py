"""The first page of the site: every table by family, and the list of models."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from catalog.cards.site.html import Markup, count, join, table, tag
from catalog.cards.site.lineage_picture import layered
from catalog.cards.site.model_page import models_of
from catalog.cards.site.page import Page, Section, facts
from catalog.cards.site.reading import SiteLake, moment
from catalog.cards.site.table_page import state_badge, views_by_family
from catalog.contract import Contract
from catalog.printable import human_bytes
from catalog.sql.views import VIEWS
from catalog.tables import CONTRACTS

COLUMNS: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("parameters", ">parameters", count),
    ("tokens", ">tokens", count),
    ("steps", ">steps", count),
    ("flops", ">FLOPs", "{:.2e}".format),
    ("train_loss", ">training loss, nats", "{:.3f}".format),
    ("heldout_bits_per_byte", ">held-out bits a byte", "{:.3f}".format),
)
"""What the list of models shows of those columns that a table of models has."""


def index_page(site: SiteLake, models: int) -> Page:
    """The page of all tables: numbers of the lake, how families flow into each other, and a table a line."""
    made = site.states.values()
    above = facts(
        [
            ("tables made", f"{len(site.states):,} of {len(CONTRACTS):,}"),
            ("rows", count(sum(state.rows for state in made))),
            ("size", human_bytes(sum(state.bytes for state in made))),
            ("models", count(models)),
            ("last written, UTC", moment(max((s.written_at for s in made if s.written_at), default=None))),
            ("damaged", ", ".join(site.damaged) or None),
        ]
    )
    sections = [Section(title="How data flows", body=_flow(site))]
    sections += [_family(site, name, contracts) for name, contracts in _by_family().items()]
    return Page(
        path="index.html",
        title="Tables",
        lead="Every table of the lake: what it holds, whose it is, what it was made from, and whether it is sound.",
        above=above,
        sections=tuple(sections),
        menu="Tables",
    )


def models_page(site: SiteLake) -> Page:
    """The page of all models."""
    sections = []
    for name, models in models_of(site).items():
        shown = [(key, words, write) for key, words, write in COLUMNS if any(key in each.row for each in models)]
        cells = (
            (
                tag("a", each.name, href=f"../{each.address}"),
                *(write(value) if (value := each.row.get(key)) is not None else "–" for key, _, write in shown),
            )
            for each in models
        )
        head = ("model", *(words for _, words, _ in shown))
        sections.append(
            Section(title=name, body=table(head, cells, f"Models of {name}"), note=CONTRACTS[name].description)
        )
    empty = Section(title="None yet", body=tag("p", tag("code", "watershed demo"), " trains some."))
    return Page(
        path="models/index.html",
        title="Models",
        lead="Every model that was trained here, smallest first, with its data, licences and scores.",
        sections=tuple(sections) or (empty,),
        menu="Models",
    )


def _by_family() -> dict[str, list[Contract]]:
    """The tables of every family, those of the project's own families last."""
    found: dict[str, list[Contract]] = {}
    for contract in CONTRACTS.values():
        found.setdefault(contract.family, []).append(contract)
    return found


def _family(site: SiteLake, name: str, contracts: Sequence[Contract]) -> Section:
    lines = [_line(site, contract) for contract in contracts]
    views = views_by_family().get(name, [])
    if views:
        links = join((tag("a", view, href=site.address(view), title=VIEWS[view].description) for view in views), ", ")
        lines.append(tag("li", tag("span", "Views: ", class_="quiet"), links, class_="views"))
    return Section(title=name, body=tag("ul", join(lines), class_="tables", id=name))


def _line(site: SiteLake, contract: Contract) -> Markup:
    state = site.states.get(contract.name)
    size = f"{count(state.rows)} rows, {human_bytes(state.bytes)}" if state else ""
    return tag(
        "li",
        tag("a", contract.name, href=site.address(contract.name)),
        tag("span", contract.description, class_="what"),
        tag("span", size, class_="size"),
        state_badge(site, contract),
        class_=None if state else "absent",
    )


def _flow(site: SiteLake) -> Markup:
    """The families as boxes: an edge where a table of one is made from a table of the other."""
    by_family = _by_family()
    names = list(by_family)
    edges = {
        (source.split(".")[0], contract.family)
        for contract in CONTRACTS.values()
        for source in contract.upstream
        if source.split(".")[0] != contract.family
    }
    level = dict.fromkeys(names, 0)
    # Families may read each other, so that the longest way is followed for as many steps as there are families.
    for source, target in sorted(edges, key=lambda edge: (names.index(edge[0]), names.index(edge[1]))):
        if names.index(source) < names.index(target):
            level[target] = max(level[target], level[source] + 1)
    columns = [[name for name in names if level[name] == step] for step in range(max(level.values()) + 1)]
    forward = [edge for edge in sorted(edges) if names.index(edge[0]) < names.index(edge[1])]
    written = {
        name: f"{name} ({sum(site.made(each.name) for each in contracts)}/{len(contracts)})"
        for name, contracts in by_family.items()
    }
    drawn = layered(columns, forward, lambda name: f"#{name}", names=written)
    return tag("div", drawn, class_="scroll lineage", tabindex="0", role="region", aria_label="Families of tables")
