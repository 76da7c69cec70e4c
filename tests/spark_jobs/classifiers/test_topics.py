"""The topic of a document by its host, by its words, or by a classifier."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
import pytest

from catalog.errors import WatershedError
from catalog.files import sha256_of
from spark_jobs.classifiers.topics import Topic, TopicClassifier, TopicRules, topics_of
from spark_jobs.classifiers.training import Hyperparameters, load, train

RULES = TopicRules(
    topics=(
        Topic(name="code", hosts=("python.org", "docs.example"), words=("function", "C++")),
        Topic(name="water", hosts=("lake.example",), words=("river", "lake", "水", "salt water")),
        Topic(name="cooking", words=("salt", "oven")),
    ),
    at_least=2,
)
CASES = [
    ("docs.python.org", "river river river", "code"),
    ("python.org", "", "code"),
    ("notpython.org", "nothing of the kind", "other"),
    ("python.org.example", "an oven, an Oven", "cooking"),
    ("LAKE.example", "function function", "water"),
    (None, "The river, the RIVER, and rivers: a lake's end", "water"),
    (None, "One river and many rivers, drivers and lakeside", "other"),
    (None, "oven salt river lake", "water"),
    (None, "salt water and salt water", "water"),
    (None, "salt and salt water", "cooking"),
    (None, "水は水", "water"),
    (None, "C++ and c++", "code"),
    (None, "", "other"),
    ("lake.example", None, "water"),
    (None, None, "other"),
]


def test_a_topic_has_its_hosts_and_else_the_text_with_most_of_its_words() -> None:
    hosts, texts, expected = (list(column) for column in zip(*CASES, strict=True))
    labels = topics_of(pa.array(texts, pa.string()), pa.array(hosts, pa.string()), RULES)
    assert labels.to_pylist() == expected


def test_the_first_of_equal_topics_is_taken() -> None:
    first, second = Topic(name="a", words=("x",)), Topic(name="b", words=("y",))
    text, host = pa.array(["x y y x"]), pa.array([None], pa.string())
    assert topics_of(text, host, TopicRules(topics=(first, second), at_least=1)).to_pylist() == ["a"]
    assert topics_of(text, host, TopicRules(topics=(second, first), at_least=1)).to_pylist() == ["b"]


def test_a_classifier_labels_as_fasttext_does(tmp_path: Path) -> None:
    draw = random.Random(1)
    vocabulary = {"rivers": "bank flow delta", "ovens": "bread heat crust", "stars": "orbit light dust"}
    texts = {
        topic: [" ".join(draw.choices(words.split(), k=20)) for _ in range(40)] for topic, words in vocabulary.items()
    }
    lines = [f"__label__{topic} {text}\n" for topic, some in texts.items() for text in some]
    (tmp_path / "lines").write_text("".join(lines))
    model = tmp_path / "topics.bin"
    train(tmp_path / "lines", model, Hyperparameters(dim=8, bucket=100, epoch=20, lr=1.0))
    labelling = TopicClassifier(path=model, sha256=sha256_of(model))
    labelling.check()
    asked = [*(some[0].replace(" ", "\n", 5) for some in texts.values()), "", "__label__stars bank flow"]
    labels = topics_of(pa.array(asked), pa.nulls(len(asked), pa.string()), labelling).to_pylist()
    assert labels[:3] == list(vocabulary)
    fasttext = load(model)
    for text, label in zip(asked[:3], labels, strict=False):
        assert fasttext.predict(" ".join(text.splitlines()))[0][0] == f"__label__{label}"
    assert labels[4] == "rivers"
    assert labelling.identity == TopicClassifier(path=Path("elsewhere"), sha256=labelling.sha256).identity
    with pytest.raises(WatershedError, match="is not the file that the recipe names"):
        TopicClassifier(path=model, sha256="0" * 64).check()
    with pytest.raises(WatershedError, match="is missing"):
        TopicClassifier(path=tmp_path / "gone.bin", sha256="0" * 64).check()


@pytest.mark.parametrize(
    "topics",
    [(), (Topic(name="a", words=("x",)),) * 2, (Topic(name="other", words=("x",)),), (Topic(name="a"),)],
    ids=["none", "twice", "the-rest", "bare"],
)
def test_invalid_topics_are_refused(topics: tuple[Topic, ...]) -> None:
    with pytest.raises(WatershedError, match="topic"):
        TopicRules(topics=topics)
