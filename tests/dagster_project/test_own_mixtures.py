"""A mixture of an added file, papers and web pages, made once by its asset: every number, shard, licence and link."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pytest
from click.testing import CliRunner
from tokenizers import Tokenizer

from catalog.cards.bom.eu_summary import eu_summary
from catalog.cards.bom.facts import model_facts
from catalog.cards.card import card
from catalog.cards.site.index_pages import index_page, models_page
from catalog.cards.site.model_page import model_pages
from catalog.cards.site.reading import SiteLake
from catalog.errors import WatershedError
from catalog.lake import Lake, Part
from catalog.licences.inherited import licences_of, rows_by_licence
from catalog.lineage.corpora import corpus_of_documents
from catalog.lineage.readings import Reading, readings_of_documents
from catalog.lineage.removal.run import carry_out, order_removal, plan_removal
from catalog.lineage.rows import follow
from catalog.lineage.trace import Thing, named_things, trace
from catalog.projects.mixture_file import read_mixture
from catalog.projects.registry import own_mixtures, own_tables
from catalog.search.index import SearchIndex
from catalog.settings import Settings, load_settings
from catalog.sql.query import connect
from catalog.tables import CONTRACTS, contract
from dagster_project import own, own_training
from dagster_project import own_mixtures as own_mixtures_of
from dagster_project.assets import steps
from dagster_project.cli.add import add_command
from dagster_project.cli.forget import removal_holders
from dagster_project.cli.mixture import mixture_command
from dagster_project.cli.trace import trace_command
from dagster_project.engine import training
from dagster_project.engine.making import Making
from dagster_project.engine.steps import REGISTERED, Steps
from dagster_project.engine.trainer_process import run_trainer
from quality.gate import check
from spark_jobs.hash_order import hash_number
from spark_jobs.kernels.text_hash import text_hash
from spark_jobs.shards.format import read_shard
from spark_jobs.shards.tokenizer import tokenizer_bytes, train_tokenizer
from tests.small_lake import CRAWLED, doc_id, row, write_rows
from trainers.data.loader import ShuffledLoader
from trainers.data.shards import Sequences, check_manifest

DOCS = Path(__file__).parents[2] / "docs" / "mixtures.md"
RECIPE, MORE_RUNS = re.findall(r"```toml\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
"""The recipe that the page about mixtures shows, and the runs that are trained on it."""
FINGERPRINT = "f" * 16
QUESTION = "Which of the seven rivers of the northern plateau freezes first when winter winds arrive early in autumn?"


def words(seed: int, count: int = 60) -> str:
    """A text of words that no other seed has."""
    return " ".join(f"w{seed}x{(seed * 31 + at * at) % 97}" for at in range(count))


def near(seed: int) -> str:
    """A text that differs from `words(seed)` in its last word alone."""
    return words(seed).rsplit(" ", 1)[0] + " end"


NOTES = [
    *({"id": f"n{at}", "body": words(at)} for at in range(12)),
    {"id": "empty", "body": ""},
    {"id": "again and again", "body": "so " * 12},
    {"id": "leaked", "body": f"{words(90, 20)} {QUESTION} {words(91, 20)}"},
]
PAPERS = [
    *({"paper": f"p{at}", "text": words(100 + at), "licence": "CC BY 4.0"} for at in range(8)),
    {"paper": "copy of n3", "text": words(3), "licence": "CC BY 4.0"},
    {"paper": "not for sale", "text": words(120), "licence": "cc-by-nc-4.0"},
]
HELD_OUT = words(250)
"""Of a page that `where` leaves out."""
PAGES = [*(words(200 + at) for at in range(10)), near(104), words(205), HELD_OUT]
EXTRA = [{"text": words(300 + at)} for at in range(6)]


@dataclass(frozen=True)
class Made:
    """The project after its mixture was made."""

    folder: Path

    @property
    def settings(self) -> Settings:
        """Its settings."""
        return load_settings(self.folder)

    @property
    def lake(self) -> Lake:
        """Its lake."""
        return Lake.of(self.settings)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer, read without Watershed."""
        return Tokenizer.from_file(str(self.folder / "tokenizer.json"))

    def rows(self, name: str) -> list[dict[str, Any]]:
        """The rows of a table, in an order that their values decide: a Delta table has none of its own."""
        return sorted(self.lake.read(name).to_pylist(), key=repr)


