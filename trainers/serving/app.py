"""The HTTP server: OpenAI's protocol in front of an engine.

POST /v1/chat/completions   a reply to messages, by the model's chat template
POST /v1/completions        a continuation of text or of token ids
POST /tokenize              token ids of a text or of messages; POST /detokenize: the other way
GET  /v1/models             the model, its length and the digest of its weights
GET  /health                whether it answers, and how many requests run and wait
GET  /                      a page that chats with the model
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request as HttpRequest
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from trainers.serving import page
from trainers.serving.chat import RefusedMessages
from trainers.serving.engine import Closing, Engine, Full, Piece, Request, Ticket
from trainers.serving.page import is_of_another_site
from trainers.serving.pictures import Picture, RefusedPicture, read_picture
from trainers.serving.protocol import (
    MOST_PROMPTS,
    Asked,
    BadRequest,
    ChatRequest,
    CompletionRequest,
    DetokenizeRequest,
    Message,
    TokenizeRequest,
    parsed,
)
from trainers.serving.replies import Choice, Form
from trainers.serving.sampling import Sampling
from trainers.serving.served import Served

TEXT_BYTES = 64 * 1024
"""What a request with a picture is expected to have beside it."""
MOST_DECODED = 2
"""Pictures that are decoded at the same time."""
COMPLETION_TOKENS = 16
"""Tokens of a completion that does not say how many, as in OpenAI's protocol."""
TYPES = {429: "rate_limit_error", 401: "authentication_error", 500: "server_error", 503: "server_error"}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What the server takes."""

    body_bytes: int = 8 * 1024 * 1024
    key: str = ""
    """Secret that requests carry as a bearer token; "": none is asked for."""


class Answering:
    """The handlers of the routes."""

    def __init__(self, served: Served, engine: Engine, fingerprint: str, limits: Limits) -> None:
        self._served, self._engine, self._fingerprint, self._limits = served, engine, fingerprint, limits
        self._vocabulary = served.decoder.config.vocab_size
        # A decoded picture may have 100 MB, with copies of it on the way.
        self._decoding = asyncio.Semaphore(MOST_DECODED)

    # Routes

    async def models(self, http: HttpRequest) -> Response:
        """GET /v1/models: the one model that is served."""
        entry = {
            "id": self._served.name,
            "object": "model",
            "created": 0,
            "owned_by": "watershed",
            "max_model_len": self._engine.length,
            "sha256": self._served.digest,
            "chat": self._served.template is not None,
            "pictures": self._pictures,
        }
        return _json({"object": "list", "data": [entry]})

    @property
    def _pictures(self) -> dict[str, Any] | None:
        reader = self._served.pictures
        if reader is None:
            return None
        # Base64 has four characters for three bytes; what is left is for texts.
        room = max(0, self._limits.body_bytes - TEXT_BYTES) * 3 // 4
        return {
            "most": reader.most,
            "bytes": min(room, reader.most_bytes),
            "pixels": reader.most_pixels,
            "asks": dict(reader.asks),
        }

    async def health(self, http: HttpRequest) -> Response:
        """GET /health: what the engine is working on."""
        return _json({"status": "ok"} | self._engine.state())

    async def chat(self, http: HttpRequest) -> Response:
        """POST /v1/chat/completions: replies to messages.

        Raises:
            BadRequest: the request is malformed, or asks for what the model cannot give.
        """
        asked: ChatRequest = parsed(await self._body(http), ChatRequest)
        if asked.top_logprobs is not None and not asked.logprobs:
            raise BadRequest("top_logprobs needs logprobs: true", param="top_logprobs")
        tokens, picture = await self._of_messages(asked.messages, asked.add_generation_prompt)
        most = asked.max_completion_tokens if asked.max_completion_tokens is not None else asked.max_tokens
        if most == 0:
            raise BadRequest("max_tokens is 0", param="max_tokens")
        top = (asked.top_logprobs or 0) if asked.logprobs else None
        most = self._engine.length - len(tokens) if most is None else most
        requests = self._requests(asked, [tokens], most, top, picture=picture)
        return await self._answer(http, asked, requests, self._form(asked, chat=True, logprobs=top is not None))

    async def completions(self, http: HttpRequest) -> Response:
        """POST /v1/completions: continuations of texts or of token ids.

        Raises:
            BadRequest: the request is malformed, or asks for what the model cannot give.
        """
        asked: CompletionRequest = parsed(await self._body(http), CompletionRequest)
        if not 1 <= len(asked.prompts) <= MOST_PROMPTS:
            raise BadRequest(f"give 1 to {MOST_PROMPTS} prompts", param="prompt")
        prompts = await asyncio.to_thread(self._of_prompts, asked)
        most = COMPLETION_TOKENS if asked.max_tokens is None else asked.max_tokens
        if most == 0 and not asked.echo:
            raise BadRequest("max_tokens is 0 without echo", param="max_tokens")
        requests = self._requests(asked, prompts, most, asked.logprobs, score_prompt=asked.echo)
        form = self._form(asked, chat=False, logprobs=asked.logprobs is not None, echo=asked.echo)
        return await self._answer(http, asked, requests, form)

    async def tokenize(self, http: HttpRequest) -> Response:
        """POST /tokenize: the token ids of a text or of messages.

        Raises:
            BadRequest: the request is malformed, or names neither or both.
        """
        asked: TokenizeRequest = parsed(await self._body(http), TokenizeRequest)
        self._check_model(asked.model)
        if (asked.prompt is None) == (asked.messages is None):
            raise BadRequest("give either prompt or messages", param="prompt")
        if asked.messages is not None:
            tokens, _ = await self._of_messages(asked.messages, asked.add_generation_prompt)
        else:
            tokens = self._served.tokenizer.encode(asked.prompt or "", special=asked.add_special_tokens)
        return _json({"count": len(tokens), "max_model_len": self._engine.length, "tokens": tokens})

    async def detokenize(self, http: HttpRequest) -> Response:
        """POST /detokenize: the text of token ids.

        Raises:
            BadRequest: the request is malformed, or an id is not one of the vocabulary.
        """
        asked: DetokenizeRequest = parsed(await self._body(http), DetokenizeRequest)
        self._check_model(asked.model)
        self._check_tokens(asked.tokens, "tokens")
        return _json({"prompt": self._served.tokenizer.decode(asked.tokens)})

    # Requests

    async def _body(self, http: HttpRequest) -> bytes:
        """The body, read no further than the limit."""
        kind = http.headers.get("content-type", "").split(";")[0].strip().lower()
        if kind != "application/json":
            raise BadRequest("the content type is not application/json", status=415)
        limit, read = self._limits.body_bytes, bytearray()
        too_large = BadRequest(f"the body is larger than {limit:,} bytes", status=413)
        if int(http.headers.get("content-length") or 0) > limit:
            raise too_large
        async for part in http.stream():
            read += part
            if len(read) > limit:
                raise too_large
        return bytes(read)

    def _check_model(self, name: str) -> None:
        if name and name != self._served.name:
            raise BadRequest(
                f"the model {name[:100]!r} is not served here; {self._served.name!r} is",
                status=404,
                param="model",
                code="model_not_found",
            )

    def _check_tokens(self, tokens: Sequence[int], param: str) -> None:
        wrong = next((token for token in tokens if not 0 <= token < self._vocabulary), None)
        if wrong is not None:
            raise BadRequest(f"{param}: {wrong} is not a token id of 0 to {self._vocabulary - 1}", param=param)

    async def _of_messages(
        self, messages: Sequence[Message], add_generation_prompt: bool
    ) -> tuple[list[int], Picture | None]:
        """The tokens of a conversation, and the picture that they begin with."""
        tokens = await asyncio.to_thread(self._of_texts, messages, add_generation_prompt)
        urls = [url for message in messages for url in message.urls]
        reader, picture = self._served.pictures, None
        if urls:
            async with self._decoding:
                try:
                    picture = await asyncio.to_thread(read_picture, reader, urls)
                except RefusedPicture as error:
                    raise BadRequest(str(error), status=error.status, param="messages", code=error.code) from None
        opening = picture.tokens if picture else reader.opening if reader else ()
        return [*opening, *tokens], picture

    def _of_texts(self, messages: Sequence[Message], add_generation_prompt: bool) -> list[int]:
        if self._served.template is None:
            raise BadRequest(
                f"the model {self._served.name!r} has no chat template; use /v1/completions, or start the server with "
                "--chat-template FILE",
                param="messages",
            )
        plain = [message.plain() for message in messages]
        try:
            text = self._served.template.render(plain, add_generation_prompt=add_generation_prompt)
        except RefusedMessages as error:
            raise BadRequest(str(error)[:500], param="messages") from None
        # The template writes the beginning of a text itself.
        return self._served.tokenizer.encode(text, special=False)

    def _of_prompts(self, asked: CompletionRequest) -> list[list[int]]:
        found = []
        for prompt in asked.prompts:
            if isinstance(prompt, str):
                found.append(self._served.tokenizer.encode(prompt, special=asked.add_special_tokens))
            else:
                self._check_tokens(prompt, "prompt")
                found.append(list(prompt))
        return found

    def _requests(
        self,
        asked: Asked,
        prompts: Sequence[Sequence[int]],
        most: int,
        top: int | None,
        *,
        score_prompt: bool = False,
        picture: Picture | None = None,
    ) -> list[Request]:
        self._check_model(asked.model)
        self._check_tokens(asked.stop_token_ids, "stop_token_ids")
        bias, length = asked.biases(self._vocabulary), self._engine.length
        for prompt in prompts:
            if not prompt:
                raise BadRequest("the prompt holds no token", param="prompt")
            if len(prompt) + most > length or (most <= 0 and not score_prompt):
                raise BadRequest(
                    f"the prompt has {len(prompt):,} tokens and max_tokens is {max(most, 0):,}; the model reads and "
                    f"writes {length:,} together",
                    param="messages" if isinstance(asked, ChatRequest) else "prompt",
                    code="context_length_exceeded",
                )
        ends = frozenset(asked.stop_token_ids) | (frozenset() if asked.ignore_eos else self._served.ends)
        seed = asked.first_seed
        return [
            Request(
                prompt=tuple(prompt),
                most=most,
                sampling=Sampling(
                    temperature=asked.temperature,
                    top_p=asked.top_p,
                    top_k=asked.top_k,
                    seed=(seed + number) % 2**64,
                    bias=bias,
                    frequency_penalty=asked.frequency_penalty,
                    presence_penalty=asked.presence_penalty,
                ),
                ends=ends,
                stops=asked.stops,
                top=top,
                score_prompt=score_prompt and top is not None,
                picture=picture,
                lead=self._served.lead if isinstance(asked, ChatRequest) else "",
            )
            for prompt in prompts
            for number in range(asked.n)
        ]

    # Replies

    def _form(self, asked: Asked, *, chat: bool, logprobs: bool, echo: bool = False) -> Form:
        return Form(
            tokenizer=self._served.tokenizer,
            model=self._served.name,
            fingerprint=self._fingerprint,
            chat=chat,
            token_ids=asked.return_token_ids,
            logprobs=logprobs,
            echo=echo,
            choices=asked.n,
        )

    async def _answer(self, http: HttpRequest, asked: Asked, requests: list[Request], form: Form) -> Response:
        loop, pieces = asyncio.get_running_loop(), asyncio.Queue[tuple[int, Piece]]()

        def on_piece(number: int, piece: Piece) -> None:
            loop.call_soon_threadsafe(pieces.put_nowait, (number, piece))

        tickets = self._engine.submit(requests, on_piece)
        if asked.stream:
            usage = asked.stream_options is not None and asked.stream_options.include_usage
            events = self._events(tickets, pieces, requests, form, usage=usage)
            return StreamingResponse(events, media_type="text/event-stream", headers={"cache-control": "no-cache"})
        gone = asyncio.ensure_future(_disconnected(http))
        collected = asyncio.ensure_future(_collected(pieces, requests))
        try:
            await asyncio.wait((gone, collected), return_when=asyncio.FIRST_COMPLETED)
            if not collected.done():
                return Response(status_code=499)
            return _json(form.whole(collected.result()))
        finally:
            self._engine.cancel(tickets)
            gone.cancel()
            collected.cancel()

    async def _events(
        self,
        tickets: Sequence[Ticket],
        pieces: asyncio.Queue[tuple[int, Piece]],
        requests: Sequence[Request],
        form: Form,
        *,
        usage: bool,
    ) -> AsyncGenerator[bytes]:
        choices = [Choice(request.prompt) for request in requests]
        begun: set[int] = set()
        try:
            async for number, piece in _until_all_end(pieces, len(requests)):
                if piece.finish == "error":
                    yield _event(_error_body(piece.cause, 500))
                    return
                choices[number].add(piece)
                first = number not in begun
                if first or piece.text or piece.finish or form.token_ids or form.logprobs:
                    begun.add(number)
                    yield _event(form.chunk(number, piece, choices[number], first=first))
            if usage:
                yield _event(form.head(stream=True) | {"choices": [], "usage": form.usage(choices)})
            yield b"data: [DONE]\n\n"
        finally:
            # Also when the asker is gone: the generator is closed where it waits.
            self._engine.cancel(tickets)


async def _until_all_end(pieces: asyncio.Queue[tuple[int, Piece]], requests: int) -> AsyncIterator[tuple[int, Piece]]:
    while requests:
        number, piece = await pieces.get()
        requests -= piece.finish is not None
        yield number, piece


async def _collected(pieces: asyncio.Queue[tuple[int, Piece]], requests: Sequence[Request]) -> list[Choice]:
    choices = [Choice(request.prompt) for request in requests]
    async for number, piece in _until_all_end(pieces, len(requests)):
        if piece.finish == "error":
            raise BadRequest(piece.cause, status=500)
        choices[number].add(piece)
    return choices


async def _disconnected(http: HttpRequest) -> None:
    while (await http.receive())["type"] != "http.disconnect":
        pass


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(value), status, headers, media_type="application/json")


def _event(value: Any) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"


def _error_body(message: str, status: int, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    kind = TYPES.get(status, "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


Handler = Callable[[HttpRequest], Awaitable[Response]]


def _guarded(handler: Handler, key: str) -> Handler:
    """The handler, with what it refuses as an error of OpenAI's protocol."""

    async def guarded(http: HttpRequest) -> Response:
        # With a key there is no need: pages of other sites do not know it, and a proxy may have another name.
        if not key and is_of_another_site(http):
            return _json(_error_body("the request comes from a page of another site", 403), 403)
        given = http.headers.get("authorization", "").removeprefix("Bearer ")
        if key and not hmac.compare_digest(given.encode(), key.encode()):
            return _json(_error_body("the key is missing or wrong", 401), 401, {"www-authenticate": "Bearer"})
        try:
            return await handler(http)
        except BadRequest as error:
            return _json(_error_body(error.message, error.status, error.param, error.code), error.status)
        except Full:
            return _json(
                _error_body("the queue is full; try again later", 429, code="queue_full"), 429, {"retry-after": "1"}
            )
        except Closing:
            return _json(_error_body("the server is shutting down", 503), 503)

    return guarded


async def _http_error(http: HttpRequest, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _json(_error_body(str(error.detail), error.status_code), error.status_code, dict(error.headers or {}))


async def _failed(http: HttpRequest, error: Exception) -> Response:
    return _json(_error_body("the server failed; its log says why", 500), 500)


def application(served: Served, engine: Engine, fingerprint: str, limits: Limits) -> Starlette:
    """The server of a model."""
    answering = Answering(served, engine, fingerprint, limits)

    def route(method: str, path: str, handler: Handler, *, key: str = limits.key) -> Route:
        return Route(path, _guarded(handler, key), methods=[method])

    return Starlette(
        routes=[
            route("POST", "/v1/chat/completions", answering.chat),
            route("POST", "/v1/completions", answering.completions),
            route("POST", "/tokenize", answering.tokenize),
            route("POST", "/detokenize", answering.detokenize),
            route("GET", "/v1/models", answering.models),
            route("GET", "/health", answering.health, key=""),
            *page.routes(),
        ],
        exception_handlers={HTTPException: _http_error, Exception: _failed},
    )
