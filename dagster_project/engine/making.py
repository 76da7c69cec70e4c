"""The argument of an asset body: a `Making` has the settings, the partition, the recipe and the lake to write to."""

# Annotations stay evaluated here: Dagster refuses a `context` that is annotated by a string.
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import dagster as dg

from catalog.contract import Contract
from catalog.lake import Lake, Part
from catalog.settings import Settings
from catalog.storage.records import Recorded, measured_files
from dagster_project.engine.partitions import Partition
from dagster_project.engine.steps import Step

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession


@dataclass
class Making:
    """One execution of an asset body, for a whole table, a partition, or some partitions together.

    Attributes:
        context: The context of the Dagster run.
        step: The step that is executed.
        settings: The settings of the project.
        parts: What is written at once: the whole table, a partition, or, for a step with `together`, some partitions.
        metadata: Metadata for the materialisation, such as pictures. The body may add to it.
        files: The sizes and digests of the files that the body wrote outside its tables; see `wrote`.
    """

    context: dg.AssetExecutionContext
    step: Step
    settings: Settings
    parts: Sequence[Part]
    """What is written at once: the whole table, a partition, or, for a step with `together`, some partitions."""
    metadata: dict[str, Any] = field(default_factory=dict)
    files: dict[str, Recorded] = field(default_factory=dict)

    @cached_property
    def lake(self) -> Lake:
        """The lake of the project."""
        return Lake.of(self.settings)

    @cached_property
    def recipe(self) -> Any:
        """The recipe of the step: the same value that the fingerprint was computed from.

        Partitions that are made together share it. `recipe_of` gives the recipe of each, where they differ.
        """
        return self.recipe_of(self.parts[0])

    def recipe_of(self, part: Part) -> Any:
        """The recipe of the step for one partition."""
        return self.step.recipe(self.settings, part.partition)

    @property
    def partition(self) -> Partition | None:
        """The partition columns and their values, for a step whose partitions are made one by one; None for a table."""
        (part,) = self.parts
        return part.partition

    @property
    def fingerprint(self) -> str:
        """The fingerprint under which rows are written, for a step whose partitions are made one by one."""
        (part,) = self.parts
        return part.fingerprint

    @property
    def run(self) -> str:
        """The name of the training run, for a step that is partitioned by run."""
        assert self.partition is not None
        return str(self.partition["run"])

    def replace(
        self, contract: Contract, rows: "pa.Table | Iterable[pa.RecordBatch]", within: Partition | None = None
    ) -> None:
        """Replace the rows of a table in one transaction.

        A partitioned step replaces only the rows of its partition. Threads of one process write one after another.

        Args:
            contract: The contract of the table.
            rows: The new rows, as a table or as record batches.
            within: Column values of the rows to replace; all other rows are kept. The default replaces all rows.
        """
        with _ONE_WRITER:
            self.lake.replace(contract, rows, self.fingerprint, self.partition, within)

    def wrote(self, *paths: Path) -> None:
        """Record files, or all files in folders, that the body wrote under `lake.files`.

        Sizes and digests are stored with the commit of the table. The partition is due again if a file is missing or
        has another size, and `watershed check` verifies the digests.
        """
        self.files |= measured_files(self.lake.files, [path for path in paths if path.exists()])

    @property
    def spark(self) -> "SparkSession":
        """The Spark session. It is started on first use."""
        from spark_jobs.spark.session import spark_session

        return spark_session(self.settings)


_ONE_WRITER = threading.Lock()


class Body(Protocol):
    """An asset body: a function that computes and writes rows. Its docstring is shown in Dagster."""

    __name__: str

    def __call__(self, making: Making) -> dict[str, Any] | list[dict[str, Any]]:
        """Write the tables of the step, and return counts to show as metadata; with `together`, those of each part."""
        ...
