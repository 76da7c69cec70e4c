"""The command `watershed shards`: training shards of plain files, without a lake."""

from __future__ import annotations

from pathlib import Path

import click

from dagster_project.cli.screen.errors import RUN_AGAIN, user_errors
from dagster_project.cli.screen.say import say


@click.command("shards")
@click.argument("inputs", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--tokenizer",
    required=True,
    type=click.Path(path_type=Path),
    metavar="T",
    help="A tokenizer.json of Hugging Face tokenizers, or a folder that holds one.",
)
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="The folder for the shards. It is made if it does not exist.",
)
@click.option(
    "--sequence-length", default=2048, show_default=True, type=click.IntRange(1), help="Tokens of a sequence."
)
@click.option(
    "--shard-tokens", default=2**24, show_default=True, type=click.IntRange(2), help="Approximate tokens of a shard."
)
@click.option(
    "--heldout",
    default=0.01,
    show_default=True,
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="The share of documents that is held out for evaluation.",
)
@click.option(
    "--seed", default=0, show_default=True, type=click.IntRange(0), help="Of the order and the held-out part."
)
@click.option(
    "--eot",
    metavar="TOKEN",
    help="The token that ends a document. The default is eos_token of the tokenizer_config.json beside the tokenizer, "
    "or a usual name such as <|endoftext|> or </s>.",
)
@click.option("--text-column", default="text", show_default=True, help="The column of the text in JSONL and Parquet.")
@click.option(
    "--token-type",
    type=click.Choice(["uint16", "uint32", "int32", "int64"]),
    help="The type of raw token files. The default is uint16 if the vocabulary fits, else uint32.",
)
@click.option("--workers", type=click.IntRange(1), help="The number of processes. The default is one for each core.")
@user_errors(RUN_AGAIN)
def shards_command(  # noqa: PLR0917 (click passes them by name)
    inputs: tuple[str, ...],
    tokenizer: Path,
    out: Path,
    sequence_length: int,
    shard_tokens: int,
    heldout: float,
    seed: int,
    eot: str | None,
    text_column: str,
    token_type: str | None,
    workers: int | None,
) -> None:
    """Make training shards of JSONL, Parquet or token files. No lake is needed.

    FILE is a JSONL file (plain, .gz or .zst), a Parquet file, a token file (.npy or .bin), a folder of such files, or a
    glob pattern. JSONL and Parquet need a column of text; `id` and `source` are read where they exist. A token file
    is one row of ids, in which the token that ends a document separates documents.

    The command writes train/, heldout/, dataset.json and tokenizer.json, in the format of the lake's shards, which
    `python -m trainers.pretrain` reads. The result depends on the contents of the files, the options and the seed, and
    on nothing else. An interrupted run continues when the same command is given again.

    \b
    Examples:
      watershed shards documents.jsonl --tokenizer tokenizer.json --out shards --sequence-length 128
      watershed shards crawl/*.parquet --tokenizer gpt-neox-20b --out shards --workers 16
      watershed shards tokens.bin --tokenizer tokenizer.json --token-type uint16 --out shards
    """
    import os

    from dagster_project.cli.curate import bars
    from spark_jobs.light_imports import light_imports

    light_imports()
    from spark_jobs.shards.documents import find_files
    from spark_jobs.shards.from_files import FileShards, make_shards
    from spark_jobs.shards.writer import ShardRecipe

    files = find_files(inputs)
    small = sum(file.bytes for file in files) < 32_000_000
    job = FileShards(
        files=tuple(files),
        tokenizer=tokenizer,
        out=out,
        recipe=ShardRecipe(sequence_length=sequence_length, shard_tokens=shard_tokens, seed=seed),
        heldout=heldout,
        end=eot,
        text_column=text_column,
        token_type=token_type,
    )
    with bars():
        made = make_shards(job, workers or (1 if small else os.cpu_count() or 1))
    for split in made.shards:
        say(
            f"{split}: {made.shards[split]:,} shards, {made.sequences[split]:,} sequences of {sequence_length:,} + 1, "
            f"{made.tokens[split]:,} tokens"
        )
    empty = f", {made.empty:,} empty ones left out" if made.empty else ""
    say(f"{made.documents:,} documents{empty}; {made.dropped_tokens:,} tokens do not fill a sequence")
    say(f"{'already in' if made.made_before else 'wrote'} {out}")
