"""The argument of an asset body: a `Making` has the settings, the partition, the recipe and the lake to write to."""

# Annotations stay evaluated here: Dagster refuses a `context` that is annotated by a string.
import threading
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import dagster as dg

from catalog.contract import Contract
from catalog.lake import Lake
from catalog.settings import Settings
from dagster_project.engine.partitions import Partition
from dagster_project.engine.steps import Step

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession


@dataclass
class Making:
    """One execution of an asset body, for a whole table or for one partition.

    Attributes:
        context: The context of the Dagster run.
        step: The step that is executed.
        settings: The settings of the project.
        partition: The partition columns and their values, or None for a whole table.
        fingerprint: The fingerprint under which rows are written.
        metadata: Metadata for the materialisation, such as pictures. The body may add to it.
    """

    context: dg.AssetExecutionContext
    step: Step
    settings: Settings
    partition: Partition | None
    fingerprint: str
    metadata: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def lake(self) -> Lake:
        """The lake of the project."""
        return Lake.of(self.settings)

    @cached_property
    def recipe(self) -> Any:
        """The recipe of the step for this partition: the same value that the fingerprint was computed from."""
        return self.step.recipe(self.settings, self.partition)

    @property
    def shard(self) -> Partition:
        """The partition of a partitioned step, such as `{"global_shard": 0, "local_shard": 3}`."""
        assert self.partition is not None
        return self.partition

    @property
    def run(self) -> str:
        """The name of the training run, for a step that is partitioned by run."""
        return str(self.shard["run"])

    def replace(self, contract: Contract, rows: "pa.Table", within: Partition | None = None) -> None:
        """Replace the rows of a table in one transaction.

        A partitioned step replaces only the rows of its partition. Threads of one process write one after another.

        Args:
            contract: The contract of the table.
            rows: The new rows.
            within: Column values of the rows to replace; all other rows are kept. The default replaces all rows.
        """
        with _ONE_WRITER:
            self.lake.replace(contract, rows, self.fingerprint, self.partition, within)

    @property
    def spark(self) -> "SparkSession":
        """The Spark session. It is started on first use."""
        from spark_jobs.spark.session import spark_session

        return spark_session(self.settings)


_ONE_WRITER = threading.Lock()


class Body(Protocol):
    """An asset body: a function that computes and writes rows. Its docstring is shown in Dagster."""

    __name__: str

    def __call__(self, making: Making) -> dict[str, Any]:
        """Write the tables of the step, and return counts to show as metadata."""
        ...
