"""`watershed sql`, `tables`, `describe` and `trace`, as typed."""

from __future__ import annotations

import csv
import gzip
import io
import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from rich.console import Console

from catalog.errors import WatershedError
from catalog.printable import human_bytes
from catalog.settings import Settings
from catalog.sql.query import connect
from catalog.tables import CONTRACTS
from dagster_project.cli import main
from dagster_project.cli.screen.errors import user_errors
from dagster_project.cli.screen.prompt import SqlCompleter, finished
from dagster_project.cli.screen.render import cell, print_rows
from tests.small_lake import CURATED, WARC, doc_id, good_rows, plant, settings_in, write_lake, write_rows
from trainers.process.errors import TrainerError


def watershed(*arguments: str, stdin: str = "") -> Result:
    """Run the command line."""
    return CliRunner().invoke(main, arguments, input=stdin)


def test_a_query_prints_a_table_and_counts_on_stderr(lake: Settings) -> None:
    result = watershed("sql", "SELECT doc_id, text, words FROM dclm.documents ORDER BY doc_id LIMIT 2")
    assert result.exit_code == 0, result.output
    head, first, _ = result.stdout.splitlines()
    assert head.split() == ["doc_id", "text", "words"]
    assert first.split() == [doc_id(0), "Water", "runs", "downhill.", "3"]
    assert result.stderr.startswith("2 rows, ")


def test_a_query_comes_from_a_pipe_too(lake: Settings) -> None:
    result = watershed(
        "sql", stdin="SET VARIABLE n = 2;\nSELECT count(*) AS n FROM dclm.scores WHERE bucket >= getvariable('n')"
    )
    assert result.stdout.split() == ["n", "2"]


def test_csv_json_and_parquet_give_all_rows(lake: Settings, tmp_path: Path) -> None:
    query = "SELECT doc_id, broken FROM dclm.verdicts ORDER BY doc_id"
    rows = list(csv.DictReader(io.StringIO(watershed("sql", query, "--format", "csv").stdout)))
    assert [row["doc_id"] for row in rows] == [doc_id(number) for number in range(6)]
    verdicts = json.loads(watershed("sql", query, "--format", "json").stdout)
    assert verdicts[3]["broken"] == [{"rule": "language", "value": 0.1, "threshold": 0.65}]
    path = tmp_path / "out" / "verdicts.parquet"
    result = watershed("sql", query, "-o", str(path))
    assert (result.exit_code, result.stdout) == (0, "")
    assert pq.read_table(path).num_rows == 6
    assert [each.name for each in path.parent.iterdir()] == ["verdicts.parquet"]


def test_a_query_reads_other_files_and_writes_only_if_it_is_allowed_to(lake: Settings, tmp_path: Path) -> None:
    mine = tmp_path / "mine.csv"
    mine.write_text("doc_id,note\nx,n\n")
    joined = f"SELECT count(*) AS n FROM '{mine}'"
    result = watershed("sql", joined)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--files" in result.stderr
    assert watershed("sql", joined, "--files").stdout.split() == ["n", "1"]
    copy = f"COPY (SELECT 1) TO '{tmp_path}/one.csv'"
    for options in ((), ("--files",)):
        result = watershed("sql", copy, *options)
        assert result.exit_code == 2
        assert "--write" in result.stderr
    assert watershed("sql", copy, "--write").exit_code == 0
    assert (tmp_path / "one.csv").exists()


def test_a_failed_query_leaves_the_file_as_it_was(lake: Settings, tmp_path: Path) -> None:
    path = tmp_path / "out" / "rows.csv"
    path.parent.mkdir()
    path.write_text("before")
    result = watershed("sql", "SELECT warc::INT FROM dclm.pool", "-o", str(path))
    assert result.exit_code == 2
    assert [(each.name, each.read_text()) for each in path.parent.iterdir()] == [("rows.csv", "before")]


@pytest.mark.parametrize(
    ("query", "cause"),
    [
        ("SELECT *\nFROM\nFROM x", "error: line 3, column 1: syntax error"),
        ("SELECT * FROM dclm.nope", "error: Table with name nope does not exist"),
        ("SELECT * FROM dclm.pool AT (VERSION => 9)", "error: dclm.pool has no version 9: it has versions 0 ("),
        ("SELECT 'a'::INT", "error: Could not convert string 'a' to INT32"),
        ("FROM Settings", "error: Table with name Settings does not exist"),
        (" ", "error: the query is empty"),
    ],
)
def test_a_wrong_query_is_two_lines_and_exit_code_two(lake: Settings, query: str, cause: str) -> None:
    result = watershed("sql", query)
    assert result.exit_code == 2
    error, mend = result.stderr.splitlines()
    assert error.startswith(cause)
    assert mend.startswith("mend:  ")
    assert result.stdout == ""


