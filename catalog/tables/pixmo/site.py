"""What the site shows of PixMo on the pages of its tables: scenes with the points that a model named drawn on them.

The step of `pixmo.replies` writes small pictures with drawn points to `SHOWN_FILE` in the folder of its table. A
picture is shown while its reply is in the table as it was then, so that none is shown of rows that were replaced or
removed.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from typing import Any

from catalog.cards.site.html import Markup, join, short, tag
from catalog.cards.site.page import Section
from catalog.cards.site.reading import SiteLake
from catalog.contract import Contract
from catalog.personal import masked, personal_columns
from catalog.tables.pixmo.captioner import MOST_SHOWN, REPLIES, SHOWN_BYTES, SHOWN_FILE

JPEG = b"\xff\xd8\xff"
STILL = """
SELECT count(*) AS rows FROM pixmo.replies
WHERE model = $model AND scene = $scene AND task = $task AND question = $question AND reply = $reply
"""


def table_sections(site: SiteLake, contract: Contract) -> Iterator[Section]:
    """The section of predicted points on the page of `pixmo.replies`; none while there are no pictures of its rows."""
    if contract.name != REPLIES.name or not site.made(REPLIES.name):
        return
    if personal_columns(contract, {contract.name: contract}):
        return
    figures = [figure for row in _shown(site) if (figure := _figure(site, row))]
    if figures:
        yield Section(
            title="Predicted points",
            body=tag("div", join(figures), class_="pictures"),
            note="Scenes that the model was not trained on, the first ones of each split. A ring is where the model "
            f"pointed. The pictures are {contract.licence}.",
        )


def _shown(site: SiteLake) -> list[dict[str, Any]]:
    path = site.lake.folder(REPLIES.name) / SHOWN_FILE
    try:
        if path.stat().st_size > 2 * MOST_SHOWN * SHOWN_BYTES + 100_000:
            return []
        rows = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return []
    return [row for row in rows if isinstance(row, dict)][:MOST_SHOWN] if isinstance(rows, list) else []


def _figure(site: SiteLake, row: dict[str, Any]) -> Markup | None:
    key = {name: row.get(name) for name in ("model", "scene", "task", "question", "reply")}
    if not all(isinstance(value, str) for value in (*key.values(), row.get("split"), row.get("jpeg"))):
        return None
    try:
        picture = base64.b64decode(row["jpeg"], validate=True)
    except binascii.Error:
        return None
    if not picture.startswith(JPEG) or len(picture) > SHOWN_BYTES:
        return None
    if not site.rows(STILL, key)[0]["rows"]:
        return None
    asked = short(masked(row["question"]), 100)
    score = row.get("score")
    note = f"{row['split']}, F1 {score:.2f}" if isinstance(score, int | float) else row["split"]
    image = tag(
        "img",
        src=f"data:image/jpeg;base64,{row['jpeg']}",
        alt=f"A scene with rings where the model pointed: {asked}",
        loading="lazy",
    )
    return tag("figure", image, tag("figcaption", asked, tag("br"), tag("span", short(note, 60), class_="quiet")))
