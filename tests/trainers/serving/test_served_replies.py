"""Text, choices and templates of replies, without a server."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from made_models import LLAMA, OLMO, TEMPLATE, a_tokenizer
from scipy.stats import chisquare

from trainers.models.config import DenseConfig
from trainers.models.decoder import decoder
from trainers.process.errors import TrainerError
from trainers.serving.chat import ChatTemplate, RefusedMessages
from trainers.serving.engine import Engine, Full, Piece, Request
from trainers.serving.sampling import Chooser, Sampling, choose, likelihoods
from trainers.serving.steps import Cache, Steps
from trainers.serving.tokenizers import TextTokenizer
from trainers.serving.written import Written


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> TextTokenizer:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    a_tokenizer(path)
    return TextTokenizer.from_file(path)


TEXT = "größer als Zürich 🌧🌧 rain\nfalls STOP and more"


@pytest.mark.parametrize(
    ("stops", "expected"),
    [
        ((), TEXT),
        (("STOP",), "größer als Zürich 🌧🌧 rain\nfalls "),
        (("STOPS", "and m"), "größer als Zürich 🌧🌧 rain\nfalls STOP "),
        (("🌧 r", "ü"), "größer als Z"),
        (("\n", "rain\nfalls"), "größer als Zürich 🌧🌧 rain"),
        (("more!",), TEXT),
    ],
)
def test_pieces_are_whole_characters_and_end_before_a_stop(
    tokenizer: TextTokenizer, stops: tuple[str, ...], expected: str
) -> None:
    written, pieces = Written(tokenizer, stops), []
    for token in tokenizer.encode(TEXT, special=False):
        pieces.append(written.add(token))
        # Nothing that was given out is ever taken back.
        assert expected.startswith("".join(pieces))
        if written.stopped:
            break
    pieces.append(written.end())
    assert "".join(pieces) == expected == written.text
    assert written.stopped == (expected != TEXT)


def test_bytes_of_tokens_make_the_text_again(tokenizer: TextTokenizer) -> None:
    tokens = tokenizer.encode(TEXT + "<|end|>", special=False)
    assert b"".join(map(tokenizer.token_bytes, tokens)).decode() == TEXT + "<|end|>"
    assert tokenizer.decode(tokens) == TEXT


def test_draws_have_the_probabilities_of_temperature_top_k_and_top_p() -> None:
    logits_V = torch.tensor([2.0, 1.0, 0.5, 0.0, -1.0, -3.0])

    def share(sampling: Sampling) -> np.ndarray:
        chooser, rows = Chooser(sampling), 2000
        found = [choose(logits_V.expand(50, -1), [chooser] * 50) for _ in range(rows // 50)]
        return np.bincount(np.ravel(found), minlength=6)

    hot = torch.softmax(logits_V / 0.7, -1).numpy()
    first_three = np.array([1, 1, 1, 0, 0, 0])
    cuts = [
        (Sampling(temperature=0.7, seed=1), np.ones(6)),
        (Sampling(temperature=0.7, seed=2, top_k=3), first_three),
        (Sampling(temperature=0.7, seed=3, top_p=0.9), first_three),
    ]
    # The two likeliest are less than .9 together, so that the third is kept too.
    assert hot[:2].sum() < 0.9 <= hot[:3].sum()
    for sampling, kept in cuts:
        counts, expected = share(sampling), hot * kept / (hot * kept).sum()
        assert counts[kept == 0].sum() == 0
        assert chisquare(counts[kept == 1], expected[kept == 1] * 2000).pvalue > 1e-3
    assert share(Sampling(temperature=0.7, top_p=1e-9, seed=4))[0] == 2000
    assert share(Sampling(temperature=0))[0] == 2000


def test_biases_and_penalties_change_the_choice_and_not_the_log_probability() -> None:
    logits_V = torch.tensor([2.0, 1.0, 0.5])
    banned = Chooser(Sampling(temperature=0, bias={0: -100.0}))
    assert choose(logits_V[None], [banned]) == [1]
    tired = Chooser(Sampling(temperature=0, frequency_penalty=0.6, presence_penalty=0.5))
    assert [choose(logits_V[None], [tired])[0] for _ in range(4)] == [0, 1, 0, 2]
    found = likelihoods(logits_V[None], [1], [2])[0]
    assert found.logprob == pytest.approx(float(logits_V.log_softmax(-1)[1]))
    assert [token for token, _ in found.top] == [0, 1]


def test_a_template_has_no_way_out() -> None:
    def render(text: str) -> str:
        return ChatTemplate(text, {"bos_token": "<s>"}, "made").render([{"role": "user", "content": "x"}])

    assert render("{{ bos_token }}{% for m in messages %}{{ m | tojson }}{% endfor %}") == (
        '<s>{"role": "user", "content": "x"}'
    )
    assert render("{% generation %}a{{ messages[0].content }}{% endgeneration %}") == "ax"
    for hostile in (
        "{{ ''.__class__.__mro__ }}",
        "{{ messages.append(1) }}",
        "{{ 'x' * 10**9 }}",
        "{{ ['x'] * 1000000000 }}",
        "{{ 10 ** 10 ** 10 }}",
        "{% for i in range(1000000000) %}x{% endfor %}",
        "{{ messages[7].content }}",
        "{% include '/etc/passwd' %}",
        "{{ cycler.__init__.__globals__ }}",
    ):
        with pytest.raises(RefusedMessages):
            render(hostile)
    with pytest.raises(TrainerError, match="the chat template is wrong"):
        ChatTemplate("{% for %}", {}, "made")
    with pytest.raises(RefusedMessages, match="no role tool"):
        ChatTemplate(TEMPLATE, {}, "made").render([{"role": "tool", "content": "x"}])


class Answers:
    """An engine over a small model, and what it answers."""

    def __init__(
        self, config: DenseConfig, tokenizer: TextTokenizer, *, budget: int, rows: int, queue: int = 64
    ) -> None:
        self.model = decoder(config).initialise(3)
        steps = Steps(self.model, Cache(self.model, budget, min(budget, 256)))
        self.cache = steps.cache
        self.engine = Engine(steps, tokenizer, most_rows=rows, queue=queue, part=16)
        self.reused: list[int] = []
        """Tokens of the prompts of the last run that were copied."""

    def run(self, requests: list[Request]) -> list[list[int]]:
        """The tokens of each reply."""
        found: list[list[int]] = [[] for _ in requests]
        self.reused = [0] * len(requests)
        left = threading.Semaphore(0)

        def on_piece(number: int, piece: Piece) -> None:
            found[number] += piece.tokens
            self.reused[number] += piece.reused
            if piece.finish:
                left.release()

        self.engine.submit(requests, on_piece)
        for _ in requests:
            assert left.acquire(timeout=60)
        return found

    def alone(self, request: Request) -> list[int]:
        """What the decoder writes by reading all again for every token."""
        tokens, chooser = list(request.prompt), Chooser(request.sampling)
        with torch.inference_mode():
            for _ in range(request.most):
                tokens += choose(self.model(torch.tensor([tokens]))[:, -1], [chooser])
        return tokens[len(request.prompt) :]


@pytest.mark.parametrize("config", [LLAMA, OLMO, replace(OLMO, separator=7)], ids=["llama", "olmo2", "documents"])
def test_requests_that_crowd_a_small_cache_get_what_they_would_get_alone(
    config: DenseConfig, tokenizer: TextTokenizer
) -> None:
    # 200 tokens of cache for twelve requests of up to 90: rows wait again and are read again.
    answers = Answers(config, tokenizer, budget=200, rows=6)
    requests = [
        Request(
            prompt=tuple((7 * number + place * place) % 299 + 1 for place in range(1 + 5 * number)),
            most=12 + 2 * number,
            sampling=Sampling(temperature=0.8 if number % 2 else 0, seed=number, bias={7: 4.0}),
        )
        for number in range(12)
    ]
    answers.engine.start()
    assert answers.run(requests) == [answers.alone(request) for request in requests]
    answers.engine.close()
    assert answers.engine.join(30)


@pytest.mark.parametrize("config", [LLAMA, replace(OLMO, separator=7)], ids=["llama", "documents"])
def test_what_a_prompt_has_in_common_with_another_text_is_not_read_again(
    config: DenseConfig, tokenizer: TextTokenizer
) -> None:
    answers = Answers(config, tokenizer, budget=1000, rows=4)
    answers.engine.start()

    def request(prompt: list[int], sampling: Sampling = Sampling(temperature=0)) -> Request:  # noqa: B008
        return Request(prompt=tuple(prompt), most=12, sampling=sampling)

    # A dialogue: each prompt goes on from the reply before it. The last token of a reply has not been read.
    prompt, known = [place * place % 299 + 1 for place in range(40)], 0
    for turn in range(3):
        asked = request(prompt)
        (reply,) = answers.run([asked])
        assert reply == answers.alone(asked)
        assert answers.reused == [known]
        known = len(prompt) + len(reply) - 1
        prompt = [*prompt, *reply, 7, *range(20 + turn, 30 + turn)]
    # Samples of one prompt: it is read once, for the first of them.
    samples = [request(list(range(50, 100)), Sampling(temperature=0.8, seed=seed)) for seed in range(3)]
    assert answers.run(samples) == [answers.alone(each) for each in samples]
    assert answers.reused == [0, 49, 49]
    assert 0 < answers.cache.kept.tokens <= 1000 - answers.cache.rows * answers.cache.tokens
    # A request that needs the memory gets it.
    crowd = [request([number + 1] * 120) for number in range(4)]
    assert answers.run(crowd) == [answers.alone(each) for each in crowd]
    assert answers.cache.kept.tokens <= max(0, 1000 - answers.cache.rows * answers.cache.tokens)
    answers.engine.close()
    assert answers.engine.join(30)


def test_a_queue_takes_all_of_a_request_or_nothing(tokenizer: TextTokenizer) -> None:
    answers = Answers(OLMO, tokenizer, budget=2000, rows=2, queue=4)
    request = Request(prompt=(3, 4), most=3, sampling=Sampling(temperature=0))
    answers.engine.submit([request] * 3, lambda number, piece: None)
    with pytest.raises(Full):
        answers.engine.submit([request] * 2, lambda number, piece: None)
    assert answers.engine.state()["waiting"] == 3


def test_a_model_whose_numbers_overflow_answers_with_an_error(tokenizer: TextTokenizer) -> None:
    answers = Answers(OLMO, tokenizer, budget=2000, rows=2)
    with torch.no_grad():
        answers.model.blocks[1].get_parameter("feed_forward.down.weight").fill_(torch.inf)
    found: list[Piece] = []
    done = threading.Event()

    def on_piece(_: int, piece: Piece) -> None:
        found.append(piece)
        done.set()

    answers.engine.start()
    answers.engine.submit([Request(prompt=(3, 4), most=3, sampling=Sampling())], on_piece)
    assert done.wait(60)
    assert found[-1].finish == "error" and "not finite" in found[-1].cause
