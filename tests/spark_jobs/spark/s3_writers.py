"""Spark and delta-rs at one lake in an object store, in a process of their own; what happened is printed as JSON.

python s3_writers.py PROJECT CARELESS_PROJECT
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from py4j.protocol import Py4JJavaError

from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.settings import load_settings
from catalog.tables import contract
from spark_jobs.spark import tables as write
from spark_jobs.spark.session import spark_session, stop_session
from tests.small_lake import row

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

RESULTS = contract("evals.results")


def answers(run: str) -> pa.Table:
    """Two answers of a run."""
    rows = [row(RESULTS, run=run, question_id=f"q{number}") for number in range(2)]
    return pa.Table.from_pylist(rows, schema=RESULTS.schema)


def careless(project: Path) -> str:
    """The error of a session on a store that ignores the condition of a PUT."""
    try:
        spark_session(load_settings(project))
    except WatershedError as error:
        return error.cause
    finally:
        stop_session()
    return "it started"


def winners(spark: SparkSession, root: str, versions: int, writers: int) -> list[list[int]]:
    """For each version, which of as many writers got it in and whose bytes are there."""
    context: Any = spark.sparkContext
    jvm, hadoop = context._jvm, context._jsc.hadoopConfiguration()
    store = jvm.watershed.ConditionalLogStore(hadoop)
    found = []
    with ThreadPoolExecutor(writers) as pool:
        for version in range(versions):
            path = jvm.org.apache.hadoop.fs.Path(f"s3a://{root.removeprefix('s3://')}/race/{version:020d}.json")

            def commit(writer: int, path: Any = path) -> bool:
                try:
                    store.write(path, jvm.java.util.ArrayList([f"writer {writer}"]).iterator(), False, hadoop)
                except Py4JJavaError as error:
                    assert "FileAlreadyExistsException" in str(error.java_exception.toString()), error
                    return False
                return True

            won = [writer for writer, mine in enumerate(pool.map(commit, range(writers))) if mine]
            lines = store.read(path, hadoop)
            found.append([*won, int(lines.next().split()[-1])])
            lines.close()
    return found


def together(spark: SparkSession, lake: Lake) -> dict[str, int]:
    """Rows that Spark and delta-rs say they wrote at the same time, each a partition."""
    fields = write.spark_schema(RESULTS.schema)

    def written(run: str) -> int:
        if run.startswith("delta-rs"):
            lake.replace(RESULTS, answers(run), run, {"run": run})
            return 2
        return write.replace(spark.createDataFrame(answers(run), fields), RESULTS, lake, run, {"run": run})

    runs = ["spark-0", "delta-rs-0", "spark-1", "delta-rs-1", "delta-rs-2"]
    with ThreadPoolExecutor(len(runs)) as pool:
        return dict(zip(runs, pool.map(written, runs), strict=True))


def main(project: Path, careless_project: Path) -> None:
    """Print what happened."""
    refused = careless(careless_project)
    settings = load_settings(project)
    spark, lake = spark_session(settings), Lake.of(settings)
    written = together(spark, lake)
    print(
        json.dumps(
            {
                "refused": refused,
                "written": written,
                "read": write.read(spark, lake, "evals.results").groupBy("run").count().toPandas().to_dict("records"),
                "winners": winners(spark, lake.root, 10, 8),
            }
        )
    )


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
