"""Mixtures: published counts, layouts of files, filters, draws and effective proportions."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalog.errors import WatershedError
from spark_jobs.tulu.export import write_mixture
from spark_jobs.tulu.filters import is_repetitive, reasons
from spark_jobs.tulu.mixing import Candidate, judged, mix, proportions
from spark_jobs.tulu.reading import files_of, read_source, revision_of
from spark_jobs.tulu.sources import FOLDER, Filters, Mixture, Source, load_mixture, mixture_names, read_mixture

TOTALS = {
    "tulu-3-sft": (19, 939_344),
    "tulu-3-preferences-8b": (7, 271_409),
    "tulu-3-preferences-70b": (7, 334_302),
    "tulu-3-rlvr": (3, 29_946),
    "olmo-3-instruct-sft": (22, 2_152_112),
    "olmo-3-instruct-preferences": (6, 260_000),
}


def source(name: str = "one", **entries: Any) -> Source:
    given: dict[str, Any] = {"name": name, "revision": "main", "licence": "MIT", "count": 2, "repository": "org/data"}
    return Source(**given | entries)


def test_the_published_mixtures_have_their_published_sums() -> None:
    assert {name: (len(each.sources), each.total) for name in TOTALS for each in [load_mixture(name)]} == TOTALS
    assert set(mixture_names()) == TOTALS.keys()
    for name in TOTALS:
        mixture = load_mixture(name)
        assert sum(mixture.wanted().values()) == mixture.total
        assert all(each.licence and each.revision for each in mixture.sources)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("count: 240", "count: 241"), "the counts add up to 939,345, and the total is 939,344"),
        (("count: 240", "count: '240'"), "sources[0]: count is '240', not int | None"),
        (("count: 240", "cuont: 240"), "unknown entry 'cuont'; close: count"),
        (("licence: CC-BY-4.0\n    origin", "origin"), "licence is missing"),
        (("name: open-assistant", "name: hardcoded"), "two sources are called hardcoded"),
        (("kind: sft", "kind: dpo"), "kind is 'dpo'"),
        (("total: 939344", "total: [*a]"), "undefined alias"),
    ],
)
def test_a_wrong_configuration_is_refused_with_its_cause(tmp_path: Path, change: tuple[str, str], says: str) -> None:
    text = (FOLDER / "tulu-3-sft.yaml").read_text()
    assert change[0] in text
    path = tmp_path / "wrong.yaml"
    path.write_text(text.replace(*change, 1))
    with pytest.raises(WatershedError) as error:
        read_mixture(path)
    assert says in error.value.cause


def test_weights_share_what_counts_leave_by_largest_remainders() -> None:
    sources = (source("a", count=10), source("b", count=None, weight=2), source("c", count=None, weight=1))
    mixture = Mixture(name="m", kind="sft", total=20, sources=sources)
    assert mixture.wanted() == {"a": 10, "b": 7, "c": 3}
    assert sum(Mixture(name="m", kind="sft", total=21, sources=sources).wanted().values()) == 21


def messages(*texts: str) -> list[dict[str, str]]:
    return [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(texts)]


RAW: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"id": "x", "messages": messages("Hi", "Ho")}, {"original_id": "x"}),
    ({"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Ho"}]}, {}),
    ({"instruction": "Hi", "input": "there", "output": "Ho"}, {"first": "Hi\n\nthere"}),
    ({"prompt": "Hi", "ground_truth": 18}, {"turns": 1, "answer": "18"}),
    ({"chosen": messages("Hi", "Ho"), "rejected": messages("Hi", "No")}, {"turns": 1, "chosen": "Ho"}),
    ({"prompt": "Hi", "chosen": "Ho", "rejected": "No"}, {"turns": 1, "rejected": "No"}),
    ({"chosen": messages("Hi", "Ho"), "rejected": messages("Hey", "No")}, {"malformed": "have different prompts"}),
    ({"messages": [{"role": "wizard", "content": "Hi"}]}, {"malformed": "unknown role"}),
    ({"messages": [{"role": "user", "content": 5}]}, {"malformed": "is not text"}),
    ({"text": "Hi"}, {"malformed": "no messages"}),
    (
        {"messages": [{"role": "assistant", "content": None, "tool_calls": [{"name": "f"}]}], "tools": [{"n": 1}]},
        {"turns": 1, "tools": '[{"n": 1}]'},
    ),
]


def test_rows_of_every_layout_have_one_shape_and_malformed_ones_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "data" / "train.jsonl"
    path.parent.mkdir()
    lines = [json.dumps(raw) for raw, _ in RAW]
    path.write_text("\n".join([*lines, "{broken", "[" * 100_000, json.dumps(RAW[0][0])]) + "\n")
    wanted = source(files=("data/*.jsonl",), repository="")
    batches = list(read_source(wanted, files_of(wanted, tmp_path), "abc"))
    rows = [row for batch in batches for row in batch]
    assert len(rows) == len(RAW) + 3
    for row, (_, expected) in zip(rows, RAW, strict=False):
        for name, value in expected.items():
            if name == "turns":
                assert len(row["messages"]) == value
            elif name == "first":
                assert row["messages"][0]["content"] == value
            elif name == "malformed":
                assert value in row[name]
            else:
                assert row[name] == value
        assert "malformed" in expected or row["malformed"] is None
    assert [row["malformed"] for row in rows[len(RAW) : len(RAW) + 2]] == ["the row is not an object"] * 2
    # The same row twice has two ids, and the same digests.
    assert rows[0]["row_digest"] == rows[1]["row_digest"] == rows[-1]["row_digest"]
    assert len({row["row_id"] for row in rows}) == len(rows)
    assert {row["file"] for row in rows} == {"train.jsonl"} and {row["revision"] for row in rows} == {"abc"}


def test_a_source_selects_rows_of_a_shared_data_set_in_parquet(tmp_path: Path) -> None:
    folder = tmp_path / "org" / "data" / "data"
    folder.mkdir(parents=True)
    rows = [{"messages": messages(f"q{n}", "a"), "source": "ab"[n % 2]} for n in range(10)]
    for part in range(2):
        pq.write_table(pa.Table.from_pylist(rows[part * 5 : part * 5 + 5]), folder / f"train-{part}.parquet")
    wanted = source(where={"source": "b"})
    files = files_of(wanted, tmp_path)
    found = [row for batch in read_source(wanted, files, "main") for row in batch]
    assert [row["messages"][0]["content"] for row in found] == ["q1", "q3", "q5", "q7", "q9"]
    assert [row["number"] for row in found] == list(range(5))
    with pytest.raises(WatershedError, match="no row of the source one is selected by source = c"):
        list(read_source(source(where={"source": "c"}), files, "main"))
    with pytest.raises(WatershedError, match="has no file of the source one"):
        files_of(source(repository="org/other"), tmp_path)


def test_a_download_of_another_revision_than_the_declared_one_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "org" / "data"
    note = folder / ".cache" / "huggingface" / "download" / "data" / "train.jsonl.metadata"
    for path, text in ((folder / "data" / "train.jsonl", "{}\n"), (note, "c0ffee\netag\n1.0\n")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    pinned = source(revision="c0ffee", files=("data/*.jsonl",))
    files = files_of(pinned, tmp_path)
    assert revision_of(pinned, files, tmp_path) == "c0ffee"
    assert revision_of(source(files=("data/*.jsonl",)), files, tmp_path) == "c0ffee"
    with pytest.raises(WatershedError, match="are those of commit c0ffee, and beef is declared"):
        revision_of(source(revision="beef"), files, tmp_path)


def row(*texts: str, **columns: Any) -> dict[str, Any]:
    given = [{**each, "reasoning": None, "tool_calls": None} for each in messages(*texts)]
    return {"messages": given, "chosen": None, "rejected": None, "malformed": None} | columns


LINE = "The boat leaves at noon from the northern pier. "
CASES = [
    (row("Hi", "Ho"), {}, "sft", []),
    (row("Hi", " \n"), {}, "sft", ["empty_message"]),
    (row("Hi"), {}, "sft", ["no_reply"]),
    (row("Hi", "Ho", malformed="a message has an unknown role"), {}, "sft", ["malformed"]),
    (row("Hi", "I am made by openai."), {"keywords": ("OpenAI",)}, "sft", ["keyword"]),
    (row("Tell me of OpenAI", "No."), {"keywords": ("OpenAI",)}, "sft", []),
    (row("Hi", "<think>So"), {"unclosed_thinking": True}, "sft", ["unclosed_thinking"]),
    (row("Hi", "<think>So</think> Ho"), {"unclosed_thinking": True}, "sft", []),
    (row("Hi", "早上好 ok"), {"chinese": 0.5}, "sft", ["chinese"]),
    (row("早上好", "good morning"), {"chinese": 0.05}, "sft", []),
    (row("Hi", "My knowledge cutoff is in May."), {"cutoff_date": True}, "sft", ["cutoff_date"]),
    (row("Hi", "I was created by Alibaba."), {"identity": True}, "sft", ["identity"]),
    (row("Hi", LINE * 10), {"repetition": True}, "sft", ["repetition"]),
    (row("Hi", chosen="a b c", rejected="a"), {"most_longer": 1}, "preference", ["longer"]),
    (row("Hi", chosen="a  b", rejected="a b"), {}, "preference", ["equal_replies"]),
    (row("Hi", chosen="a"), {}, "preference", ["no_pair"]),
    (row("Hi", chosen="a", rejected=""), {}, "preference", ["empty_message"]),
    (row("Hi", "Ho"), {}, "prompts", ["role_order"]),
    (row("Hi"), {}, "prompts", []),
]


@pytest.mark.parametrize(("given", "filters", "kind", "expected"), CASES)
def test_a_filter_names_its_reason(given: dict, filters: dict, kind: Any, expected: list[str]) -> None:
    assert reasons(given, Filters(**filters), kind) == expected


@pytest.mark.parametrize(
    ("text", "repetitive"),
    [
        (LINE * 9, False),
        (LINE * 10, True),
        ("$$x$$\n" + LINE * 19, False),
        ("$$x$$\n" + LINE * 20, True),
        ("\n".join(f"- {LINE}" for _ in range(29)), False),
        ("\n".join(f"- {LINE}" for _ in range(30)), True),
        ("\n\n".join([f"{n} first line\nand a second line here {n}" for n in range(30)]), False),
        (" ".join(f"then we walk all day long {n}" for n in range(49)), False),
        (" ".join(f"then we walk all day long {n}" for n in range(50)), True),
        ("Yes. " * 40, False),
    ],
)
def test_repetition_has_the_thresholds_of_olmo_3(text: str, repetitive: bool) -> None:
    assert is_repetitive(text) is repetitive


def test_languages_are_those_of_prompts() -> None:
    asked = ["Wo ist der nächste Bahnhof, bitte?", "Where is the nearest station, please?"]
    rows = [row(text, "Ho", row_id=str(n), row_digest=str(n), prompt_digest=str(n)) for n, text in enumerate(asked)]
    found = judged(rows, Filters(languages=("en",)), "sft")
    assert [each.reasons for each in found] == [("language",), ()]


def candidates(name: str, count: int, **columns: Any) -> list[Candidate]:
    made: list[dict[str, Any]] = [
        {"row_id": f"{name}{n}", "row_digest": f"{name}{n}", "prompt_digest": f"{name}{n}"} for n in range(count)
    ]
    return [Candidate(**(each | columns)) for each in made]


def test_a_row_is_dropped_with_every_reason_and_the_first_source_keeps_a_duplicate() -> None:
    sources = (source("a", count=3), source("b", count=3))
    mixture = Mixture(name="m", kind="sft", total=6, sources=sources, deduplicate="prompt", short="allow")
    some = {"a": candidates("a", 4), "b": [*candidates("b", 3, prompt_digest="a1"), *candidates("c", 2)]}
    some["a"][0] = Candidate(row_id="a0", row_digest="", prompt_digest="x", reasons=("keyword", "chinese"))
    mixed = mix(mixture, some, {"a": {"a0", "a2"}, "b": {"c1"}})
    drops = {each["row_id"]: (each["reason"], each["reasons"]) for each in mixed.drops}
    assert drops == {
        "a0": ("keyword", ["keyword", "chinese", "contaminated"]),
        "a2": ("contaminated", ["contaminated"]),
        **{f"b{n}": ("duplicate", ["duplicate"]) for n in range(3)},
        "c1": ("contaminated", ["contaminated"]),
    }
    facts = {each["source"]: each for each in mixed.sources}
    assert {name: (each["taken"], each["missing"]) for name, each in facts.items()} == {"a": (2, 1), "b": (1, 2)}
    with pytest.raises(WatershedError, match="a has 2 rows, 1 fewer than the mixture m takes"):
        mix(Mixture(name="m", kind="sft", total=6, sources=sources), some, {"a": {"a0", "a2"}})
    whole = mix(mixture, some, {}, {"b"})
    assert {each["row_id"] for each in whole.drops if each["reason"] == "contaminated_source"} == {
        *(f"b{n}" for n in range(3)),
        "c0",
        "c1",
    }


def test_a_draw_is_random_deterministic_and_grows_with_the_count() -> None:
    def drawn(count: int, seed: int = 0, repeats: int = 1) -> list[Any]:
        wanted = Mixture(
            name="m",
            kind="sft",
            total=count,
            seed=seed,
            short="allow",
            sources=(source("a", count=count, repeats=repeats),),
        )
        return mix(wanted, {"a": candidates("a", 100)}, {}).rows

    small, large = drawn(30), drawn(60)
    assert {each["row_id"] for each in small} < {each["row_id"] for each in large}
    assert [each["row_id"] for each in small] != [f"a{n}" for n in range(30)]
    assert {each["row_id"] for each in drawn(30, seed=1)} != {each["row_id"] for each in small}
    assert [each["position"] for each in large] == list(range(60))
    twice = Counter((each["row_id"], each["repeat"]) for each in drawn(250, repeats=3))
    assert len(twice) == 250 and Counter(repeat for _, repeat in twice) == {0: 100, 1: 100, 2: 50}
    assert len(drawn(250, repeats=2)) == 200


def test_effective_proportions_are_those_of_rows_and_of_trained_tokens() -> None:
    mixture = Mixture(name="m", kind="sft", total=4, sources=(source("a", count=3), source("b", count=1)))
    mixed = mix(mixture, {"a": candidates("a", 3), "b": candidates("b", 1)}, {})
    lengths = {"a0": (5, 1), "a1": (5, 1), "a2": (5, 1), "b0": (20, 9)}
    found = {each["source"]: each for each in proportions(mixed.sources, mixed.rows, lengths)}
    assert (found["a"]["row_share"], found["a"]["trained_share"], found["a"]["token_share"]) == (0.75, 0.25, 15 / 35)
    assert (found["b"]["row_share"], found["b"]["trained_share"], found["b"]["trained_per_row"]) == (0.25, 0.75, 9.0)
    without = proportions(mixed.sources, mixed.rows, {})
    assert [(each["row_share"], each["trained_share"]) for each in without] == [(0.75, None), (0.25, None)]


def test_a_mixture_has_the_same_bytes_for_a_seed_whatever_the_number_of_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spark_jobs.tulu.export.ROWS_PER_FILE", 7)
    monkeypatch.setattr("spark_jobs.tulu.mixing.CHUNK", 3)
    path = tmp_path / "rows.jsonl"
    path.write_text(
        "".join(json.dumps({"messages": messages(f"q{n}", "" if n % 9 == 0 else f"a{n}")}) + "\n" for n in range(60))
    )
    wanted = source("a", count=40, files=(str(path),), repository="")
    rows = [each for batch in read_source(wanted, [path], "main") for each in batch]

    def digests(workers: int, seed: int) -> dict[str, str]:
        mixture = Mixture(name="m", kind="sft", total=40, seed=seed, sources=(wanted,))
        mixed = mix(mixture, {"a": judged(rows, mixture.filters, "sft", workers)}, {})
        out = tmp_path / f"{workers}-{seed}"
        write_mixture(out, "m", mixed.rows, {each["row_id"]: each for each in rows}, mixed.sources, workers=workers)
        return {each.name: hashlib.sha256(each.read_bytes()).hexdigest() for each in sorted(out.iterdir())}

    first = digests(1, 0)
    assert len(first) == 7
    assert digests(2, 0) == digests(8, 0) == first
    assert digests(1, 5) != first
    line = json.loads((tmp_path / "1-0" / "part-00000.jsonl").read_text().splitlines()[0])
    assert line.keys() == {"id", "source", "messages", "licence", "revision", "repeat"}
