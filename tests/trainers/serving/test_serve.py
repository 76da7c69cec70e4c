"""The server as a process, asked over HTTP by httpx and by OpenAI's client."""

from __future__ import annotations

import concurrent.futures
import json
import signal
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import torch
from made_models import END, LLAMA, OLMO, ROOT, Server, a_checkpoint, serving
from tokenizers import Tokenizer

from trainers.core.loading import load_decoder

if TYPE_CHECKING:
    import openai

JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_checkpoint(tmp_path_factory.mktemp("served") / "tiny", LLAMA)


@pytest.fixture(scope="module")
def server(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    with serving(model, tmp_path_factory.mktemp("server"), "--max-body-mib", "1") as running:
        yield running


@pytest.fixture
def http(server: Server) -> Generator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


@pytest.fixture
def client(server: Server) -> openai.OpenAI:
    import openai

    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0)


def greedy(model: Path, prompt: list[int], most: int) -> list[int]:
    """What the decoder itself writes, reading all again for every token."""
    decoder, tokens = load_decoder(model), list(prompt)
    with torch.inference_mode():
        for _ in range(most):
            tokens.append(int(decoder(torch.tensor([tokens]))[0, -1].argmax()))
            if tokens[-1] == 0:
                break
    return tokens[len(prompt) :]


def completed(http: httpx.Client, **request: Any) -> dict[str, Any]:
    reply = http.post("/v1/completions", json=request)
    assert reply.status_code == 200, reply.text
    return reply.json()


def test_token_ids_go_in_and_come_out_as_the_model_itself_writes_them(model: Path, http: httpx.Client) -> None:
    prompts = [[5, 17, 33], [200], list(range(2, 150))]
    asked = {"max_tokens": 40, "temperature": 0, "return_token_ids": True}
    reply = completed(http, prompt=prompts, **asked)
    for prompt, choice in zip(prompts, reply["choices"], strict=True):
        assert choice["prompt_token_ids"] == prompt
        assert choice["token_ids"] == greedy(model, prompt, 40)
    written = sum(len(choice["token_ids"]) for choice in reply["choices"])
    assert reply["usage"].pop("prompt_tokens_details").keys() == {"cached_tokens"}
    assert reply["usage"] == {
        "prompt_tokens": 152,
        "completion_tokens": written,
        "total_tokens": 152 + written,
    }


def test_log_probabilities_are_those_of_the_decoder(model: Path, http: httpx.Client) -> None:
    prompt = list(range(2, 60))
    found = completed(
        http, prompt=prompt, max_tokens=5, logprobs=3, echo=True, seed=4, return_token_ids=True, temperature=1.5
    )["choices"][0]
    tokens = [*prompt, *found["token_ids"]]
    with torch.inference_mode():
        logprob_TV = load_decoder(model)(torch.tensor([tokens]))[0].log_softmax(-1)
    expected = logprob_TV[:-1].gather(1, torch.tensor(tokens[1:])[:, None])[:, 0].tolist()
    first, *rest = found["logprobs"]["token_logprobs"]
    assert first is None and rest == pytest.approx(expected, abs=1e-4)
    tops = [sorted(top.values(), reverse=True) for top in found["logprobs"]["top_logprobs"][1:]]
    assert tops == [pytest.approx(row.topk(3).values.tolist(), abs=1e-4) for row in logprob_TV[:-1]]


def test_a_chat_is_what_the_template_makes_of_it(model: Path, client: openai.OpenAI, http: httpx.Client) -> None:
    reply = client.chat.completions.create(
        model="tiny",
        messages=[{"role": "user", "content": "rain?"}],
        max_tokens=12,
        temperature=0,
        logprobs=True,
        top_logprobs=2,
        extra_body={"return_token_ids": True},
    )
    text = f"<|start|>user\nrain?{END}\n<|start|>assistant\n"
    prompt = Tokenizer.from_file(str(model / "tokenizer.json")).encode(text).ids
    assert prompt[0] == 1 and 0 in prompt
    raw: dict[str, Any] = reply.model_dump()
    assert raw["prompt_token_ids"] == prompt
    assert raw["choices"][0]["token_ids"] == greedy(model, prompt, 12)
    content = raw["choices"][0]["logprobs"]["content"]
    assert [entry["token_id"] for entry in content] == raw["choices"][0]["token_ids"]
    assert all(entry["top_logprobs"][0]["logprob"] == entry["logprob"] for entry in content)
    tokenized = http.post("/tokenize", json={"messages": [{"role": "user", "content": "rain?"}]}).json()
    assert tokenized["tokens"] == prompt
    assert http.post("/detokenize", json={"tokens": [288, 222]}).json()["prompt"]


