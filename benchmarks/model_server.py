"""A scripted server of the OpenAI protocol, with faults, for tests and campaigns. It counts what it charges.

    uv run python -m benchmarks.model_server --port-file PORT [--faults PLAN.json] [--seed 0] [--idempotent]

A reply is drawn from the digest of the request, so that it is the same in any order. Faults are drawn from the same
digest and the number of the attempt that the server has seen of it. A request is charged when its reply has been
computed, before any fault of the connection. With `--idempotent`, a repeated Idempotency-Key is answered with the first
reply, and not charged again. `GET /counts` returns the counts, `GET /charged` the charges by key.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import math
import threading
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import web

HOSTILE = {
    "malformed": b'{"choices": [{"message": {"content": "cut',
    "not_json": b"<html>Bad gateway</html>",
    "deep": b"[" * 100_000,
    "no_choices": b'{"choices": []}',
    "not_text": b'{"choices": [{"message": {"content": 7}}]}',
    "binary": b"\xff\xfe\x00\x01" * 10,
}
"""Bodies that are sent with status 200."""

FAULTS = (*HOSTILE, "empty", "truncated", "slow", "rate_limited", "server_error", "dropped", "dropped_midway", "long")
"""Kinds of faults. `empty` and `truncated` are whole replies: without text, and cut off by the limit of tokens."""

Answer = Callable[[dict[str, Any], str], str]
"""Returns the text of the reply to a body, whose digest is given."""


def plain_answer(body: Mapping[str, Any], digest: str) -> str:
    """Return a text that is drawn from the digest."""
    return f"reply {digest[:12]}"


@dataclass
class Script:
    """What the server does, and what it has counted."""

    faults: Mapping[str, float] = field(default_factory=dict)
    """The share of first attempts with each kind of fault, 0..1."""
    again: float = 0.3
    """The share of further attempts of a faulty request that fail in the same way, 0..1."""
    seed: int = 0
    idempotent: bool = False
    slow_seconds: float = 0.3
    key: str = ""
    """The key that is asked for; empty for none."""
    answer: Answer = plain_answer
    seen: Counter[str] = field(default_factory=Counter)
    """Attempts that arrived, by Idempotency-Key."""
    charged: Counter[str] = field(default_factory=Counter)
    """Charges, by Idempotency-Key."""
    made: Counter[str] = field(default_factory=Counter)
    """Faults made, by kind."""
    replies: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The last reply to each request, by Idempotency-Key."""
    tokens: int = 0
    """Tokens charged, of prompts and replies."""
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Batches, by id, as the protocol describes them."""
    files: dict[str, bytes] = field(default_factory=dict)
    batch_done: float = 1.0
    """The share of the requests of a batch that are answered before it expires, 0..1; all, if it is one."""
    refused_prompt: str = ""
    """Requests with this text in their prompt are answered with status 503; empty for none."""
    batch_refusal: str = ""
    """What a batch fails with before any of its requests is answered; empty if it does not fail."""
    batches_at_look: list[int] = field(default_factory=list)
    """The number of batches when the client looked at one of them."""
    hold_after: int | None = None
    """Requests that are answered; the replies to further ones are charged and held back until this changes."""
    held: int = 0
    """Replies that are held back."""
    flying: int = 0
    most_flying: int = 0
    attempts: list[tuple[str, str]] = field(default_factory=list)
    """(Idempotency-Key, X-Attempt) of the attempts, in order of arrival."""

    def fault_of(self, digest: str, attempt: int) -> str | None:
        """Return the fault of the attempt with that number, from 1."""
        draw = _share(digest, f"{self.seed} fault")
        for kind, share in self.faults.items():
            if draw < share:
                again = attempt == 1 or _share(digest, f"{self.seed} again {attempt}") < self.again
                return kind if again else None
            draw -= share
        return None


def _share(digest: str, salt: str) -> float:
    return int.from_bytes(hashlib.sha256(f"{digest} {salt}".encode()).digest()[:6]) / 2**48


def application(script: Script) -> web.Application:
    """Return the server's application."""

    async def completions(request: web.Request) -> web.StreamResponse:
        script.flying += 1
        script.most_flying = max(script.most_flying, script.flying)
        try:
            return await _completions(script, request)
        except ConnectionError:
            # The client has gone; nobody reads this.
            return web.Response(status=499)
        finally:
            script.flying -= 1

    async def counts(_: web.Request) -> web.Response:
        return web.json_response(counts_of(script))

    async def charged(_: web.Request) -> web.Response:
        return web.json_response(script.charged)

    async def health(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    app = web.Application(client_max_size=64_000_000)
    app.router.add_post("/v1/chat/completions", completions)
    app.router.add_post("/v1/completions", completions)
    app.router.add_post("/v1/files", partial(_upload, script))
    app.router.add_get("/v1/files/{id}/content", partial(_content, script))
    app.router.add_post("/v1/batches", partial(_create_batch, script))
    app.router.add_get("/v1/batches", partial(_list_batches, script))
    app.router.add_get("/v1/batches/{id}", partial(_retrieve_batch, script))
    app.router.add_get("/counts", counts)
    app.router.add_get("/charged", charged)
    app.router.add_get("/health", health)
    return app


def counts_of(script: Script) -> dict[str, Any]:
    """Return what the server has counted."""
    return {
        "seen": sum(script.seen.values()),
        "requests": len(script.seen),
        "charged": sum(script.charged.values()),
        "charged_requests": len(script.charged),
        "charged_twice": sum(count > 1 for count in script.charged.values()),
        "tokens": script.tokens,
        "faults": dict(script.made),
        "most_flying": script.most_flying,
    }


async def _completions(script: Script, request: web.Request) -> web.StreamResponse:
    if script.key and request.headers.get("Authorization") != f"Bearer {script.key}":
        message = f"Incorrect API key provided: {request.headers.get('Authorization')}"
        return _error(401, message, code="invalid_api_key")
    body = await request.json()
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    key = request.headers.get("Idempotency-Key", digest)
    script.seen[key] += 1
    script.attempts.append((key, request.headers.get("X-Attempt", "")))
    if script.refused_prompt and script.refused_prompt in json.dumps(body):
        return _error(503, "overloaded")
    fault = script.fault_of(digest, script.seen[key])
    if fault:
        script.made[fault] += 1
    if fault == "rate_limited":
        return _error(429, "slow down", headers={"Retry-After": "0.05"})
    if fault == "server_error":
        return _error(500, f"an error for {request.headers.get('Authorization')}")
    if fault == "dropped":
        _drop(request)
    first = script.replies.get(key) if script.idempotent else None
    reply = script.replies[key] = first or _reply(body, digest, script.answer, fault)
    if first is None:
        script.charged[key] += 1
        script.tokens += reply["usage"]["total_tokens"]
    await _held(script)
    return await _sent(script, request, reply, fault)


async def _held(script: Script) -> None:
    limit = script.hold_after
    if limit is not None and len(script.charged) > limit:
        script.held += 1
        while script.hold_after == limit:
            await asyncio.sleep(0.005)
        script.held -= 1


async def _sent(script: Script, request: web.Request, reply: dict[str, Any], fault: str | None) -> web.StreamResponse:
    data = json.dumps(reply).encode()
    if fault == "slow":
        await asyncio.sleep(script.slow_seconds)
    if fault in HOSTILE:
        return web.Response(body=HOSTILE[fault], content_type="application/json")
    if fault in ("long", "dropped_midway"):
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        for _ in range(1 if fault == "dropped_midway" else 80):
            await response.write(data[:20] if fault == "dropped_midway" else b" " * 100_000)
        _drop(request)
        return response
    return web.Response(body=data, content_type="application/json")


async def _upload(script: Script, request: web.Request) -> web.Response:
    form = await request.post()
    name = f"file-{len(script.files)}"
    script.files[name] = form["file"].file.read()  # ty: ignore[missing-union-attribute]
    return web.json_response({"id": name, "object": "file", "bytes": len(script.files[name]), "created_at": 0})


async def _content(script: Script, request: web.Request) -> web.Response:
    return web.Response(body=script.files[request.match_info["id"]])


async def _create_batch(script: Script, request: web.Request) -> web.Response:
    """Create a batch, answer its first requests, and let it expire with the others."""
    body = await request.json()
    name = f"batch-{len(script.batches)}"
    lines = [json.loads(line) for line in script.files[body["input_file_id"]].splitlines()]
    done = 0 if script.batch_refusal else math.ceil(len(lines) * script.batch_done)
    results = []
    for line in lines[:done]:
        digest = hashlib.sha256(json.dumps(line["body"], sort_keys=True).encode()).hexdigest()
        script.charged[line["custom_id"]] += 1
        reply = _reply(line["body"], digest, script.answer, None)
        results.append({"custom_id": line["custom_id"], "response": {"status_code": 200, "body": reply}})
    # In another order than they were sent, as providers do.
    output = f"file-{len(script.files)}"
    script.files[output] = "".join(json.dumps(result) + "\n" for result in results[::-1]).encode()
    batch = {"id": name, "object": "batch", "endpoint": body["endpoint"], "metadata": body.get("metadata")}
    batch |= {"input_file_id": body["input_file_id"], "completion_window": "24h", "created_at": 0}
    batch |= {"output_file_id": output, "status": "completed" if done == len(lines) else "expired"}
    if script.batch_refusal:
        fault = {"code": "token_limit_exceeded", "message": script.batch_refusal, "line": None, "param": None}
        batch |= {"status": "failed", "output_file_id": None, "errors": {"object": "list", "data": [fault]}}
    script.batches[name] = batch
    return web.json_response({**batch, "status": "validating", "output_file_id": None, "errors": None})


async def _list_batches(script: Script, _: web.Request) -> web.Response:
    script.batches_at_look.append(len(script.batches))
    return web.json_response({"object": "list", "data": list(script.batches.values())[::-1], "has_more": False})


async def _retrieve_batch(script: Script, request: web.Request) -> web.Response:
    return web.json_response(script.batches[request.match_info["id"]])


def _drop(request: web.Request) -> None:
    if request.transport:
        request.transport.abort()


def _error(status: int, message: str, code: str = "", headers: Mapping[str, str] | None = None) -> web.Response:
    return web.json_response({"error": {"message": message, "code": code}}, status=status, headers=headers)


def _reply(body: dict[str, Any], digest: str, answer: Answer, fault: str | None) -> dict[str, Any]:
    text = "" if fault == "empty" else answer(body, digest)
    prompt = json.dumps(body.get("messages", body.get("prompt")))
    counts = len(prompt.split()), len(text.split())
    reason = "length" if fault == "truncated" else "stop"
    choice: dict[str, Any] = {"index": 0, "finish_reason": reason}
    choice |= {"message": {"role": "assistant", "content": text}} if "messages" in body else {"text": text}
    usage = {"prompt_tokens": counts[0], "completion_tokens": counts[1], "total_tokens": sum(counts)}
    return {"id": digest, "object": "chat.completion", "model": body["model"], "choices": [choice], "usage": usage}


@contextmanager
def running(script: Script) -> Generator[str]:
    """Serve in a thread of this process for the block; yield the base URL of the protocol."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    runner, port = asyncio.run_coroutine_threadsafe(serve(script), loop).result()
    try:
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def serve(script: Script, port: int = 0) -> tuple[web.AppRunner, int]:
    """Start the server; return its runner, to be cleaned up, and its port."""
    runner = web.AppRunner(application(script), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port, backlog=1024)
    await site.start()
    return runner, runner.addresses[0][1]


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--port-file", type=Path, required=True)
    parser.add_argument("--faults", type=Path, help="A JSON file: the share of first attempts with each fault.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--idempotent", action="store_true")
    options = parser.parse_args()
    faults = json.loads(options.faults.read_text()) if options.faults else {}
    script = Script(faults=faults, seed=options.seed, idempotent=options.idempotent)

    async def run() -> None:
        _, port = await serve(script)
        written = options.port_file.with_suffix(".partial")
        written.write_text(str(port))
        written.replace(options.port_file)
        await asyncio.Event().wait()

    asyncio.run(run())


if __name__ == "__main__":
    main()
