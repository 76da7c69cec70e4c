"""Reading lake tables with Spark, and replacing a table or some of its partitions in one Delta transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from operator import and_, or_
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.dataset as pads

from catalog.contract import Contract
from catalog.errors import WatershedError
from catalog.lake import Lake, Part, parts_note, parts_sql
from catalog.lineage.removal.orders import Removals, carriers
from spark_jobs.spark.failures import mendable

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession
    from pyspark.sql.types import StructType


def replace(
    frame: DataFrame, contract: Contract, lake: Lake, fingerprint: str, partition: Mapping[str, Any] | None = None
) -> int:
    """Replace the table, or one `partition` of it, by the rows of `frame`; returns the number of rows.

    One Delta transaction that carries the fingerprint: a failure at any moment leaves the version before.

    Args:
        frame: the contract's columns, in any order; those of `partition` may be left out.
        partition: values of the contract's partition columns.

    Raises:
        WatershedError: the rows do not fit the contract or break a constraint, disk or memory is full, or the
            job that made them met an error that the user can mend.
    """
    from pyspark.sql import functions as F

    for column, value in (partition or {}).items():
        frame = frame.withColumn(column, F.lit(value).cast("int" if isinstance(value, int) else "string"))
    return replace_parts(frame, contract, lake, [Part(partition, fingerprint)])


def replace_parts(frame: DataFrame, contract: Contract, lake: Lake, parts: Sequence[Part]) -> int:
    """Replace several partitions, or the whole table where the one part is whole, as `replace` does: in one Delta
    transaction, which costs as much for many partitions as for one; returns how many rows they have together.

    Args:
        frame: the contract's columns, in any order; Delta refuses rows of other partitions.
        parts: what is written, each with its own fingerprint.

    Raises:
        WatershedError: as `replace` does.
    """
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    lake.create(contract)
    removals = lake.removals()
    before = lake.version(contract.name) or 0
    if missing := [name for name in contract.schema.names if name not in frame.columns]:
        raise WatershedError(
            f"rows for {contract.name} do not fit its contract: lacks {', '.join(missing)}",
            f"bring the rows or catalog/tables/{contract.family}.py into agreement",
        )
    frame = _kept(frame, contract, removals)
    writer = frame.select(*contract.schema.names).write.format("delta").mode("overwrite")
    note = parts_note(parts)
    writer = writer.option("userMetadata", note)
    if predicate := parts_sql(parts):
        writer = writer.option("replaceWhere", predicate)
    try:
        writer.save(spark_path(lake.path(contract.name)))
    except (PySparkException, Py4JError) as error:
        # Other servers may fail a job too: what S3A says is the lake's.
        refused = lake.refusal(error) if "org.apache.hadoop.fs.s3a" in str(error) else None
        raise refused or mendable(error, contract.name) from error
    lake.record(contract.name)
    lake.clear_again(contract, removals)
    table = lake.table(contract.name)
    # Other processes may have written other partitions meanwhile: the commit is known by its note.
    commits = table.history(table.version() - before) if table.version() > before else []
    mine = next((commit for commit in commits if commit.get("userMetadata") == note), None)
    if mine is None:
        # Spark makes no commit where nothing was there and nothing came; that this is so has to be on record too.
        lake.replace_parts(contract, contract.schema.empty_table(), parts)
        return 0
    return int(mine.get("operationMetrics", {}).get("numOutputRows", 0))


def _kept(frame: DataFrame, contract: Contract, removals: Removals) -> DataFrame:
    """The rows of `frame` that nobody ordered to forget."""
    from pyspark.sql import functions as F

    if not removals.concern(contract):
        return frame

    def without(kept: DataFrame, name: str, value: Column, digests: Iterable[str]) -> DataFrame:
        # The list's digests are of the identity, a line break and the value.
        listed = frame.sparkSession.createDataFrame([(each,) for each in sorted(digests)], "_digest string")
        named = kept.withColumn("_digest", F.sha2(F.concat(F.lit(f"{name}\n"), value), 256))
        return named.join(F.broadcast(listed), "_digest", "left_anti").drop("_digest")

    for column, identity in carriers(contract).items():
        if digests := removals.keys.get(identity):
            frame = without(frame, identity, F.col(column).cast("string"), digests)
    for column in contract.schema.names:
        for length, digests in removals.prefixes.get(f"{contract.name}.{column}", {}).items():
            beginning = F.substring(F.col(column), 1, length)
            frame = without(frame, f"{contract.name}.{column}", beginning, digests)
    return frame


def read(spark: SparkSession, lake: Lake, name: str, version: int | None = None) -> DataFrame:
    """The table `family.table` at `version`, or the latest.

    Raises:
        WatershedError: there is no such table, or rows of the version were removed by order.
    """
    lake.table(name, version)
    reader = spark.read.format("delta")
    if version is not None:
        reader = reader.option("versionAsOf", version)
    return reader.load(spark_path(lake.path(name)))


def within(frame: DataFrame, parts: Sequence[Part]) -> DataFrame:
    """The rows of `frame` that lie in one of the partitions."""
    predicate = parts_sql(parts)
    return frame.where(predicate) if predicate else frame


def rows_of(lake: Lake, name: str, parts: Sequence[Part]) -> list[int]:
    """How many rows the table has in each of the partitions, from Delta's log: no file is opened."""
    added = pa.table(lake.table(name).get_add_actions())
    counted: Counter[tuple[tuple[str, Any], ...]] = Counter()
    for partition, rows in zip(added["partition"].to_pylist(), added["num_records"].to_pylist(), strict=True):
        counted[tuple(sorted(partition.items()))] += rows or 0
    return [counted[tuple(sorted((part.partition or {}).items()))] for part in parts]