def texts() -> dict[tuple[str, str], str]:
    """The text of every row of the sources, by source and key."""
    found = {("notes", each["id"]): each["body"] for each in NOTES}
    found |= {("papers", each["paper"]): each["text"] for each in PAPERS}
    found |= {("web", doc_id(50 + at)): text for at, text in enumerate(PAGES) if text != HELD_OUT}
    return found | {("extra", str(at)): each["text"] for at, each in enumerate(EXTRA, start=1)}


def key_of(found: dict[str, Any]) -> tuple[str, str]:
    """Source and key of a row of the mixture."""
    key = {"notes": "notes_id", "papers": "papers_paper", "web": "web_doc_id", "extra": "extra_source_row"}
    return found["source"], str(found[key[found["source"]]])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A project whose mixture is made by the job `own`, with the added table that it reads."""
    folder = tmp_path_factory.mktemp("mixed")
    (folder / "watershed.toml").write_text('[licences]\nforbid = ["CC-BY-NC-4.0"]\n')
    settings = load_settings(folder)
    common, places = {"recipe": "dclm-baseline", "state": "ok"}, {"global_shard": 0, "local_shard": 0}
    ids = [doc_id(50 + at) for at in range(len(PAGES))]
    pages = {
        "dclm.documents": [
            {"doc_id": id_, **places, "text": text, "url": f"https://lake.example/{id_}", "crawled_at": CRAWLED}
            | {"warc": "crawl-00000.warc.gz", "state": "ok", "text_bytes": len(text), "record_offset": at}
            for at, (id_, text) in enumerate(zip(ids, PAGES, strict=True))
        ],
        "dclm.measurements": [{"doc_id": id_, **places, **common, "values": {}} for id_ in ids],
        "dclm.paragraphs": [{"doc_id": id_, **places, "kept": True} for id_ in ids],
        "dclm.mixture": [
            {"doc_id": id_, "recipe": "dclm-baseline", "split": "heldout" if text == HELD_OUT else "train"}
            for id_, text in zip(ids, PAGES, strict=True)
        ],
        "scholar.papers": [{"version": "0" * 16, **each} for each in PAPERS],
    }
    write_rows(settings, {name: [row(CONTRACTS[name], **each) for each in some] for name, some in pages.items()})
    (folder / "notes.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in NOTES))
    (folder / "more").mkdir()
    (folder / "more" / "extra.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in EXTRA))
    (folder / "evaluations").mkdir()
    (folder / "evaluations" / "quiz.jsonl").write_text(json.dumps({"question": QUESTION}) + "\n")
    (folder / "tokenizer.json").write_bytes(tokenizer_bytes(train_tokenizer(texts().values(), 400)))
    (folder / "mixtures").mkdir()
    (folder / "mixtures" / "base.toml").write_text(RECIPE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WATERSHED_PROJECT", str(folder))
        added = ["notes", str(folder / "notes.jsonl"), "--key", "id", "--licence", "CC-BY-SA-4.0", "--propose"]
        found = CliRunner().invoke(add_command, added)
        assert found.exit_code == 0, found.output
    settings = load_settings(folder)
    run(settings, "own.notes")
    run(settings, "mixture.base")
    return Made(folder)


@pytest.fixture(scope="module")
def trained(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A copy of the project in which two models are trained on the mixture, each by a trainer of its own."""
    copy = Made(shutil.copytree(made.folder, tmp_path_factory.mktemp("trained") / "project"))
    (copy.folder / "mixtures" / "base.toml").write_text(f"{RECIPE}\n{MORE_RUNS}")
    run(copy.settings, "mixture.base_models")
    return copy


def run(settings: Settings, table: str) -> dict[str, Any]:
    """Call the body of the table's step, without a run of Dagster."""
    with pytest.MonkeyPatch.context() as patch:
        # Assets ask for the settings of the project around the working directory.
        patch.setenv("WATERSHED_PROJECT", str(settings.project))
        # Without a run of Dagster, a trainer has nobody to report to.
        patch.setattr(training, "start", lambda _, module, config, label: run_trainer(module, config, label))
        own.load(settings)
        step = Steps(REGISTERED).by_table[table]
        making = Making(context=cast(Any, None), step=step, settings=settings, parts=[Part(None, FINGERPRINT)])
        if table == "own.notes":
            return own._make(making, own_tables()[table])
        if table == "mixture.base_models":
            mixture = own_mixtures()["mixture.base"]
            assert mixture.trained
            return own_training.train_models(making, mixture, mixture.trained)
        return own_mixtures_of._make(making)


