"""Pictures with the points that a model named: on the page beside the table, in Dagster, and on the data card."""

from __future__ import annotations

import hashlib
import io
import json
import re
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image
from small_lake import write_lake

from catalog.cards.site.build import _of_families
from catalog.cards.site.page import frame
from catalog.cards.site.reading import SiteLake
from catalog.cards.site.table_page import table_page
from catalog.lake import Lake
from catalog.settings import Settings
from catalog.tables.pixmo import REPLIES
from catalog.tables.pixmo.captioner import MOST_SHOWN, SHOWN_BYTES, SHOWN_FILE
from dagster_project.families.pixmo.drawn import drawn, points_page
from spark_jobs.pictures.look import look
from spark_jobs.pixmo.pictures import store_of

REPLY = '<points x1="25.0" y1="50.0" x2="75.0" y2="50.0" alt="cat">cat</points>'


def a_picture(number: int) -> bytes:
    written = io.BytesIO()
    Image.linear_gradient("L").resize((96, 64)).point([(value + 9 * number) % 256 for value in range(256)]).convert(
        "RGB"
    ).save(written, "PNG")
    return written.getvalue()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, dict[str, Any]]:
    """A lake with replies about ten pictures of two splits, and what the step's page says of them."""
    settings = write_lake(tmp_path_factory.mktemp("drawn"), ("pixmo.replies",))
    lake = Lake.of(settings)
    (row,) = lake.read(REPLIES.name).to_pylist()
    scenes, rows = [], []
    for number in range(10):
        data = a_picture(number)
        store_of(lake).put(data, look(data))
        scenes.append({"scene": f"s{number}", "image_sha256": hashlib.sha256(data).hexdigest()})
        own = {"scene": f"s{number}", "split": ("heldout", "pairs")[number % 2], "task": "pointing", "score": 0.5}
        rows.append({**row, **own, "model": "mixture", "question": f"Point to <b>{number}</b>.", "reply": REPLY})
    lake.replace(REPLIES, pa.Table.from_pylist(rows, schema=REPLIES.schema), "made")
    return settings, points_page(lake, scenes, rows)


def page_of(settings: Settings) -> str:
    site = SiteLake.of(settings, {})
    with site.connection:
        return frame(table_page(site, REPLIES, _of_families(site, REPLIES)), [], "")


def test_points_are_rings_where_the_reply_says() -> None:
    plain, ringed = drawn(a_picture(0), "There are none."), drawn(a_picture(0), REPLY)
    assert plain.size == ringed.size == (192, 128)
    changed = {(x, y) for x in range(192) for y in range(128) if plain.getpixel((x, y)) != ringed.getpixel((x, y))}
    assert changed and all(min(abs(x - 48), abs(x - 144)) <= 7 and abs(y - 64) <= 7 for x, y in changed)
    assert {x < 96 for x, _ in changed} == {True, False}


def test_the_data_card_shows_small_pictures_of_rows_that_are_in_the_table(
    made: tuple[Settings, dict[str, Any]],
) -> None:
    settings, metadata = made
    assert {"predicted points", "page"} <= metadata.keys()
    page = page_of(settings)
    pictures = re.findall(r'src="data:image/jpeg;base64,([^"]*)"', page)
    assert len(pictures) == MOST_SHOWN and all(len(each) * 3 / 4 <= SHOWN_BYTES for each in pictures)
    assert len(page) - sum(map(len, pictures)) < 100_000 and len(page) < 100_000
    # Of both splits, in turn; what was asked is text.
    assert "pairs, F1 0.50" in page and "heldout, F1 0.50" in page
    assert "Point to &lt;b&gt;0&lt;/b&gt;." in page and "<b>0" not in page and "CC-BY-SA-4.0" in page
    # A picture of a row that is no longer there, and what is no picture, are not shown.
    lake = Lake.of(settings)
    rows = lake.read(REPLIES.name).to_pylist()
    path = lake.folder(REPLIES.name) / SHOWN_FILE
    shown = json.loads(path.read_text())
    kept = [row for row in rows if row["scene"] != shown[0]["scene"]]
    lake.replace(REPLIES, pa.Table.from_pylist(kept, schema=REPLIES.schema), "made")
    path.write_text(json.dumps([*shown[:3], {**shown[3], "jpeg": "PHN2Zy8+"}, {**shown[4], "reply": "other"}, 5]))
    assert len(re.findall("data:image/jpeg", page_of(settings))) == 2
    for broken in ("{", "[" * 5000, json.dumps({"a": 1})):
        path.write_text(broken)
        assert "Predicted points" not in page_of(settings)
    path.unlink()
    assert "Predicted points" not in page_of(settings)
