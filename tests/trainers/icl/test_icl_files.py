import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.trainers.icl.made_tasks import made_examples, write_lines
from trainers.icl.files import find_file, read_examples, read_task
from trainers.icl.tasks import dclm_tasks
from trainers.process.errors import TrainerError

GOOD = {"query": "Is water wet?", "choices": ["yes", "no"], "gold": 0}
OTHER = {"query": "Is fire wet?", "choices": ["yes", "no"], "gold": 1}
SCHEMA = {"context_options": ["the cup", "the jug"], "continuation": "was full", "gold": 1}
TASKS = {task.name: task for task in dclm_tasks()}

FAULTS = {
    "gold out of range": (GOOD | {"gold": 2}, "line 2: gold is 2, outside 0 to 1", "count the right choice from 0"),
    "gold below range": (GOOD | {"gold": -1}, "line 2: gold is -1, outside 0 to 1", "count"),
    "gold no number": (GOOD | {"gold": "A"}, "line 2: gold is not a whole number", "fields of its kind"),
    "gold a truth": (GOOD | {"gold": True}, "line 2: gold is not a whole number", "fields of its kind"),
    "empty choice": (GOOD | {"choices": ["yes", " "]}, "line 2: choices[1] is empty", "fill in the text"),
    "empty query": (GOOD | {"query": "\n"}, "line 2: query is empty", "fill in the text"),
    "one choice": (GOOD | {"choices": ["yes"]}, "line 2: 1 to choose from", "count"),
    "no choices": (GOOD | {"choices": "yes"}, "line 2: choices is not a list of texts", "fields of its kind"),
    "a number among choices": (GOOD | {"choices": ["1", 2]}, "line 2: choices is not a list of texts", "fields"),
    "half a surrogate": (GOOD | {"query": "\ud83d"}, "line 2: query holds half a surrogate pair", "UTF-8"),
    "half a surrogate in a subject": (
        GOOD | {"category": "a\ude00"},
        "line 2: category holds half a surrogate",
        "UTF-8",
    ),
    "another kind": (SCHEMA, "line 2: the fields of schema, where multiple_choice is asked for", "of the task's kind"),
    "no field": (
        {"query": "Is it?", "gold": 0},
        "line 2: no field 'choices' (multiple_choice)",
        "query, choices, gold",
    ),
    "the same example": (OTHER, "line 2: the same example as line 1", "keep one of them"),
}


def refusal(path, **options) -> TrainerError:
    with pytest.raises(TrainerError) as found:
        read_examples(path, **options)
    assert "\n" not in found.value.cause
    assert "\n" not in found.value.mend
    assert str(path) in found.value.cause
    return found.value


@pytest.mark.parametrize("name", FAULTS)
def test_a_malformed_example_is_refused_with_line_and_mend(tmp_path, name):
    row, cause, mend = FAULTS[name]
    path = tmp_path / "made.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in (OTHER, row)))
    error = refusal(path, kind="multiple_choice")
    assert error.cause.startswith(f"{path}: 1 malformed example: {cause}")
    assert mend in error.mend


def test_invalid_utf8_and_lines_other_than_json_objects_are_named(tmp_path):
    path = tmp_path / "made.jsonl"
    good = json.dumps(GOOD).encode()
    path.write_bytes(good + b"\n" + good.replace(b"water", b"w\xe4ter") + b'\n{"query": \n[1]\n')
    error = refusal(path)
    assert "3 malformed examples: line 2: not UTF-8 at byte 15; line 3: not JSON at character" in error.cause
    assert "line 4: no object but list" in error.cause
    assert error.mend == "write the file as UTF-8; write one JSON object a line"


def test_all_faults_are_counted_and_the_first_three_named(tmp_path):
    rows = [OTHER, *(GOOD | {"query": f"{i}?", "gold": 9} for i in range(7))]
    error = refusal(write_lines(tmp_path / "made.jsonl", rows))
    assert error.cause.count("gold is 9") == 3
    assert "7 malformed examples" in error.cause
    assert error.cause.endswith("; and 4 more")


