"""Files of newcomers become tables: what is proposed, what is stored, and what is refused with its rows named."""

from __future__ import annotations

import json
import os
import shutil
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from catalog.adding.breaking import BrokenContract, require_kept
from catalog.adding.names import column_names
from catalog.adding.proposal import Proposal, propose
from catalog.adding.reading import batches, open_files
from catalog.adding.sources import named_files, unchanged
from catalog.cards.card import card
from catalog.errors import WatershedError
from catalog.inventory import table_state
from catalog.lake import Lake
from catalog.projects import registry
from catalog.projects.contract_file import OwnTable, contract_toml, read_contract
from catalog.projects.files_list import read_list, write_list
from catalog.projects.registry import FOLDER, own_tables
from catalog.search.index import Filters, SearchIndex
from catalog.settings import Settings, load_settings
from catalog.sql.engine import open_engine
from catalog.sql.query import connect
from catalog.tables import CONTRACTS
from quality.gate import check
from tests.catalog.adding.newcomer_files import ROWS, write_newcomer_files


@dataclass(frozen=True)
class Project:
    """A project into which the nine files were added."""

    settings: Settings
    connection: duckdb.DuckDBPyConnection
    proposals: dict[str, Proposal]

    @property
    def lake(self) -> Lake:
        """Its lake."""
        return Lake.of(self.settings)

    def table(self, name: str) -> OwnTable:
        """A table, as its contract's file says."""
        return read_contract(self.settings.project / FOLDER / f"own.{name}.toml")

    def rows(self, name: str) -> list[dict[str, object]]:
        """The rows of a table, in order."""
        return self.lake.read(f"own.{name}").sort_by("source_row").to_pylist()


def add(project: Path, connection: duckdb.DuckDBPyConnection, lake: Lake, name: str, *files: Path | str) -> Proposal:
    """Do what `watershed add` does the first time, without Dagster."""
    named = named_files([str(each) for each in files], project)
    opened = open_files(connection, named.files, project)
    path = project / FOLDER / f"own.{name}.toml"
    proposal = propose(connection, f"own.{name}", opened, path, licence=named.licence, description=named.description)
    require_kept(connection, lake, proposal.table, opened, beside=False)
    path.parent.mkdir(exist_ok=True)
    write_list(proposal.table.files_list, named.files)
    path.write_text(contract_toml(proposal.table, proposal.notes, ("A remark.",)), encoding="utf-8")
    table = read_contract(path)
    lake.replace(table.contract, batches(connection, table, opened), "f" * 16)
    return proposal


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The nine files as tables."""
    folder = tmp_path_factory.mktemp("newcomer")
    settings = load_settings(folder)
    lake = Lake.of(settings)
    connection = open_engine(lake)
    files = write_newcomer_files(folder)
    proposals = {name: add(folder, connection, lake, name, path) for name, path in files.items()}
    return Project(load_settings(folder), connection, proposals)


def column(project: Project, table: str, name: str) -> dict[str, object]:
    """The entry of a column in the contract's file."""
    path = project.settings.project / FOLDER / f"own.{table}.toml"
    return next(each for each in tomllib.loads(path.read_text())["columns"] if each["name"] == name)


def test_nine_files_are_tables_with_every_row(project: Project) -> None:
    load_settings(project.settings.project)
    assert {name: len(project.rows(name)) for name in ROWS} == ROWS
    with connect(project.settings) as connection:
        for name, count in ROWS.items():
            assert connection.execute(f"SELECT count(*) FROM own.{name}").fetchall() == [(count,)]


def test_every_table_has_checks_a_card_and_is_found(project: Project) -> None:
    settings = load_settings(project.settings.project)
    outcomes = check(settings, ["own"])
    assert {outcome.table for outcome in outcomes} == {f"own.{name}" for name in ROWS}
    assert not [outcome.line() for outcome in outcomes if outcome.failed]
    contract = CONTRACTS["own.people"]
    assert "names of persons" in card(contract, table_state(project.lake, contract))
    with SearchIndex(settings) as index:
        for name in ROWS:
            assert f"own.{name}" in [hit.name for hit in index.search(name.replace("_", " ")).hits]
        assert "own.people.e_mail" in [hit.name for hit in index.search("e mail people").hits]


