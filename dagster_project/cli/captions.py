"""The command `watershed captions`: spoken descriptions of pictures as captions."""

from __future__ import annotations

from pathlib import Path

import click

from dagster_project.cli.screen.errors import RUN_AGAIN, user_errors
from dagster_project.cli.screen.say import say


@click.command("captions")
@click.argument("recordings", type=click.Path(path_type=Path))
@click.option("--recogniser", default="", metavar="NAME", help="Entry of [models], or folder of a Whisper model.")
@click.option("--model", default="", metavar="NAME", help="Entry of [models] that merges transcripts; else they vote.")
@user_errors(RUN_AGAIN)
def captions_command(recordings: Path, recogniser: str, model: str) -> None:
    """Recognise RECORDINGS of people who describe pictures, and merge what was said of each picture into a caption.

    RECORDINGS is a file of JSON lines such as {"image": "a.png", "recordings": ["a-1.wav", "a-2.wav"]}. The rows are
    written to `[pixmo] annotations`, with the transcripts, and `watershed make pixmo.cap` reads them. Without --model,
    each place of the caption is what most transcripts say.

    \b
    Examples:
      uv run --extra speech watershed captions spoken.jsonl
      watershed captions spoken.jsonl --recogniser whisper-server --model merger
    """
    import hashlib
    import json

    from catalog.errors import WatershedError
    from catalog.files import write_whole
    from catalog.lake import Lake
    from catalog.settings import load_settings
    from dagster_project.engine.model_server import answering
    from dagster_project.families.pixmo.recipes import folders
    from dagster_project.families.pixmo.recognising import recogniser_of
    from spark_jobs.pixmo.pictures import store_of
    from spark_jobs.pixmo.spoken import by_model, read_spoken, spoken_rows

    settings = load_settings()
    lake, spoken = Lake.of(settings), list(read_spoken(recordings))
    recognise = recogniser_of(settings, recogniser)
    if recognise is None:
        raise WatershedError("nothing recognises speech", "install the extra `speech`, or name a --recogniser")
    if model:
        with answering(settings, model) as endpoint:
            rows = spoken_rows(spoken, recognise, store_of(lake), by_model(lake, endpoint))
    else:
        rows = spoken_rows(spoken, recognise, store_of(lake))
    lines = "".join(json.dumps(row, ensure_ascii=True) + "\n" for row in rows).encode()
    name = f"spoken-{hashlib.sha256(lines).hexdigest()[:12]}.jsonl"
    path = folders(settings)[1] / "pixmo-cap" / name
    write_whole(path, lines)
    transcripts = sum(len(row["transcripts"]) for row in rows)
    say(f"{path}: {len(rows):,} captions of {transcripts:,} transcripts; `watershed make pixmo.cap` reads them")
