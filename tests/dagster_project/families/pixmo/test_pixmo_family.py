"""The family `pixmo` from published files and a host of pictures to shards, by the functions that its assets call."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from made_pixmo import write, write_pixmo  # ty: ignore[import-not-found]
from picture_server import PictureHost, picture, picture_host  # ty: ignore[import-not-found]
from webdataset.compat import WebDataset

from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.settings import load_settings
from catalog.sql.query import connect
from catalog.tables.pixmo import CAP
from catalog.tables.pixmo.columns import MAKERS, SETS
from catalog.tables.pixmo.views import needed_by
from dagster_project.cli import main
from dagster_project.families.pixmo.shown import hosts_page, outcomes_page, units_page
from quality.gate import check
from spark_jobs.pictures.rules import FetchRules
from spark_jobs.pictures.store import PictureStore
from spark_jobs.pixmo.loading import load, pixmo_files
from spark_jobs.pixmo.pictures import store_of
from spark_jobs.pixmo.samples import explained
from spark_jobs.pixmo.shards import PictureShardRecipe, write_shards
from spark_jobs.pixmo.tables import write_coordinates, write_dataset, write_hosts, write_pictures
from spark_jobs.shards import pictures as written
from tests.small_lake import RUNS, plant, write_lake

Row = dict[str, Any]


SHARDS = PictureShardRecipe(heldout=0.2, samples_per_shard=6)


@dataclass
class Made:
    """A lake whose tables have been made, as the assets make them."""

    folder: Path
    lake: Lake
    host: PictureHost
    points: list[Row]
    pages: dict[str, dict[str, Any]]
    connection: Any = None

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a query, over tables as they were when the first query of a round was asked."""
        self.connection = self.connection or connect(load_settings(self.folder))
        return self.connection.execute(sql).fetchall()

    def round(self, name: str) -> None:
        """Download a round of pictures, and count hosts."""
        self.connection = None
        rules = FetchRules(internal=(self.host.place,), first_pause=0.01)
        self.pages["pictures"] = outcomes_page(write_pictures(self.lake, name, rules, name))
        self.pages["hosts"] = hosts_page(write_hosts(self.lake, 0.2, name))

    def page(self, table: str) -> dict[str, str]:
        """What Dagster shows of a table."""
        return {name: str(value.value) for name, value in self.pages[table].items()}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Generator[Made]:
    """A lake of a small file of each dataset."""
    folder = tmp_path_factory.mktemp("pixmo")
    (folder / "watershed.toml").touch()
    lake = Lake.of(load_settings(folder))
    with picture_host() as host:
        points = write_pixmo(folder / "pixmo", host.url)
        for dataset in SETS:
            write_dataset(lake, dataset, pixmo_files(folder / "pixmo"), "made")
        found = Made(folder, lake, host, points, {})
        found.round("first")
        found.pages["coordinates"] = units_page(write_coordinates(lake, "made"))
        write_shards(lake, SHARDS, "made")
        yield found


def test_every_dataset_is_read_with_its_fields_and_makers(made: Made) -> None:
    found = {(dataset, maker): rows for dataset, maker, rows in made.rows("FROM pixmo.makers")}
    assert found == {
        **{("cap", "transcript_merge"): 8, ("ask_model_anything", "person"): 4, ("cap_qa", "transcript_merge"): 2},
        **{("points", "person"): 100, ("point_explanations", "person"): 1, ("docs", "program"): 1},
        **{("count", "program"): 1, ("count", "person"): 1, ("clocks", "program"): 1},
    }
    assert made.rows("SELECT question, answer, before FROM pixmo.cap_qa WHERE before <> []") == [
        ("Which colour?", "Red.", ["What is it?", "A bike."])
    ]
    assert made.rows("SELECT split, count, len(points) FROM pixmo.count ORDER BY split") == [
        *(("train", 3, 3), ("validation", 2, 0))
    ]
    assert made.rows("SELECT kind, questions, image_url FROM pixmo.docs") == [("charts", ["How many?", "Why?"], None)]
    assert made.rows("SELECT hour_visible, second_visible, watchface_name FROM pixmo.clocks") == [(10, -1, "x")]


def test_rows_of_the_wrong_unit_are_set_apart_and_shown(made: Made) -> None:
    wrong = {number for number, row in enumerate(made.points) if row["wrong"]}
    apart = made.rows("SELECT row, why FROM pixmo.coordinates WHERE dataset = 'points' AND apart")
    assert len(wrong) == 5 and {row for row, _ in apart} == wrong
    assert made.rows("SELECT DISTINCT set_unit FROM pixmo.coordinates WHERE dataset = 'count' AND unit <> 'none'") == [
        ("pixel",)
    ]
    assert made.rows("SELECT points FROM pixmo.coordinates WHERE dataset = 'count' AND unit = 'pixel'") == [
        ([{"x": 47.0, "y": 20.8}, {"x": 96.9, "y": 97.9}, {"x": 1.9, "y": 83.3}],)
    ]
    page = made.page("coordinates")
    assert "| points | percent | percent | pixel | another unit than the set | 5 |" in page["units"]
    assert page["rows set apart"].count("another unit than the set") == 5
    outcomes = check(load_settings(made.folder), ["pixmo.coordinates"])
    assert not [outcome for outcome in outcomes if outcome.failed] and [one for one in outcomes if one.warned]