def test_every_row_is_taken_or_dropped_for_the_reason_that_it_has(made: Made) -> None:
    dropped = {key_of(each): each for each in made.rows("mixture.base_dropped") if each["reason"] != "proportion"}
    assert {key: (each["reason"], each["detail"]) for key, each in dropped.items()} == {
        ("notes", "empty"): ("empty", ""),
        ("notes", "again and again"): ("filter", "repeated_ngrams"),
        ("notes", "leaked"): ("contaminated", "quiz 0"),
        ("papers", "copy of n3"): ("duplicate", ""),
        ("papers", "not for sale"): ("licence", "CC-BY-NC-4.0"),
        ("web", doc_id(60)): ("duplicate", ""),
        ("web", doc_id(61)): ("duplicate", ""),
    }


def test_the_proportions_are_those_that_the_recipe_asks_for(made: Made) -> None:
    documents, rows = made.rows("mixture.base"), {each["source"]: each for each in made.rows("mixture.base_sources")}
    tokens = {key: len(made.tokenizer.encode(text).ids) + 1 for key, text in texts().items()}
    assert all(each["tokens"] == tokens[key_of(each)] for each in documents)
    dropped = {key_of(each) for each in made.rows("mixture.base_dropped") if each["reason"] != "proportion"}
    heldout = {key for key, text in texts().items() if in_heldout(text)} - dropped
    assert {key_of(each) for each in documents if each["split"] == "heldout"} == heldout
    available = Counter[str]()
    for (source, key), count in tokens.items():
        available[source] += count * ((source, key) not in heldout | dropped)
    rest = min(available["notes"] * 3 / 2, available["web"] * 3 / 1)
    asked = {"notes": rest * 2 / 3, "web": rest / 3, "papers": 1.5 * available["papers"], "extra": 150}
    read = Counter[str]()
    for each in documents:
        read[each["source"]] += each["tokens"] * each["repeats"] * (each["split"] == "train")
    for source, each in rows.items():
        assert each["available_tokens"] == available[source]
        assert each["asked_tokens"] == pytest.approx(asked[source])
        assert each["asked_share"] == pytest.approx(asked[source] / sum(asked.values()))
        assert each["tokens"] == read[source]
        assert abs(each["tokens"] - asked[source]) <= max(tokens.values()) / 2
        assert each["share"] == pytest.approx(read[source] / read.total())
        assert each["epochs"] == pytest.approx(read[source] / available[source])
    assert {each["repeats"] for each in documents if each["source"] == "papers"} == {1, 2}
    assert [rows[name]["place"] for name in ("notes", "papers", "web", "extra")] == [1, 2, 3, 4]
    assert (rows["papers"]["unlicensed"], rows["papers"]["duplicates"], rows["web"]["duplicates"]) == (1, 1, 2)
    for split in ("train", "heldout"):
        assert sum(each["weight"] for each in documents if each["split"] == split) == pytest.approx(1)


def in_heldout(text: str) -> bool:
    """Whether a document with this text is held out."""
    return hash_number(0, "heldout", text_hash(pa.array([text]))[0].as_py()) < int(0.2 * 2**64)


def test_copies_name_the_document_that_is_kept(made: Made) -> None:
    ids = {key_of(each): each["doc_id"] for each in (*made.rows("mixture.base"), *made.rows("mixture.base_dropped"))}
    found = {key_of(each): each for each in made.rows("mixture.base_dropped") if each["reason"] == "duplicate"}
    copy, alike = found["papers", "copy of n3"], found["web", doc_id(60)]
    assert (copy["kept_doc_id"], copy["similarity"]) == (ids["notes", "n3"], 1.0)
    assert alike["kept_doc_id"] == ids["papers", "p4"]
    assert 0.8 <= alike["similarity"] < 1


def test_the_report_counts_every_evaluation(made: Made) -> None:
    (found,) = made.rows("mixture.base_contamination")
    assert (found["evaluation"], found["rule"], found["examples"], found["examples_hit"]) == ("quiz", "fields", 1, 1)
    assert found["documents_to_drop"] == 1


