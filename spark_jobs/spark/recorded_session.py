"""The session that `spark_jobs.spark.java_cache` records: `python -m spark_jobs.spark.recorded_session`."""

from __future__ import annotations

import tempfile
from dataclasses import replace

from catalog.settings import LakeSettings, Settings, SparkSettings, load_settings
from spark_jobs.spark.session import spark_session, stop_session


def record(settings: Settings) -> None:
    """Do what the steps of the lake do: write, read and replace Delta tables, and run Python over Arrow batches."""
    from pyspark import SparkContext
    from pyspark.sql import functions as F

    session = spark_session(settings)
    gateway = SparkContext._gateway
    assert gateway is not None
    with tempfile.TemporaryDirectory(prefix="watershed-java-") as folder:
        for name in ("one", "two"):
            part = (F.col("id") % 3).cast("int").alias("part")
            rows = session.range(2_000).select("id", part, F.lit("text").alias("text"))
            passed = rows.mapInArrow(lambda batches: batches, rows.schema)
            writer = passed.write.format("delta").partitionBy("part").option("userMetadata", name)
            writer.mode("overwrite").save(f"{folder}/{name}")
            again = session.read.format("delta").load(f"{folder}/{name}")
            one = again.where("part = 1").repartition(2, "id").sort("id")
            one.write.format("delta").mode("overwrite").option("replaceWhere", "part = 1").save(f"{folder}/{name}")
        one, two = (session.read.format("delta").load(f"{folder}/{name}") for name in ("one", "two"))
        joined = one.join(two, "id", "left").groupBy(one["part"]).agg(F.count("*"), F.max(two["text"]))
        joined.toArrow()
    stop_session()
    gateway.proc.stdin.close()
    gateway.proc.wait()


if __name__ == "__main__":
    project = load_settings()
    record(replace(project, lake=LakeSettings(), spark=SparkSettings(java_home=project.spark.java_home)))
