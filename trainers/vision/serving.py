"""A model of pictures behind the HTTP server: its weights, its form of conversations, and how it reads a picture.

A prompt is the token that begins a text, the tokens of the picture and the turns of the conversation, as in training
(see examples.py). The vision transformer and the connector read a picture in the engine's thread when its prompt is
begun. From there on a reply is written as any other, beside those of other requests.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from trainers.core import checkpoint
from trainers.process.files import canonical_json, sha256_file, sha256_text
from trainers.process.run_folder import TOKENIZER
from trainers.serving.chat import ChatTemplate
from trainers.serving.pictures import Picture
from trainers.serving.served import Served
from trainers.vision.examples import Examples, Row
from trainers.vision.hugging_face import is_molmo
from trainers.vision.model import VisionLanguageModel
from trainers.vision.opening import model_of, opened
from trainers.vision.pictures import MOST_BYTES, MOST_PIXELS
from trainers.vision.shards import Annotation
from trainers.vision.words import question

TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] != ('user' if loop.index0 % 2 == 0 else 'assistant') %}"
    "{{ raise_exception('messages are of user and assistant in turn, the first of the user') }}{% endif %}"
    "{{ ' ' + message['role'].capitalize() + ': ' + message['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}{{ ' Assistant:' }}{% endif %}"
)
"""The form of words.turn for several turns; that of Molmo's published chat template."""
ASKS = {
    "Describe": question(Annotation("caption", None, "")),
    "Point": question(Annotation("pointing", None, "", label="{label}")),
    "Count": question(Annotation("counting", None, "", label="{label}")),
}
UNBOUNDED = 1 << 30
"""The engine holds prompts against its own length."""


def open_seeing(place: Path, template: Path | None = None) -> Served:
    """A run of `python -m trainers.caption`, a checkpoint of one, or a folder of Molmo, ready to be asked.

    Args:
        template: a chat template in Jinja, instead of the model's own form of turns.

    Raises:
        TrainerError: it holds no whole model of pictures, or has no tokenizer.
    """
    beginning = opened(place)
    model = model_of(beginning)
    blind = False
    if is_molmo(place):
        files = [path for path in place.iterdir() if path.suffix in (".json", ".safetensors")]
        digest = sha256_text(canonical_json({path.name: sha256_file(path) for path in sorted(files)}))
    else:
        found = checkpoint.chosen(place)
        tokenizer = next(p for folder in (found.folder, found.folder.parent) if (p := folder / TOKENIZER).is_file())
        digest = sha256_text(found.model_sha256 + sha256_file(tokenizer))
        blind = bool(found.state.get("blind"))
    examples = Examples(beginning.shape, beginning.tokenizer, beginning.end, UNBOUNDED, blind=blind)
    return Served(
        decoder=model.decoder,
        tokenizer=beginning.tokenizer,
        template=ChatTemplate.from_file(template) if template else ChatTemplate(TEMPLATE, {}, "the form of turns"),
        ends=frozenset({beginning.end}),
        digest=digest,
        name=place.resolve().name,
        pictures=Eyes(model, examples),
        lead=" ",
    )


class Eyes:
    """Reads pictures for a server: see serving/pictures.py.

    Args:
        model: whose decoder the engine has.
        examples: makes rows of pictures, as in training.
    """

    most = 1
    """As in training, a row begins with one picture."""
    most_bytes, most_pixels = MOST_BYTES, MOST_PIXELS
    asks: Mapping[str, str] = ASKS

    def __init__(self, model: VisionLanguageModel, examples: Examples) -> None:
        self.model, self.examples = model, examples
        self.opening = examples.of_picture(None).beginning
        self._device, self._half = torch.device("cpu"), torch.float32

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move the transformer and the connector; they stay in float32, and compute in `dtype`, as in training."""
        self.model.vision.to(device)
        self.model.connector.to(device)
        self._device, self._half = device, dtype

    def picture(self, data: bytes) -> Picture:
        """The beginning of a prompt with a picture.

        Raises:
            TooLargePicture: it has too many bytes or pixels.
            TrainerError: it is damaged, or of another format.
        """
        row = self.examples.of_picture(data)
        name = -1 - int.from_bytes(hashlib.sha256(data).digest())
        return Picture(row.beginning, name, self.model.config.both_ways, _Embedding(self, row))

    @torch.inference_mode()
    def embedded(self, row: Row) -> Tensor:
        """(S, D): the embeddings of the beginning of a row."""
        inputs, _, _ = self.examples.batch([row], self._device)
        with torch.autocast(self._device.type, self._half, enabled=self._half != torch.float32):
            feature_PD = self.model.features(inputs.pictures) if inputs.pictures is not None else None
            return self.model.embedded(inputs, feature_PD)[0]


@dataclass(frozen=True, eq=False)
class _Embedding:
    eyes: Eyes
    row: Row

    def __call__(self) -> Tensor:
        return self.eyes.embedded(self.row)
