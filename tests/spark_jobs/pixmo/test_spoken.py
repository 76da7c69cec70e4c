"""Captions from speech: transcripts of a server, merged by vote and by a language model, and their word errors."""

from __future__ import annotations

import itertools
import json
import random
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from picture_server import picture

from catalog.errors import WatershedError
from catalog.settings import EndpointSettings
from spark_jobs.language_models.endpoint import Endpoint
from spark_jobs.pictures.store import PictureStore
from spark_jobs.pixmo.merging import merge_by_agreement, merge_prompt, plain_words, word_errors
from spark_jobs.pixmo.recognise import by_server
from spark_jobs.pixmo.spoken import read_spoken, spoken_rows

WORDS = "a red bicycle leans on the old brick wall beside two green doors while people walk past it slowly".split()


def misheard(words: list[str], draw: random.Random, rate: float = 0.2) -> list[str]:
    """Words with substitutions, deletions and insertions."""
    found = []
    for word in words:
        kind = draw.choice("sdi") if draw.random() < rate else ""
        found += {"s": [draw.choice(["rent", "masked", "lean"])], "d": [], "i": [word, "uh"]}.get(kind, [word])
    return found


def slow_errors(reference: tuple[str, ...], words: tuple[str, ...]) -> int:
    """The fewest errors, by trying every way."""
    if not reference or not words:
        return len(reference) + len(words)
    rest = slow_errors(reference[1:], words[1:]) + (reference[0] != words[0])
    return min(rest, slow_errors(reference[1:], words) + 1, slow_errors(reference, words[1:]) + 1)


def test_word_errors_equal_trying_every_way() -> None:
    for reference in itertools.product("ab", repeat=4):
        for words in [*itertools.product("abc", repeat=3), ()]:
            found = word_errors(" ".join(reference), " ".join(words))
            assert found.substitutions + found.deletions + found.insertions == slow_errors(reference, words)
            assert found.insertions - found.deletions == len(words) - len(reference)
    assert word_errors("The red bike.", "the Red, bike!").rate == 0.0
    assert plain_words("Isn't it -- well?") == ["isn't", "it", "well"]


def test_the_vote_of_three_transcripts_has_fewer_errors_than_the_mean_of_one() -> None:
    draw, single, merged = random.Random(5), [], []
    for _ in range(50):
        truth: list[str] = [draw.choice(WORDS) for _ in range(30)]
        transcripts = [" ".join(misheard(truth, draw)) for _ in range(3)]
        single += [word_errors(" ".join(truth), each).rate for each in transcripts]
        merged.append(word_errors(" ".join(truth), merge_by_agreement(transcripts)).rate)
    assert sum(merged) / 50 < 0.6 * sum(single) / 150


@pytest.mark.parametrize(
    ("transcripts", "merged"),
    [
        (["The rent bicycle leans.", "a red bicycle leans", "the red bicycle leads"], "The red bicycle leans."),
        (["one two three", "one three", "one two three"], "one two three"),
        (["one three", "one uh three", "one three"], "one three"),
        (["only one"], "only one"),
        (["", "  ", "said"], "said"),
        ([], ""),
        (["a b", "c d"], "a b"),
    ],
)
def test_each_place_takes_what_most_say(transcripts: list[str], merged: str) -> None:
    assert merge_by_agreement(transcripts) == merged


class _Whisper(BaseHTTPRequestHandler):
    """Answers with the text of the uploaded file."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = 200 if self.path == "/v1/audio/transcriptions" and b"tiny" in body else 404
        said = body.split(b"SAID:")[1].split(b";")[0].decode() if b"SAID:" in body else 7
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps({"text": said}).encode())

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture(scope="module")
def whisper() -> Generator[Endpoint]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Whisper) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/v1"
        yield Endpoint(name="whisper", url=url, model="tiny", revision="", settings=EndpointSettings(url=url))
        server.shutdown()


def test_recordings_become_a_row_with_its_transcripts(whisper: Endpoint, tmp_path: Path) -> None:
    said = ["a rent bike by a wall", "a red bike by a wall", "red bike by a ball"]
    for number, text in enumerate(said):
        (tmp_path / f"{number}.wav").write_bytes(f"RIFF SAID:{text};".encode())
    (tmp_path / "a.png").write_bytes(picture(1))
    rows = [{"image": "a.png", "recordings": ["0.wav", "1.wav", "2.wav"]}]
    rows += [{"image_url": "https://example.org/b.png", "recordings": ["1.wav"]}]
    (tmp_path / "spoken.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    store = PictureStore(tmp_path / "store")
    spoken = list(read_spoken(tmp_path / "spoken.jsonl"))
    first, second = spoken_rows(spoken, by_server(whisper), store)
    assert (first["caption"], first["transcripts"], first["maker"]) == (said[1], said, "transcript_merge")
    assert store.read(first["image_sha256"]) == (picture(1), "png") and first["image_url"] is None
    assert (second["image_url"], second["image_sha256"], second["caption"]) == (rows[1]["image_url"], None, said[1])
    asked: list[str] = []

    def model(transcripts: object) -> list[str]:
        asked.extend(merge_prompt(each) for each in transcripts)  # ty: ignore[not-iterable]
        return ["Merged.", "Also."]

    assert [row["caption"] for row in spoken_rows(spoken, by_server(whisper), store, model)] == ["Merged.", "Also."]
    assert "Transcript 3: red bike by a ball" in asked[0] and "majority" in asked[0]
    (tmp_path / "3.wav").write_bytes(b"RIFF")
    with pytest.raises(WatershedError, match="no transcript"):
        by_server(whisper)(tmp_path / "3.wav")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "not JSON"),
        ("[]", "no list"),
        ('{"image": "a.png", "recordings": []}', "no list"),
        ('{"recordings": ["0.wav"]}', "neither image nor image_url"),
        ('{"image_url": "u", "recordings": [7]}', "not a text"),
        ('{"image_url": "u", "recordings": ["none.wav"]}', "does not exist"),
    ],
)
def test_a_malformed_row_of_recordings_is_refused(line: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "0.wav").touch()
    (tmp_path / "rows.jsonl").write_text(line + "\n")
    with pytest.raises(WatershedError) as refused:
        list(read_spoken(tmp_path / "rows.jsonl"))
    assert why in refused.value.cause and "rows.jsonl:1" in refused.value.cause