def test_a_long_answer_shows_its_beginning_and_says_how_long_it_is(lake: Settings) -> None:
    result = watershed("sql", "FROM range(12345)")
    assert len(result.stdout.splitlines()) == 101
    assert result.stderr.startswith("12,345 rows, 100 shown (all with -o FILE), ")


def test_a_wide_answer_leaves_columns_out_and_a_single_wide_row_is_a_record(lake: Settings) -> None:
    many = watershed("sql", "FROM dclm.documents")
    columns = len(CONTRACTS["dclm.documents"].columns)
    assert f"of {columns} columns left out" in many.stderr
    assert all(len(line) <= 160 for line in many.stdout.splitlines())
    one = watershed("sql", "FROM dclm.documents WHERE record_offset = 2000")
    assert "left out" not in one.stderr
    assert f"doc_id                               {doc_id(2)}" in one.stdout
    assert len(one.stdout.splitlines()) == columns


def test_time_travel_as_typed(lake: Settings) -> None:
    write_rows(lake, {"dclm.scores": good_rows()["dclm.scores"][:1]})
    result = watershed("sql", "SELECT count(*) AS n FROM dclm.scores AT (VERSION => 2)")
    assert result.stdout.split() == ["n", "3"]


def test_tables_lists_every_table_with_its_state(lake: Settings) -> None:
    plant(lake, "dclm.scores", {}, drop=("bucket",))
    result = watershed("tables")
    assert result.exit_code == 0, result.output
    lines = {line.split()[0]: line for line in result.stdout.splitlines() if line.strip()}
    assert lines["dclm.documents"].split()[1] == "6"
    assert lines["dclm.documents"].rstrip().endswith("fits its contract")
    assert "bucket is missing" in lines["dclm.scores"]
    assert f"{len(CURATED)} of {len(CONTRACTS)} tables made" in result.stderr
    assert lines.keys() >= CONTRACTS.keys()


def test_tables_of_a_project_without_a_lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATERSHED_PROJECT", str(settings_in(tmp_path).project))
    result = watershed("tables")
    assert result.exit_code == 0
    assert result.stdout.count("not made yet") == len(CONTRACTS)


