"""A model of pictures behind the server: what it answers, what it refuses, and the page that chats with it."""

from __future__ import annotations

import base64
import concurrent.futures
import io
import json
import re
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
import uvicorn
from axe_playwright_python.sync_playwright import Axe
from browser import CHROMIUM, CHROMIUM_FLAGS, PATIENCE_MS  # ty: ignore[import-not-found]
from made_models import LLAMA, Server, a_checkpoint, serving  # ty: ignore[import-not-found]
from PIL import Image
from playwright.sync_api import Page, sync_playwright
from small_pictures import SHAPE, drawn, write_shard

from spark_jobs.pixmo.points import format_points, read_points
from trainers.caption import caption
from trainers.process.config_file import from_mapping
from trainers.serve import ServeConfig, engine_of, opened
from trainers.serving.app import Limits, application
from trainers.serving.engine import Engine, Piece, Request
from trainers.serving.pictures import RefusedPicture, read_picture
from trainers.serving.sampling import Sampling
from trainers.serving.served import open_served
from trainers.serving.steps import Cache, Steps
from trainers.vision import opening
from trainers.vision.config import CaptionConfig
from trainers.vision.examples import Examples
from trainers.vision.generating import Asked, prompt, replies
from trainers.vision.model import VisionLanguageModel
from trainers.vision.serving import Eyes

