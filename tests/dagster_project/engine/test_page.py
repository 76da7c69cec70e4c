"""What Dagster shows in the page of a table: it fits the page, masks personal data, and interprets nothing."""

from __future__ import annotations

import base64
import math
import re
from xml.etree import ElementTree

import dagster as dg
import pytest

from catalog.cards.card import card
from catalog.contract import Contract
from catalog.inventory import table_state
from catalog.lake import Lake
from catalog.printable import one_line
from catalog.settings import load_settings
from catalog.tables import CONTRACTS
from dagster_project.configured import configured, owner_of
from dagster_project.engine.markdown import markdown, plain
from dagster_project.engine.page import MASK, human, sample_rows, state_metadata, static_metadata
from dagster_project.engine.small_plots import INLINE, Interval, curve_and_points, interval_plot, line_plot
from tests.small_lake import good_rows, plant, write_lake

HOSTILE = "<script>alert(1)</script> [a](javascript:b) *c* | d\x1b[2J" + chr(0x202E)


def picture(shown: dg.MarkdownMetadataValue) -> ElementTree.Element:
    """The SVG image of a plot, which must be short enough for the page."""
    assert shown.md_str is not None and len(shown.md_str) <= INLINE
    found = re.fullmatch(r"!\[[^\]]+\]\(data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)\)", shown.md_str)
    assert found, shown.md_str
    return ElementTree.fromstring(base64.b64decode(found[1]))


def test_plots_fit_the_page_however_many_points_they_have() -> None:
    steps = list(range(5000))
    drawn = picture(line_plot("training loss", steps, [10 * math.exp(-step / 900) for step in steps], "nats per token"))
    path = next(each for each in drawn.iter() if each.tag.endswith("path")).attrib["d"]
    numbers = [int(number) for number in re.findall(r"\d+", path)]
    heights = numbers[1::2]
    assert numbers[0] == 0 and numbers[-2] == 300, "the whole width is used"
    assert heights == sorted(heights), "a falling loss goes down the picture"
    points = [(x / 100, x / 200) for x in range(100)]
    assert picture(curve_and_points("accuracy over task loss", points, points)) is not None
    many = [Interval(f"{at}k-1xC", 0.2, 0.3, 0.4, 0.35) for at in range(40)]
    assert "more not shown" in "".join(picture(interval_plot("accuracy", many)).itertext())
    assert line_plot("loss", [1.0], [math.nan]).md_str == "loss: fewer than two points"


def test_text_of_strangers_is_shown_and_not_interpreted() -> None:
    assert "<" not in markdown(HOSTILE)
    assert re.search(r"(?<!\\)[\[*|]", markdown(HOSTILE)) is None
    assert plain(markdown(HOSTILE)) == one_line(HOSTILE)


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=lambda contract: contract.name)
def test_sample_rows_fit_the_page_and_mask_personal_data(contract: Contract) -> None:
    row = dict.fromkeys(contract.schema.names, HOSTILE) | dict.fromkeys(contract.personal_data, f"secret {HOSTILE}")
    rows = [row] * 3
    shown = sample_rows(contract, rows)
    assert 0 < len(shown) <= INLINE
    assert "secret" not in shown and "<script>" not in shown and "\x1b" not in shown and chr(0x202E) not in shown
    assert shown.splitlines()[0].startswith("| " + markdown((contract.named_by or contract.primary_key)[0]))
    assert len({line.replace("\\|", "").count("|") for line in shown.splitlines()}) == 1, "every line has all columns"


def test_the_page_of_a_made_table_has_its_sample_and_a_size_for_people(tmp_path) -> None:
    settings = write_lake(tmp_path, ("dclm.documents",))
    lake, contract = Lake.of(settings), CONTRACTS["dclm.documents"]
    plant(settings, "dclm.documents", {0: {"url": "https://secret.example/"}})
    shown = state_metadata(lake, contract, table_state(lake, contract))
    assert shown["dagster/row_count"] == len(good_rows()["dclm.documents"])
    assert re.fullmatch(r"[\d.]+ [kM]?B in \d+ files?", shown["size"])
    assert "secret" not in shown["sample rows"].md_str
    assert (MASK in shown["sample rows"].md_str) == any(name in shown["sample rows"].md_str for name in ("url",))


def test_links_and_the_sql_are_part_of_every_page() -> None:
    contract = CONTRACTS["dclm.scores"]
    shown = static_metadata(contract, sample_rows, "https://code.example/tree/main/")
    assert shown["code"].value.startswith("https://code.example/tree/main/dagster_project/engine/page.py#L")
    assert shown["documentation"].value == "https://code.example/tree/main/docs/curation.md"
    assert shown["SQL that opens it"] == 'watershed sql "FROM dclm.scores LIMIT 10"'
    assert shown["data card"].md_str == card(contract)
    assert static_metadata(contract, None)["code"] == "catalog/tables/dclm"


def test_counts_of_bytes_are_shown_with_units() -> None:
    assert human("trained_on_bytes", 13_300_000) == "13.3 MB"
    assert human("text bytes", 999) == "999 B"
    assert human("bytes_per_token", 4.51239) == 4.512
    assert human("documents", 13_300_000) == 13_300_000


def test_owners_tags_and_freshness_come_from_the_settings(tmp_path) -> None:
    (tmp_path / "watershed.toml").write_text(
        '[dagster.owners]\ncuration = "lake@house.org"\n[dagster.tags]\ntier = "one"\n[automation]\nfreshness = true\n'
    )
    settings = load_settings(tmp_path)
    spec = dg.AssetSpec(["dclm", "pool"])
    (asset,) = configured([spec], settings)
    assert (asset.owners, asset.tags) == (["lake@house.org"], {"tier": "one"})
    assert asset.freshness_policy.fail_window.to_timedelta() == CONTRACTS["dclm.pool"].freshness
    assert owner_of("training", settings) == "team:training"
