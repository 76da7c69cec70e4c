"""The page of `watershed annotate` in a real browser: a description, a question and three points become valid rows."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Generator
from pathlib import Path

import pytest
from browser import CHROMIUM, CHROMIUM_FLAGS, PATIENCE_MS
from picture_server import picture  # ty: ignore[import-not-found]
from playwright.sync_api import sync_playwright

from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.settings import load_settings
from dagster_project.families.pixmo.annotate.annotations import Annotations, pictures_of
from dagster_project.families.pixmo.annotate.server import AnnotateServer
from quality.gate import check
from spark_jobs.pixmo.coordinates import rows_of_set
from spark_jobs.pixmo.loading import load, pixmo_files
from spark_jobs.pixmo.pictures import store_of

SIZE = (400, 200)
FAKE_MICROPHONE = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[AnnotateServer]:
    folder = tmp_path_factory.mktemp("annotate")
    (folder / "watershed.toml").touch()
    (folder / "photos").mkdir()
    for number in (1, 2):
        (folder / "photos" / f"{number}.png").write_bytes(picture(number, SIZE))
    (folder / "photos" / "copy.png").write_bytes(picture(1, SIZE))
    (folder / "photos" / "broken.jpg").write_bytes(b"no picture")
    lake = Lake.of(load_settings(folder))
    annotations = Annotations(lake, folder / "annotations", pictures_of([folder / "photos"], lake))

    def recognise(path: Path) -> str:
        assert path.suffix == ".webm" and path.stat().st_size > 100
        return "there is a white dot"

    with AnnotateServer(annotations, recognise=recognise) as started:
        thread = threading.Thread(target=started.serve_forever, daemon=True)
        thread.start()
        yield started
        started.shutdown()
        thread.join()


def test_a_person_describes_asks_and_points_by_mouse_touch_and_keyboard(server: AnnotateServer) -> None:
    asked: list[str] = []
    errors: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*CHROMIUM_FLAGS, *FAKE_MICROPHONE])
        context = browser.new_context(
            has_touch=True, permissions=["microphone"], viewport={"width": 1200, "height": 900}
        )
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(server.url)
        page.locator("#progress", has_text="1 of 2: 1.png, 400 x 200 pixels").wait_for()
        page.locator("#picture").evaluate("image => image.decode()")
        # Speech is recognised, and corrected by hand.
        page.click("#speak")
        page.locator("#speak[aria-pressed=true]").wait_for()
        page.wait_for_timeout(300)
        page.click("#speak")
        page.locator("#status", has_text="Recognised.").wait_for()
        assert page.locator("#text").input_value() == "there is a white dot"
        page.fill("#text", "A white dot. <b>Röd</b>")
        page.click("#save-caption")
        page.locator("#status", has_text="Saved: the description").wait_for()
        # Keys that are letters in a field do nothing else.
        page.locator("#place").focus()
        page.keyboard.press("q")
        page.keyboard.type("Which dot? [p]")
        page.fill("#answer", "The white one.")
        page.click("#save-question")
        page.locator("#status", has_text="Saved: the question").wait_for()
        # One point by mouse, one by touch, one by keyboard; one too many is taken away.
        box = page.locator("#picture").bounding_box()
        assert box
        page.mouse.click(box["x"] + box["width"] * 0.25, box["y"] + box["height"] * 0.5)
        page.touchscreen.tap(box["x"] + box["width"] * 0.75, box["y"] + box["height"] * 0.1)
        page.locator("#points li").nth(1).wait_for()
        for key in ("ArrowLeft", "ArrowDown", "Shift+ArrowRight", "Enter", "Enter", "Backspace"):
            page.keyboard.press(key)
        assert page.locator("#points li").count() == 3
        shown = page.locator("#points li").nth(2).inner_text()
        page.fill("#label", "dot")
        page.click("#save-points")
        page.locator("#saved li", has_text="3 of dot").wait_for()
        saved = page.locator("#saved li").all_inner_texts()
        # The next picture begins empty; a thing that is not there has no point.
        page.locator("#place").focus()
        page.keyboard.press("]")
        page.locator("#progress", has_text="2 of 2: 2.png").wait_for()
        assert page.locator("#saved li").count() == 0
        page.fill("#label", "cat")
        page.click("#save-points")
        page.locator("#saved li", has_text="0 of cat").wait_for()
        browser.close()
    assert not errors and all(url.startswith(server.url) for url in asked)
    assert saved[0] == "Description: A white dot. <b>Röd</b>", "text is shown as text"
    lake, sha256 = server.annotations.lake, server.annotations.pictures[0].sha256
    (caption,) = lake.read("pixmo.cap").to_pylist()
    assert (caption["caption"], caption["transcripts"]) == ("A white dot. <b>Röd</b>", ["there is a white dot"])
    (question,) = lake.read("pixmo.ask_model_anything").to_pylist()
    assert (question["question"], question["answer"]) == ("Which dot? [p]", "The white one.")
    dots, cats = sorted(lake.read("pixmo.points").to_pylist(), key=lambda row: row["row"])
    assert {row["maker"] for row in (caption, question, dots)} == {"person"}
    assert {row["image_sha256"] for row in (caption, question, dots)} == {sha256}
    (mouse, touch, keyboard) = [(point["x"], point["y"]) for point in dots["points"]]
    assert mouse == pytest.approx((25.0, 50.0), abs=0.3) and touch == pytest.approx((75.0, 10.0), abs=0.3)
    assert keyboard == pytest.approx((touch[0] - 0.9, touch[1] + 1.0), abs=0.05)
    assert f"{keyboard[0]:.1f}%, {keyboard[1]:.1f}% of the picture" in shown and "in pixels" in shown
    assert (dots["unit"], dots["count"], cats["count"], cats["points"]) == ("percent", 3, 0, [])
    project = load_settings(server.annotations.folder.parent)
    assert not [one for one in check(project, ["pixmo.cap", "pixmo.points"]) if one.failed]
    # The assets read the same rows again, and know their unit.
    files = pixmo_files(server.annotations.folder)
    assert load("points", files, store_of(lake)).to_pylist() == [dots, cats]
    (placed, _) = rows_of_set("points", [dots, cats], {f"sha256:{sha256}": SIZE})
    assert (placed["known_by"], placed["points"], placed["apart"]) == ("stated", dots["points"], False)
    (recording,) = (server.annotations.folder / "speech").iterdir()
    assert recording.read_bytes()


def test_a_request_from_elsewhere_or_of_no_annotation_is_refused(server: AnnotateServer) -> None:
    host = f"127.0.0.1:{server.server_port}"
    good = {"Host": host, "Origin": f"http://{host}", "X-Watershed-Token": server.token}
    good["Content-Type"] = "application/json"
    before = len(server.annotations.saved(server.annotations.pictures[1])["cap"])

    def send(method: str, path: str, content: str = "", **changed: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
        headers = {**good, **{name.replace("_", "-"): value for name, value in changed.items()}}
        connection.request(method, path, content.encode() or None, {k: v for k, v in headers.items() if v})
        status = connection.getresponse().status
        connection.close()
        return status

    caption = {"place": 1, "text": "ok", "transcripts": []}
    body = json.dumps(caption)
    assert server.server_address[0] == "127.0.0.1"
    assert send("POST", "/caption", body, X_Watershed_Token="") == send("POST", "/caption", body, Origin="null") == 403
    assert send("POST", "/caption", body, Host="evil.example") == send("GET", "/", Host="evil.example") == 403
    assert send("POST", "/caption", body, Content_Type="text/plain") == 403
    assert send("POST", "/speech", "x", Content_Type="text/html") == send("POST", "/speech", "x") == 403
    assert send("POST", "/else", body) == send("GET", "/picture/9") == send("GET", "/picture/-1") == 404
    wrong = [{**caption, "text": " "}, {**caption, "place": 7}, {**caption, "place": True}, {**caption, "text": 7}, [1]]
    wrong += [{"place": 1}, {**caption, "transcripts": ["x"] * 21}]
    assert {send("POST", "/caption", json.dumps(each)) for each in wrong} == {400}
    point = {"place": 1, "label": "a", "points": [[50, 50]]}
    bad = ([[50, 101]], [[-1, 5]], [["1", 2]], [[1, 2, 3]], [[1e400, 2]], "ab", [[True, 1]])
    assert {send("POST", "/points", json.dumps({**point, "points": each})) for each in bad} == {400}
    assert send("POST", "/caption", "[" * 9000) == send("POST", "/caption", "{") == 400
    assert send("POST", "/caption", f'"{"x" * 500_000}"') == 413
    assert len(server.annotations.saved(server.annotations.pictures[1])["cap"]) == before
    assert send("POST", "/caption", body) == send("GET", "/picture/1") == send("GET", "/item/99") == 200
    assert len(server.annotations.saved(server.annotations.pictures[1])["cap"]) == before + 1


def test_a_named_file_that_is_no_picture_is_refused(tmp_path: Path, server: AnnotateServer) -> None:
    (tmp_path / "a.png").write_bytes(b"no")
    lake = server.annotations.lake
    with pytest.raises(WatershedError, match=r"a\.png: the bytes are not a JPEG"):
        pictures_of([tmp_path / "a.png"], lake)
    with pytest.raises(WatershedError, match="no picture was found"):
        pictures_of([tmp_path], lake)
