"""One HTTP exchange with a server: at most so many bytes, at most so long, and what became of it.

The `openai` package builds the request. Its own retries are off, because every attempt is a row, and its responses are
read as bytes, because its types believe what a server sends.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spark_jobs.language_models.attempt import ANSWERED, LOST, REFUSED, REJECTED
from spark_jobs.language_models.endpoint import Endpoint
from spark_jobs.language_models.keys import Scrubber, quiet_logs, read_key
from spark_jobs.language_models.replies import MalformedReply, Reply, bounded_json, error_message, read_reply
from spark_jobs.language_models.request import Request

if TYPE_CHECKING:
    import httpx2
    from openai import AsyncOpenAI

CONNECT_SECONDS = 10.0

LONGEST_MESSAGE = 500

TRANSIENT = {408: "timeout", 409: "conflict", 425: "too_early", 429: "rate_limited"}
"""Statuses that another attempt may change; those from 500 on are `server_error`."""

OVER_QUOTA = ("insufficient_quota", "billing_hard_limit_reached")
"""Codes of status 429 that no waiting mends."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of an exchange; the fields are those of `Attempt`."""

    outcome: str
    error: str | None = None
    message: str | None = None
    status: int | None = None
    reply: Reply | None = None
    latency: float | None = None
    pause: float | None = None
    """Seconds that the server asked to wait."""
    fatal: bool = False
    """Whether every other request would fail in the same way."""


class TooLong(Exception):
    """A response with more bytes than are read."""


class Encoded(Exception):
    """A response with a content coding, although none was accepted: its size says nothing."""