def test_every_picture_has_an_outcome_and_is_stored_once(made: Made) -> None:
    counts = dict(made.rows("SELECT outcome, count(*) FROM pixmo.pictures GROUP BY 1"))
    assert counts == {"ok": 8, "held": 2, "http_error": 1}
    stored = [path for path in made.lake.folder("pixmo.pictures", "by-digest").rglob("*.*") if path.is_file()]
    assert len(stored) == 10 and all(hashlib.sha256(path.read_bytes()).hexdigest() == path.stem for path in stored)
    assert all(count == 1 for path, count in made.host.hits.items() if path.startswith("/p/"))
    ((host, _, given, share, beyond),) = made.rows(
        "SELECT host, pictures, given, given_share, beyond FROM pixmo.hosts WHERE host <> '*'"
    )
    assert (host, given, share, beyond) == (made.host.place, 8, 8 / 9, False)
    assert "| http_error | 1 |" in made.page("pictures")["outcomes"]


def test_shards_hold_pictures_and_what_is_said_of_them(made: Made) -> None:
    samples = []
    for split, path, sha256 in made.rows("SELECT split, path, sha256 FROM pixmo.shards ORDER BY split, shard"):
        tar = made.lake.files / path
        assert hashlib.sha256(tar.read_bytes()).hexdigest() == sha256
        for sample in WebDataset([str(tar)], shardshuffle=False, empty_check=False):
            about = json.loads(sample["json"])
            ending = next(name for name in ("jpg", "png", "webp") if name in sample)
            assert hashlib.sha256(sample[ending]).hexdigest() == about["image_sha256"]
            samples.append((split, about))
    assert len(samples) == made.rows("SELECT count(*) FROM pixmo.samples")[0][0]
    by_source: dict[str, list[Row]] = {}
    splits: dict[str, set[str]] = {}
    for split, about in samples:
        by_source.setdefault(about["source"], []).append(about)
        splits.setdefault(about["image_sha256"], set()).add(split)
    assert {name: len(each) for name, each in by_source.items()} == {
        **{"cap": 8, "ask_model_anything": 4, "cap_qa": 1, "points": 1, "point_explanations": 1, "count": 2},
        **{"docs": 1, "clocks": 1},
    }
    assert all(len(each) == 1 for each in splits.values()), "a picture is in one split"
    verified = hashlib.sha256(picture(3)).hexdigest()
    assert splits[verified] == {"heldout"}, "pictures of published validation rows are held out"
    cap = by_source["cap"][0]
    assert [each["style"] for each in cap["annotations"]] == ["caption", *["transcript"] * 3]
    assert [each["maker"] for each in cap["annotations"]] == ["transcript_merge", *["person"] * 3]
    (points,) = by_source["points"]
    assert len(points["annotations"]) == 95 and (points["width"], points["height"]) == (640, 480)
    assert all(0 <= number <= 100 for each in points["annotations"] for point in each["points"] for number in point)
    (answer,) = by_source["point_explanations"][0]["annotations"]
    assert answer["text"] == (
        'The <point x="10.0" y="20.5" alt="door">door</point> or '
        '<points x1="30.0" y1="40.0" x2="50.0" y2="60.0" alt="cars">cars &amp; vans</points>.'
    )
    (turns,) = [each["annotations"] for each in by_source["cap_qa"]]
    assert [(each["prompt"], each["text"]) for each in turns] == [
        *(("What is it?", "A bike."), ("What is it?\nA bike.\nWhich colour?", "Red."))
    ]


def test_a_later_round_sees_what_was_lost_and_which_samples_need_it(made: Made) -> None:
    made.host.lost |= {f"/p/{number}" for number in (0, 1, 2)}
    made.round("second")
    found = made.rows("SELECT round, had, lost, rot, beyond FROM pixmo.hosts WHERE host = '*' ORDER BY round")
    assert found == [("first", 0, 0, 0.0, False), ("second", 8, 3, 3 / 8, True)]
    assert made.page("hosts")["rates"].count("| second |") == 2, "all hosts, and the one beyond the threshold"
    outcomes = check(load_settings(made.folder), ["pixmo.hosts"])
    assert [outcome.column for outcome in outcomes if outcome.warned] == ["beyond"]
    needed = made.rows("SELECT dataset, count(*) FROM pixmo.lost_samples GROUP BY 1 ORDER BY 1")
    assert needed == [("ask_model_anything", 3), ("cap", 3), ("cap_qa", 1), ("point_explanations", 1)]
    kept = made.rows("SELECT count(*) FROM pixmo.pictures WHERE outcome = 'http_error' AND path IS NOT NULL")
    assert kept == [(3,)], "what was stored once stays stored"


