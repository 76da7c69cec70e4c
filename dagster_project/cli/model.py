"""The commands `watershed model import|export|logits`: exchange of models with the Hugging Face format."""

from __future__ import annotations

from pathlib import Path

import click

from dagster_project.cli.screen.errors import user_errors
from dagster_project.cli.screen.say import say

FOLDER = click.Path(path_type=Path)


@click.group("model")
def model_command() -> None:
    """Exchange models with the Hugging Face format (Olmo2, Olmoe), and compute logits.

    \b
    Examples:
      watershed model import OLMoE-1B-7B-0924 olmoe
      watershed model export runs/70k-1xC my-model
      watershed model logits olmoe --tokens 5,6,7 --out logits.npy
    """


@model_command.command("import")
@click.argument("source", type=FOLDER)
@click.argument("target", type=FOLDER)
@user_errors()
def import_command(source: Path, target: Path) -> None:
    """Convert the Hugging Face folder SOURCE to a checkpoint in the folder TARGET.

    \b
    Examples:
      watershed model import OLMoE-1B-7B-0924 olmoe
    """
    from trainers.exchange import import_model
    from trainers.models.config import total_parameter_count

    found = import_model(source, target)
    say(f"{target}: {total_parameter_count(found.model_config):,} parameters, sha256 {found.model_sha256[:16]}")


@model_command.command("export")
@click.argument("source", type=FOLDER)
@click.argument("target", type=FOLDER)
@click.option(
    "--tokenizer",
    type=FOLDER,
    metavar="FILE",
    help="The tokenizer.json to write beside the model. The default is that of the run.",
)
@click.option(
    "--dtype",
    type=click.Choice(("float32", "bfloat16")),
    default="float32",
    show_default=True,
    help="The type of the written weights.",
)
@user_errors()
def export_command(source: Path, target: Path, tokenizer: Path | None, dtype: str) -> None:
    """Convert a checkpoint to the Hugging Face folder TARGET.

    SOURCE is a checkpoint, or the folder of a run, of which the newest checkpoint is taken.

    \b
    Examples:
      watershed model export runs/70k-1xC my-model
      watershed model export runs/70k-1xC my-model --dtype bfloat16 --tokenizer tokenizer.json
    """
    from trainers.exchange import export_model

    export_model(source, target, tokenizer=tokenizer, dtype=dtype)
    say(f"{target}: AutoModelForCausalLM.from_pretrained loads it")


@model_command.command("logits")
@click.argument("source", type=FOLDER)
@click.option("--tokens", required=True, metavar="ID,...", help="The token ids, separated by commas, such as 5,6,7.")
@click.option(
    "--out",
    required=True,
    type=FOLDER,
    metavar="FILE",
    help="The .npy file for the logits: float32 of shape (tokens, vocabulary).",
)
@user_errors()
def logits_command(source: Path, tokens: str, out: Path) -> None:
    """Compute the logits of the token after each of the given tokens.

    SOURCE is a checkpoint, the folder of a run, or a Hugging Face folder.

    \b
    Examples:
      watershed model logits olmoe --tokens 5,6,7 --out logits.npy
    """
    from trainers.exchange import write_logits

    rows, columns = write_logits(source, tokens, out)
    say(f"{out}: {rows} tokens x {columns} entries of the vocabulary")