def test_a_stream_says_the_same_as_a_whole_reply(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "tiny", "prompt": "雨 rain falls", "max_tokens": 60, "seed": 11, "n": 3}
    whole = client.completions.create(**asked, logprobs=1, extra_body={"return_token_ids": True})
    texts, tokens, reasons = ["", "", ""], [[], [], []], [None, None, None]
    chunks = client.completions.create(
        **asked, stream=True, stream_options={"include_usage": True}, extra_body={"return_token_ids": True}
    )
    usage = None
    for chunk in chunks:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            texts[choice.index] += choice.text
            tokens[choice.index] += choice.model_dump()["token_ids"]
            reasons[choice.index] = choice.finish_reason or reasons[choice.index]
    assert texts == [choice.text for choice in whole.choices] and len(set(texts)) == 3
    assert tokens == [choice.model_dump()["token_ids"] for choice in whole.choices]
    assert reasons == [choice.finish_reason for choice in whole.choices]
    assert usage is not None and whole.usage is not None
    assert usage.total_tokens == whole.usage.total_tokens
    assert (usage.prompt_tokens, usage.completion_tokens) == (whole.usage.prompt_tokens, whole.usage.completion_tokens)


def test_a_seeded_request_is_the_same_alone_and_among_others(http: httpx.Client) -> None:
    def asked(seed: int) -> dict[str, Any]:
        return {"prompt": [3 + seed] * (1 + 7 * seed), "max_tokens": 30, "seed": seed, "top_p": 0.9, "ignore_eos": True}

    alone = [completed(http, **asked(seed))["choices"][0]["text"] for seed in range(12)]
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        together = list(pool.map(lambda seed: completed(http, **asked(seed))["choices"][0]["text"], range(12)))
    assert together == alone and len(set(alone)) == 12


def test_a_stop_string_ends_the_text_before_it(http: httpx.Client) -> None:
    asked = {"prompt": "rain falls", "max_tokens": 100, "seed": 3, "ignore_eos": True, "return_token_ids": True}
    free = completed(http, **asked)["choices"][0]
    text = free["text"]
    at = next(place for place in range(20, len(text) - 2) if text.find(text[place : place + 2]) == place)
    stop = text[at : at + 2]
    found = completed(http, **asked, stop=["never written", stop])["choices"][0]
    assert found["text"] == text[:at] and found["finish_reason"] == "stop"
    assert found["token_ids"] == free["token_ids"][: len(found["token_ids"])]
    assert len(found["token_ids"]) < len(free["token_ids"])
    end = free["token_ids"][30]
    found = completed(http, **asked, stop_token_ids=[end])["choices"][0]
    assert found["token_ids"] == free["token_ids"][: free["token_ids"].index(end) + 1]
    assert found["finish_reason"] == "stop" and free["finish_reason"] == "length"


