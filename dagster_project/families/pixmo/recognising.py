"""What recognises speech: an entry of `[models]`, the folder of a Whisper model, or the one of the extra `speech`."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from catalog.errors import WatershedError
from catalog.settings import Settings

if TYPE_CHECKING:
    from spark_jobs.pixmo.recognise import Recognise


def recogniser_of(settings: Settings, name: str = "") -> Recognise | None:
    """Return what recognises speech; None if nothing is named and the extra `speech` is not installed.

    Raises:
        WatershedError: `name` is neither an entry of `[models]` nor the folder of a model.
    """
    from spark_jobs.language_models.endpoint import endpoint_of
    from spark_jobs.pixmo.recognise import MODEL_FILE, by_server, by_whisper, packaged_model

    if name in settings.models:
        return by_server(endpoint_of(settings, name))
    if name:
        folder = settings.project / Path(name).expanduser()
        if not (folder / MODEL_FILE).is_file():
            raise WatershedError(
                f"{name!r} is not an entry of [models], nor a folder of a Whisper model",
                "write a section [models.NAME], or give a folder with model.bin",
            )
        return by_whisper(folder)
    packaged = packaged_model()
    return by_whisper(packaged) if packaged and find_spec("faster_whisper") else None