def test_rows_are_found_by_the_columns_that_a_contract_names(project: Project) -> None:
    path = project.settings.project / FOLDER / "own.events.toml"
    before = path.read_text()
    with SearchIndex(project.settings) as index:
        assert not index.search("2026 buy", filters=Filters(kind="row")).hits
        path.write_text(f'search_name = "kind"\nsearch_text = ["at"]\n{before}')
        hits = index.search("buy 2026", filters=Filters(kind="row")).hits
        assert (hits[0].name, hits[0].table) == ("buy", "own.events")
        path.write_text(before)
        assert not index.search("2026 buy", filters=Filters(kind="row")).hits


def test_search_names_no_column_that_is_missing_or_personal(tmp_path: Path) -> None:
    columns = '[[columns]]\nname = "who"\ntype = "VARCHAR"\ndescription = "Who."\npersonal_data = "names"\n'
    text = f'name = "own.people"\ndescription = "People."\nprimary_key = ["who"]\nsearch_name = "NAME"\n{columns}'
    (tmp_path / "people.toml").write_text(text)
    with pytest.raises(WatershedError, match="'NAME', which is not declared"):
        read_contract(tmp_path / "people.toml")
    (tmp_path / "people.toml").write_text(text.replace("NAME", "who"))
    with pytest.raises(WatershedError, match="'who', which holds personal data"):
        read_contract(tmp_path / "people.toml")


def test_what_is_proposed_can_be_read_back(project: Project) -> None:
    for name, proposal in project.proposals.items():
        assert project.table(name) == replace(proposal.table, path=project.table(name).path), name


def test_types_nulls_keys_ranges_and_sets_are_proposed(project: Project) -> None:
    assert project.table("people").contract.primary_key == ("id",)
    assert column(project, "people", "age")["minimum"] == 0
    assert column(project, "people", "age")["maximum"] == 100
    assert column(project, "people", "e_mail")["nullable"] is True
    assert "nullable" not in column(project, "people", "first_name")
    assert column(project, "events", "kind")["one_of"] == ["buy", "view"]
    assert column(project, "shops", "rating")["maximum"] == 10
    assert column(project, "shops", "open")["type"] == "BOOLEAN"
    assert column(project, "shops", "since")["type"] == "DATE"
    # No column of these names every row.
    for name in ("visits", "codes", "notes"):
        assert project.table(name).contract.primary_key == ("source_file", "source_row")


def test_personal_data_are_guessed_by_names_and_by_values(project: Project) -> None:
    assert project.table("people").contract.personal_data == {
        "first_name": "names of persons",
        "e_mail": "e-mail addresses",
        "address": "addresses",
    }
    assert project.table("shops").contract.personal_data["phone"] == "telephone numbers"


def test_values_are_stored_as_they_were(project: Project) -> None:
    assert project.rows("people")[1]["address"] == {"city": "Rome", "zip": "01"}
    assert project.rows("people")[0]["tags"] == []
    # Leading zeros are no number.
    assert project.rows("shops")[3]["zip_code"] == "00003"
    assert [row["code"] for row in project.rows("codes")] == ["007", "008", "007"]
    # A value that is larger than 64 signed bits.
    assert int(str(project.rows("numbers")[0]["big"])) == 2**63 + 5
    assert project.rows("visits")[0]["clock"] == "01:02:03"
    # A field that is a number in one row and a text in another, as in MathFish's metadata.
    assert [row["metadata"] for row in project.rows("lessons")] == [
        {"lesson_number": "3", "unit": "A"},
        {"lesson_number": "3b", "unit": None},
        None,
        {"lesson_number": None, "unit": "B"},
    ]
    assert project.rows("notes")[0]["note"] == "first\nline"
    assert project.rows("notes")[0]["said_by"] == 'Ann "A"'


def test_odd_names_become_words_and_are_kept_in_the_contract(project: Project) -> None:
    assert project.table("odd_keys").names == {
        "grosse": "größe",
        "a_b": "a b",
        "select_": "select",
        "column_1st": "1st",
        "column_5": "",
    }
    assert [row["column_5"] for row in project.rows("odd_keys")] == ["true", None, "false"]
    # SQL cannot name a struct's field `in side` without quotes, so it is text.
    assert json.loads(str(project.rows("odd_keys")[0]["column_1st"])) == {"in side": 2}


