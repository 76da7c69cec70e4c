"""A picture of lineage as SVG, or as a page of HTML with the same picture and a table: boxes joined by lines.

What a table was made from is on its left. The picture needs no script, no font and no other file.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from catalog.errors import WatershedError
from catalog.files import write_whole
from catalog.lineage.trace import Trace
from catalog.lineage.versions import Version
from catalog.tables import CONTRACTS

WIDTH, LINE, PAD, GAP_X, GAP_Y, MARGIN = 230, 17, 9, 70, 22, 24
LONGEST = 34
"""Characters of a line in a box."""
COLOURS = {"start": ("#fff3cd", "#8a6d00"), "upstream": ("#e8f1fb", "#2a5d9f"), "downstream": ("#e9f6ec", "#2c7a3f")}
ROUNDS = 4


@dataclass(frozen=True)
class Box:
    """A table in the picture."""

    name: str
    lines: tuple[str, ...]
    kind: str
    """`start`, `upstream` or `downstream`."""

    @property
    def height(self) -> int:
        """The height in pixels."""
        return 2 * PAD + LINE * (1 + len(self.lines))


def graph_of(trace: Trace) -> tuple[list[Box], list[tuple[str, str]]]:
    """The boxes of a trace and the lines between them, each from a table to one that was made from it."""
    start = trace.thing.table
    if trace.thing.key is None:
        boxes = [Box(start, _version(trace.made), "start")]
        boxes += [Box(each.table, _version(each), "upstream") for each in trace.read]
        boxes += [Box(each.table, _version(each), "downstream") for each in trace.readers]
        names = {box.name for box in boxes}
        return boxes, [
            (up, name) for name in CONTRACTS if name in names for up in CONTRACTS[name].upstream if up in names
        ]
    key = ", ".join(map(str, trace.thing.key.values()))
    boxes = {start: Box(start, (key, _rows(trace.rows or 0)), "start")}
    edges: dict[tuple[str, str], None] = {}
    for reached, kind in (
        *((each, "upstream") for each in trace.upstream),
        *((e, "downstream") for e in trace.downstream),
    ):
        first = ", ".join(str(value) for value in reached.keys[0].values()) if reached.keys else ""
        # Rows that are reached both ways are shown once, as what they were made from.
        boxes.setdefault(reached.table, Box(reached.table, (_rows(reached.rows), first), kind))
        for other in reached.via:
            edges[(reached.table, other) if kind == "upstream" else (other, reached.table)] = None
    return list(boxes.values()), [
        edge for edge in edges if edge[0] in boxes and edge[1] in boxes and edge[0] != edge[1]
    ]


def draw(boxes: Sequence[Box], edges: Sequence[tuple[str, str]], title: str) -> str:
    """The picture as SVG."""
    layers = _layers([box.name for box in boxes], edges)
    by_name = {box.name: box for box in boxes}
    heights = [sum(by_name[name].height + GAP_Y for name in layer) - GAP_Y for layer in layers]
    width = MARGIN * 2 + len(layers) * WIDTH + (len(layers) - 1) * GAP_X
    height = MARGIN * 2 + max(heights, default=0)
    spots: dict[str, tuple[int, int]] = {}
    for at, layer in enumerate(layers):
        y = MARGIN + (max(heights) - heights[at]) // 2
        for name in layer:
            spots[name] = (MARGIN + at * (WIDTH + GAP_X), y)
            y += by_name[name].height + GAP_Y
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="{escape(title)}" font-family="system-ui, sans-serif" font-size="12">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        *(_line(spots, by_name, left, right) for left, right in edges),
        *(_box(by_name[name], *spots[name]) for layer in layers for name in layer),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def write_graph(trace: Trace, path: Path) -> None:
    """Write the picture of a trace to a file that ends in `.svg` or `.html`.

    Raises:
        WatershedError: the file has another ending, or cannot be written.
    """
    boxes, edges = graph_of(trace)
    title = f"Lineage of {trace.thing.name}"
    svg = draw(boxes, edges, title)
    if path.suffix == ".svg":
        write_whole(path, svg.encode())
    elif path.suffix == ".html":
        write_whole(path, _page(svg, title, boxes).encode())
    else:
        raise WatershedError(f"{path} ends in neither .svg nor .html", "choose one of these endings")


def _page(svg: str, title: str, boxes: Iterable[Box]) -> str:
    rows = "\n".join(
        f"<tr><td>{escape(box.kind)}</td><td>{escape(box.name)}</td><td>{escape('; '.join(box.lines))}</td></tr>"
        for box in boxes
    )
    moment = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>
body {{ font-family: system-ui, sans-serif; margin: 1rem; color: #1b1b1b; }}
.picture {{ overflow-x: auto; }}
table {{ border-collapse: collapse; }}
td, th {{ border-bottom: 1px solid #ccc; padding: .25rem .75rem; text-align: left; }}
</style>
</head>
<body>
<main>
<h1>{escape(title)}</h1>
<p>Drawn {moment}. What a table was made from is on its left.</p>
<div class="picture" tabindex="0">
{svg}</div>
<table>
<thead><tr><th>direction</th><th>table</th><th>what</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>
</main>
</body>
</html>
"""


