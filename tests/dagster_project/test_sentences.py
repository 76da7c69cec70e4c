"""Every text that Dagster shows is in sentences.txt, where a person has read it."""

from __future__ import annotations

from pathlib import Path

from dagster_project.sentences import sentences

READ = Path(__file__).parent / "sentences.txt"


def test_every_text_that_dagster_shows_has_been_read() -> None:
    # Read the changed sentences, then run `python -m dagster_project.sentences > tests/dagster_project/sentences.txt`.
    assert list(sentences()) == READ.read_text().splitlines()


def test_descriptions_are_whole_sentences() -> None:
    fragments = []
    for line in READ.read_text().splitlines():
        kind, _, text = line.partition(": ")
        if kind.split()[0] in ("asset", "check", "job", "op", "sensor", "schedule") and not (
            (text[0].isupper() or text[0] == "`") and text.endswith(".") and "None" not in text
        ):
            fragments.append(line)
    assert fragments == []