def test_names_of_columns_are_unique_words() -> None:
    names = column_names(["A b", "a_b", "A-B", "日本", "userID", "x" * 200, "🙂", "table"])
    assert list(names.values())[:3] == ["a_b", "a_b_2", "a_b_3"]
    assert len(set(names.values())) == len(names)
    assert all(name.isascii() and name.isidentifier() and len(name) <= 64 for name in names.values())
    assert names["userID"] == "user_id"
    assert names["table"] == "table_"


LATER = (
    "id;Zip Code;rating;open;since;phone\n"
    "3;00001;4;true;2026-02-01;+39 06 555 0199\n"  # the key is in the table
    "50;00002;x1;true;2026-02-01;+39 06 555 0199\n"  # no number
    "51;00003;99;true;soon;+39 06 555 0199\n"  # out of range, and no date
    ";00004;1;true;2026-01-01;+39 06 555 0199\n"  # no key
    "52;00005;1;true;2026-01-01;+39 06 555 0199\n"
    "52;00006;1;true;2026-01-01;+39 06 555 0199\n"  # the same key twice
)


def broken(project: Project, table: str, path: Path) -> list[str]:
    """The lines that name the rows of a later file that break the contract."""
    own = project.table(table)
    opened = open_files(project.connection, named_files([str(path)], project.settings.project).files, Path("/"))
    with pytest.raises(BrokenContract) as raised:
        require_kept(project.connection, project.lake, own, opened, beside=True)
    return [line for each in raised.value.broken for line in each.lines()]


def test_a_later_file_that_breaks_the_contract_is_refused_with_its_rows_named(project: Project, tmp_path: Path) -> None:
    (tmp_path / "later.csv").write_text(LATER)
    assert broken(project, "shops", tmp_path / "later.csv") == [
        "later.csv row 2 (id=50, rating='x1'): expected rating is of type BIGINT",
        "later.csv row 3 (id=51, since='soon'): expected since is of type DATE",
        "later.csv row 4 (id=NULL): expected id is not null",
        "later.csv row 3 (id=51, rating=99): expected rating is at least 0 and at most 10",
        "later.csv row 5 (id=52): expected id is unique; several rows of the files have it",
        "later.csv row 6 (id=52): expected id is unique; several rows of the files have it",
        "later.csv row 1 (id=3): expected id is unique; the table has it already",
    ]