def test_trainers_read_the_shards_and_every_span_holds_its_document(made: Made) -> None:
    documents = {each["doc_id"]: each for each in made.rows("mixture.base")}
    spans, wanted = made.rows("mixture.base_spans"), texts()
    occurrences = Counter((each["split"], each["doc_id"]) for each in spans)
    cut = 0
    for shard in made.rows("mixture.base_shards"):
        path = made.lake.files / shard["path"]
        stream = read_shard(path).reshape(-1)
        assert len(stream) == shard["tokens"] == shard["sequences"] * 33
        cut += shard["dropped_tokens"]
        by_source = Counter[str]()
        for span in (each for each in spans if (each["split"], each["shard"]) == (shard["split"], shard["shard"])):
            document = documents[span["doc_id"]]
            assert document["split"] == span["split"]
            by_source[document["source"]] += span["stop"] - span["start"]
            text = made.tokenizer.decode(stream[span["start"] : span["stop"]].tolist())
            meant = wanted[key_of(document)]
            if span["stop"] - span["start"] == document["tokens"]:
                assert text == meant
            assert meant.startswith(text.rstrip("\ufffd"))
        assert {each["source"]: each["tokens"] for each in shard["sources"]} == dict(by_source)
    assert all(occurrences[each["split"], id_] <= each["repeats"] for id_, each in documents.items())
    read = sum(each["tokens"] * each["repeats"] for each in documents.values())
    assert read == cut + sum(each["tokens"] for each in made.rows("mixture.base_shards"))
    folder = made.lake.folder("mixture.base_shards", FINGERPRINT)
    train = check_manifest(folder / "train")
    assert train.num_sequences == sum(
        each["sequences"] for each in made.rows("mixture.base_shards") if each["split"] == "train"
    )


def test_the_same_recipe_gives_the_same_bytes(made: Made) -> None:
    before = {(each["split"], each["shard"]): each["sha256"] for each in made.rows("mixture.base_shards")}
    rows = made.rows("mixture.base")
    shutil.rmtree(made.lake.folder("mixture.base_shards", FINGERPRINT))
    run(made.settings, "mixture.base")
    assert {(each["split"], each["shard"]): each["sha256"] for each in made.rows("mixture.base_shards")} == before
    assert made.rows("mixture.base") == rows


def test_licences_are_those_of_the_rows_that_were_taken(made: Made) -> None:
    counts = rows_by_licence(made.lake)
    held = {each.id: each.rows for each in licences_of("mixture.base", CONTRACTS, counts)}
    stated = Counter(each["licence"] for each in made.rows("mixture.base"))
    assert set(stated) == {"CC-BY-SA-4.0", "CC-BY-4.0", "LicenseRef-Common-Crawl and LicenseRef-Web-Page", "MIT"}
    assert held.keys() == {"CC-BY-SA-4.0", "CC-BY-4.0", "LicenseRef-Common-Crawl", "LicenseRef-Web-Page", "MIT"}
    assert held["CC-BY-4.0"] == stated["CC-BY-4.0"]
    # What is made from the mixture inherits these, and not that of the paper which was left out.
    assert {each.id for each in licences_of("mixture.base_shards", CONTRACTS, counts)} == held.keys()
    (papers,) = (each for each in made.rows("mixture.base_sources") if each["source"] == "papers")
    assert papers["licences"] == ["CC-BY-4.0"]


def test_every_table_of_the_mixture_passes_its_contract(made: Made) -> None:
    names = [contract.name for contract in own_mixtures_in(made)["mixture.base"].contracts]
    failed = [each for each in check(made.settings, names) if not each.passed]
    assert [(each.table, each.label, each.observed) for each in failed] == []


def own_mixtures_in(made: Made) -> dict[str, Any]:
    """The mixtures of the project, which is the current one afterwards."""
    load_settings(made.folder)
    return dict(own_mixtures())


def project_of(made: Made, folder: Path, recipe: str) -> Settings:
    """Another project with the tables of the made one, its files, and another recipe."""
    shutil.copytree(made.folder / "contracts", folder / "contracts")
    for name in ("more", "evaluations", "tokenizer.json"):
        (folder / name).symlink_to(made.folder / name)
    (folder / "mixtures").mkdir()
    (folder / "mixtures" / "base.toml").write_text(recipe)
    lake = json.dumps(str(made.folder / "lake"))
    (folder / "watershed.toml").write_text(f'[lake]\nroot = {lake}\n[licences]\nforbid = ["CC-BY-NC-4.0"]\n')
    return load_settings(folder)


def test_a_check_fails_where_licences_of_two_documents_exclude_each_other(made: Made, tmp_path: Path) -> None:
    shutil.copytree(made.folder / "lake" / "mixture", tmp_path / "lake" / "mixture")
    for name in ("contracts", "mixtures"):
        shutil.copytree(made.folder / name, tmp_path / name)
    (tmp_path / "watershed.toml").touch()
    settings = load_settings(tmp_path)
    stated = {"notes": "GPL-2.0-only", "papers": "Apache-2.0"}
    write_rows(
        settings,
        {
            "mixture.base": [
                {**each, "licence": stated.get(each["source"], "MIT")} for each in made.rows("mixture.base")
            ]
        },
    )
    for table in ("mixture.base", "mixture.base_shards"):
        (failed,) = (each for each in check(settings, [table]) if not each.passed and each.label == "licences")
        assert str(failed.observed).startswith("Apache-2.0 + GPL-2.0-only: version 2 of the GPL alone")