def counts(lake: Lake, name: str, column: str, partition: Mapping[str, Any] | None = None) -> dict[str, int]:
    """The number of rows of the table, or of one `partition`, by value of `column`, in the order of values."""
    chosen = [(key, "=", str(value)) for key, value in (partition or {}).items()] or None
    tally: dict[str, int] = {}
    for batch in lake.table(name).to_pyarrow_dataset(partitions=chosen).to_batches(columns=[column]):
        for found in batch.column(0).value_counts():
            value = str(found["values"].as_py())
            tally[value] = tally.get(value, 0) + found["counts"].as_py()
    return dict(sorted(tally.items()))


def counts_by_part(
    lake: Lake, name: str, column: str, parts: Sequence[Part], where: pads.Expression | None = None
) -> list[dict[str, int]]:
    """`counts` of each partition, read at once; of the rows that fit `where`, if it is given."""
    cut = list(parts[0].partition or {})
    lie = [reduce(and_, (pads.field(key) == value for key, value in (part.partition or {}).items())) for part in parts]
    chosen = reduce(or_, lie) if where is None else reduce(or_, lie) & where
    columns = list(dict.fromkeys([column, *cut]))
    rows = lake.table(name).to_pyarrow_dataset().to_table(columns=columns, filter=chosen)
    tallies: dict[tuple[Any, ...], dict[str, int]] = {}
    for row in rows.group_by(columns).aggregate([([], "count_all")]).to_pylist():
        tallies.setdefault(tuple(row[key] for key in cut), {})[str(row[column])] = row["count_all"]
    found = [tallies.get(tuple((part.partition or {}).values()), {}) for part in parts]
    return [dict(sorted(tally.items())) for tally in found]


def spark_path(path: str) -> str:
    """A lake path as Spark's file systems name it: s3:// becomes Hadoop's s3a://."""
    return "s3a://" + path.removeprefix("s3://") if path.startswith("s3://") else path


def spark_schema(schema: pa.Schema) -> StructType:
    """An Arrow schema in Spark's types, all of them nullable, because Delta checks the contract when it writes."""
    from pyspark.sql.pandas.types import from_arrow_schema
    from pyspark.sql.types import StructField, StructType

    return StructType([StructField(field.name, field.dataType, True) for field in from_arrow_schema(schema)])