def test_a_wrong_value_deep_in_json_is_named(project: Project, tmp_path: Path) -> None:
    rows = [
        {"id": "l5", "metadata": {"unit": "A"}, "standards": [["Alignment", "3.NF"]]},
        {"id": "l6", "metadata": {"unit": "A", "new": 1}, "standards": []},
        {"id": "l7", "metadata": "none", "standards": ["3.NF"]},
    ]
    (tmp_path / "later.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    lines = broken(project, "lessons", tmp_path / "later.jsonl")
    assert [line.split(":")[0].split(",")[0] for line in lines] == [
        "later.jsonl row 2 (id='l6'",
        "later.jsonl row 3 (id='l7'",
        "later.jsonl row 3 (id='l7'",
    ]


def test_a_later_file_of_other_columns_is_refused(project: Project, tmp_path: Path) -> None:
    pq.write_table(pa.table({"Id": [99], "First Name": ["X"], "Surname": ["Y"]}), tmp_path / "later.parquet")
    own = project.table("people")
    opened = open_files(project.connection, named_files([str(tmp_path)], tmp_path).files, tmp_path)
    with pytest.raises(BrokenContract, match="column 'Surname' is not in the contract"):
        require_kept(project.connection, project.lake, own, opened, beside=True)


def test_a_fraction_is_no_whole_number_in_any_format(project: Project, tmp_path: Path) -> None:
    row = {"Id": 100, "First Name": "X", "E-Mail": None, "age": 20.5, "address": None, "tags": []}
    pq.write_table(pa.Table.from_pylist([row], pa.schema([*_people_schema()])), tmp_path / "half.parquet")
    (line,) = broken(project, "people", tmp_path / "half.parquet")
    assert line == "half.parquet row 1 (id=100, age='20.5'): expected age is of type INTEGER"


def _people_schema() -> list[pa.Field]:
    address = pa.struct([("city", pa.string()), ("zip", pa.string())])
    kinds = {
        "Id": pa.int64(),
        "First Name": pa.string(),
        "E-Mail": pa.string(),
        "age": pa.float64(),
        "address": address,
    }
    return [*(pa.field(name, kind) for name, kind in kinds.items()), pa.field("tags", pa.list_(pa.string()))]


def test_a_hugging_face_folder_brings_its_licence_its_words_and_its_splits(project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "squad"
    (folder / "data").mkdir(parents=True)
    for split, rows in (("train", 3), ("test", 2)):
        pq.write_table(
            pa.table({"question": [f"{split} {n}?" for n in range(rows)]}),
            folder / "data" / f"{split}-00000-of-00001.parquet",
        )
    (folder / "README.md").write_text("---\nlicense: cc-by-sa-4.0\n---\n# SQuAD\n\nQuestions of\nreaders.\n\nMore.\n")
    proposal = add(tmp_path, project.connection, Lake.of(load_settings(tmp_path)), "squad", folder)
    contract = proposal.table.contract
    assert (contract.licence, contract.description) == ("cc-by-sa-4.0", "Questions of readers.")
    rows = Lake.of(load_settings(tmp_path)).read("own.squad").to_pylist()
    assert sorted((row["split"], row["source_file"]) for row in rows)[0] == ("test", "data/test-00000-of-00001.parquet")
    assert sum(row["split"] == "train" for row in rows) == 3


def test_a_saved_hugging_face_data_set_of_arrow_files_is_read(project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "saved" / "train"
    folder.mkdir(parents=True)
    table = pa.table({"text": ["a", "b"], "label": pa.array([0, 1], pa.uint8())})
    with pa.ipc.new_stream(folder / "data-00000-of-00001.arrow", table.schema) as writer:
        writer.write_table(table)
    (folder / "state.json").write_text("{}")
    (folder / "dataset_info.json").write_text("{}")
    add(tmp_path, project.connection, Lake.of(load_settings(tmp_path)), "saved", folder.parent)
    rows = Lake.of(load_settings(tmp_path)).read("own.saved").to_pylist()
    assert [(row["text"], row["label"], row["split"]) for row in rows] == [("a", 0, "train"), ("b", 1, "train")]


def test_a_delta_table_is_read_at_the_version_that_was_added(project: Project, tmp_path: Path) -> None:
    write_deltalake(tmp_path / "theirs", pa.table({"key": [1, 2]}))
    named = named_files([str(tmp_path / "theirs")], tmp_path)
    add(tmp_path, project.connection, Lake.of(load_settings(tmp_path)), "theirs", tmp_path / "theirs")
    write_deltalake(tmp_path / "theirs", pa.table({"key": [3]}), mode="append")
    assert unchanged(named.files[0], tmp_path) is None
    assert named_files([str(tmp_path / "theirs")], tmp_path).files[0].digest != named.files[0].digest
    assert DeltaTable(tmp_path / "theirs").version() == 1
    assert sorted(row["key"] for row in Lake.of(load_settings(tmp_path)).read("own.theirs").to_pylist()) == [1, 2]


def test_a_file_that_has_changed_since_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a\n1\n")
    (listed,) = named_files([str(tmp_path / "a.csv")], tmp_path).files
    assert unchanged(listed, tmp_path) is None
    (tmp_path / "a.csv").write_text("a\n2\n")
    assert "has changed since" in str(unchanged(listed, tmp_path))
    (tmp_path / "a.csv").unlink()
    assert "does not exist any more" in str(unchanged(listed, tmp_path))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.csv", b"", "is empty"),
        ("ragged.csv", b"a,b\nx,1\ny,2,3\n", "cannot be read"),
        ("latin.csv", "a,b\nü,1\n".encode("latin-1"), "cannot be read"),
        ("torn.jsonl", b'{"a": 1}\n{"a": ', "cannot be read"),
        ("numbers.jsonl", b"1\n2\n", "no objects"),
        ("short.parquet", b"PAR1", "cannot be read"),
        ("torn.csv.gz", b"\x1f\x8b\x08\x00", "cannot be read"),
        ("head.csv", b"a,b\n", "holds no rows"),
        ("page.html", b"<p>", "no known ending"),
    ],
)
def test_a_file_that_is_no_table_is_refused(
    project: Project, tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WatershedError, match=said):
        add(tmp_path, project.connection, Lake.of(load_settings(tmp_path)), "bad", tmp_path / name)
    assert not (tmp_path / FOLDER).exists()
    assert not (tmp_path / "lake").exists()


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ('name = "dclm.mine"', "one of Watershed's own"),
        ('name = "Own Table"', "is not FAMILY.TABLE"),
        ('colour = "red"', "unknown entry 'colour'"),
        ("primary_key = []", "primary_key names no column"),
        ('primary_key = ["other"]', "uses the column 'other'"),
        ("minimum_rows = -1", "is not a whole number"),
    ],
)
def test_a_contract_with_a_wrong_entry_is_refused(tmp_path: Path, entry: str, said: str) -> None:
    lines = {"name": '"own.rain"', "description": '"Rain."', "primary_key": '["gauge"]'}
    key, _, value = entry.partition(" = ")
    lines[key] = value
    columns = '[[columns]]\nname = "gauge"\ntype = "VARCHAR"\ndescription = "A gauge."\n'
    (tmp_path / FOLDER).mkdir()
    text = "".join(f"{key} = {value}\n" for key, value in lines.items())
    (tmp_path / FOLDER / "rain.toml").write_text(f"{text}{columns}")
    with pytest.raises(WatershedError, match=said):
        load_settings(tmp_path)