REFUSED: dict[str, tuple[dict[str, Any], int, str]] = {
    "no prompt": ({}, 400, "prompt: Field required"),
    "another model": ({"prompt": "x", "model": "gpt-4"}, 404, "'gpt-4' is not served here"),
    "too long": ({"prompt": "x" * 400, "max_tokens": 5}, 400, "reads and writes 256 together"),
    "too many tokens asked for": ({"prompt": "x", "max_tokens": 256}, 400, "reads and writes 256 together"),
    "no token": ({"prompt": []}, 400, "give 1 to 256 prompts"),
    "an empty text": ({"prompt": ""}, 400, "holds no token"),
    "a token that is not there": ({"prompt": [300]}, 400, "300 is not a token id"),
    "a negative token": ({"prompt": [-1]}, 400, "-1 is not a token id"),
    "too hot": ({"prompt": "x", "temperature": 1e9}, 400, "temperature"),
    "cold": ({"prompt": "x", "temperature": -0.1}, 400, "temperature"),
    "a number as text": ({"prompt": "x", "max_tokens": "5"}, 400, "max_tokens"),
    "an unknown field": ({"prompt": "x", "best_of": 4}, 400, "unknown field: best_of"),
    "a schema": ({"prompt": "x", "response_format": {"type": "json_object"}}, 400, "response_format"),
    "an empty stop": ({"prompt": "x", "stop": ""}, 400, "stop"),
    "many choices": ({"prompt": "x", "n": 1000}, 400, "n: "),
    "a bias of no token": ({"prompt": "x", "logit_bias": {"x": 1}}, 400, "'x' is not a token id"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_request_is_refused_with_its_cause(http: httpx.Client, case: str) -> None:
    request, status, cause = REFUSED[case]
    reply = http.post("/v1/completions", json=request)
    error = reply.json()["error"]
    assert reply.status_code == status and cause in error["message"], reply.text
    assert error["type"] == "invalid_request_error"


def test_broken_bodies_are_refused(http: httpx.Client) -> None:
    def refused(body: bytes, **headers: str) -> tuple[int, str]:
        reply = http.post("/v1/chat/completions", content=body, headers=JSON | headers)
        return reply.status_code, reply.json()["error"]["message"]

    assert refused(b'{"messages": [') == (400, refused(b'{"messages": [')[1])
    assert "not JSON" in refused(b'{"messages": [')[1]
    assert "not JSON" in refused(b"[" * 100_000)[1]
    assert "not JSON" in refused(b'{"messages": "\\ud800"}')[1]
    assert "not a JSON object" in refused(b"[]")[1]
    assert refused(b'{"messages": [{"role": "tool", "content": "x"}]}') == (
        400,
        "the chat template refuses these messages: no role tool",
    )
    assert refused(b" " * 2_000_000)[0] == 413
    chunks = (b" " * 100_000 for _ in range(100))
    assert http.post("/v1/completions", content=chunks, headers=JSON).status_code == 413
    assert http.post("/v1/completions", content=b"{}").status_code == 415
    assert http.get("/v1/completions").status_code == 405
    assert http.get("/nothing").json()["error"]["type"] == "invalid_request_error"
    assert http.get("/health").json()["status"] == "ok"


def test_who_leaves_is_not_answered_on(http: httpx.Client, server: Server) -> None:
    asked = {"prompt": "x", "max_tokens": 250, "ignore_eos": True, "n": 8, "stream": True}
    for _ in range(3):
        with http.stream("POST", "/v1/completions", json=asked) as reply:
            next(reply.iter_lines())
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{server.url}/v1/completions", json=asked | {"stream": False, "n": 32}, timeout=0.05)
    # The next request waits for nobody: were the others still written, it would be the 57th.
    before = http.get("/health").json()["tokens_written"]
    completed(http, prompt="x", max_tokens=100, ignore_eos=True)
    while http.get("/health").json()["running"]:
        pass
    assert http.get("/health").json()["tokens_written"] - before < 32 * 250


def test_a_full_queue_is_said_and_the_rest_is_answered(model: Path, tmp_path: Path) -> None:
    with serving(model, tmp_path, "--rows", "1", "--queue", "2", WATERSHED_SERVE_KEY="secret") as running:
        asked = {"prompt": "x", "max_tokens": 200, "ignore_eos": True}
        key = {"authorization": "Bearer secret"}

        def status(_: int) -> int:
            return httpx.post(f"{running.url}/v1/completions", json=asked, headers=key, timeout=60).status_code

        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            found = list(pool.map(status, range(12)))
        assert set(found) == {200, 429} and found.count(200) >= 3
        assert httpx.post(f"{running.url}/v1/completions", json=asked).status_code == 401
        assert httpx.get(f"{running.url}/v1/models", headers={"authorization": "Bearer x"}).status_code == 401
        assert httpx.get(f"{running.url}/health").status_code == 200


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_lets_running_requests_finish(model: Path, tmp_path: Path, number: int, code: int) -> None:
    with serving(model, tmp_path) as running:
        asked = {"prompt": "x", "max_tokens": 250, "ignore_eos": True, "stream": True}
        with httpx.stream("POST", f"{running.url}/v1/completions", json=asked, timeout=60) as reply:
            lines = reply.iter_lines()
            next(lines)
            running.process.send_signal(number)
            events = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
        assert events[-1]["choices"][0]["finish_reason"] == "length"
        assert running.process.wait(30) == code
        assert running.process.stdout is not None
        assert "interrupted by" in running.process.stdout.read()


def test_the_command_serves_and_refuses_in_two_lines(tmp_path: Path) -> None:
    def watershed(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "dagster_project", "serve", *arguments]
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    refused = watershed(str(tmp_path / "nothing"), "--port", "0")
    _, error = refused.communicate(timeout=120)
    assert refused.returncode == 2 and error.startswith("error:") and len(error.splitlines()) == 2
    model = a_checkpoint(tmp_path / "olmo", OLMO, chat=False)
    running = watershed(str(model), "--port", "0", "--name", "rain")
    assert running.stdout is not None and running.stderr is not None
    try:
        line = running.stdout.readline()
        assert line.startswith("rain answers at http://127.0.0.1:"), line
        url = line.split()[3]
        reply = httpx.post(f"{url}/chat/completions", json={"messages": [{"role": "user", "content": "x"}]})
        assert reply.status_code == 400 and "has no chat template" in reply.text
        running.terminate()
        assert running.wait(30) == 143
    finally:
        running.kill()
        running.communicate()