def test_listing_tables_imports_no_engine_but_delta_once_it_is_known_what_is_due(lake: Settings) -> None:
    watershed("tables")
    program = (
        "import sys; from dagster_project.cli import main\n"
        "main(['tables'], standalone_mode=False)\n"
        "print(sorted({'pandas', 'dagster', 'torch', 'pyspark', 'great_expectations', 'duckdb'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_describe_says_what_the_contract_and_the_lake_know(lake: Settings) -> None:
    result = watershed("describe", "dclm.scores")
    assert result.exit_code == 0, result.output
    for part in ("made from", "dclm.quality_model", "read by", "dclm.mixture", "Probability of being good text",
                 "score is at least 0 and at most 1", "ffffffffffffffff", "create table"):  # fmt: skip
        assert part in result.stdout, part
    assert doc_id(0) in result.stdout, "a value of each column is shown"


def test_describe_a_view_a_card_a_table_not_made_and_an_unknown_one(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("WATERSHED_PROJECT", str(write_lake(tmp_path, ("dclm.pool",)).project))
    assert "SELECT position, stage" in watershed("describe", "dclm.funnel").stdout
    assert watershed("describe", "dclm.pool", "--card").stdout.startswith("# dclm.pool\n")
    assert "not made yet" in watershed("describe", "dclm.shards").stdout
    unknown = watershed("describe", "dclm.nope")
    assert unknown.exit_code == 2
    assert unknown.stderr.splitlines()[0].startswith("error: no table is called 'dclm.nope'; close: dclm.")
    assert watershed("describe", "DCLM.Funnel").stdout == watershed("describe", "dclm.funnel").stdout
    assert watershed("describe", "DCLM.Pool").stdout == watershed("describe", "dclm.pool").stdout


def test_trace_follows_a_document_forward(lake: Settings) -> None:
    result = watershed("trace", doc_id(2))
    assert result.exit_code == 0, result.output
    for part in ("https://lake.example/2", f"crawl/{WARC} at byte 2,000", "dclm-baseline: kept", "read 2 times",
                 "train/shard_00000000/1  tokens 3 to 9", "da7a5e7, read by 5 models", "80k-4xC"):  # fmt: skip
        assert part in result.stdout, part
    dropped = watershed("trace", doc_id(3)).stdout
    assert "dropped by language" in dropped
    assert "the document is in no shard" in dropped


def test_trace_follows_a_sequence_back(lake: Settings) -> None:
    result = watershed("trace", "train/0/0")
    assert result.exit_code == 0, result.output
    documents = [line.split()[1] for line in result.stdout.splitlines() if line.startswith("  document")]
    assert documents == [doc_id(0), doc_id(2)]
    assert watershed("trace", "train/shard_00000000/0").stdout == result.stdout


@pytest.mark.parametrize("what", ["train/0/9", "train/9/0", "train/x/0", "0000", "feed"])
def test_trace_of_an_unknown_place_exits_with_2(lake: Settings, what: str) -> None:
    assert watershed("trace", what).exit_code == 2


PAGE = (
    "<html><head><title>Lake</title></head><body><main><article><h1>The lake</h1>"
    + "<p>Rain fills the lake, and the river that leaves it turns the mill below the village.</p>" * 8
    + "</article></main></body></html>"
)


def test_trace_reads_the_text_again_from_the_archive(lake: Settings, tmp_path: Path) -> None:
    from spark_jobs.archives.extract import extract

    path, offset = _write_archive(tmp_path / "crawl" / WARC, PAGE.encode())
    text = extract(PAGE.encode(), "text/html").text
    plant(lake, "dclm.pool", {0: {"uri": str(path)}})
    plant(lake, "dclm.documents", {2: {"record_offset": offset, "text": text, "payload_digest": None}})
    result = watershed("trace", doc_id(2), "--text")
    assert result.exit_code == 0, result.output
    assert "the same as in dclm.documents" in result.stdout
    assert "turns the mill below the village." in result.stdout
    plant(lake, "dclm.documents", {2: {"record_offset": offset, "text": "Another text."}})
    assert "NOT the text in dclm.documents" in watershed("trace", doc_id(2), "--text").stdout


def _write_archive(path: Path, page: bytes) -> tuple[Path, int]:
    """A gzip WARC file of two records; the second is the page. Its offset is returned."""

    def record(kind: str, body: bytes) -> bytes:
        head = f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: https://lake.example/2\r\n"
        head += "WARC-Date: 2026-01-02T03:04:05Z\r\nWARC-Record-ID: <urn:uuid:0>\r\n"
        kind_of_body = "application/http; msgtype=response" if kind == "response" else "application/warc-fields"
        return gzip.compress(
            f"{head}Content-Type: {kind_of_body}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body + b"\r\n\r\n"
        )

    info = record("warcinfo", b"software: test\r\n")
    http = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + page
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(info + record("response", http))
    return path, len(info)


def test_enter_sends_only_what_is_finished() -> None:
    for text in ("SELECT 1;", "SELECT 1; -- so", ".tables", "", "SELECT ';';"):
        assert finished(text), text
    for text in ("SELECT 1", "SELECT ';'", "SELECT 1 -- ;", "SELECT 'a;"):
        assert not finished(text), text


def test_completion_offers_tables_columns_keywords_and_commands(lake: Settings) -> None:
    completer = SqlCompleter(connect(lake))

    def offered(text: str) -> list[str]:
        return [found.text for found in completer.get_completions(Document(text), CompleteEvent())]

    assert "dclm.documents" in offered("SELECT * FROM dclm.d")
    assert "dclm.duplicates" in offered("SELECT * FROM dclm.d")
    assert "language_score" in offered("SELECT lang")
    assert "language_score" in offered("SELECT d.lang")
    assert "SELECT" in offered("sel")
    assert offered(".t") == [".tables"]
    assert "dclm.documents" in offered(".describe dclm.doc")


def test_cells_are_one_line_short_and_printable() -> None:
    assert cell("a\r\nb\tc\x1b[31m") == "a⏎b c·[31m"
    assert cell("x" * 99, 10) == "x" * 9 + "…"
    assert cell(None) == "NULL"
    assert cell(bytes(512)) == "0x0000000000000000… (512 bytes)"
    assert cell({"a": [1, None]}) == '{"a": [1, null]}'
    assert [human_bytes(count) for count in (999, 1000, 12_345_678)] == ["999 B", "1.0 kB", "12.3 MB"]


def test_no_table_is_wider_than_its_screen() -> None:
    for width in range(20, 120, 7):
        written = io.StringIO()
        screen = Console(file=written, width=width)
        print_rows(screen, ["a", "long_name", "text", "n"], [["x" * 50, 1, "y" * 90, 2.5]] * 9)
        lines = written.getvalue().splitlines()
        assert len(lines) == 10
        assert max(len(line) for line in lines) <= width


def test_errors_of_both_kinds_are_printed_and_bugs_are_not_hidden(capsys: pytest.CaptureFixture[str]) -> None:
    for error in (WatershedError("cause", "mend"), TrainerError("cause", "mend")):

        @user_errors()
        def fail(error: Exception = error) -> None:
            raise error

        with pytest.raises(SystemExit) as left:
            fail()
        assert left.value.code == 2
        assert capsys.readouterr().err == "error: cause\nmend:  mend\n"

    @user_errors()
    def bug() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        bug()
