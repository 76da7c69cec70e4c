"""Pictures with the points that a model named drawn on them, for pages of Dagster and as a file."""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from catalog.files import write_whole
from catalog.lake import Lake
from catalog.tables.pixmo import REPLIES
from catalog.tables.pixmo.captioner import MOST_SHOWN, SHOWN_BYTES, SHOWN_FILE

if TYPE_CHECKING:
    from PIL.Image import Image

SHOWN, ACROSS, SCALE = 12, 4, 2
PAGE = "points.html"
PAGE_SHOWN = 60
SIDE = 160
"""Pixels of the longer side of a picture on the data card."""


def drawn(picture: bytes, reply: str) -> Image:
    """A picture, enlarged, with a ring around each point of a reply in percent."""
    from PIL import Image, ImageDraw

    from spark_jobs.pixmo.points import read_points

    page = Image.open(io.BytesIO(picture)).convert("RGB")
    page = page.resize((page.width * SCALE, page.height * SCALE), Image.Resampling.NEAREST)
    pen = ImageDraw.Draw(page)
    for x, y in read_points(reply).points:
        at = (x * page.width, y * page.height)
        for radius, colour in ((6, (0, 0, 0)), (5, (255, 0, 160)), (4, (255, 0, 160)), (3, (0, 0, 0))):
            pen.ellipse((at[0] - radius, at[1] - radius, at[0] + radius, at[1] + radius), outline=colour)
    return page


def points_page(lake: Lake, scenes: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Write a page of pictures with predicted points and small ones for the data card; return metadata of the page."""
    from PIL import Image

    from spark_jobs.pixmo.pictures import store_of

    store, by_name = store_of(lake), {scene["scene"]: scene for scene in scenes}
    pointed = [row for row in rows if row["model"] == "mixture" and row["task"] == "pointing"]
    # Of every split the first ones, in turn: nobody chose them.
    splits = {
        split: [row for row in pointed if row["split"] == split] for split in dict.fromkeys(r["split"] for r in pointed)
    }
    taken = [row for turn in zip(*splits.values(), strict=False) for row in turn][:PAGE_SHOWN]
    pictures = [drawn(store.read(by_name[row["scene"]]["image_sha256"])[0], row["reply"]) for row in taken]
    if not pictures:
        return {}
    width, height = pictures[0].size
    shown = pictures[:SHOWN]
    sheet = Image.new("RGB", (ACROSS * width, -(-len(shown) // ACROSS) * height))
    for number, picture in enumerate(shown):
        sheet.paste(picture, (number % ACROSS * width, number // ACROSS * height))
    lines = ["| split | asked | F1 |", "|---|---|---|"]
    lines += [f"| {row['split']} | {row['question']} | {row['score']:.2f} |" for row in taken[:SHOWN]]
    path = lake.folder(REPLIES.name) / PAGE
    write_whole(path, _page(taken, pictures).encode())
    write_whole(path.with_name(SHOWN_FILE), json.dumps(_for_the_card(taken, pictures)).encode())
    return {
        "predicted points": dg.MetadataValue.md(f"![predicted points]({_url(sheet)})"),
        "asked, from left to right": dg.MetadataValue.md("\n".join(lines)),
        "page": dg.MetadataValue.path(str(path)),
    }


def _for_the_card(rows: Sequence[Mapping[str, Any]], pictures: Sequence[Image]) -> list[dict[str, Any]]:
    """The first rows with small pictures, for the data card."""
    found = []
    for row, picture in zip(rows[:MOST_SHOWN], pictures, strict=False):
        key = {name: row[name] for name in ("model", "scene", "split", "task", "question", "reply", "score")}
        if (small := _small(picture)) is not None:
            found.append({**key, "jpeg": base64.b64encode(small).decode()})
    return found


def _small(picture: Image) -> bytes | None:
    """A JPEG that a data card has room for; None for a picture that does not shrink so far."""
    small = picture.copy()
    small.thumbnail((SIDE, SIDE))
    for quality in (85, 60, 35):
        written = io.BytesIO()
        small.save(written, "JPEG", quality=quality)
        if len(written.getvalue()) <= SHOWN_BYTES:
            return written.getvalue()
    return None


def _url(picture: Image) -> str:
    written = io.BytesIO()
    picture.save(written, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(written.getvalue()).decode()}"


def _page(rows: Sequence[Mapping[str, Any]], pictures: Sequence[Image]) -> str:
    figures = "".join(
        f'<figure><img src="{_url(picture)}" alt=""><figcaption>{html.escape(row["question"])}<br>'
        f"{html.escape(row['split'])}, F1 {row['score']:.2f}</figcaption></figure>"
        for row, picture in zip(rows, pictures, strict=True)
    )
    style = "body{font:14px sans-serif;margin:1rem}figure{display:inline-block;margin:.5rem;width:256px}img{width:100%}"
    title = "Points that the model named"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{style}</style>'
        f"<h1>{title}</h1>{figures}</html>\n"
    )
