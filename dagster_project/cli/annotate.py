"""The command `watershed annotate`: a local page on which people describe pictures, ask, answer and point."""

from __future__ import annotations

from pathlib import Path

import click

from dagster_project.cli.screen.errors import RUN_AGAIN, user_errors
from dagster_project.cli.screen.say import say


@click.command("annotate")
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--port", default=0, type=click.IntRange(0, 65535), help="The port; by default a free one.")
@click.option("--recogniser", default="", metavar="NAME", help="Entry of [models], or folder of a Whisper model.")
@user_errors(RUN_AGAIN)
def annotate_command(images: tuple[Path, ...], port: int, recogniser: str) -> None:
    """Serve a page on which people describe IMAGES, ask and answer, and point, until Ctrl+C.

    IMAGES are JPEG, PNG and WebP files, or folders of them. The page is at an address of this machine alone, and works
    with mouse, touch and keyboard. What is saved is in pixmo.cap, pixmo.ask_model_anything and pixmo.points at once,
    with points in percent, and in the folder `[pixmo] annotations`. Speech is recognised by Whisper if the extra
    `speech` is installed, or by the server of --recogniser.

    \b
    Examples:
      watershed annotate photos
      uv run --extra speech watershed annotate photos --port 8123
    """
    from catalog.lake import Lake
    from catalog.settings import load_settings
    from dagster_project.families.pixmo.annotate.annotations import Annotations, pictures_of
    from dagster_project.families.pixmo.annotate.server import AnnotateServer
    from dagster_project.families.pixmo.recipes import folders
    from dagster_project.families.pixmo.recognising import recogniser_of

    settings = load_settings()
    lake = Lake.of(settings)
    pictures = pictures_of(images, lake)
    annotations = Annotations(lake, folders(settings)[1], pictures)
    server = AnnotateServer(annotations, port, recogniser_of(settings, recogniser))
    say(f"{len(pictures):,} pictures to annotate at {server.url} (Ctrl+C ends)")
    with server:
        server.serve_forever()
