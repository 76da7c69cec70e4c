"""Assets of the tables that only a command of the command line writes. Dagster shows and checks them."""

from __future__ import annotations

from catalog.tables import CONTRACTS
from dagster_project.engine.table_asset import command_spec
from dagster_project.jobs import COMMANDS

SPECS = [command_spec(CONTRACTS[name], command) for name, command in COMMANDS.items()]