def test_the_tables_of_another_project_take_their_place(project: Project, tmp_path: Path) -> None:
    load_settings(project.settings.project)
    assert "own.people" in CONTRACTS
    load_settings(tmp_path)
    assert "own.people" not in CONTRACTS
    assert not own_tables()
    load_settings(project.settings.project)
    assert "own.people" in CONTRACTS
    load_settings(tmp_path)


def test_a_contract_that_is_written_in_place_is_read_again_within_half_a_second(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of many files, each call looks at some of them, and all have been looked at once that time is over."""
    (tmp_path / FOLDER).mkdir()
    original = (project.settings.project / FOLDER / "own.people.toml").read_text()
    paths = [tmp_path / FOLDER / f"t{number}.toml" for number in range(20)]
    for path in paths:
        path.write_text(original.replace("own.people", f"own.{path.stem}"))
    folder = path.parent
    os.utime(folder, (1, 1))
    clock, looked = 100.0, list[str]()
    monkeypatch.setattr(registry, "LEAST", 2)
    monkeypatch.setattr(registry, "_sign", lambda stat: looked.append("") or (stat.st_mtime_ns, stat.st_size))
    monkeypatch.setattr(registry.time, "monotonic", lambda: clock)
    registry.register(tmp_path)
    for at in (3, 17):
        paths[at].write_text(paths[at].read_text().replace("description = ", f"description = '{clock} ' # ", 1))
        assert folder.stat().st_mtime == 1
        calls = []
        for _ in range(10):
            clock += registry.AGE_S / 10
            looked.clear()
            registry.register(tmp_path)
            calls.append(len(looked))
        assert 2 <= min(calls) <= 3
        assert CONTRACTS[f"own.t{at}"].description.startswith("1")
    paths[5].write_text(paths[5].read_text().replace("description = ", "description = 'Late.' # ", 1))
    clock += 10 * registry.AGE_S
    registry.register(tmp_path)
    assert CONTRACTS["own.t5"].description == "Late."
    paths[9].unlink()
    registry.register(tmp_path)
    assert "own.t9" not in CONTRACTS
    load_settings(project.settings.project)


def test_a_torn_list_of_files_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.files.jsonl").write_text('{"path": ')
    with pytest.raises(WatershedError, match=r"x\.files\.jsonl"):
        read_list(tmp_path / "x.files.jsonl")
    shutil.rmtree(tmp_path)
