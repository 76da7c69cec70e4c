"""Serve a language model over HTTP by OpenAI's protocol: python -m trainers.serve --model FOLDER --port 8100

    curl http://127.0.0.1:8100/v1/completions -H 'content-type: application/json' -d '{"prompt": "Rain falls"}'

The model is a checkpoint, a run folder (its newest checkpoint), a folder in the Hugging Face format or a GGUF file. A
model of pictures (a run of trainers.caption, or a folder of Molmo) takes a picture in a message.
SIGTERM and Ctrl+C let the requests that were taken finish, and end with exit code 143 and 130; a second signal ends the
server at once.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from trainers.process.device import chosen_device
from trainers.process.errors import TrainerError, exit_code
from trainers.process.files import sha256_text, write_text
from trainers.serving.engine import Engine
from trainers.serving.served import Served, open_served
from trainers.serving.steps import Cache, Steps

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
NAMES = {signal.SIGINT: "Ctrl+C", signal.SIGTERM: "SIGTERM"}
GIB = 1024**3
CPU_CACHE_GIB = 2.0
CUDA_CACHE_SHARE = 0.5
"""Part of a GPU's free memory that the cache may take."""
PARTS = {"cpu": 128, "cuda": 512}
"""Tokens of a prompt that are read in one step."""


@dataclass(frozen=True, kw_only=True)
class ServeConfig:
    """How a model is served."""

    model: str
    """A checkpoint, a run folder, a Hugging Face folder, a GGUF file, or the name of a packaged model."""
    host: str = "127.0.0.1"
    port: int = 8100
    """0: one that is free."""
    port_file: str = ""
    """A file that the port is written to when the server answers."""
    name: str = ""
    """What requests call the model; "": the name of its folder or file."""
    chat_template: str = ""
    """A Jinja file, instead of the model's own template."""
    device: str = "auto"
    dtype: str = "float32"
    """Of weights and cache."""
    max_length: int = 0
    """Tokens of prompt and reply together; 0: what the model was made for."""
    rows: int = 32
    """Requests that are answered at the same time."""
    queue: int = 1024
    """Requests that wait at most; more are refused with status 429."""
    cache_gib: float = 0.0
    """Memory for keys and values; 0: 2 GiB on a CPU, half of the free memory of a GPU."""
    reuse_share: float = 1.0
    """The share of that memory, 0..1, that keeps texts which have ended for requests that begin with the same tokens,
    where running requests leave room for them; 0: none are kept."""
    drain_seconds: float = 30.0
    """How long requests that were taken may take to finish after SIGTERM."""
    max_body_mib: float = 8.0
    key_variable: str = "WATERSHED_SERVE_KEY"
    """The environment variable with a secret that requests carry as a bearer token; unset or empty: no secret."""


def serve(config: ServeConfig, say: Callable[[str], object] = print) -> int:
    """Serve until a signal; returns the exit code, 130 or 143.

    Args:
        say: is passed a line of text when the server answers, and one when it ends.

    Raises:
        TrainerError: the model cannot be opened, or the address is taken.
    """
    _check(config)
    with _listening(config.host, config.port) as listening:
        served = opened(config)
        if config.name:
            served = replace(served, name=config.name)
        device = chosen_device(config.device)
        engine = engine_of(served, config, device)
        return asyncio.run(_serve(config, listening, served, engine, say))


def opened(config: ServeConfig) -> Served:
    """The model that is to be served, with what reads pictures for it if it is a model of pictures.

    Raises:
        TrainerError: it cannot be opened.
    """
    from trainers.vision.opening import reads_pictures

    place = Path(config.model)
    template = Path(config.chat_template) if config.chat_template else None
    if reads_pictures(place):
        from trainers.vision.serving import open_seeing

        return open_seeing(place, template)
    return open_served(config.model, template)


def _check(config: ServeConfig) -> None:
    if config.dtype not in DTYPES:
        raise TrainerError(f"dtype is {config.dtype!r}", f"choose one of {', '.join(DTYPES)}")
    for name in ("rows", "queue"):
        if getattr(config, name) < 1:
            raise TrainerError(f"{name} is {getattr(config, name)}", f"set {name} to 1 or more")
    if not 0 <= config.reuse_share <= 1:
        raise TrainerError(f"reuse_share is {config.reuse_share}", "set it to a share from 0 to 1")