@pytest.mark.parametrize(
    ("changed", "cause"),
    [
        (('licences = "drop"', 'licences = "refuse"'), "licence may not be taken: CC-BY-NC-4.0: [licences]"),
        (("tokens = 150", "tokens = 50_000"), "50,000 tokens of extra need "),
        (('text = "body"', 'text = "words"'), "own.notes has no column 'words'"),
        (('files = ["more/*.jsonl"]', 'files = ["none/*.jsonl"]'), "no file of the project matches 'none/*.jsonl'"),
        (('table = "own.notes"', 'table = "own.note"'), "no table is called 'own.note'; close: own.notes"),
        (("repeated_ngrams", "repeated_words"), "the filter 'repeated_words' is not known"),
    ],
)  # fmt: skip
def test_what_cannot_be_made_is_refused_with_its_place(
    made: Made, tmp_path: Path, changed: tuple[str, str], cause: str
) -> None:
    assert changed[0] in RECIPE
    before = made.rows("mixture.base")
    with pytest.raises(WatershedError) as refused:
        settings = project_of(made, tmp_path, RECIPE.replace(*changed))
        contract("mixture.base")
        run(settings, "mixture.base")
    assert cause in refused.value.cause
    # What was made before is unchanged, and a table whose recipe cannot be used stops no other.
    assert made.rows("mixture.base") == before
    assert contract("own.notes").primary_key == ("id",)


def test_lineage_leads_from_a_shard_to_the_rows_of_every_source_and_back(made: Made) -> None:
    with connect(made.settings) as connection:
        up = {each.table: each for each in follow(connection, "mixture.base_shards", {"split": "train"}, "upstream")}
        down = {each.table for each in follow(connection, "own.notes", {"id": "n0"}, "downstream")}
        (thing,) = named_things(connection, "mixture.base_shards:train/shard_00000000")
    spans = {each["doc_id"] for each in made.rows("mixture.base_spans") if each["split"] == "train"}
    read = {key_of(each) for each in made.rows("mixture.base") if each["doc_id"] in spans}
    assert up["own.notes"].rows == sum(source == "notes" for source, _ in read)
    assert up["scholar.papers"].rows == sum(source == "papers" for source, _ in read)
    assert up["dclm.documents"].rows == sum(source == "web" for source, _ in read)
    assert down >= {"mixture.base", "mixture.base_spans", "mixture.base_shards"} or not in_heldout(words(0))
    assert thing.table == "mixture.base_shards"


def test_search_and_the_card_know_the_mixture(made: Made) -> None:
    with connect(made.settings) as connection:
        assert connection.execute("SELECT count(*) FROM mixture.base_sources").fetchall() == [(4,)]
    with SearchIndex(made.settings) as index:
        assert index.search("notes papers pages").hits[0].name == "mixture.base"
    assert "Notes, papers and pages." in card(CONTRACTS["mixture.base"])


