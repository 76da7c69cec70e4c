"""The lake: a folder or bucket of Delta tables, one per contract, and the files that they name.

A partition is replaced in one Delta transaction whose commit carries the fingerprint of what was written, so
an interrupted writer leaves the old version, and a re-run knows what is done.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from catalog.contract import Contract, Expectation
from catalog.errors import WatershedError
from catalog.settings import Settings

WHOLE = ""
"""The partition key of a table that is written whole."""

TABLE_PROPERTIES = {
    # History is what time travel and fingerprints are read from; the default forgets it after 30 days.
    "delta.logRetentionDuration": "interval 3650 days",
    "delta.enableDeletionVectors": "false",
}


@dataclass(frozen=True)
class Written:
    """The last commit that replaced a table or one of its partitions."""

    fingerprint: str
    version: int
    timestamp_ms: int


@dataclass(frozen=True)
class Lake:
    """The tables under `root` and the files under `files`."""

    root: str
    files: Path
    storage_options: Mapping[str, str]

    @classmethod
    def of(cls, settings: Settings) -> Lake:
        """The lake that `settings` name."""
        return cls(settings.lake_root, settings.files_root, settings.lake.storage_options)

    def path(self, name: str) -> str:
        """Folder or URL of the table `family.table`."""
        family, table = name.split(".")
        return f"{self.root}/{family}/{table}"

    def folder(self, name: str, *parts: str) -> Path:
        """Folder of the files of the table `family.table`."""
        return self.files.joinpath(*name.split("."), *parts)

    def relative(self, path: Path) -> str:
        """`path` as tables store it: relative to the files' folder."""
        return path.relative_to(self.files).as_posix()

    def exists(self, name: str) -> bool:
        """The table has been created."""
        from deltalake import DeltaTable

        return DeltaTable.is_deltatable(self.path(name), dict(self.storage_options) or None)

    def table(self, name: str, version: int | None = None) -> Any:
        """The `deltalake.DeltaTable`, at `version` or the latest.

        Raises:
            WatershedError: there is no such table.
        """
        from deltalake import DeltaTable

        if not self.exists(name):
            raise WatershedError(
                f"{self.path(name)}: no Delta table here",
                f"materialise {name} in Dagster, run `watershed demo`, or set [lake] root",
            )
        return DeltaTable(self.path(name), version=version, storage_options=dict(self.storage_options) or None)

    def version(self, name: str) -> int | None:
        """Latest version of the table; None where there is none."""
        return self.table(name).version() if self.exists(name) else None

    def read(self, name: str, columns: list[str] | None = None) -> pa.Table:
        """All rows of a small table. Query large ones with `catalog.connect()`."""
        return self.table(name).to_pyarrow_table(columns=columns)

    def create(self, contract: Contract) -> None:
        """Create the table with its constraints where it does not exist; add columns that the contract has gained.

        Raises:
            WatershedError: the table's columns differ in another way, so that its rows must be made again.
        """
        with self._alone():
            if self.exists(contract.name):
                self._evolve(contract)
            else:
                self._create(contract)

    @contextmanager
    def _alone(self) -> Generator[None]:
        """One process at a time within, where the lake is a folder: a table and its constraints are two commits, and
        who wrote between them would have neither checked."""
        if "://" in self.root:
            yield
            return
        import fcntl

        Path(self.root).mkdir(parents=True, exist_ok=True)
        with (Path(self.root) / ".creating").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _create(self, contract: Contract) -> None:
        from deltalake import DeltaTable

        if "://" not in self.root:
            Path(self.path(contract.name)).mkdir(parents=True, exist_ok=True)
        table = DeltaTable.create(
            self.path(contract.name),
            contract.schema,
            mode="ignore",
            name=contract.name,
            description=contract.description,
            partition_by=list(contract.partition_by),
            configuration=TABLE_PROPERTIES,
            storage_options=dict(self.storage_options) or None,
        )
        constraints = {e.label: check for e in contract.expectations if (check := constraint_sql(e))}
        if constraints:
            table.alter.add_constraint(constraints)

    def _evolve(self, contract: Contract) -> None:
        from deltalake import Schema

        table = self.table(contract.name)
        stored = {field.name: field for field in table.schema().fields}
        wanted = {field.name: field for field in Schema.from_arrow(contract.schema).fields}
        gained = [field for name, field in wanted.items() if name not in stored]
        changed = [name for name, field in stored.items() if name not in wanted or wanted[name].type != field.type]
        changed += [field.name for field in gained if not field.nullable]
        if changed:
            raise WatershedError(
                f"{self.path(contract.name)}: stored columns differ from the contract: {', '.join(changed)}",
                "move the table's folder away and run it again: it is made anew from what it reads",
            )
        if gained:
            table.alter.add_columns(gained)

    def replace(
        self,
        contract: Contract,
        rows: pa.Table,
        fingerprint: str,
        partition: Mapping[str, Any] | None = None,
        within: Mapping[str, Any] | None = None,
    ) -> int:
        """Replace the table, or one `partition` of it, with `rows` in one transaction; returns the version.

        Args:
            within: partition columns and values that the rows share: rows of other values are somebody else's and
                stay. Unlike `partition`, it is no name for what was written.

        Raises:
            WatershedError: the rows do not fit the contract, or break one of its constraints.
        """
        from deltalake import CommitProperties, DeltaTable, write_deltalake
        from deltalake.exceptions import DeltaError

        self.create(contract)
        target = DeltaTable(self.path(contract.name), storage_options=dict(self.storage_options) or None)
        replaced = {**(partition or {}), **(within or {})}
        try:
            write_deltalake(
                target,
                contract.conform(rows),
                mode="overwrite",
                predicate=partition_sql(replaced) if replaced else None,
                commit_properties=CommitProperties(
                    custom_metadata={"userMetadata": commit_note(fingerprint, partition)}
                ),
            )
        except (DeltaError, OSError) as error:
            raise WatershedError(
                f"{contract.name} was not written: {str(error).splitlines()[0]}",
                "the version before stands; mend the rows or the disk and run it again",
            ) from error
        return target.version()

    def written(self, name: str) -> dict[str, Written]:
        """The last commit of every partition key (`WHOLE` for a table written whole), by its commit notes."""
        if not self.exists(name):
            return {}
        found: dict[str, Written] = {}
        for commit in self.table(name).history():
            note = _parse_note(commit.get("userMetadata"))
            if note and note["partition"] not in found:
                found[note["partition"]] = Written(
                    note["fingerprint"], int(commit["version"]), int(commit.get("timestamp", 0))
                )
        return found


