"""Column lineage of a contract, as Dagster shows it."""

from __future__ import annotations

import dagster as dg

from catalog.contract import Contract


def column_lineage(contract: Contract) -> dg.TableColumnLineage:
    """Return the columns that each column of the contract is derived from."""

    def source(place: str) -> dg.TableColumnDep:
        family, table, column = place.split(".")
        return dg.TableColumnDep(asset_key=dg.AssetKey([family, table]), column_name=column)

    return dg.TableColumnLineage(
        {column.name: [source(d) for d in column.derived_from] for column in contract.columns if column.derived_from}
    )