def test_a_source_that_a_command_writes_makes_the_mixture_due_by_its_version(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = "scholar.answers"
    assert CONTRACTS[table].command
    monkeypatch.setenv("WATERSHED_PROJECT", str(tmp_path))
    recipe = RECIPE.replace('"scholar.papers"', f'"{table}"\ntext = "question"')
    settings = project_of(made, tmp_path, recipe)
    known = steps()
    step = known.by_table["mixture.base"]
    assert table in step.upstream and table not in known.upstream(step)
    assert "own.notes" in known.ancestors(step)
    assert step.literals(settings, None)["versions"] == {table: None}


def test_the_command_lists_copies_and_shows(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def said(folder: Path, *words: str, code: int = 0) -> str:
        monkeypatch.setenv("WATERSHED_PROJECT", str(folder))
        found = CliRunner().invoke(mixture_command, words)
        assert found.exit_code == code, found.output
        return found.output

    shown = [json.loads(line) for line in said(made.folder, "show", "base", "--json").splitlines()]
    assert [each["source"] for each in shown] == ["notes", "papers", "web", "extra"]
    assert "asked_share" in said(made.folder, "show", "mixture.base")
    assert "base: 4 sources, made" in said(made.folder, "list")
    (tmp_path / "watershed.toml").touch()
    copied = said(tmp_path, "copy", "olmoe_mix_0924", "--as", "small")
    assert "mixture.small: written to mixtures/small.toml" in copied
    # Its sources are not added yet: it is named with the reason, and stops no other command.
    assert "small: cannot be used: " in said(tmp_path, "list")
    assert "no table is called 'own.dclm_baseline'" in said(tmp_path, "show", "small", code=2)
    assert "exists" in said(tmp_path, "copy", "olmoe_mix_0924", "--as", "small", code=2)
    assert "close: olmoe_mix_0924" in said(tmp_path, "copy", "olmoe_mix", code=2)


@pytest.mark.slow
def test_what_is_forgotten_leaves_the_shards_and_does_not_come_back(made: Made, tmp_path: Path) -> None:
    copy = Made(shutil.copytree(made.folder, tmp_path / "copy"))
    settings, lake = copy.settings, copy.lake
    holders = removal_holders()
    (extra,) = (each["doc_id"] for each in copy.rows("mixture.base") if key_of(each) == ("extra", taken_extra(copy)))
    with connect(settings) as connection:
        plan = plan_removal(lake, connection, ["p1", "n1", doc_id(52), extra], [], holders)
    assert plan.rows["mixture.base"] == 4
    order, left = carry_out(lake, order_removal(lake, plan, "asked"), holders)
    assert not left and order.rows["mixture.base_spans"] >= 4
    gone = {("papers", "p1"), ("notes", "n1"), ("web", doc_id(52)), ("extra", taken_extra(made))}
    assert not gone & {key_of(each) for each in copy.rows("mixture.base")}
    streams = [read_shard(lake.files / each["path"]).reshape(-1) for each in copy.rows("mixture.base_shards")]
    shown = " ".join(copy.tokenizer.decode(stream.tolist()) for stream in streams)
    assert words(101)[:40] not in shown and words(1)[:40] not in shown and words(202)[:40] not in shown
    assert words(102)[:40] in shown
    for each in copy.rows("mixture.base_shards"):
        assert hashlib.sha256((lake.files / each["path"]).read_bytes()).hexdigest() == each["sha256"]
    run(settings, "mixture.base")
    assert not gone & {key_of(each) for each in (*copy.rows("mixture.base"), *copy.rows("mixture.base_dropped"))}


def taken_extra(made: Made) -> str:
    """The number of the first row of the files that the mixture reads."""
    return min(key_of(each)[1] for each in made.rows("mixture.base") if each["source"] == "extra")


RUNS = {"30k-0.05xC": 0, "short": 3}
"""The runs of the recipe; how many steps it names, or 0."""


@dataclass(frozen=True)
class Fed:
    """The training sequences that a run was fed, step by step, by shard and number in it."""

    steps: list[list[tuple[str, int]]]

    def reading(self, run: str, spans: list[dict[str, Any]]) -> Reading | None:
        """What the run has read of the document with these spans, counted token by token."""
        tokens: Counter[tuple[str, int]] = Counter()
        for span in spans:
            tokens.update((span["shard"], at // 33) for at in range(span["start"], span["stop"]))
        read = [tokens[place] for step in self.steps for place in step if place in tokens]
        return Reading(run, len(read), sum(read), "mixture.base_batches") if read else None


class Watched(Sequences):
    """The sequences of a split, which remembers which of them were read."""

    read: tuple[int, ...] = ()

    def __getitem__(self, places: Any) -> Any:
        """The sequences numbered `places`."""
        self.read = tuple(places.tolist())
        return super().__getitem__(places)


@pytest.fixture(scope="module")
def fed(trained: Made) -> dict[str, Fed]:
    """What the trainer's loader feeds to each run, read from the tar files; the lake's records are not read."""
    folder = trained.lake.folder("mixture.base_shards", FINGERPRINT) / "train"
    stored = [
        ((path.stem, at), row) for path in sorted(folder.glob("shard_*.tar")) for at, row in enumerate(read_shard(path))
    ]
    found = {}
    for name, config in ((each["run"], json.loads(each["config"])) for each in trained.rows("mixture.base_models")):
        sequences = Watched(check_manifest(folder))
        loader, steps_of_run = ShuffledLoader(sequences, config["seed"]), []
        for _ in range(config["steps"]):
            batch = loader.next_batch(config["batch"])
            assert [row.tolist() for row in batch] == [stored[place][1].tolist() for place in sequences.read]
            steps_of_run.append([stored[place][0] for place in sequences.read])
        found[name] = Fed(steps_of_run)
    return found


def readings_by_hand(trained: Made, fed: dict[str, Fed], *doc_ids: str) -> list[Reading]:
    """What each run has read of each of these documents, one after another."""
    spans = [each for each in trained.rows("mixture.base_spans") if each["split"] == "train"]
    return [
        reading
        for doc_id in doc_ids
        for run, each in sorted(fed.items())
        if (reading := each.reading(run, [span for span in spans if span["doc_id"] == doc_id]))
    ]


def test_the_models_of_a_mixture_are_rows_with_their_weights_and_metrics(
    trained: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = {each["run"]: each for each in trained.rows("mixture.base_models")}
    assert rows.keys() == RUNS.keys()
    for name, each in rows.items():
        assert (each["size"], each["chinchilla_multiple"], each["dataset"]) == ("30k", 0.05, FINGERPRINT)
        config = json.loads(each["config"])
        assert config["seed"] == (7 if name == "short" else 0)
        assert each["steps"] == config["steps"] == (RUNS[name] or config["steps"])
        assert each["tokens"] == each["steps"] * config["batch"] * 32
        assert (trained.lake.files / each["path"]).is_dir()
        losses = {row["step"]: row["loss"] for row in trained.rows("mixture.base_metrics") if row["run"] == name}
        assert each["train_loss"] == losses[max(losses)] < losses[min(losses)]
    assert len({each["sha256"] for each in rows.values()}) == 2
    # The recipe of the data does not name the models, so that another one does not make the mixture again.
    monkeypatch.setenv("WATERSHED_PROJECT", str(trained.folder))
    data, step = (steps().by_table[name] for name in ("mixture.base", "mixture.base_models"))
    assert step.upstream == ("mixture.base_shards",)
    assert "train" not in data.identity(own_mixtures_of.chosen_files(own_mixtures()["mixture.base"], trained.settings))


def test_every_table_of_the_models_passes_its_contract(trained: Made) -> None:
    names = [each.name for each in own_mixtures_in(trained)["mixture.base"].tables[-3:]]
    assert names == ["mixture.base_models", "mixture.base_metrics", "mixture.base_batches"]
    failed = [each for each in check(trained.settings, names) if not each.passed]
    assert [(each.table, each.label, each.observed) for each in failed] == []


def test_the_batches_are_the_sequences_that_the_trainer_was_fed(trained: Made, fed: dict[str, Fed]) -> None:
    recorded: dict[str, dict[int, Counter[tuple[str, int]]]] = {name: {} for name in RUNS}
    for each in trained.rows("mixture.base_batches"):
        step = recorded[each["run"]].setdefault(each["step"], Counter())
        step.update((each["shard"], number) for number in each["sequences"])
    for name, each in fed.items():
        assert recorded[name] == {number: Counter(step) for number, step in enumerate(each.steps, start=1)}


def test_every_document_names_the_models_that_read_it_and_how_often(trained: Made, fed: dict[str, Fed]) -> None:
    own_mixtures_in(trained)
    corpus, read = corpus_of_documents("mixture.base"), 0
    with connect(trained.settings) as connection:
        for each in sorted(trained.rows("mixture.base"), key=lambda row: str(row["doc_id"]))[::3]:
            found = readings_of_documents(connection, [each["doc_id"]], corpus)
            assert found == readings_by_hand(trained, fed, each["doc_id"])
            assert not found or each["split"] == "train"
            read += len(found)
    assert read > len(RUNS)


def test_a_trace_leads_from_a_model_to_the_rows_of_every_source_and_from_a_row_to_its_readers(
    trained: Made, fed: dict[str, Fed], monkeypatch: pytest.MonkeyPatch
) -> None:
    own_mixtures_in(trained)
    held = {each["doc_id"] for each in trained.rows("mixture.base_spans")}
    documents = {key_of(each): each["doc_id"] for each in trained.rows("mixture.base") if each["doc_id"] in held}
    by_source = Counter(source for source, _ in documents)
    key = next(
        key for (source, key), id_ in documents.items() if source == "notes" and readings_by_hand(trained, fed, id_)
    )
    expected = readings_by_hand(trained, fed, documents["notes", key])
    with connect(trained.settings) as connection:
        short = Thing("mixture.base_models", {"run": "short"})
        model = {each.table: each for each in trace(connection, short).upstream}
        note = trace(connection, Thing("own.notes", {"id": key}))
        (thing, *_) = named_things(connection, "short")
    assert thing == short
    assert model["mixture.base"].rows == len(documents)
    assert model["own.notes"].rows == by_source["notes"]
    assert model["scholar.papers"].rows == by_source["papers"]
    assert model["dclm.documents"].rows == by_source["web"]
    assert {"mixture.base_models", "mixture.base_batches"} <= {each.table for each in note.downstream}
    assert (note.documents, list(note.readings)) == (1, expected)
    monkeypatch.setenv("WATERSHED_PROJECT", str(trained.folder))
    for name in (f"own.notes:{key}", documents["notes", key]):
        said = CliRunner().invoke(trace_command, [name]).output
        for each in expected:
            assert f"{each.run}  {each.sequences:,} sequence" in said, said
            assert f" with {each.tokens:,} tokens of it  (mixture.base_batches)" in said
    shard, number = fed["short"].steps[1][0]
    sequence = CliRunner().invoke(trace_command, [f"mixture.base_shards:train/{shard}/{number}"]).output
    step = CliRunner().invoke(trace_command, ["--run", "mixture.base_models:short", "--step", "2"]).output
    for said in (sequence, step):
        assert re.search(r"own\.notes:n\d|scholar\.papers:p\d|dclm\.documents:0|extra\.jsonl:\d", said), said
    assert "read by 2 models" in sequence
    assert f"read        {len(fed['short'].steps[1])} sequences of " in step


def test_forget_lists_the_models_that_have_read_a_row(trained: Made, fed: dict[str, Fed]) -> None:
    own_mixtures_in(trained)
    ids = {key_of(each): each["doc_id"] for each in trained.rows("mixture.base")}
    page = next(key for (source, key), id_ in ids.items() if source == "web" and readings_by_hand(trained, fed, id_))
    with connect(trained.settings) as connection:
        plan = plan_removal(trained.lake, connection, [page], [], removal_holders())
    assert list(plan.readings) == readings_by_hand(trained, fed, ids["web", page])
    assert not {"mixture.base_models", "mixture.base_batches"} & plan.rows.keys()


def test_search_the_site_and_the_bills_of_materials_know_the_models(trained: Made) -> None:
    own_mixtures_in(trained)
    with SearchIndex(trained.settings) as index:
        found = [each for each in index.search("short").hits if each.kind == "model"]
    assert [(each.name, each.table) for each in found] == [("short", "mixture.base_models")]
    site = SiteLake.of(trained.settings, {})
    with site.connection:
        pages = {each.title: str(each.sections) for each in model_pages(site)}
        listed = str(models_page(site).sections)
        tables = str(index_page(site, len(pages)).sections)
        facts = model_facts(site, "mixture.base_models:short")
        summary = eu_summary(site, facts).markdown()
    assert pages.keys() == RUNS.keys()
    for words in ("CC-BY-SA-4.0", "Tokens by source", "notes", "Training", "Configuration"):
        assert words in pages["short"]
    assert "mixture.base_models" in listed
    assert "mixture.base_spans" in tables and "own.notes" in tables
    assert {"mixture.base_shards", "mixture.base", "own.notes", "scholar.papers"} <= {e.name for e in facts.trained_on}
    assert {each.id for each in facts.licences} == {
        *("CC-BY-SA-4.0", "CC-BY-4.0", "LicenseRef-Common-Crawl", "LicenseRef-Web-Page", "MIT")
    }
    assert re.search(r"Tokens by source\*\*: .*notes [\d,]+", summary)


@pytest.mark.parametrize(
    ("train", "cause"),
    [
        ('"30k"', "the preset '30k' is not of the form SIZE-MULTIPLExC"),
        ('["30k-1xC", "30K-1xc"]', "train names two runs 30K-1xc"),
        ('{ preset = "30k-1xC", run = "../up" }', "the run '../up' is not in letters"),
        ('{ preset = "30k-1xC", epochs = 2 }', "train has the unknown entry 'epochs'"),
        ('{ preset = "30k-1xC", steps = 0 }', "steps = 0 is not a whole number of at least 1"),
        ('{ preset = "30k-1xC", spike = "much" }', "spike = 'much' is not a number from 0 to 1000"),
        ("7", "train = 7 is neither a preset nor a table"),
    ],
)
def test_a_recipe_names_the_run_that_is_not_one(tmp_path: Path, train: str, cause: str) -> None:
    path = tmp_path / "base.toml"
    path.write_text(f"train = {train}\n{RECIPE}")
    with pytest.raises(WatershedError) as refused:
        read_mixture(path)
    assert cause in refused.value.cause


def test_a_size_that_no_model_has_is_refused_before_a_trainer_starts(made: Made, tmp_path: Path) -> None:
    settings = project_of(made, tmp_path, f'train = "31k-1xC"\n{RECIPE}')
    contract("mixture.base_models")
    with pytest.raises(WatershedError, match=r"base\.toml: train: no model size is called '31k'; close: "):
        run(settings, "mixture.base_models")
