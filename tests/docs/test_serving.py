"""The examples of docs/serving.md, run against a server of a small model."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.trainers.serving.made_models import LLAMA, Server, a_checkpoint, serving

PAGE = Path(__file__).parents[2] / "docs" / "serving.md"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    folder = tmp_path_factory.mktemp("docs")
    model = a_checkpoint(folder / "tiny", LLAMA)
    with serving(model, folder, "--name", "smollm2-135m-instruct") as running:
        yield running


def block(kind: str, server: Server) -> str:
    """The page's example of a kind, with the server's address in it."""
    found = re.search(rf"^```{kind}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    assert found is not None and "http://127.0.0.1:8100" in found[1]
    return found[1].replace("http://127.0.0.1:8100", server.url)


def test_the_example_of_curl_gets_a_reply(server: Server) -> None:
    done = subprocess.run(["bash", "-c", block("bash", server)], capture_output=True, text=True, check=True)
    reply = json.loads(done.stdout)
    assert reply["object"] == "chat.completion" and reply["choices"][0]["message"]["role"] == "assistant"
    assert 1 <= reply["usage"]["completion_tokens"] <= 40


def test_the_example_of_openai_prints_a_reply_its_tokens_and_a_stream(server: Server) -> None:
    done = subprocess.run([sys.executable, "-c", block("python", server)], capture_output=True, text=True, check=True)
    tokens = re.search(r"^\[[\d, ]+\]$", done.stdout, re.M)
    assert tokens is not None
    assert 1 <= len(json.loads(tokens[0])) <= 40
