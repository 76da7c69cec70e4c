"""The picture of what a table is made from and what is made from it, as inline SVG with links."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from catalog.cards.site.html import Markup, join, tag, text

LEVELS = 2
"""Tables are followed that many steps up and down."""
MOST = 9
"""Tables in a column; of more, the number is written."""
BOX = (196, 30)
GAP = (52, 10)
Edges = Mapping[str, Sequence[str]]


def lineage_picture(name: str, up: Edges, down: Edges, link: Callable[[str], str | None]) -> Markup:
    """The table `name` in the middle, what it is made from on the left, and what is made from it on the right.

    Args:
        up: the tables that each table is made from.
        down: the tables that are made from each table.
        link: the address of a table's page; None for a table without a page.
    """
    columns = [*_levels(name, up)[::-1], [name], *_levels(name, down)]
    edges = [(source, table) for column in columns for table in column for source in up.get(table, ())]
    drawn = layered([column for column in columns if column], edges, link, current=name)
    return tag("div", drawn, class_="scroll lineage", tabindex="0", role="region", aria_label=f"Lineage of {name}")


def layered(
    columns: Sequence[Sequence[str]],
    edges: Iterable[tuple[str, str]],
    link: Callable[[str], str | None],
    current: str | None = None,
    names: Mapping[str, str] | None = None,
) -> Markup:
    """Boxes in columns from left to right, with a curve for each edge between two boxes that are drawn.

    Args:
        current: the box that the page is about.
        names: what is written in a box, where that is not its key.
    """
    width, height = BOX
    across, down = GAP
    shown = [list(column[:MOST]) for column in columns]
    tall = max(len(each) + (len(each) < len(whole)) for each, whole in zip(shown, columns, strict=True))
    total = (len(columns) * (width + across) - across + 2, tall * (height + down) + 2)
    places: dict[str, tuple[float, float]] = {}
    parts: list[Markup] = []
    for position, (each, whole) in enumerate(zip(shown, columns, strict=True)):
        left = 1 + position * (width + across)
        top = 1 + (total[1] - len(each) * (height + down) + down) / 2
        for row, table in enumerate(each):
            places.setdefault(table, (left, top + row * (height + down)))
        if len(whole) > len(each):
            words = f"and {len(whole) - len(each):,} more"
            parts.append(
                tag("text", words, x=left + 8, y=f"{top + len(each) * (height + down) + 12:.1f}", class_="tick")
            )
    curves = [
        _curve(places[source], places[target])
        for source, target in dict.fromkeys(edges)
        # An edge inside a column would run behind its boxes.
        if {source, target} <= places.keys() and places[source][0] != places[target][0]
    ]
    boxes = [
        _box(table, place, link(table), table == current, (names or {}).get(table, table))
        for table, place in places.items()
    ]
    listed = ", ".join(places)
    return Markup(
        f'<svg class="graph" viewBox="0 0 {total[0]} {total[1]:g}" width="{total[0]}" height="{total[1]:g}" '
        f'role="group" aria-label="{text(listed)}">{join((*curves, *boxes, *parts))}</svg>'
    )


def _levels(name: str, edges: Edges) -> list[list[str]]:
    """The tables one step away, then those two steps away, each once, at its nearest."""
    seen, levels, now = {name}, [], [name]
    for _ in range(LEVELS):
        after = [each for table in now for each in edges.get(table, ())]
        now = [each for each in dict.fromkeys(after) if each not in seen]
        seen |= set(now)
        levels.append(now)
    return levels


def _curve(source: tuple[float, float], target: tuple[float, float]) -> Markup:
    width, height = BOX
    forward = source[0] < target[0]
    x1, y1 = source[0] + (width if forward else width / 2), source[1] + height / 2
    x2, y2 = target[0] if forward else target[0] + width / 2, target[1] + height / 2
    bend = max(24.0, (x2 - x1) / 2)
    return tag(
        "path",
        d=f"M{x1:.0f} {y1:.1f}C{x1 + bend:.0f} {y1:.1f} {x2 - bend:.0f} {y2:.1f} {x2:.0f} {y2:.1f}",
        class_="edge",
    )


def _box(name: str, place: tuple[float, float], address: str | None, current: bool, written: str) -> Markup:
    width, height = BOX
    cut = written if len(written) <= 26 else written[:25] + "…"
    inner = join(
        (
            tag("rect", x=f"{place[0]:.0f}", y=f"{place[1]:.1f}", width=width, height=height, rx=7),
            tag("text", cut, x=f"{place[0] + 10:.0f}", y=f"{place[1] + height / 2 + 4.5:.1f}"),
        )
    )
    kind = "node current" if current else "node"
    if address is None or current:
        return tag("g", tag("title", written), inner, class_=kind)
    return tag("a", tag("title", written), inner, href=address, class_=kind)