def test_an_empty_file_and_a_missing_one_are_refused(tmp_path):
    path = tmp_path / "made.jsonl"
    path.write_text("\n\n")
    assert "holds no example" in refusal(path).cause
    assert "does not exist" in refusal(tmp_path / "none.jsonl").cause
    other = tmp_path / "made.csv"
    other.write_text("a,b")
    assert "does not end in one of .jsonl" in refusal(other).cause


def test_a_file_cut_off_while_compressed_is_refused(tmp_path):
    path = tmp_path / "made.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(GOOD).encode() * 100)[:-9])
    assert "cannot be read" in refusal(path).cause
    path = tmp_path / "made.parquet"
    path.write_bytes(b"PAR1")
    assert "cannot be read" in refusal(path).cause


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet"])
def test_every_format_gives_the_same_examples(tmp_path, ending):
    for name, rows in made_examples().items():
        plain = read_examples(write_lines(tmp_path / f"{name}.jsonl", rows))
        path = tmp_path / f"{name}{ending}"
        text = "".join(json.dumps(row) + "\r\n" for row in rows).encode()
        if ending == ".parquet":
            pq.write_table(pa.Table.from_pylist(rows), path)
        elif ending == ".jsonl.zst":
            with pa.output_stream(str(path), compression="zstd") as file:
                file.write(text)
        else:
            path.write_bytes(gzip.compress(text) if ending == ".jsonl.gz" else text)
        assert read_examples(path) == plain
        assert len(plain) == len(rows)


def test_parquet_names_rows(tmp_path):
    path = tmp_path / "made.parquet"
    pq.write_table(pa.Table.from_pylist([GOOD, OTHER | {"gold": 5}]), path)
    assert "row 2: gold is 5" in refusal(path).cause


def test_white_space_is_taken_off_texts_but_not_off_choices(tmp_path):
    row = {"query": " Is it? \n", "choices": [" yes", "no "], "gold": 1}
    (example,) = read_examples(write_lines(tmp_path / "made.jsonl", [row]))
    assert example.contexts == ("Is it?",)
    assert example.answers == (" yes", "no ")


def test_duplicates_of_a_published_file_are_known_and_any_other_is_refused(tmp_path):
    task = TASKS["lambada_openai"]
    published = [{"context": f"{i} rain", "continuation": "falls"} for i in range(task.examples - 2)]
    published += published[:2]
    path = write_lines(tmp_path / "lambada_openai.jsonl", published)
    assert len(read_task(path, task)) == task.examples
    write_lines(path, [*published, published[5]])
    with pytest.raises(TrainerError, match="3 malformed examples: line 5152: the same example as line 1"):
        read_task(path, task)
    write_lines(path, [*published[:10], published[3]])
    with pytest.raises(TrainerError, match="line 11: the same example as line 4"):
        read_task(path, task)


def test_a_task_that_is_scored_by_subject_needs_one(tmp_path):
    rows = [{"context": "a", "continuation": "b", "category": "birds"}, {"context": "c", "continuation": "d"}]
    path = write_lines(tmp_path / "jeopardy_all.jsonl", rows)
    with pytest.raises(TrainerError, match="1 malformed example: line 2: no category"):
        read_task(path, TASKS["jeopardy"])
    assert len(read_examples(path)) == 2


def test_a_tasks_file_is_found_in_its_category_or_beside_the_others(tmp_path):
    task = TASKS["copa"]
    assert find_file(tmp_path, task) is None
    write_lines(tmp_path / "copa.jsonl", [GOOD])
    assert find_file(tmp_path, task) == tmp_path / "copa.jsonl"
    deeper = tmp_path / "commonsense_reasoning" / "copa.parquet"
    deeper.parent.mkdir()
    pq.write_table(pa.Table.from_pylist([GOOD]), deeper)
    assert find_file(tmp_path, task) == deeper