def _layers(names: Sequence[str], edges: Sequence[tuple[str, str]]) -> list[list[str]]:
    """Boxes in columns, each to the right of all that it was made from, ordered so that few lines cross."""
    depth = dict.fromkeys(names, 0)
    # A circle of lines would push its boxes on for ever.
    for _ in names:
        moved = False
        for left, right in edges:
            if depth[right] <= depth[left] < len(names):
                depth[right] = depth[left] + 1
                moved = True
        if not moved:
            break
    used = sorted(set(depth.values()))
    layers = [[name for name in names if depth[name] == each] for each in used]
    for _ in range(ROUNDS):
        place = {name: at for layer in layers for at, name in enumerate(layer)}

        def middle(name: str, place: dict[str, int] = place) -> float:
            near = [place[left] for left, right in edges if right == name] + [
                place[right] for left, right in edges if left == name
            ]
            return sum(near) / len(near) if near else place[name]

        layers = [sorted(layer, key=middle) for layer in layers]
    return layers


def _line(spots: dict[str, tuple[int, int]], boxes: dict[str, Box], left: str, right: str) -> str:
    x1, y1 = spots[left][0] + WIDTH, spots[left][1] + boxes[left].height // 2
    x2, y2 = spots[right][0], spots[right][1] + boxes[right].height // 2
    bend = max((x2 - x1) // 2, GAP_X // 2)
    return (
        f'<path d="M{x1},{y1} C{x1 + bend},{y1} {x2 - bend},{y2} {x2},{y2}" fill="none" stroke="#8a8f98" '
        f'stroke-width="1.2"><title>{escape(left)} to {escape(right)}</title></path>'
    )


def _box(box: Box, x: int, y: int) -> str:
    fill, stroke = COLOURS[box.kind]
    texts = [
        f'<text x="{x + PAD}" y="{y + PAD + 12}" font-weight="600" fill="#1b1b1b">{escape(_short(box.name))}</text>',
        *(
            f'<text x="{x + PAD}" y="{y + PAD + 12 + LINE * at}" fill="#3c4043">{escape(_short(line))}</text>'
            for at, line in enumerate(box.lines, start=1)
        ),
    ]
    return (
        f'<g><title>{escape(box.name)}: {escape("; ".join(box.lines))}</title><rect x="{x}" y="{y}" width="{WIDTH}" '
        f'height="{box.height}" rx="6" fill="{fill}" stroke="{stroke}"/>{"".join(texts)}</g>'
    )


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def _version(version: Version | None) -> tuple[str, ...]:
    if version is None:
        return ()
    outdated = f", latest is {version.latest}" if version.outdated else ""
    return (f"version {version.version}{outdated}", f"{version.written_at:%Y-%m-%d %H:%M} UTC")
