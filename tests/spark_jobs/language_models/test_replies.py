"""What a hostile server can send: every reply is a `Reply` or `MalformedReply`, within bounds."""

from __future__ import annotations

import json
import random
from contextlib import suppress

import pytest

from spark_jobs.language_models.replies import MalformedReply, Reply, depth, read_reply, sound_text


def chat(content: object, **more: object) -> bytes:
    return json.dumps({"choices": [{"message": {"content": content}, **more}]}).encode()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"7",
        b"\xff\xfe",
        b'{"choices": {}}',
        b'{"choices": [7]}',
        b'{"choices": [{"message": 7}]}',
        b'{"choices": [{"message": {"content": ["a"]}}]}',
        b'{"error": {"message": "no"}, "choices": [{"message": {"content": "a"}}]}',
        b"[" * 1_000_000,
        b'{"a":' * 100_000,
        b'{"choices": NaN}',
        b"1" * 10_000,
    ],
    ids=range(14),
)
def test_what_is_not_a_reply_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedReply):
        read_reply(body, chat=True)


def test_brackets_in_strings_are_not_depth() -> None:
    assert depth('{"a": "[[[[{{{{\\"[[["}') == 1
    assert read_reply(chat("[" * 1000), chat=True).text == "[" * 1000


def test_half_a_surrogate_pair_becomes_a_replacement_character() -> None:
    found = read_reply(b'{"choices": [{"message": {"content": "a\\ud800b\\ud83d\\ude00"}}]}', chat=True)
    assert found.text == "a\ufffdb\U0001f600"
    assert sound_text("plain") == "plain"


@pytest.mark.parametrize("count", [-1, 1.5, 1e300, float("inf"), True, "7", None, [1], 10**12])
def test_a_count_that_is_no_count_is_not_believed(count: object) -> None:
    body = json.dumps(
        {"choices": [{"message": {"content": "a"}}], "usage": {"prompt_tokens": count, "completion_tokens": 3}}
    ).replace("Infinity", "1e999")
    found = read_reply(body.encode(), chat=True)
    assert (found.prompt_tokens, found.reply_tokens) == (None, 3)


def test_no_mutation_of_a_reply_raises_anything_else() -> None:
    whole = chat("text", finish_reason="stop", logprobs={"content": [{"token": "text", "logprob": -0.5}]})
    draw = random.Random(7)
    for _ in range(3000):
        body = bytearray(whole)
        for _ in range(draw.randint(1, 4)):
            place = draw.randrange(len(body))
            body[place : place + draw.randint(0, 3)] = bytes(draw.choices(b'{}[]",:0\\u\xff e', k=draw.randint(0, 3)))
        with suppress(MalformedReply):
            assert isinstance(read_reply(bytes(body), chat=True), Reply)
