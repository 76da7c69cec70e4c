"""What the body of an asset is given: where to write, under which fingerprint, and for which partition."""

# Annotations stay evaluated here: Dagster refuses a `context` that is annotated by a string.
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import dagster as dg

from catalog.contract import Contract
from catalog.lake import Lake, Part
from catalog.settings import Settings
from dagster_project.engine.partitions import Partition
from dagster_project.engine.steps import Step

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession


@dataclass
class Making:
    """What an asset body receives: settings, recipe, and what it must write under which fingerprint."""

    context: dg.AssetExecutionContext
    step: Step
    settings: Settings
    parts: Sequence[Part]
    """What is written at once: the whole table, a partition, or, for a step with `together`, some partitions."""
    metadata: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def lake(self) -> Lake:
        """The lake of the settings."""
        return Lake.of(self.settings)

    @cached_property
    def recipe(self) -> Any:
        """What decides the rows: the value that the fingerprint was computed from.

        Partitions that are made together share it; where it differs by partition, see `recipe_of`.
        """
        return self.recipe_of(self.parts[0])

    def recipe_of(self, part: Part) -> Any:
        """What decides the rows of one partition."""
        return self.step.recipe(self.settings, part.partition)

    @property
    def partition(self) -> Partition | None:
        """The partition of a step whose partitions are made one by one; None for a whole table."""
        (part,) = self.parts
        return part.partition

    @property
    def fingerprint(self) -> str:
        """The fingerprint to write under, of a step whose partitions are made one by one."""
        (part,) = self.parts
        return part.fingerprint

    @property
    def run(self) -> str:
        """The training run, of a step that is cut by run."""
        assert self.partition is not None
        return str(self.partition["run"])

    def replace(self, contract: Contract, rows: "pa.Table", within: Partition | None = None) -> None:
        """Replace the table, or this partition of it, `within` what is its own. Threads of one process take turns."""
        with _ONE_WRITER:
            self.lake.replace(contract, rows, self.fingerprint, self.partition, within)

    @property
    def spark(self) -> "SparkSession":
        """The Spark session, started on first use."""
        from spark_jobs.spark.session import spark_session

        return spark_session(self.settings)


_ONE_WRITER = threading.Lock()


class Body(Protocol):
    """What makes the rows: a function with a name and a docstring."""

    __name__: str

    def __call__(self, making: Making) -> dict[str, Any] | list[dict[str, Any]]:
        """Make them; returns counts to show, for a step with `together` those of each part."""
        ...
