"""The same expectations as a Great Expectations suite, validated on a pandas batch.

It serves teams that use Great Expectations, and verifies `quality.expectations`: a test compares the violations that
both engines count. Great Expectations takes seconds to import, so it is imported when it is used.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from catalog.contract import Contract, Expectation
from catalog.errors import WatershedError
from catalog.lake import partition_key
from catalog.violations import anchored
from quality.expectations import (
    Reading,
    example_columns,
    row_count_outcome,
    schema_outcomes,
    target_problem,
    target_scan,
)
from quality.outcome import (
    BETWEEN,
    NOT_NULL,
    PARTITIONS_NAMED,
    REFERENCES,
    REGEX,
    ROW_COUNT,
    Outcome,
    examples_shown,
    judge,
    observation,
    unjudged,
)

if TYPE_CHECKING:
    import great_expectations as gx
    import pandas as pd

PLACE = "place"
"""Key of an expectation's metadata: its position in `Contract.all_expectations`."""


def expectation_suite(contract: Contract, keys: Mapping[str, list[Any]] | None = None) -> gx.ExpectationSuite:
    """The contract as a Great Expectations suite.

    Args:
        keys: the values of every `references` target (`family.table.column`); references to other targets are left out.

    Raises:
        WatershedError: Great Expectations has no type of the name of an expectation.

    Example:
        >>> from catalog import CONTRACTS
        >>> from quality.suite import expectation_suite
        >>> suite = expectation_suite(CONTRACTS["dclm.pool"])
        >>> suite.name, suite.expectations[0].column
        ('dclm.pool', 'warc')
    """
    gx = _great_expectations()
    keys = keys or {}
    expectations = [
        _translate(expectation, place, keys)
        for place, expectation in enumerate(contract.all_expectations())
        if expectation.name != REFERENCES or expectation["target"] in keys
    ]
    return gx.ExpectationSuite(name=contract.name, expectations=expectations, meta={"contract": contract.description})


def check_table_with_gx(reading: Reading) -> list[Outcome]:
    """The outcomes of `quality.expectations.check_table`, by Great Expectations, which reads the table into memory."""
    contract, expectations = reading.contract, reading.contract.all_expectations()
    used = {name for e in expectations for name in (*example_columns(reading, e), *(e["column_list"] or ()))}
    used |= set(contract.partition_by)
    frame = _frame(reading, [name for name in reading.columns if name in used])
    rows = len(frame)
    outcomes: dict[int, Outcome] = {}
    keys: dict[str, list[Any]] = {}
    for place, e in enumerate(expectations):
        problem = reading.problem(e) or (target_problem(reading, e) if e.name == REFERENCES else None)
        if problem:
            outcomes[place] = unjudged(contract, e, problem, rows, reading.version)
        elif e.name == REFERENCES and e["target"] not in keys:
            keys[e["target"]] = [
                row[0] for row in reading.rows(f"FROM {target_scan(reading, e)}") if row[0] is not None
            ]
    began = time.perf_counter()
    results = _validate(frame, expectation_suite(contract, keys), skip=set(outcomes))
    seconds = (time.perf_counter() - began) / max(len(results), 1)
    for place, result in results.items():
        outcomes[place] = _outcome(reading, expectations[place], frame, result, seconds)
    return [*schema_outcomes(reading, rows), *(outcomes[place] for place in sorted(outcomes))]


def _great_expectations() -> Any:
    os.environ["GX_ANALYTICS_ENABLED"] = "False"
    import great_expectations

    return great_expectations


def _translate(expectation: Expectation, place: int, keys: Mapping[str, list[Any]]) -> Any:
    gx = _great_expectations()
    arguments = _arguments(expectation, keys)
    name = "expect_column_values_to_be_in_set" if expectation.name == REFERENCES else expectation.name
    kind = getattr(gx.expectations, name.title().replace("_", ""), None)
    if kind is None:
        raise WatershedError(f"Great Expectations has no type {name}", "use a type of catalog/contract.py")
    return kind(**arguments, meta={PLACE: place, "why": expectation.why})