QUESTIONS = ("pointing: Point to the red squares.", "point_count: How many blue squares are there?", "What is it?")
MOST = 60


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that was trained for some seconds to point."""
    folder = tmp_path_factory.mktemp("seeing")
    shard = write_shard(folder / "train.tar", range(24), ("points",))
    given = {
        "sources": {"points": {"group": "pointing", "shards": [shard]}},
        "groups": {"pointing": 1.0},
        "stage": "mixture",
        "shape": SHAPE,
        "out": str(folder / "pointer"),
        "steps": 50,
        "batch": 8,
        "dropout": 0.0,
        "rates": {"vision": 3e-3, "connector": 3e-3, "decoder": 6e-3},
        "warmups": {"vision": 5, "connector": 5, "decoder": 5},
    }
    caption(from_mapping(given, CaptionConfig, "test"))
    return folder / "pointer"


@pytest.fixture(scope="module")
def server(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    with serving(run, tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def http(server: Server) -> Generator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=120) as client:
        yield client


def url_of(data: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def message(text: str, *urls: str) -> dict[str, Any]:
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return {"role": "user", "content": [*parts, {"type": "text", "text": text}]}


def chatted(http: httpx.Client, *messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    asked = {"messages": list(messages), "temperature": 0, "max_tokens": MOST, **more}
    reply = http.post("/v1/chat/completions", json=asked)
    assert reply.status_code == 200, reply.text
    return reply.json()


def likeliest(model: VisionLanguageModel, examples: Examples, asked: Asked) -> float:
    """The log-probability of the first token of a reply, from one pass of the whole model."""
    inputs, _, _ = examples.batch([prompt(examples, asked)], "cpu")
    with torch.inference_mode():
        feature = model.features(inputs.pictures) if inputs.pictures else None
        last = model.hidden(inputs, feature)[0, -1]
        return float((model.decoder.output_weight @ last).log_softmax(-1).max())


def test_replies_are_those_of_the_trainer_alone_and_at_the_same_time(run: Path, http: httpx.Client) -> None:
    pictures = [drawn(number)[0] for number in (0, 7, 1000, 1001)]
    asked = [Asked(picture, question) for picture in (*pictures, None) for question in QUESTIONS]
    beginning = opening.opened(run)
    examples = Examples(beginning.shape, beginning.tokenizer, beginning.end, 256)
    model = opening.model_of(beginning)
    expected = replies(model, examples, asked, most=MOST)
    assert len(set(expected)) > 1 and any("<point" in reply for reply in expected)

    def served(each: Asked) -> dict[str, Any]:
        pictures = [url_of(each.picture)] if each.picture else []
        return chatted(http, message(each.question, *pictures), logprobs=True)

    alone = [served(each) for each in asked]
    with concurrent.futures.ThreadPoolExecutor(len(asked)) as pool:
        together = list(pool.map(served, asked))
    for found in (alone, together):
        assert [reply["choices"][0]["message"]["content"].strip() for reply in found] == expected
        # What is seen shows in the first token, before a short training shows in words.
        first = [reply["choices"][0]["logprobs"]["content"][0]["logprob"] for reply in found]
        assert first == pytest.approx([likeliest(model, examples, each) for each in asked], abs=1e-4)
        assert len({round(each, 4) for each in first[: len(pictures) * len(QUESTIONS)]}) >= 8
    # A picture of the same size has the same tokens, and not the same keys and values: it is read for itself.
    cached = [reply["usage"]["prompt_tokens_details"]["cached_tokens"] for reply in alone]
    tokens = len(examples.of_picture(pictures[0]).beginning)
    assert cached[0] == cached[3] == cached[6] == 0
    assert all(each >= tokens for place in (1, 4, 7) for each in cached[place : place + 2])
    # No space stands before a reply, and the template writes it again between turns.
    assert all(not reply["choices"][0]["message"]["content"].startswith(" ") for reply in alone)


def test_a_stream_and_a_second_turn_say_the_same(http: httpx.Client) -> None:
    first = message(QUESTIONS[0], url_of(drawn(3)[0]))
    whole = chatted(http, first, return_token_ids=True)
    asked = {"messages": [first], "temperature": 0, "max_tokens": MOST, "stream": True}
    with http.stream("POST", "/v1/chat/completions", json=asked) as reply:
        lines = [line.removeprefix("data: ") for line in reply.iter_lines() if line]
    assert lines.pop() == "[DONE]"
    pieces = [json.loads(line)["choices"][0]["delta"]["content"] for line in lines]
    said = whole["choices"][0]["message"]["content"]
    assert "".join(pieces) == said and len(pieces) > 3
    turns = [first, {"role": "assistant", "content": said}, {"role": "user", "content": QUESTIONS[1]}]
    second = chatted(http, *turns, return_token_ids=True)
    read = [*whole["prompt_token_ids"], *whole["choices"][0]["token_ids"]]
    # The end of the first reply was drawn, and is no part of the conversation.
    assert second["prompt_token_ids"][: len(read) - 1] == read[:-1]
    assert second["usage"]["prompt_tokens_details"]["cached_tokens"] >= len(read) - 2
    counted = http.post("/tokenize", json={"messages": turns}).json()
    assert counted["tokens"] == second["prompt_token_ids"]


def a_bomb() -> bytes:
    """64 million pixels in some kB."""
    written = io.BytesIO()
    Image.new("1", (8000, 8000)).save(written, "PNG")
    assert len(written.getvalue()) < 20_000
    return written.getvalue()


def test_pictures_that_are_not_read_are_refused_with_their_cause(http: httpx.Client) -> None:
    good = drawn(1)[0]
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"http://127.0.0.1:{listening.getsockname()[1]}/a.png"
        cases = {
            "an address": (message("?", address), 400, "invalid_image_url"),
            "a file": (message("?", "file:///etc/passwd"), 400, "invalid_image_url"),
            "no base64": (message("?", "data:image/png,abc"), 400, "invalid_image_url"),
            "a vector picture": (message("?", url_of(b"<svg/>", "image/svg+xml")), 400, "unsupported_image_media_type"),
            "broken base64": (message("?", url_of(good)[:-3] + "%%%"), 400, "invalid_base64_image"),
            "nothing": (message("?", "data:image/png;base64,"), 400, "image_parse_error"),
            "truncated": (message("?", url_of(good[: len(good) // 2])), 400, "image_parse_error"),
            "another format": (message("?", url_of(b"%PDF-1.7 " * 50)), 400, "image_parse_error"),
            "a bomb": (message("?", url_of(a_bomb())), 413, "image_too_large"),
            "two pictures": (message("?", url_of(good), url_of(good)), 400, "too_many_images"),
            "of the assistant": ({**message("?", url_of(good)), "role": "assistant"}, 400, None),
        }
        for case, (asked, status, code) in cases.items():
            reply = http.post("/v1/chat/completions", json={"messages": [asked], "max_tokens": 4})
            found = (reply.status_code, reply.json()["error"]["code"], reply.json()["error"]["param"])
            assert found == (status, code, "messages"), (case, reply.text)
            assert "Traceback" not in reply.text
        listening.setblocking(False)
        with pytest.raises(BlockingIOError):
            listening.accept()
    low = message("?", url_of(good))
    low["content"][0]["image_url"]["detail"] = "low"
    assert http.post("/v1/chat/completions", json={"messages": [low]}).status_code == 400
    large = http.post("/v1/chat/completions", json={"messages": [message("?", url_of(b"0" * (8 << 20)))]})
    assert large.status_code == 413
    with pytest.raises(RefusedPicture, match="reads no pictures"):
        read_picture(None, [url_of(good)])
    assert chatted(http, message(QUESTIONS[0], url_of(good)))["choices"][0]["finish_reason"]


def test_another_site_gets_no_reply(http: httpx.Client) -> None:
    port = http.base_url.port
    asked = {"messages": [message("Hello")], "max_tokens": 2}

    def status(**headers: str) -> int:
        return http.post("/v1/chat/completions", json=asked, headers=headers).status_code

    assert status(origin="https://example.org") == 403
    assert status(origin=f"http://rebound.example:{port}", host=f"rebound.example:{port}") == 403
    for host in (f"127.0.0.1:{port}", f"localhost:{port}"):
        assert status(origin=f"http://{host}", host=host) == 200


def test_crops_and_pictures_that_are_seen_both_ways_are_read_as_in_training(run: Path) -> None:
    # Crops beside the global view, keys shared by two queries, and attention in both directions over the picture.
    beginning = opening.opened(run)
    small = beginning.shape
    shape = replace(
        small,
        decoder=replace(small.decoder, heads=4, key_value_heads=2, sequence_length=512, init_std=0.3),
        crops=replace(small.crops, mode="overlap", margins=(2, 2), most_crops=4),
        both_ways=True,
    )
    model = VisionLanguageModel(shape).initialise(5).eval()
    examples = Examples(shape, beginning.tokenizer, beginning.end, 512)
    wide = io.BytesIO()
    Image.open(io.BytesIO(drawn(2)[0])).resize((90, 50)).save(wide, "PNG")
    asked = [Asked(picture, question) for picture in (wide.getvalue(), drawn(4)[0]) for question in QUESTIONS[:2]]
    expected = replies(model, examples, asked, most=20)
    assert len(set(expected)) > 1
    eyes = Eyes(model, examples)
    served = opened(ServeConfig(model=str(run)))
    # Parts of 16 tokens are shorter than a picture, which is read in one step all the same.
    steps = Steps(model.decoder, Cache(model.decoder, 4000, 512))
    engine = Engine(steps, served.tokenizer, most_rows=3, queue=9, part=16)
    assert served.template is not None
    requests = []
    for each in asked:
        assert each.picture is not None
        picture = eyes.picture(each.picture)
        text = served.template.render([{"role": "user", "content": each.question}])
        prompt = (*picture.tokens, *served.tokenizer.encode(text, special=False))
        requests.append(
            Request(prompt=prompt, most=20, sampling=Sampling(temperature=0), ends=served.ends, picture=picture)
        )
    assert max(len(each.picture.tokens) for each in requests if each.picture) > 50
    texts, waiting = ["" for _ in asked], list(range(len(asked)))

    def take(number: int, piece: Piece) -> None:
        texts[number] += piece.text
        if piece.finish:
            waiting.remove(number)

    engine.submit(requests, take)
    engine.close()
    engine.start()
    assert engine.join(120) and not waiting
    assert [text.strip() for text in texts] == expected


@dataclass
class Browser:
    """A page that is open, and what it asked of whom."""

    page: Page
    asked: list[str]
    errors: list[str]


@pytest.fixture(scope="module")
def browser() -> Generator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium here: install Debian's package chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        context = started.new_context(has_touch=True, viewport={"width": 1000, "height": 760})
        found = Browser(context.new_page(), [], [])
        found.page.set_default_timeout(PATIENCE_MS)
        found.page.on("request", lambda request: found.asked.append(request.url))
        found.page.on("pageerror", lambda error: found.errors.append(str(error)))
        yield found
        started.close()


def reply_of(page: Page) -> str:
    """The words of the last reply, once it is whole."""
    page.locator("#log .assistant:last-child:not([aria-busy])").wait_for()
    page.locator("#stop").wait_for(state="hidden")
    return page.locator("#log .assistant:last-child .words").inner_text()


def faults(page: Page) -> list[str]:
    """What axe finds."""
    found = Axe().run(page, options={"resultTypes": ["violations"], "preload": False}).response["violations"]
    return [f"{each['id']}: {each['nodes'][0]['html']}" for each in found]


def test_a_person_shows_a_picture_and_sees_the_points(
    run: Path, server: Server, http: httpx.Client, browser: Browser, tmp_path: Path
) -> None:
    page = browser.page
    picture = next(data for data, points in map(drawn, range(24)) if len(points.get("red", ())) > 1)
    (tmp_path / "squares.png").write_bytes(picture)
    page.goto(f"{server.url}/")
    page.locator("#name", has_text="pointer").wait_for()
    assert faults(page) == []
    # By button, with the question that the page knows; sent by the keyboard.
    with page.expect_file_chooser() as chooser:
        page.click("#attach")
    chooser.value.set_files(tmp_path / "squares.png")
    page.locator("#size", has_text="squares.png, 32 x 32 pixels").wait_for()
    page.get_by_role("button", name="Point…").click()
    page.keyboard.type("red squares")
    assert page.locator("#text").input_value() == QUESTIONS[0]
    page.keyboard.press("Enter")
    shown = reply_of(page)
    said = chatted(http, message(QUESTIONS[0], url_of(picture)), max_tokens=180)["choices"][0]["message"]["content"]
    points = read_points(said).points
    assert len(points) > 0 and "<" not in shown
    marks = page.locator("#log figure circle")
    drawn_at = [(mark.get_attribute("cx"), mark.get_attribute("cy")) for mark in marks.all()]
    assert [tuple(float(each.strip("%")) / 100 for each in at if each) for at in drawn_at] == [
        pytest.approx(point) for point in points
    ]
    # Where a mark is on the screen is where the point is on the picture.
    box, mark = page.locator("#log figure img").bounding_box(), marks.first.bounding_box()
    assert box and mark
    middle = mark["x"] + mark["width"] / 2 - box["x"], mark["y"] + mark["height"] / 2 - box["y"]
    assert (middle[0] / box["width"], middle[1] / box["height"]) == pytest.approx(points[0], abs=0.01)
    assert faults(page) == []
    page.emulate_media(color_scheme="dark")
    assert faults(page) == []
    page.emulate_media(color_scheme="light")
    # Text alone goes on with the conversation.
    page.fill("#text", "What is it?")
    page.tap("#send")
    reply_of(page)
    assert page.locator("#log .user").count() == 2
    # A pasted picture begins another conversation, because the model reads one.
    page.evaluate(
        """(written) => {
            const data = new DataTransfer(), bytes = Uint8Array.from(atob(written), (c) => c.charCodeAt(0));
            data.items.add(new File([bytes], "pasted.png", {type: "image/png"}));
            document.dispatchEvent(new ClipboardEvent("paste", {clipboardData: data, bubbles: true}));
        }""",
        base64.b64encode(picture).decode(),
    )
    page.locator("#size", has_text="pasted.png").wait_for()
    page.fill("#text", QUESTIONS[0])
    page.keyboard.press("Enter")
    assert reply_of(page) == shown
    page.locator("#log .begins").wait_for()
    # A vector picture is sent as pixels; a file that is not a picture is reported.
    drop = """([text, kind]) => {
        const data = new DataTransfer();
        data.items.add(new File([text], "dropped", {type: kind}));
        document.dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true}));
    }"""
    page.evaluate(drop, ["no picture", "image/png"])
    page.locator("#error", has_text="dropped is not a picture").wait_for()
    vector = '<svg xmlns="http://www.w3.org/2000/svg" width="80" height="60"><rect width="40" height="40"/></svg>'
    page.evaluate(drop, [vector, "image/svg+xml"])
    page.locator("#size", has_text="dropped, 80 x 60 pixels, sent as JPEG").wait_for()
    # A refusal is shown, and what was written is there to be sent again.
    page.locator("#settings summary").click()
    page.fill("#most", "100000")
    page.fill("#text", "Hello")
    page.keyboard.press("Enter")
    page.locator("#error", has_text="reads and writes 256 together").wait_for()
    assert page.locator("#text").input_value() == "Hello" and page.locator("#attached").is_visible()
    page.click("#new")
    assert page.locator("#log li").count() == 0
    # A small screen has no bar to the side.
    page.set_viewport_size({"width": 360, "height": 640})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert browser.errors == []
    assert {re.split("[/?]", url)[2] for url in browser.asked if not url.startswith(("data:", "blob:"))} == {
        server.url.removeprefix("http://")
    }


def test_the_page_reads_points_as_the_scorer_does(server: Server, browser: Browser) -> None:
    browser.page.goto(f"{server.url}/")
    draw, places = torch.Generator().manual_seed(0), []
    for count in [0, 1, 2, 3, 12] * 20:
        places.append([(x, y) for x, y in torch.rand(count, 2, generator=draw).tolist()])
    cases: list[tuple[str, Any]] = [
        (format_points(points, 'a "b" & <c>', dialect, counting=number % 2 == 1), dialect)
        for number, points in enumerate(places)
        for dialect in ("molmo1", "molmo2", "molmo2-tab")
    ]
    cases += [
        ('<points x1="10.0" y1="20.0" x2="30.0" alt="a">a</points>', "molmo1"),
        ('<point x="110.0" y="20.0" alt="a">a</point> and <point x=" 5 " y="7.25" alt="b">b</point>', "molmo1"),
        ('<points coords="1 1 005 5 2 1001 100 3 1000 999">a</points>', "molmo2"),
        ("I see 3 < 4 things.", "molmo1"),
    ]
    found = browser.page.evaluate(
        """async (texts) => {
            const {piecesOf} = await import("/points.js");
            return texts.map((text) => piecesOf(text));
        }""",
        [text for text, _ in cases],
    )
    for (text, dialect), pieces in zip(cases, found, strict=True):
        read = [tuple(point) for piece in pieces for point in piece.get("points", ())]
        assert read == [pytest.approx(point) for point in read_points(text, dialect).points], text
    assert found[6][0]["label"] == 'a "b" & <c>'
    # While a reply is written, a tag that is not closed shows no letter of itself.
    whole = 'There: <points x1="10.0" y1="20.0" x2="30.0" y2="40.0" alt="a">a</points>.'
    growing = browser.page.evaluate(
        """async (text) => {
            const {piecesOf} = await import("/points.js");
            return [...text].map((_, size) => piecesOf(text.slice(0, size + 1), true));
        }""",
        whole,
    )
    assert all("<" not in piece.get("text", "") for pieces in growing for piece in pieces)
    counts = [sum(len(piece.get("points", ())) for piece in pieces) for pieces in growing]
    assert counts == sorted(counts) and counts[-1] == 2 and 1 in counts


@contextmanager
def in_thread(model: Path, key: str) -> Generator[str]:
    """A server of a model in this process; yields its address."""
    served = open_served(str(model))
    engine = engine_of(served, ServeConfig(model="", cache_gib=0.1), torch.device("cpu"))
    engine.start()
    config = uvicorn.Config(application(served, engine, "made", Limits(key=key)), log_config=None)
    server, listening = uvicorn.Server(config), socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join()
    engine.close()


def test_a_model_of_text_chats_and_one_without_a_template_goes_on(tmp_path: Path, browser: Browser) -> None:
    page = browser.page
    model = a_checkpoint(tmp_path / "plain", LLAMA, chat=False)
    with in_thread(model, "secret") as url:
        page.goto(f"{url}/")
        page.locator("#error", has_text="asks for a key").wait_for()
        page.fill("#key", "secret")
        page.keyboard.press("Tab")
        page.locator("#empty", has_text="has no chat template").wait_for()
        assert page.locator("#attach").is_hidden()
        page.fill("#temperature", "0")
        page.fill("#most", "12")
        page.fill("#text", "rain falls")
        page.keyboard.press("Enter")
        shown = reply_of(page)
        asked = {"prompt": "rain falls", "temperature": 0, "max_tokens": 12}
        key = {"authorization": "Bearer secret"}
        expected = httpx.post(f"{url}/v1/completions", json=asked, headers=key, timeout=60).json()
        assert shown.strip() == expected["choices"][0]["text"].strip()
        # The page alone needs no key, and holds nothing of the model.
        bare = httpx.get(f"{url}/")
        assert bare.status_code == 200 and "plain" not in bare.text
        assert "default-src 'none'" in bare.headers["content-security-policy"]