def test_the_command_downloads_a_column_of_addresses_and_goes_on(made: Made, tmp_path: Path) -> None:
    table, out = tmp_path / "urls.parquet", tmp_path / "out"
    urls = [f"{made.host.url}/p/{number}" for number in (70, 71, 71)] + [f"{made.host.url}/gone", None]
    pq.write_table(pa.table({"url": urls}), table)
    words = ["pictures", str(table), "--url-column", "url", "--out", str(out), "--internal", made.host.place]
    for _ in range(2):
        done = CliRunner().invoke(main, words)
        assert (done.exit_code, done.stdout) == (0, "ok: 2\nhttp_error: 1\n"), done.output
        assert made.host.hits["/p/70"] == made.host.hits["/p/71"] == 1
    refused = CliRunner().invoke(main, [*words[:2], "--url-column", "link", "--out", str(out)])
    assert refused.exit_code == 2 and "has no column 'link'" in refused.stderr
    refused = CliRunner().invoke(main, ["annotate", str(tmp_path / "none.png")])
    assert refused.exit_code == 2 and "No such file" in refused.stderr


def test_models_that_need_lost_pictures_are_found_by_the_data_set_that_they_were_trained_on(tmp_path: Path) -> None:
    tables = ("pixmo.shards", "pixmo.samples", "pixmo.pictures", "pixmo.captioners", "models.checkpoints")
    settings = write_lake(tmp_path, tables)
    query = needed_by("models.checkpoints").sql
    plant(settings, "pixmo.pictures", {0: {"outcome": "http_error", "reason": "HTTP 404"}})
    found = connect(settings).execute(query).fetchall()
    assert found == [(run, "da7a5e7", "train", 1, 1) for run in sorted(RUNS)]
    captioners = connect(settings).execute("FROM pixmo.needed_by").fetchall()
    assert captioners == [("mixture", "da7a5e7", "train", 1, 1)]


def test_a_row_that_a_vision_model_wrote_breaks_the_promise_of_its_set(made: Made, tmp_path: Path) -> None:
    row = {"image_url": "https://example.org/a.png", "caption": "Seen.", "transcripts": []}
    write(tmp_path, "cap", [{**row, "maker": "vision_model"}, {**row, "maker": None}])
    lake = Lake(str(tmp_path / "lake"), tmp_path / "files", {})
    lake.replace(CAP, load("cap", pixmo_files(tmp_path), store_of(lake)), "made")
    (tmp_path / "watershed.toml").touch()
    failed = [outcome for outcome in check(load_settings(tmp_path), ["pixmo.cap"]) if outcome.failed]
    assert [(outcome.column, outcome.violations) for outcome in failed] == [("maker", 1)]
    assert written.MAKERS == MAKERS


@pytest.mark.parametrize(
    ("dataset", "row", "why"),
    [
        ("cap", {"caption": "", "transcripts": []}, "row 0: it has no caption"),
        ("cap", {"caption": "a", "transcripts": [], "maker": "robot"}, "maker is 'robot'"),
        ("cap", {"caption": "a", "transcripts": [], "image_sha256": "12"}, "64 hex digits"),
        ("cap", {"caption": "a", "transcripts": [], "image": {"bytes": b"GIF89a"}}, "not a JPEG, PNG or WebP"),
        ("cap_qa", {"question": "[ASSISTANT] a [USER]", "answer": "b"}, "not a conversation"),
        ("count", {"label": "a", "count": 1, "points": {"x": [1.0], "y": []}}, "1 x and 0 y"),
        ("docs", {"image_id": "a", "questions": {"question": ["a"], "answer": []}}, "1 questions and 0 answers"),
        ("point_explanations", {"question": "a", "points": [[[1.0, 2.0, 3.0]]]}, "not a pair of numbers"),
        ("points", {"label": "a", "points": [], "collection_method": "guess"}, "collection_method is 'guess'"),
    ],
)
def test_a_malformed_row_is_refused_with_its_place(dataset: str, row: Row, why: str, tmp_path: Path) -> None:
    write(tmp_path, dataset, [row])
    with pytest.raises(WatershedError) as refused:
        load(dataset, pixmo_files(tmp_path), PictureStore(tmp_path / "store"))
    assert why in refused.value.cause and "row 0" in refused.value.cause


def test_an_explanation_whose_marks_and_points_differ_is_left_out() -> None:
    assert explained("A <|POINT|> and <|POINT|>.", ["a"], ["a"], [[(1.0, 2.0)]]) is None
    assert explained("A <|POINT|>.", ["a"], ["a"], [[]]) is None
    assert explained("No mark.", [], [], []) == "No mark."