def partition_key(partition: Mapping[str, Any] | None) -> str:
    """A partition as Hive writes it: `global_shard=3/local_shard=7`; `WHOLE` for none."""
    return "/".join(f"{column}={value}" for column, value in (partition or {}).items())


def partition_sql(partition: Mapping[str, Any]) -> str:
    """The predicate that holds of the partition's rows alone."""
    return " AND ".join(f"{column} = {sql_literal(value)}" for column, value in partition.items())


def commit_note(fingerprint: str, partition: Mapping[str, Any] | None) -> str:
    """What a commit carries: the fingerprint and the partition that it replaced, as JSON.

    Spark is handed it as the `userMetadata` of a write, so that both engines leave the same note.
    """
    return json.dumps({"fingerprint": fingerprint, "partition": partition_key(partition)}, sort_keys=True)


def _parse_note(said: object) -> dict[str, str] | None:
    try:
        note = json.loads(said) if isinstance(said, str) else None
    except json.JSONDecodeError:
        return None
    return note if isinstance(note, dict) and {"fingerprint", "partition"} <= note.keys() else None


def sql_literal(value: Any) -> str:
    """`value` as SQL writes it."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return str(value) if isinstance(value, (int, float)) else "'" + str(value).replace("'", "''") + "'"


def constraint_sql(expectation: Expectation) -> str | None:
    """The Delta CHECK constraint that holds when the expectation does; None where one row cannot tell."""
    column = expectation.column
    if expectation["mostly"] is not None or expectation.severity == "warn":
        return None
    if expectation.name == "expect_column_values_to_be_between":
        bounds = [
            f"{column} {sign} {sql_literal(expectation[key])}"
            for key, sign in (("min_value", ">="), ("max_value", "<="))
            if expectation[key] is not None
        ]
        return f"{column} IS NULL OR ({' AND '.join(bounds)})"
    if expectation.name == "expect_column_values_to_be_in_set":
        return f"{column} IS NULL OR {column} IN ({', '.join(map(sql_literal, expectation['value_set']))})"
    return None