def engine_of(served: Served, config: ServeConfig, device: torch.device) -> Engine:
    """The engine of a model on a device, not yet started; the model is moved there."""
    model = served.decoder
    tables = model.cos_T11P, model.sin_T11P
    model.to(device, DTYPES[config.dtype])
    if served.pictures is not None:
        served.pictures.to(device, DTYPES[config.dtype])
    # Angles need float32 whatever the weights are: bfloat16 has eight bits for a position.
    model.cos_T11P, model.sin_T11P = (table.to(device) for table in tables)
    length = min(config.max_length or model.config.sequence_length, model.config.sequence_length)
    shape, itemsize = model.config, DTYPES[config.dtype].itemsize
    token_bytes = 2 * shape.layers * shape.groups * shape.head_width * itemsize
    budget = int(_cache_bytes(config, device) / token_bytes)
    if budget < 16:
        raise TrainerError(f"the cache has room for {budget} tokens", "set cache_gib to more")
    cache = Cache(model, budget, min(length, budget), config.reuse_share)
    steps = Steps(model, cache)
    return Engine(steps, served.tokenizer, most_rows=config.rows, queue=config.queue, part=PARTS.get(device.type, 128))


def _cache_bytes(config: ServeConfig, device: torch.device) -> float:
    if config.cache_gib:
        return config.cache_gib * GIB
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] * CUDA_CACHE_SHARE
    return CPU_CACHE_GIB * GIB


def _listening(host: str, port: int) -> socket.socket:
    """A socket that is bound and does not yet listen, so that a wrong address is found before the model is read."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        found = socket.socket(family, kind, protocol)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
    except (OSError, OverflowError) as error:
        raise TrainerError(f"cannot listen on {host}:{port}: {error}", "give another --host or --port") from None
    return found


async def _serve(
    config: ServeConfig,
    listening: socket.socket,
    served: Served,
    engine: Engine,
    say: Callable[[str], object],
) -> int:
    import uvicorn

    from trainers.serving.app import Limits, application

    fingerprint = f"{sha256_text(served.digest)[:16]}-{engine.device.type}-{config.dtype}"
    limits = Limits(body_bytes=int(config.max_body_mib * 1024**2), key=os.environ.get(config.key_variable, "").strip())

    class Server(uvicorn.Server):
        """uvicorn's would handle signals by itself and then end the process by one."""

        @contextmanager
        def capture_signals(self) -> Generator[None]:
            yield

    engine.start()
    server = Server(
        uvicorn.Config(
            application(served, engine, fingerprint, limits),
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=max(1, int(config.drain_seconds)),
        )
    )
    received: list[signal.Signals] = []
    loop = asyncio.get_running_loop()
    for number in NAMES:
        loop.add_signal_handler(number, _stop, number, received, server, engine, say)
    host, port = listening.getsockname()[:2]
    task = asyncio.ensure_future(server.serve(sockets=[listening]))
    while not server.started and not task.done():
        await asyncio.sleep(0.01)
    if config.port_file:
        write_text(Path(config.port_file), f"{port}\n")
    place = f"[{host}]" if ":" in host else host
    url = f"http://{place}:{port}/"
    say(f"{served.name} answers at {url}v1 (up to {engine.length:,} tokens). Chat with it in a browser at {url}")
    await task
    engine.close()
    await asyncio.to_thread(engine.join, 5.0)
    return 128 + received[0] if received else 0


def _stop(
    number: signal.Signals, received: list[signal.Signals], server: Any, engine: Engine, say: Callable[[str], object]
) -> None:
    """The first signal ends the server when the requests that it took are answered, the second at once."""
    if received:
        server.force_exit = True
        return
    received.append(signal.Signals(number))
    state = engine.state()
    say(f"interrupted by {NAMES[received[0]]}: {state['running'] + state['waiting']} requests are being finished")
    engine.close()
    server.should_exit = True


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m trainers.serve", description="Serve a language model over HTTP by OpenAI's protocol."
    )
    for field in ServeConfig.__dataclass_fields__.values():
        flag = f"--{field.name.replace('_', '-')}"
        kind = {"int": int, "float": float}.get(str(field.type), str)
        if field.name == "model":
            parser.add_argument(flag, required=True)
        else:
            parser.add_argument(flag, type=kind, default=field.default, help=f"the default is {field.default!r}")
    config = ServeConfig(**vars(parser.parse_args(arguments)))
    codes: list[int] = []
    failed = exit_code(lambda: codes.append(serve(config, lambda line: print(line, flush=True))))
    return failed or codes[0]


if __name__ == "__main__":
    sys.exit(main())
