"""A frozen encoder of sentence-transformers with exchangeable adapters (peft) on the side of the queries."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from catalog.errors import WatershedError
from catalog.files import sha256_of
from spark_jobs.retrieval.encoders import MINILM, SentenceEncoder, packaged_minilm

ADAPTER_FILE = "adapter_model.safetensors"


class ExpertEncoder(SentenceEncoder):
    """An encoder whose queries may be embedded by an expert. Documents are always embedded by the frozen encoder.

    Example:
        >>> encoder = ExpertEncoder("minilm", Path("minilm"))
        >>> encoder.queries_by(Path("experts/networks-0/adapter"), ["a layer of attention"]).shape
        (1, 384)
    """

    _active: str | None = None

    def __init__(self, name: str, folder: Path, *, device: str = "cpu", batch: int = 32) -> None:
        super().__init__(name, folder, device=device, batch=batch)
        self.folder = folder

    def queries_by(self, adapter: Path | None, texts: Sequence[str]) -> np.ndarray:
        """Return the vectors of queries, (texts, dimensions) in float32, by the adapters of a folder.

        Args:
            adapter: the folder, as peft writes it; None for the frozen encoder.
            texts: the queries.

        Raises:
            WatershedError: the folder holds no adapters of this encoder, or peft is not installed.
        """
        if adapter is None:
            return self.queries(texts)
        self._activate(adapter)
        try:
            return self.queries(texts)
        finally:
            self._model.disable_adapters()

    def _activate(self, adapter: Path) -> None:
        """Load adapters in place of those that are there. The name holds the digest: other weights, another name."""
        file = adapter / ADAPTER_FILE
        mend = "materialise router.experts again, or give the folder of adapters of this encoder"
        if not file.is_file():
            raise WatershedError(f"{file}: there is no such file", mend)
        name = hashlib.sha256(sha256_of(file).encode()).hexdigest()[:16]
        if name != self._active:
            if self._active is not None:
                self._model.delete_adapter(self._active)
                self._active = None
            try:
                self._model.load_adapter(str(adapter), adapter_name=name)
            except Exception as error:  # the libraries raise bare exceptions
                cause = " ".join(str(error).split())[:300]
                raise WatershedError(f"{adapter}: the adapters cannot be loaded: {cause}", mend) from error
            self._active = name
            self._model.eval()
        self._model.enable_adapters()
        self._model.set_adapter(name)


def expert_encoder(name: str, *, cache: Path, project: Path, device: str = "cpu") -> ExpertEncoder:
    """Return an encoder that takes adapters; see `encoders.encoder_of`.

    Raises:
        WatershedError: it is not a model of sentence-transformers, or a package is not installed.
    """
    if name == MINILM:
        return ExpertEncoder(name, packaged_minilm(cache), device=device)
    folder = project / Path(name).expanduser()
    if not (folder / "modules.json").is_file():
        raise WatershedError(
            f"{name!r} is not an encoder that takes adapters: {folder} has no modules.json",
            f"name {MINILM}, or the folder of a model of sentence-transformers",
        )
    return ExpertEncoder(folder.name, folder, device=device)