def _arguments(expectation: Expectation, keys: Mapping[str, list[Any]]) -> dict[str, Any]:
    column = {"column": expectation.column} if expectation.column else {}
    if expectation.name == REFERENCES:
        share = {} if expectation["mostly"] is None else {"mostly": expectation["mostly"]}
        return {**column, **share, "value_set": keys[expectation["target"]]}
    arguments = {key: list(value) if isinstance(value, tuple) else value for key, value in expectation.kwargs}
    if expectation.name == REGEX:
        # Python's $ matches before a last newline too; DuckDB's does not.
        regex = anchored(expectation["regex"])
        arguments["regex"] = regex[:-1] + r"\Z" if regex.endswith("$") and not regex.endswith(r"\$") else regex
    return {**column, **arguments}


def _frame(reading: Reading, columns: list[str]) -> pd.DataFrame:
    """The columns in Arrow-backed pandas, where an integer may be missing and NaN is not a missing value."""
    import pandas as pd

    names = ", ".join(f'"{name}"' for name in columns)
    table = reading.arrow(f"SELECT {names} FROM {reading.scan}")
    return table.to_pandas(types_mapper=pd.ArrowDtype)


def _validate(frame: pd.DataFrame, suite: gx.ExpectationSuite, skip: set[int]) -> dict[int, Any]:
    """The result of every expectation of the suite, by its place, without those in `skip`."""
    gx = _great_expectations()
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    suite.expectations = [e for e in suite.expectations if (e.meta or {})[PLACE] not in skip]
    definition = (
        context.data_sources.add_pandas("lake")
        .add_dataframe_asset(suite.name)
        .add_batch_definition_whole_dataframe("all rows")
    )
    batch = definition.get_batch({"dataframe": frame})
    validation = batch.validate(context.suites.add(suite), result_format={"result_format": "COMPLETE"})
    return {result.expectation_config.meta[PLACE]: result for result in validation.results}


def _outcome(reading: Reading, expectation: Expectation, frame: pd.DataFrame, result: Any, seconds: float) -> Outcome:
    contract, found, rows = reading.contract, result.result, len(frame)
    if expectation.name == ROW_COUNT:
        return row_count_outcome(contract, expectation, found["observed_value"], reading.version)
    if "unexpected_count" not in found:
        return unjudged(contract, expectation, f"that {_exception(result)}", rows, reading.version)
    violations = int(found["unexpected_count"])
    compared = rows if expectation.name == NOT_NULL else rows - int(found.get("missing_count", 0))
    low = high = None
    if expectation.name == BETWEEN and compared:
        low, high = frame[expectation.column].min(), frame[expectation.column].max()
    return judge(
        contract,
        expectation,
        rows=rows,
        compared=compared,
        violations=violations,
        observed=observation(expectation, violations, compared, low, high),
        version=reading.version,
        examples=_examples(reading, expectation, frame, found["unexpected_index_list"]) if violations else (),
        partitions=_partitions(reading, frame, found["unexpected_index_list"]) if violations else (),
        seconds=seconds,
    )


def _exception(result: Any) -> str:
    raised = [info for info in (result.exception_info or {}).values() if isinstance(info, dict)]
    message = next(
        (info["exception_message"] for info in raised if info.get("exception_message")), "no reason is given"
    )
    return f"Great Expectations failed: {str(message).splitlines()[0]}"


def _partitions(reading: Reading, frame: pd.DataFrame, rows: list[int]) -> tuple[tuple[str, int], ...]:
    names = list(reading.contract.partition_by)
    if not names or not set(names) <= set(frame.columns):
        return ()
    held = Counter(tuple(values) for values in frame.loc[rows, names].itertuples(index=False, name=None))
    most = sorted(held.items(), key=lambda each: (-each[1], each[0]))[:PARTITIONS_NAMED]
    return tuple((partition_key(dict(zip(names, values, strict=True))), count) for values, count in most)


def _examples(reading: Reading, expectation: Expectation, frame: pd.DataFrame, rows: list[int]) -> tuple[dict, ...]:
    import pandas as pd
    import pyarrow as pa

    names = example_columns(reading, expectation)
    sortable = [name for name in names if not pa.types.is_nested(reading.contract.schema.field(name).type)]
    first = frame.loc[rows, names].sort_values(sortable, na_position="first").head(examples_shown(expectation))
    return tuple(
        {name: None if value is pd.NA else value for name, value in row.items()} for row in first.to_dict("records")
    )