class Wire:
    """Connections to the server of an endpoint. Use it as an asynchronous context manager."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._key = read_key(endpoint.settings.key, endpoint.name)
        self.scrub = Scrubber([self._key])
        quiet_logs()
        self.openai: AsyncOpenAI

    async def __aenter__(self) -> Wire:
        import httpx2
        from openai import AsyncOpenAI

        many = self.endpoint.settings.concurrency
        limits = httpx2.Limits(max_connections=many, max_keepalive_connections=many)
        transport = _bounded(httpx2.AsyncHTTPTransport(limits=limits), self.endpoint.settings.reply_bytes)
        seconds = httpx2.Timeout(self.endpoint.settings.timeout, connect=CONNECT_SECONDS)
        # Proxies of the environment are not asked: a key is sent to the server that is named, and to no other.
        client = httpx2.AsyncClient(transport=transport, timeout=seconds, follow_redirects=False, trust_env=False)
        self.openai = AsyncOpenAI(
            base_url=self.endpoint.url,
            api_key=self._key or "none",
            organization="",
            project="",
            max_retries=0,
            timeout=seconds,
            default_headers={"Accept-Encoding": "identity"},
            http_client=client,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.openai.close()

    async def exchange(self, request: Request, identity: str, attempt: int) -> Outcome:
        """Send a request, and return what became of it. No failure of the server is raised."""
        began = time.perf_counter()
        body = request.body(self.endpoint.model, with_schema=self.endpoint.settings.json_schema)
        try:
            # Bytes may trickle in, each within the timeouts of the connection.
            async with asyncio.timeout(self.endpoint.settings.timeout):
                status, headers, content = await self._post(request, body, identity, attempt)
        except Exception as error:  # every kind of failure of a server is a row
            return self._failed(error, time.perf_counter() - began)
        return self._read(request, status, headers, content, time.perf_counter() - began)

    async def _post(
        self, request: Request, body: dict[str, Any], identity: str, attempt: int
    ) -> tuple[int, httpx2.Headers, bytes]:
        from openai import APIStatusError

        headers = {"Idempotency-Key": identity, "X-Attempt": str(attempt)}
        path = "/chat/completions" if request.is_chat else "/completions"
        try:
            import httpx2

            response = await self.openai.post(path, cast_to=httpx2.Response, body=body, options={"headers": headers})
        except APIStatusError as error:
            response = error.response
        return response.status_code, response.headers, response.content

    def _read(self, request: Request, status: int, headers: httpx2.Headers, body: bytes, latency: float) -> Outcome:
        if status == 200:
            try:
                reply = read_reply(body, chat=request.is_chat)
            except MalformedReply as error:
                return self._outcome(LOST, "malformed", str(error), status, latency)
            return Outcome(outcome=ANSWERED, status=status, reply=self.scrubbed(reply), latency=latency)
        try:
            value = bounded_json(body)
        except MalformedReply:
            value = None
        message = error_message(value)
        error = value.get("error") if isinstance(value, dict) else None
        code = error.get("code") if isinstance(error, dict) else None
        if status == 429 and code in OVER_QUOTA:
            return self._outcome(REFUSED, "over_quota", message, status, latency, fatal=True)
        if status in TRANSIENT or status >= 500:
            kind = TRANSIENT.get(status, "server_error")
            return self._outcome(REFUSED, kind, message, status, latency, pause=_retry_after(headers))
        fatal = status in (401, 402, 403, 404, 405) or status < 400
        kind = {401: "wrong_key", 402: "over_quota", 403: "forbidden", 404: "not_found"}.get(status, "bad_request")
        return self._outcome(REJECTED, kind, message, status, latency, fatal=fatal)

    def _failed(self, error: Exception, latency: float) -> Outcome:
        import httpx2

        chain = [error]
        while (cause := chain[-1].__cause__) is not None and len(chain) < 10:
            chain.append(cause)
        if any(isinstance(each, TooLong) for each in chain):
            return self._outcome(LOST, "too_long", str(chain[-1]), None, latency)
        if any(isinstance(each, Encoded) for each in chain):
            return self._outcome(LOST, "malformed", "a content coding that was not accepted", None, latency)
        if any(isinstance(each, (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)) for each in chain):
            return self._outcome(REFUSED, "unreachable", str(chain[-1]), None, latency)
        if any(isinstance(each, (TimeoutError, httpx2.TimeoutException)) for each in chain):
            return self._outcome(LOST, "timeout", "the reply took too long", None, latency)
        if any(isinstance(each, httpx2.TransportError) for each in chain):
            return self._outcome(LOST, "dropped", str(chain[-1]), None, latency)
        return self._outcome(LOST, "malformed", f"{type(chain[-1]).__name__}: {chain[-1]}", None, latency)

    def _outcome(
        self,
        outcome: str,
        error: str,
        message: str,
        status: int | None,
        latency: float,
        *,
        pause: float | None = None,
        fatal: bool = False,
    ) -> Outcome:
        return Outcome(
            outcome=outcome,
            error=error,
            message=self.scrub(message)[:LONGEST_MESSAGE] or None,
            status=status,
            latency=latency,
            pause=pause,
            fatal=fatal,
        )

    def scrubbed(self, reply: Reply) -> Reply:
        """Return a reply without keys."""
        return Reply(
            text=self.scrub(reply.text),
            finish_reason=self.scrub(reply.finish_reason) if reply.finish_reason else reply.finish_reason,
            details=self.scrub(reply.details) if reply.details else None,
            prompt_tokens=reply.prompt_tokens,
            reply_tokens=reply.reply_tokens,
        )


def _retry_after(headers: httpx2.Headers) -> float | None:
    try:
        seconds = float(headers.get("retry-after", ""))
    except ValueError:
        return None
    return seconds if 0 <= seconds < 1e6 else None


def _bounded(transport: httpx2.AsyncBaseTransport, most: int) -> httpx2.AsyncBaseTransport:
    """Return `transport` with responses that raise `TooLong` after `most` bytes."""
    import httpx2

    class Stream(httpx2.AsyncByteStream):
        def __init__(self, inner: Any) -> None:
            self._inner = inner

        async def __aiter__(self) -> Any:
            size = 0
            async for chunk in self._inner:
                size += len(chunk)
                if size > most:
                    raise TooLong(f"more than {most:,} bytes")
                yield chunk

        async def aclose(self) -> None:
            await self._inner.aclose()

    class Transport(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            response = await transport.handle_async_request(request)
            if response.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
                await response.aclose()
                raise Encoded
            response.stream = Stream(response.stream)
            return response

        async def aclose(self) -> None:
            await transport.aclose()

    return Transport()
